//! Many clusters form at once, each request by any of the servers.

use std::collections::BTreeSet;

use convene_harness::{Postgres, http, replicas::Replicas};
use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::{
    LIMIT,
    newcomer::{Acknowledged, Members, Newcomer, Register, channel},
    patient::Patient,
};

pub const CLUSTERS: usize = 100;

pub const SIZE: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_clusters_form_at_once() {
    let Some(postgres) = Postgres::shared() else { return };
    let Some(replicas) = Replicas::start(3, postgres) else { return };
    let (patient, register) = (Patient::new(), Register::default());
    form(&replicas.url, CLUSTERS, CLUSTERS, &patient, &register).await;
    let refused = patient.was_answered_well();
    assert!(refused.is_empty(), "nothing was away, and somebody had to try again: {refused:#?}");
    everything_is_there(&replicas, &register.all()).await;
}

/// Forms clusters, so many at a time, and sees to it that the nodes of each have learnt of the same members.
pub async fn form(service: &str, clusters: usize, at_once: usize, patient: &Patient, register: &Register) {
    let forming = stream::iter(0..clusters).map(|n| {
        let (service, patient, register) = (service.to_owned(), patient.clone(), register.clone());
        tokio::spawn(async move { form_one(&service, n, &patient, &register).await })
    });
    forming.buffer_unordered(at_once).for_each(async |formed| formed.unwrap()).await;
}

async fn form_one(service: &str, n: usize, patient: &Patient, register: &Register) {
    let made = patient.ask(|http| http.get(format!("{service}/new?size={SIZE}"))).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let token = made.text.rsplit_once('/').unwrap().1;
    let connection = channel(service);
    let nodes = (0..SIZE).map(|node| {
        let (newcomer, connection) = (Newcomer::new(service, token, node, patient, register), connection.clone());
        tokio::spawn(async move {
            let found = async {
                match n % 2 {
                    0 => newcomer.discover_by_v2().await,
                    _ => newcomer.discover_by_v3(&connection).await,
                }
            };
            tokio::time::timeout(LIMIT * 2, found).await.expect("a cluster forms")
        })
    });
    let mut seen: BTreeSet<Members> = BTreeSet::new();
    for node in nodes.collect::<Vec<_>>() {
        seen.insert(node.await.unwrap().expect("each has a place"));
    }
    assert!(seen.len() == 1 && seen.first().unwrap().len() == SIZE, "not the same: {seen:#?}");
}

/// Every server has all that was acknowledged, as it was acknowledged.
pub async fn everything_is_there(replicas: &Replicas, acknowledged: &[Acknowledged]) {
    let client = http::client();
    for server in replicas.servers() {
        for Acknowledged { token, key, value, index } in acknowledged {
            let url = format!("{}/{token}/{key}", server.url);
            let answer: Value = client.get(url).send().await.unwrap().json().await.unwrap();
            let found = (answer["node"]["value"].as_str(), answer["node"]["createdIndex"].as_u64());
            assert_eq!(found, (Some(value.as_str()), Some(*index)), "{answer}\n{}", server.output());
        }
    }
}
