//! Far more nodes register than the cluster has places.

use std::collections::{BTreeMap, BTreeSet};

use convene_harness::{Postgres, replicas::Replicas};
use futures_util::future::join_all;
use serde_json::json;

use super::{
    LIMIT, assert_no_lock_conflicts,
    discovery_client::{DiscoveryClient, Registrations},
    retrying_client::{PAUSE, RetryingClient},
};

const PLACES: usize = 100;

const NODES: usize = 500;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_of_five_hundred_nodes_that_register_at_once_form_the_cluster() {
    let Some(setup) = SurplusNodes::start().await else { return };
    let register = Registrations::default();
    let nodes = (0..NODES).map(|n| {
        let node = DiscoveryClient::new(&setup.replicas.url, &setup.token, n, &setup.client, &register);
        tokio::spawn(async move { (node.key.clone(), node.discover_by_v2().await) })
    });
    let found = tokio::time::timeout(LIMIT * 2, join_all(nodes)).await.expect("every node gets a response");
    let mut seen = BTreeSet::new();
    let mut places = BTreeSet::new();
    for node in found {
        if let (key, Some(members)) = node.unwrap() {
            assert!(members.contains_key(&key), "{key} has a place, but its cluster does not have it");
            places.insert(key);
            seen.insert(members);
        }
    }
    assert_eq!((places.len(), seen.len()), (PLACES, 1));
    assert_eq!(seen.first().unwrap().keys().cloned().collect::<BTreeSet<_>>(), places);
    setup.assert_served_without_errors();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_of_five_hundred_nodes_that_check_in_at_once_bootstrap() {
    let Some(setup) = SurplusNodes::start().await else { return };
    let url = format!("{}/v1/clusters/{}/check-in", setup.replicas.url, setup.token);
    let nodes = (0..NODES).map(|n| {
        let (client, url) = (setup.client.clone(), url.clone());
        tokio::spawn(async move { outcome(&client, &url, n).await })
    });
    let outcomes = tokio::time::timeout(LIMIT * 2, join_all(nodes)).await.expect("every node gets an answer");
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for outcome in outcomes {
        *counts.entry(outcome.unwrap()).or_default() += 1;
    }
    assert_eq!(counts.get("bootstrap roster_complete"), Some(&PLACES), "{counts:#?}");
    eprintln!("outcomes: {counts:#?}");
    setup.assert_served_without_errors();
}

/// The outcome for a node without data once the cluster does not wait for more nodes.
async fn outcome(client: &RetryingClient, url: &str, n: usize) -> String {
    let report = json!({
        "name": format!("infra{n}"), "run_id": format!("run-{n}"), "state": "empty",
        "peer_urls": [format!("http://infra{n}.example.com:2380")],
    });
    loop {
        let answer = client.ask(|http| http.post(url).json(&report)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let answer = answer.json();
        let (instruction, reason) = (answer["instruction"].as_str().unwrap(), answer["reason"].as_str().unwrap());
        if reason != "forming" {
            return format!("{instruction} {reason}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Three servers, and a cluster with places for a hundred.
struct SurplusNodes {
    postgres: Postgres,
    replicas: Replicas,
    client: RetryingClient,
    token: String,
}

impl SurplusNodes {
    async fn start() -> Option<Self> {
        let postgres = Postgres::start()?;
        let size = PLACES.to_string();
        let replicas = Replicas::start_on(3, &postgres.create_database(), &["--max-cluster-size", &size])?;
        let client = RetryingClient::new();
        let made = client.ask(|http| http.get(format!("{}/new?size={size}", replicas.url))).await;
        let token = made.text.rsplit_once('/').unwrap().1.to_owned();
        Some(Self { postgres, replicas, client, token })
    }

    /// Asserts that no client had to retry, and that the database logged no conflict or timeout.
    fn assert_served_without_errors(&self) {
        let refused = self.client.assert_no_unexpected_errors();
        assert!(refused.is_empty(), "{refused:#?}");
        assert_no_lock_conflicts(&self.postgres);
        assert!(!self.postgres.log().contains("ERROR:  canceling"), "{}", self.postgres.log());
    }
}
