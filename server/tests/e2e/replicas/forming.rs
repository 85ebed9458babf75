//! Many clusters form at once; any of the servers may receive a request.

use std::collections::BTreeSet;

use convene_harness::{Postgres, http, replicas::Replicas};
use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::{
    LIMIT,
    discovery_client::{Acknowledged, DiscoveryClient, Members, Registrations, channel},
    retrying_client::RetryingClient,
};

pub const CLUSTERS: usize = 100;

pub const SIZE: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_clusters_form_at_once() {
    let Some(postgres) = Postgres::shared() else { return };
    let Some(replicas) = Replicas::start(3, postgres) else { return };
    let (client, register) = (RetryingClient::new(), Registrations::default());
    form(&replicas.url, CLUSTERS, CLUSTERS, &client, &register).await;
    let refused = client.assert_no_unexpected_errors();
    assert!(refused.is_empty(), "a client had to retry without a fault: {refused:#?}");
    assert_every_server_has(&replicas, &register.all()).await;
}

/// Forms clusters, `at_once` at a time, and asserts that all nodes of a cluster know the same members.
pub async fn form(service: &str, clusters: usize, at_once: usize, client: &RetryingClient, register: &Registrations) {
    let forming = stream::iter(0..clusters).map(|n| {
        let (service, client, register) = (service.to_owned(), client.clone(), register.clone());
        tokio::spawn(async move { form_one(&service, n, &client, &register).await })
    });
    forming.buffer_unordered(at_once).for_each(async |formed| formed.unwrap()).await;
}

async fn form_one(service: &str, n: usize, client: &RetryingClient, register: &Registrations) {
    let made = client.ask(|http| http.get(format!("{service}/new?size={SIZE}"))).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let token = made.text.rsplit_once('/').unwrap().1;
    let connection = channel(service);
    let nodes = (0..SIZE).map(|node| {
        let (node, connection) = (DiscoveryClient::new(service, token, node, client, register), connection.clone());
        tokio::spawn(async move {
            let found = async {
                match n % 2 {
                    0 => node.discover_by_v2().await,
                    _ => node.discover_by_v3(&connection).await,
                }
            };
            tokio::time::timeout(LIMIT * 2, found).await.expect("a cluster forms")
        })
    });
    let mut seen: BTreeSet<Members> = BTreeSet::new();
    for node in nodes.collect::<Vec<_>>() {
        seen.insert(node.await.unwrap().expect("each has a place"));
    }
    assert!(seen.len() == 1 && seen.first().unwrap().len() == SIZE, "nodes know different members: {seen:#?}");
}

/// Asserts that every server has every acknowledged registration.
pub async fn assert_every_server_has(replicas: &Replicas, acknowledged: &[Acknowledged]) {
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
