//! Clusters form while the database fails over to a standby.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use convene_etcd::wire::{PutRequest, kv_client::KvClient};
use convene_harness::{
    Postgres, cluster::every_member_serves_what_another_wrote, etcd::Version, http, replicas::Replicas, server::Server,
    wait_for,
};
use futures_util::future::join_all;
use serde_json::Value;
use tonic::{Code, transport::Channel};

use super::{LIMIT, line::Line, register};
use crate::v3_client::connect;

/// How many clusters form before the standby stops receiving, between that and the failure, and after it.
const STAGES: [usize; 3] = [5, 3, 12];

const SIZE: usize = 3;

/// How many clusters form at the same time.
const AT_ONCE: usize = 4;

/// The time between two requests of a node, so that clusters are always forming when the primary fails.
const PAUSE: Duration = Duration::from_millis(50);

/// Within this time every server has held the clusters that were forming.
const LOOKED_FOR_LOSSES: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread")]
async fn clusters_form_while_a_standby_takes_over_that_has_every_write() {
    clusters_form_during_a_failover(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_form_while_a_standby_takes_over_that_lacks_writes() {
    clusters_form_during_a_failover(true).await;
}

/// etcds wait for the third one when the database fails over, which holds their cluster. With a new token etcds form one.
#[tokio::test(flavor = "multi_thread")]
async fn etcds_form_a_cluster_after_a_failover_and_those_that_waited_for_another_are_held() {
    let Some(primary) = Postgres::start() else { return };
    let (Some(by_v2), Some(by_v3)) = (Version::find("3.5"), Version::find("3.6")) else { return };
    let standby = primary.start_standby();
    primary.require_standby();
    let database = primary.create_database();
    let line = Line::to(&database).await;
    let Some(replicas) = Replicas::start_on(3, &line.url, &[]) else { return };
    let new_cluster =
        async || token(http::get(format!("{}/new?size=3", replicas.url)).await.unwrap().text().await.unwrap());
    let start = |version: &Version, n: usize, token: &str| {
        let name = format!("infra{n}");
        match version.folder() == by_v2.folder() {
            true => version.discover(&name, &format!("{}/{token}", replicas.url)),
            false => version.discover_v3(&name, &replicas.url, token),
        }
    };
    let versions = [(&by_v2, "waiting for more"), (&by_v3, "waiting for peers from discovery service")];
    let mut waiting = Vec::new();
    for (version, line) in versions {
        let token = new_cluster().await;
        let etcds = [0, 1].map(|n| start(version, n, &token));
        etcds.iter().for_each(|etcd| drop(etcd.wait_for_output(line, LIMIT)));
        waiting.push((version, token, etcds));
    }

    primary.crash();
    line.lead_to(&standby.url(database.rsplit_once('/').unwrap().1));
    standby.promote();
    tokio::time::sleep(LOOKED_FOR_LOSSES).await;
    for (version, token, etcds) in &mut waiting {
        start(version, 2, token).wait_for_output("is held", LIMIT);
        for etcd in etcds {
            assert!(etcd.is_running(), "{}", etcd.output());
        }
    }
    drop(waiting);
    for (version, _) in versions {
        let token = new_cluster().await;
        let etcds: Vec<_> = (0..3).map(|n| start(version, n, &token)).collect();
        etcds.iter().for_each(|etcd| etcd.wait_until_healthy(LIMIT));
        every_member_serves_what_another_wrote(&etcds);
    }
}

async fn clusters_form_during_a_failover(with_loss: bool) {
    let Some(primary) = Postgres::start() else { return };
    let standby = primary.start_standby();
    if !with_loss {
        primary.require_standby();
    }
    let database = primary.create_database();
    let name = database.rsplit_once('/').unwrap().1;
    let line = Line::to(&database).await;
    let service = Arc::new(Service::start(&line.url).await);
    let forming: Vec<_> = (0..AT_ONCE).map(|n| tokio::spawn(service.clone().form_clusters(n))).collect();

    service.until_formed(STAGES[0]).await;
    let received_until = Instant::now();
    if with_loss {
        let written = primary.execute("postgres", "select pg_current_wal_lsn()");
        let has_it = format!("select pg_last_wal_replay_lsn() >= '{written}'");
        let received = || (standby.execute("postgres", &has_it) == "t").then_some(());
        assert!(wait_for(LIMIT, received).is_some(), "{}", standby.log());
        standby.stop_receiving();
    }
    service.until_formed(service.formed() + STAGES[1]).await;
    primary.crash();
    let failed = Instant::now();
    line.lead_to(&standby.url(name));
    standby.promote();
    let promoted = Instant::now();
    let again = service.formed() + 1;
    service.goal.store(service.formed() + STAGES[2], Ordering::Relaxed);
    service.until_formed(again).await;
    eprintln!("promoted after {:?}, one has formed {:?} after that", promoted - failed, promoted.elapsed());
    for former in forming {
        tokio::time::timeout(LIMIT, former).await.expect("all clusters form").unwrap();
    }
    eprintln!("{} have formed {:?} after the promotion", service.formed(), promoted.elapsed());

    let mut members = BTreeMap::new();
    let created = service.created.lock().unwrap().clone();
    for token in created {
        let agreed = service.agreed_members(&token).await;
        let stored =
            format!("select count(*) from member where cluster = (select id from cluster where token = '{token}')");
        assert_eq!(standby.execute(name, &stored), agreed.len().to_string(), "{token}: {agreed:?}");
        members.insert(token, agreed);
    }
    let mut lost = 0;
    for acknowledged in service.acknowledged.lock().unwrap().iter() {
        let is_there = members[&acknowledged.token].get(&acknowledged.key) == Some(&acknowledged.value);
        let may_be_lost = with_loss && acknowledged.answered > received_until && acknowledged.asked < promoted;
        assert!(is_there || may_be_lost, "{acknowledged:?} is lost: {members:?}");
        lost += usize::from(!is_there);
    }
    eprintln!("{lost} registrations are lost; {:?}", service.outcomes.lock().unwrap());
    assert_eq!(lost > 0, with_loss);
}

/// What became of a cluster for its nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// All nodes have received the same members.
    Formed,
    /// Its founding is held, and its nodes need a new token.
    Held,
    /// The database has lost it.
    Lost,
}

#[derive(Debug)]
struct Acknowledged {
    token: String,
    key: String,
    value: String,
    asked: Instant,
    answered: Instant,
}

/// Three servers that clusters form with.
struct Service {
    servers: [Server; 3],
    channels: Vec<Channel>,
    /// How many clusters are to form.
    goal: AtomicUsize,
    formed: AtomicUsize,
    created: Mutex<BTreeSet<String>>,
    acknowledged: Mutex<Vec<Acknowledged>>,
    outcomes: Mutex<BTreeMap<Outcome, usize>>,
}

impl Service {
    async fn start(database: &str) -> Self {
        let servers = [(); 3].map(|()| Server::start_on(database, &[]));
        let channels = join_all(servers.iter().map(|server| connect(&server.url))).await;
        let (formed, created, acknowledged, outcomes) = Default::default();
        Self { servers, channels, goal: usize::MAX.into(), formed, created, acknowledged, outcomes }
    }

    fn formed(&self) -> usize {
        self.formed.load(Ordering::Relaxed)
    }

    async fn until_formed(&self, count: usize) {
        let begun = Instant::now();
        while self.formed() < count {
            assert!(begun.elapsed() < LIMIT, "{} clusters have formed: {}", self.formed(), self.servers[0].output());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Forms one cluster after the other, each node through another server, by v2 or by v3.
    async fn form_clusters(self: Arc<Self>, by: usize) {
        while self.formed() < self.goal.load(Ordering::Relaxed) {
            let token = self.create(by % 3).await;
            let nodes = (0..SIZE).map(|node| {
                let (service, token) = (self.clone(), token.clone());
                async move { service.discover((by + node) % 3, &token, node, by.is_multiple_of(2)).await }
            });
            let outcomes = join_all(nodes).await;
            let outcome = outcomes.iter().map(|(outcome, _)| outcome).max().unwrap().clone();
            if outcome == Outcome::Formed {
                assert!(outcomes.iter().all(|(_, members)| *members == outcomes[0].1), "{outcomes:?}");
                self.formed.fetch_add(1, Ordering::Relaxed);
            }
            *self.outcomes.lock().unwrap().entry(outcome).or_default() += 1;
        }
    }

    async fn create(&self, server: usize) -> String {
        let begun = Instant::now();
        loop {
            let made = http::get(format!("{}/new?size={SIZE}", self.servers[server].url)).await.unwrap();
            let (status, text) = (made.status(), made.text().await.unwrap());
            if status == 200 {
                let token = token(text);
                self.created.lock().unwrap().insert(token.clone());
                return token;
            }
            assert!(status == 503 && begun.elapsed() < LIMIT, "{status} {text}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Registers a node, and waits until it has received all members.
    async fn discover(
        &self,
        server: usize,
        token: &str,
        node: usize,
        by_v2: bool,
    ) -> (Outcome, BTreeMap<String, String>) {
        tokio::time::sleep(PAUSE * node as u32).await;
        let begun = Instant::now();
        let (mut is_registered, mut again) = (false, false);
        loop {
            assert!(begun.elapsed() < LIMIT, "{token}: {}", self.servers[server].output());
            if !is_registered {
                let asked = Instant::now();
                let registered = match by_v2 {
                    true => self.register_by_v2(server, token, node, again).await,
                    false => self.register_by_v3(server, token, node).await,
                };
                match registered {
                    Ok(true) => {
                        let (token, key, answered) = (token.to_owned(), node.to_string(), Instant::now());
                        let acknowledged = Acknowledged { token, key, value: value(node), asked, answered };
                        self.acknowledged.lock().unwrap().push(acknowledged);
                        is_registered = true;
                    }
                    Ok(false) => again = true,
                    Err(outcome) => return (outcome, BTreeMap::new()),
                }
            }
            match self.members(server, token).await {
                Ok(Some(members)) if members.len() == SIZE && is_registered => return (Outcome::Formed, members),
                Ok(Some(_)) if self.is_held(server, token).await => return (Outcome::Held, BTreeMap::new()),
                Ok(None) => return (Outcome::Lost, BTreeMap::new()),
                Ok(Some(_)) | Err(()) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Whether the registration is acknowledged; if not, the node asks again.
    async fn register_by_v2(&self, server: usize, token: &str, node: usize, again: bool) -> Result<bool, Outcome> {
        let url = format!("{}/{token}", self.servers[server].url);
        let answer = register(&url, node).send().await.unwrap();
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        match status {
            201 => Ok(true),
            503 => Ok(false),
            404 => Err(Outcome::Lost),
            _ if text.contains("is held") => Err(Outcome::Held),
            // An earlier attempt was answered with an error, and was successful.
            412 if again && text.contains("already exists") => Ok(true),
            _ => panic!("{status} {text}"),
        }
    }

    async fn register_by_v3(&self, server: usize, token: &str, node: usize) -> Result<bool, Outcome> {
        let key = format!("/_etcd/registry/{token}/members/{node}").into_bytes();
        let put = PutRequest { key, value: value(node).into_bytes(), ..PutRequest::default() };
        match KvClient::new(self.channels[server].clone()).put(put).await {
            Ok(_) => Ok(true),
            Err(status) if status.code() == Code::Unavailable => Ok(false),
            Err(status) if status.code() == Code::NotFound => Err(Outcome::Lost),
            Err(status) if status.message().contains("is held") => Err(Outcome::Held),
            Err(status) => panic!("{status:?}"),
        }
    }

    async fn is_held(&self, server: usize, token: &str) -> bool {
        let url = format!("{}/v1/clusters/{token}", self.servers[server].url);
        let shown: Value = http::get(url).await.unwrap().json().await.unwrap();
        shown["held"].is_object()
    }

    /// The members that a server knows; none if it does not know the cluster, and an error if the database is down.
    async fn members(&self, server: usize, token: &str) -> Result<Option<BTreeMap<String, String>>, ()> {
        let answer = http::get(format!("{}/{token}", self.servers[server].url)).await.unwrap();
        match answer.status().as_u16() {
            200 => Ok(Some(listed(&answer.json().await.unwrap()))),
            404 => Ok(None),
            503 => Err(()),
            status => panic!("{status}"),
        }
    }

    /// The members of a cluster, which all servers know; none if the cluster is lost.
    async fn agreed_members(&self, token: &str) -> BTreeMap<String, String> {
        let known = join_all((0..3).map(|server| self.members(server, token))).await;
        assert!(known.iter().all(|members| *members == known[0]), "servers know different members: {known:#?}");
        known[0].clone().expect("the database is up").unwrap_or_default()
    }
}

fn token(cluster: String) -> String {
    cluster.rsplit_once('/').unwrap().1.to_owned()
}

fn listed(shown: &Value) -> BTreeMap<String, String> {
    let nodes = shown["node"]["nodes"].as_array().into_iter().flatten();
    let member = |node: &Value| {
        let key = node["key"].as_str().unwrap().rsplit_once('/').unwrap().1.to_owned();
        (key, node["value"].as_str().unwrap().to_owned())
    };
    nodes.map(member).collect()
}

/// As [`register`] sends it.
fn value(node: usize) -> String {
    format!("infra{node}=http://infra{node}.example.com:2380")
}
