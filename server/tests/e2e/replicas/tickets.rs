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
    LIMIT, assert_no_lock_conflicts,
    joining_node::{JoiningNode, MemberList},
    retrying_client::RetryingClient,
};

const CLUSTERS: usize = 20;

/// The number of voters that each cluster should have.
const SIZE: usize = 4;

/// The number of nodes that compete for the free places.
const JOINERS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn one_node_at_a_time_holds_the_ticket_while_servers_and_the_database_restart() {
    let Some(postgres) = Postgres::start() else { return };
    let Some(mut replicas) = Replicas::start(3, &postgres) else { return };
    let client = RetryingClient::new();
    let mut joining = JoiningClusters::start(&replicas.url, &client).await;

    joining.wait_for(20).await;
    replicas.crash(0);
    joining.wait_for(40).await;
    replicas.restart(0);
    postgres.stop();
    postgres.start_again();
    joining.wait_for(60).await;
    postgres.crash();
    postgres.start_again();
    replicas.crash(1);
    joining.wait_for(80).await;
    replicas.restart(1);
    let mut cut = 0;
    while (joining.changes() < 100 || cut == 0) && !joining.is_complete() {
        cut += postgres.cut_connections(&replicas.database_url, "LISTEN%");
        cut += postgres.cut_connections(&replicas.database_url, "%for update%");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(cut > 0, "nothing was cut");

    let clusters = joining.finish().await;
    for Cluster { url, etcds } in &clusters {
        assert_one_holder_at_a_time(etcds);
        for server in replicas.servers() {
            let path = url.strip_prefix(&replicas.url).unwrap();
            assert_tickets_do_not_overlap(&events(&format!("{}{path}", server.url)).await);
        }
    }
    eprintln!("retried: {:#?}", client.assert_no_unexpected_errors());
    assert_no_lock_conflicts(&postgres);
}

/// Asserts that each ticket has one holder, and that each change is made with the latest ticket.
fn assert_one_holder_at_a_time(etcds: &MemberList) {
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
    assert!(holders.len() >= SIZE - 1, "each joining node needs one: {holders:?}");
}

/// Asserts that each ticket has the next number and is granted after the previous one was released.
fn assert_tickets_do_not_overlap(events: &[Value]) {
    let mut granted = 0;
    let mut is_out = false;
    for event in events {
        match event["kind"].as_str().unwrap() {
            "ticket_granted" => {
                granted += 1;
                assert!(!is_out, "ticket {granted} is granted while another is held: {events:#?}");
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
    etcds: Arc<MemberList>,
}

/// Clusters, and the nodes that join them.
struct JoiningClusters {
    clusters: Vec<Cluster>,
    nodes: JoinSet<()>,
}

impl JoiningClusters {
    async fn start(service: &str, client: &RetryingClient) -> Self {
        let mut joining = Self { clusters: Vec::new(), nodes: JoinSet::new() };
        let mut joiners = Vec::new();
        for _ in 0..CLUSTERS {
            let (cluster, founder) = bootstrap(service, client).await;
            for n in 1..=JOINERS {
                let (name, peer_url) = (format!("infra{n}"), format!("http://infra{n}.example.com:2380"));
                joiners.push(JoiningNode { name, peer_url, member: None, ..founder.clone() });
            }
            joiners.push(founder);
            joining.clusters.push(cluster);
        }
        for joiner in joiners {
            joining.nodes.spawn(joiner.run(SIZE));
        }
        joining
    }

    fn changes(&self) -> usize {
        self.clusters.iter().map(|cluster| cluster.etcds.changes().len()).sum()
    }

    fn is_complete(&self) -> bool {
        self.clusters.iter().all(|cluster| cluster.etcds.settled_voters() == Some(SIZE))
    }

    /// Waits until this number of changes has begun.
    async fn wait_for(&self, changes: usize) {
        let deadline = Instant::now() + LIMIT;
        while self.changes() < changes {
            assert!(Instant::now() < deadline, "only {} changes of {changes}", self.changes());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!self.is_complete(), "all nodes had joined before the fault");
    }

    async fn finish(&mut self) -> Vec<Cluster> {
        let ended = async {
            while let Some(node) = self.nodes.join_next().await {
                node.unwrap();
            }
        };
        tokio::time::timeout(LIMIT * 3, ended).await.expect("every cluster gets its voters");
        std::mem::take(&mut self.clusters)
    }
}

/// A running cluster of one, whose size is then raised.
async fn bootstrap(service: &str, client: &RetryingClient) -> (Cluster, JoiningNode) {
    let settings = json!({ "size": 1, "policy": { "check_in_every_seconds": 1 } });
    let made = client.ask(|http| http.post(format!("{service}/v1/clusters")).json(&settings)).await.json();
    let url = format!("{service}/v1/clusters/{}", made["token"].as_str().unwrap());
    let (name, peer_url) = ("infra0".to_owned(), "http://infra0.example.com:2380".to_owned());
    let report = json!({ "name": name, "run_id": "run", "state": "empty", "peer_urls": [peer_url] });
    let instruction = client.ask(|http| http.post(format!("{url}/check-in")).json(&report)).await.json();
    assert_eq!(instruction["instruction"], "bootstrap", "{instruction}");
    client.ask(|http| http.patch(&url).json(&json!({ "size": SIZE }))).await;
    let cluster_id = client.ask(|http| http.get(&url)).await.json()["cluster_id"].as_str().unwrap().to_owned();
    let members = client.ask(|http| http.get(format!("{url}/members"))).await.json();
    let id = members["members"][0]["id"].as_str().unwrap();
    let etcds = Arc::new(MemberList::default());
    etcds.add_founder(id, &name, &peer_url);
    let member = Some(u64::from_str_radix(id, 16).unwrap());
    let (check_in, client) = (format!("{url}/check-in"), client.clone());
    let founder = JoiningNode { name, peer_url, url: check_in, cluster_id, etcds: etcds.clone(), client, member };
    (Cluster { url, etcds }, founder)
}
