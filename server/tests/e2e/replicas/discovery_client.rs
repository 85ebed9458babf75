//! A client of v2 and v3 discovery that registers and waits as an etcd does, without an etcd.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use convene_etcd::wire::{
    KeyValue, PutRequest, RangeRequest, WatchCreateRequest,
    kv_client::KvClient,
    range_request::{SortOrder, SortTarget},
};
use reqwest::StatusCode;
use serde_json::Value;
use tonic::transport::Channel;

use super::retrying_client::{PAUSE, RetryingClient};
use crate::v3_client::{Watches, endpoint};

/// The members of a cluster as one node knows them: their keys with their values.
pub type Members = BTreeMap<String, String>;

/// A registration that was acknowledged.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub token: String,
    pub key: String,
    pub value: String,
    pub index: u64,
}

/// All acknowledged registrations.
#[derive(Clone, Default)]
pub struct Registrations {
    all: Arc<Mutex<Vec<Acknowledged>>>,
    count: Arc<AtomicUsize>,
}

impl Registrations {
    fn add(&self, acknowledged: Acknowledged) {
        self.all.lock().unwrap().push(acknowledged);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub fn all(&self) -> Vec<Acknowledged> {
        self.all.lock().unwrap().clone()
    }
}

/// A node of a cluster.
pub struct DiscoveryClient {
    pub service: String,
    pub token: String,
    pub key: String,
    pub value: String,
    pub client: RetryingClient,
    pub register: Registrations,
}

impl DiscoveryClient {
    pub fn new(service: &str, token: &str, n: usize, client: &RetryingClient, register: &Registrations) -> Self {
        let (service, token) = (service.to_owned(), token.to_owned());
        let (key, value) = (format!("{:x}", n + 1), format!("infra{n}=http://infra{n}.example.com:2380"));
        Self { service, token, key, value, client: client.clone(), register: register.clone() }
    }

    fn url(&self, below: &str) -> String {
        format!("{}/{}{below}", self.service, self.token)
    }

    fn acknowledged(&self, index: u64) -> u64 {
        let (token, key, value) = (self.token.clone(), self.key.clone(), self.value.clone());
        self.register.add(Acknowledged { token, key, value, index });
        index
    }

    /// Does what etcd's `v2discovery` does; `None` if the cluster is full without this node.
    pub async fn discover_by_v2(&self) -> Option<Members> {
        let size = self.client.ask(|http| http.get(self.url("/_config/size"))).await.json();
        let size: usize = size["node"]["value"].as_str().unwrap().parse().unwrap();
        let (members, _) = self.v2_members(size).await;
        if self.is_surplus(&members, size) {
            return None;
        }
        let own = self.register_by_v2().await?;
        self.wait_for_own_registration(own).await;
        let (mut members, mut index) = self.v2_members(size).await;
        if self.is_surplus(&members, size) {
            return None;
        }
        while members.len() < size {
            let wait = format!("?wait=true&recursive=true&waitIndex={}", index + 1);
            let answer = self.client.ask(|http| http.get(self.url(&wait))).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
            if answer.text.is_empty() {
                continue;
            }
            let node = &answer.json()["node"];
            index = node["modifiedIndex"].as_u64().unwrap();
            let before = members.len();
            members.extend([v2_member(node)]);
            assert_eq!(members.len(), before + 1, "etcd would count {node} twice");
        }
        Some(members)
    }

    /// A server that answers from memory during a database outage may not know this node yet. As in etcd, that does no
    /// harm: the node waits for the events after that state.
    fn is_surplus(&self, members: &Members, size: usize) -> bool {
        members.len() == size && !members.contains_key(&self.key)
    }

    /// As etcd does after its registration.
    async fn wait_for_own_registration(&self, index: u64) {
        let wait = self.url(&format!("/{}?wait=true&waitIndex={index}", self.key));
        while self.client.ask(|http| http.get(&wait)).await.text.is_empty() {}
    }

    /// `None` if others have taken all places since, and formed the cluster.
    async fn register_by_v2(&self) -> Option<u64> {
        let url = self.url(&format!("/{}?prevExist=false", self.key));
        let answer = self.client.ask(|http| http.put(&url).form(&[("value", &self.value)])).await;
        if answer.status == StatusCode::CREATED {
            return Some(self.acknowledged(answer.json()["node"]["createdIndex"].as_u64().unwrap()));
        }
        if answer.status == StatusCode::FORBIDDEN && answer.json()["errorCode"] == 110 {
            return None;
        }
        // The answer to an earlier try was lost.
        assert!(answer.again && answer.json()["errorCode"] == 105, "{}: {}", answer.status, answer.text);
        let own = loop {
            let own = self.client.ask(|http| http.get(self.url(&format!("/{}", self.key)))).await;
            if own.status == StatusCode::OK {
                break own.json();
            }
        };
        assert_eq!(own["node"]["value"], *self.value, "{own}");
        Some(self.acknowledged(own["node"]["createdIndex"].as_u64().unwrap()))
    }

    /// The first members, and the cluster's index.
    async fn v2_members(&self, size: usize) -> (Members, u64) {
        let answer = self.client.ask(|http| http.get(self.url(""))).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let shown = answer.json();
        let mut nodes: Vec<&Value> = shown["node"]["nodes"].as_array().into_iter().flatten().collect();
        nodes.sort_by_key(|node| node["createdIndex"].as_u64().unwrap());
        (nodes.into_iter().take(size).map(v2_member).collect(), answer.index())
    }

    /// Does what etcd's `v3discovery` does; `None` if the cluster is full without this node.
    pub async fn discover_by_v3(&self, channel: &Channel) -> Option<Members> {
        let range = RangeRequest { key: self.v3_key("_config/size"), ..RangeRequest::default() };
        let (found, _) = self.range(channel, range).await;
        let size: usize = String::from_utf8(found[0].value.clone()).unwrap().parse().unwrap();
        self.register_by_v3(channel).await;
        let (mut members, mut revision) = self.v3_members(channel, size).await;
        if self.is_surplus(&members, size) {
            return None;
        }
        while members.len() < size {
            let watch = WatchCreateRequest {
                key: self.v3_key("members/"),
                range_end: self.v3_key("members0"),
                start_revision: revision + 1,
                ..WatchCreateRequest::default()
            };
            let Some(mut watches) = self.open(channel, watch).await else { continue };
            while members.len() < size {
                match watches.try_next().await {
                    Ok(answer) => {
                        assert!(!answer.canceled, "{answer:?}");
                        for event in answer.events {
                            let kv = event.kv.unwrap();
                            revision = revision.max(kv.mod_revision);
                            members.extend([v3_member(&kv)]);
                        }
                    }
                    Err(status) => {
                        self.client.note(&status);
                        break;
                    }
                }
            }
        }
        Some(members)
    }

    async fn open(&self, channel: &Channel, watch: WatchCreateRequest) -> Option<Watches> {
        match Watches::open(channel, watch).await {
            Ok(watches) => Some(watches),
            Err(status) => {
                self.client.note(&status);
                tokio::time::sleep(PAUSE).await;
                None
            }
        }
    }

    async fn register_by_v3(&self, channel: &Channel) {
        let put = PutRequest {
            key: self.v3_key(&format!("members/{}", self.key)),
            value: self.value.clone().into(),
            ..PutRequest::default()
        };
        let call = || {
            let (mut client, put) = (KvClient::new(channel.clone()), put.clone());
            async move { client.put(put).await }
        };
        self.client.call(call).await;
        let range = RangeRequest { key: put.key.clone(), ..RangeRequest::default() };
        loop {
            if let [own] = &self.range(channel, range.clone()).await.0[..] {
                self.acknowledged(own.create_revision as u64);
                return;
            }
        }
    }

    async fn v3_members(&self, channel: &Channel, size: usize) -> (Members, i64) {
        let range = RangeRequest {
            key: self.v3_key("members/"),
            range_end: self.v3_key("members0"),
            sort_target: SortTarget::Create.into(),
            sort_order: SortOrder::Ascend.into(),
            ..RangeRequest::default()
        };
        let (found, revision) = self.range(channel, range).await;
        (found.iter().take(size).map(v3_member).collect(), revision)
    }

    async fn range(&self, channel: &Channel, range: RangeRequest) -> (Vec<KeyValue>, i64) {
        let call = || {
            let (mut client, range) = (KvClient::new(channel.clone()), range.clone());
            async move { client.range(range).await }
        };
        let answer = self.client.call(call).await.into_inner();
        (answer.kvs, answer.header.unwrap().revision)
    }

    fn v3_key(&self, below: &str) -> Vec<u8> {
        format!("/_etcd/registry/{}/{below}", self.token).into_bytes()
    }
}

/// A connection to the service that is made when it is needed.
pub fn channel(service: &str) -> Channel {
    endpoint(service).connect_lazy()
}

fn v2_member(node: &Value) -> (String, String) {
    let key = node["key"].as_str().unwrap().rsplit_once('/').unwrap().1;
    (key.to_owned(), node["value"].as_str().unwrap().to_owned())
}

fn v3_member(kv: &KeyValue) -> (String, String) {
    let key = String::from_utf8(kv.key.clone()).unwrap();
    (key.rsplit_once('/').unwrap().1.to_owned(), String::from_utf8(kv.value.clone()).unwrap())
}
