//! The server is killed again and again, and no acknowledged write is lost. What a loss of power would take is up to
//! the fsync of each commit; that there is one is tested in the store.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use convene_harness::{etcd::Version, http, server::Server, wait_for};
use futures_util::future::join_all;
use reqwest::Client;
use serde_json::Value;

const CRASHES: usize = 10;

/// How many clients register at once, each under clusters of its own.
const CLIENTS: usize = 16;

/// How many registrations have to be acknowledged between two crashes, so that each hits a busy server.
const BETWEEN_CRASHES: usize = 200;

/// A registration that the server has answered with 201.
#[derive(Clone, Debug)]
struct Acknowledged {
    cluster: String,
    member: String,
    value: String,
    index: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_writes_survive_ten_crashes_and_waiting_etcds_continue() {
    let mut server = Server::start();
    let forming = server.new_cluster(3).await;
    let version = Version::find("3.5");
    let waiting: Vec<_> =
        version.iter().flat_map(|v| [v.discover("infra0", &forming), v.discover("infra1", &forming)]).collect();
    for etcd in &waiting {
        etcd.wait_for_output("waiting for more", Duration::from_secs(30));
    }

    let mut everything = Vec::new();
    for _ in 0..CRASHES {
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let clients: Vec<_> =
            (0..CLIENTS).map(|_| tokio::spawn(register_for_ever(server.url.clone(), acknowledged.clone()))).collect();
        let busy = || (acknowledged.lock().unwrap().len() >= BETWEEN_CRASHES).then_some(());
        tokio::task::block_in_place(|| wait_for(Duration::from_secs(30), busy)).expect("registrations are answered");
        server = server.crash().restart();
        // One that had nothing under way meanwhile may not have noticed.
        clients.iter().for_each(|client| client.abort());
        join_all(clients).await;

        let acknowledged = acknowledged.lock().unwrap().clone();
        all_are_there(&server, &acknowledged).await;
        everything.extend(acknowledged);
    }
    all_are_there(&server, &everything).await;

    let Some(version) = version else { return };
    let third = version.discover("infra2", &forming);
    // Etcd waits between its tries, ever longer with each crash that it has met.
    waiting.iter().chain([&third]).for_each(|etcd| etcd.wait_until_healthy(Duration::from_secs(180)));
    assert_eq!(third.etcdctl(&["member", "list"]).unwrap().lines().count(), 3);
}

async fn register_for_ever(server: String, acknowledged: Arc<Mutex<Vec<Acknowledged>>>) {
    let client = http::client();
    while let Ok(cluster) = new_cluster(&client, &server).await {
        for n in 1..=3 {
            let (member, value) = (format!("{n:x}"), format!("infra{n}=http://10.0.0.{n}:2380"));
            match register(&client, &cluster, &member, &value).await {
                Ok(index) => {
                    let new = Acknowledged { cluster: cluster.clone(), member, value, index };
                    acknowledged.lock().unwrap().push(new);
                }
                Err(_) => return,
            }
        }
    }
}

async fn new_cluster(client: &Client, server: &str) -> reqwest::Result<String> {
    client.get(format!("{server}/new")).send().await?.error_for_status()?.text().await
}

async fn register(client: &Client, cluster: &str, member: &str, value: &str) -> reqwest::Result<u64> {
    let request = client.put(format!("{cluster}/{member}?prevExist=false")).form(&[("value", value)]);
    let answer: Value = request.send().await?.error_for_status()?.json().await?;
    Ok(answer["node"]["createdIndex"].as_u64().unwrap())
}

async fn all_are_there(server: &Server, acknowledged: &[Acknowledged]) {
    let client = http::client();
    for Acknowledged { cluster, member, value, index } in acknowledged {
        let answer = client.get(format!("{cluster}/{member}")).send().await.unwrap();
        let node = &answer.json::<Value>().await.unwrap()["node"];
        let found = (node["value"].as_str(), node["createdIndex"].as_u64(), node["modifiedIndex"].as_u64());
        assert_eq!(found, (Some(value.as_str()), Some(*index), Some(*index)), "{member}:\n{}", server.output());
    }
}
