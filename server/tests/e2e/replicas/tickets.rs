//! One node at a time changes a cluster's membership, even if the servers that grant the tickets crash.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use convene_harness::{Postgres, http, replicas::Replicas};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    LIMIT,
    joiner::{Etcds, Joiner},
    nothing_collided,
    patient::Patient,
};

const CLUSTERS: usize = 20;

/// Each cluster is to have so many voters.
const SIZE: usize = 4;

/// So many nodes look for one of the places that are free.
const JOINERS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn one_node_at_a_time_holds_the_ticket_while_servers_and_the_database_restart() {
    let Some(postgres) = Postgres::start() else { return };
    let Some(mut replicas) = Replicas::start(3, &postgres) else { return };
    let patient = Patient::new();
    let mut crowd = Crowd::start(&replicas.url, &patient).await;

    crowd.wait_for(20).await;
    replicas.crash(0);
    crowd.wait_for(40).await;
    replicas.restart(0);
    postgres.stop();
    postgres.start_again();
    crowd.wait_for(60).await;
    postgres.crash();
    postgres.start_again();
    replicas.crash(1);
    crowd.wait_for(80).await;
    replicas.restart(1);
    let mut cut = 0;
    while (crowd.changes() < 100 || cut == 0) && !crowd.is_over() {
        cut += postgres.cut_connections(&replicas.database_url, "LISTEN%");
        cut += postgres.cut_connections(&replicas.database_url, "%for update%");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(cut > 0, "nothing was cut");

    let clusters = crowd.ends_well().await;
    for Cluster { url, etcds } in &clusters {
        one_at_a_time(etcds);
        for server in replicas.servers() {
            let path = url.strip_prefix(&replicas.url).unwrap();
            tickets_follow_one_another(&events(&format!("{}{path}", server.url)).await);
        }
    }
    eprintln!("had to try again: {:#?}", patient.was_answered_well());
    nothing_collided(&postgres);
}

/// A ticket belongs to one node, and each change is made with the last ticket.
fn one_at_a_time(etcds: &Etcds) {
    let mut holders: BTreeMap<u64, String> = BTreeMap::new();
    for change in etcds.changes().iter() {
        let (ticket, holder, what) = (change.ticket, &change.holder, &change.what);
        let owner = holders.entry(ticket).or_insert_with(|| holder.clone());
        assert_eq!(owner, holder, "both have ticket {ticket}: {what}");
        assert!(
            *holders.last_key_value().unwrap().0 <= ticket,
            "{holder} goes by ticket {ticket}: {what}: {holders:?}"
        );
    }
    assert!(holders.len() >= SIZE - 1, "each newcomer needs one: {holders:?}");
}

/// None is granted before the one before it was released, and each has the next number.
fn tickets_follow_one_another(events: &[Value]) {
    let mut granted = 0;
    let mut is_out = false;
    for event in events {
        match event["kind"].as_str().unwrap() {
            "ticket_granted" => {
                granted += 1;
                assert!(!is_out, "ticket {granted} is granted beside another: {events:#?}");
                let message = event["message"].as_str().unwrap();
                assert!(message.contains(&format!("ticket {granted} granted to ")), "{message}");
                is_out = true;
            }
            "ticket_released" => {
                assert!(is_out, "{event}");
                is_out = false;
            }
            _ => {}
        }
    }
    assert!(granted >= SIZE - 1, "{events:#?}");
}

async fn events(cluster: &str) -> Vec<Value> {
    let listed: Value = http::get(format!("{cluster}/events")).await.unwrap().json().await.unwrap();
    listed["events"].as_array().unwrap_or_else(|| panic!("{listed}")).clone()
}

/// A cluster with free places.
struct Cluster {
    url: String,
    etcds: Arc<Etcds>,
}

/// Clusters, and the nodes that join them.
struct Crowd {
    clusters: Vec<Cluster>,
    nodes: JoinSet<()>,
}

impl Crowd {
    async fn start(service: &str, patient: &Patient) -> Self {
        let mut crowd = Self { clusters: Vec::new(), nodes: JoinSet::new() };
        let mut joiners = Vec::new();
        for _ in 0..CLUSTERS {
            let (cluster, founder) = found(service, patient).await;
            for n in 1..=JOINERS {
                let (name, peer_url) = (format!("infra{n}"), format!("http://infra{n}.example.com:2380"));
                joiners.push(Joiner { name, peer_url, member: None, ..founder.clone() });
            }
            joiners.push(founder);
            crowd.clusters.push(cluster);
        }
        for joiner in joiners {
            crowd.nodes.spawn(joiner.live(SIZE));
        }
        crowd
    }

    fn changes(&self) -> usize {
        self.clusters.iter().map(|cluster| cluster.etcds.changes().len()).sum()
    }

    fn is_over(&self) -> bool {
        self.clusters.iter().all(|cluster| cluster.etcds.settled_voters() == Some(SIZE))
    }

    /// Waits until so many changes have begun.
    async fn wait_for(&self, changes: usize) {
        let deadline = Instant::now() + LIMIT;
        while self.changes() < changes {
            assert!(Instant::now() < deadline, "only {} changes of {changes}", self.changes());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!self.is_over(), "all had joined before anything happened");
    }

    async fn ends_well(&mut self) -> Vec<Cluster> {
        let ended = async {
            while let Some(node) = self.nodes.join_next().await {
                node.unwrap();
            }
        };
        tokio::time::timeout(LIMIT * 3, ended).await.expect("every cluster gets its voters");
        std::mem::take(&mut self.clusters)
    }
}

/// A cluster of one that runs and is to be larger.
async fn found(service: &str, patient: &Patient) -> (Cluster, Joiner) {
    let settings = json!({ "size": 1, "policy": { "check_in_every_seconds": 1 } });
    let made = patient.ask(|http| http.post(format!("{service}/v1/clusters")).json(&settings)).await.json();
    let url = format!("{service}/v1/clusters/{}", made["token"].as_str().unwrap());
    let (name, peer_url) = ("infra0".to_owned(), "http://infra0.example.com:2380".to_owned());
    let report = json!({ "name": name, "run_id": "run", "state": "empty", "peer_urls": [peer_url] });
    let instruction = patient.ask(|http| http.post(format!("{url}/check-in")).json(&report)).await.json();
    assert_eq!(instruction["instruction"], "bootstrap", "{instruction}");
    patient.ask(|http| http.patch(&url).json(&json!({ "size": SIZE }))).await;
    let cluster_id = patient.ask(|http| http.get(&url)).await.json()["cluster_id"].as_str().unwrap().to_owned();
    let members = patient.ask(|http| http.get(format!("{url}/members"))).await.json();
    let id = members["members"][0]["id"].as_str().unwrap();
    let etcds = Arc::new(Etcds::default());
    etcds.found(id, &name, &peer_url);
    let member = Some(u64::from_str_radix(id, 16).unwrap());
    let (check_in, patient) = (format!("{url}/check-in"), patient.clone());
    let founder = Joiner { name, peer_url, url: check_in, cluster_id, etcds: etcds.clone(), patient, member };
    (Cluster { url, etcds }, founder)
}
