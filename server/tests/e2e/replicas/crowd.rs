//! Far more nodes come for one cluster than it has places.

use std::collections::{BTreeMap, BTreeSet};

use convene_harness::{Postgres, replicas::Replicas};
use futures_util::future::join_all;
use serde_json::json;

use super::{
    LIMIT,
    newcomer::{Newcomer, Register},
    nothing_collided,
    patient::{PAUSE, Patient},
};

const PLACES: usize = 100;

const NODES: usize = 500;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_of_five_hundred_nodes_that_register_at_once_form_the_cluster() {
    let Some(crowd) = Crowd::start().await else { return };
    let register = Register::default();
    let nodes = (0..NODES).map(|n| {
        let newcomer = Newcomer::new(&crowd.replicas.url, &crowd.token, n, &crowd.patient, &register);
        tokio::spawn(async move { (newcomer.key.clone(), newcomer.discover_by_v2().await) })
    });
    let found = tokio::time::timeout(LIMIT * 2, join_all(nodes)).await.expect("everybody is answered");
    let mut seen = BTreeSet::new();
    let mut places = BTreeSet::new();
    for node in found {
        if let (key, Some(members)) = node.unwrap() {
            assert!(members.contains_key(&key), "{key} has a place in a cluster without it");
            places.insert(key);
            seen.insert(members);
        }
    }
    assert_eq!((places.len(), seen.len()), (PLACES, 1));
    assert_eq!(seen.first().unwrap().keys().cloned().collect::<BTreeSet<_>>(), places);
    crowd.was_served_well();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_of_five_hundred_nodes_that_check_in_at_once_bootstrap() {
    let Some(crowd) = Crowd::start().await else { return };
    let url = format!("{}/v1/clusters/{}/check-in", crowd.replicas.url, crowd.token);
    let nodes = (0..NODES).map(|n| {
        let (patient, url) = (crowd.patient.clone(), url.clone());
        tokio::spawn(async move { outcome(&patient, &url, n).await })
    });
    let outcomes = tokio::time::timeout(LIMIT * 2, join_all(nodes)).await.expect("every node gets an answer");
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for outcome in outcomes {
        *counts.entry(outcome.unwrap()).or_default() += 1;
    }
    assert_eq!(counts.get("bootstrap roster_complete"), Some(&PLACES), "{counts:#?}");
    eprintln!("outcomes: {counts:#?}");
    crowd.was_served_well();
}

/// The outcome for a node without data once the cluster does not wait for more nodes.
async fn outcome(patient: &Patient, url: &str, n: usize) -> String {
    let report = json!({
        "name": format!("infra{n}"), "run_id": format!("run-{n}"), "state": "empty",
        "peer_urls": [format!("http://infra{n}.example.com:2380")],
    });
    loop {
        let answer = patient.ask(|http| http.post(url).json(&report)).await;
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
struct Crowd {
    postgres: Postgres,
    replicas: Replicas,
    patient: Patient,
    token: String,
}

impl Crowd {
    async fn start() -> Option<Self> {
        let postgres = Postgres::start()?;
        let size = PLACES.to_string();
        let replicas = Replicas::start_on(3, &postgres.create_database(), &["--max-cluster-size", &size])?;
        let patient = Patient::new();
        let made = patient.ask(|http| http.get(format!("{}/new?size={size}", replicas.url))).await;
        let token = made.text.rsplit_once('/').unwrap().1.to_owned();
        Some(Self { postgres, replicas, patient, token })
    }

    /// Nobody had to try again, and the database had no reason to complain.
    fn was_served_well(&self) {
        let refused = self.patient.was_answered_well();
        assert!(refused.is_empty(), "{refused:#?}");
        nothing_collided(&self.postgres);
        assert!(!self.postgres.log().contains("ERROR:  canceling"), "{}", self.postgres.log());
    }
}
