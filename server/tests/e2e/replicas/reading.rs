//! A write through one server is read through every other.

use convene_etcd::wire::{DeleteRangeRequest, KeyValue, RangeRequest, kv_client::KvClient};
use convene_harness::{Postgres, http, server::Server};
use reqwest::Client;
use serde_json::{Value, json};
use tonic::transport::Channel;

use super::servers;
use crate::v3_client::{Cluster, connect};

const ROUNDS: usize = 200;

/// The server to write to and the server to read from, in each round.
const PAIRS: [(usize, usize); 6] = [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)];

#[tokio::test(flavor = "multi_thread")]
async fn a_write_by_v2_is_read_at_once_from_every_other_server() {
    let Some(postgres) = Postgres::shared() else { return };
    let (servers, _) = servers::<3>(postgres);
    let client = http::client();
    let token = token(&servers[0].new_cluster(3).await);
    for round in 0..ROUNDS {
        let (writes, reads) = pair(&servers, round);
        let (at_one, at_other) = (format!("{}/{token}/{round}", writes.url), format!("{}/{token}/{round}", reads.url));
        let value = [("value", format!("infra{round}=http://10.0.0.1:{}", round + 1))];
        let written = client.put(&at_one).form(&value).send().await.unwrap();
        assert_eq!(written.status(), 201);
        let written: Value = written.json().await.unwrap();
        let (status, read) = get(&client, &at_other).await;
        assert_eq!((status, &read["node"]), (200, &written["node"]), "round {round}");
        let (_, listed) = get(&client, &format!("{}/{token}", reads.url)).await;
        assert!(listed["node"]["nodes"].as_array().unwrap().contains(&written["node"]), "round {round}: {listed}");

        let gone = client.delete(&at_one).send().await.unwrap();
        assert_eq!(gone.status(), 200);
        assert_eq!(get(&client, &at_other).await.0, 404, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_by_v3_is_read_at_once_from_every_other_server() {
    let Some(postgres) = Postgres::shared() else { return };
    let (servers, _) = servers::<3>(postgres);
    let channels = [connect(&servers[0].url).await, connect(&servers[1].url).await, connect(&servers[2].url).await];
    for round in 0..ROUNDS {
        let (writes, reads) = PAIRS[round % PAIRS.len()];
        let cluster = Cluster::create(&channels[writes], format!("written-and-read-{round}")).await;
        assert_eq!(range(&channels[reads], cluster.size_key().as_bytes()).await.1, 1, "round {round}");
        let revision = cluster.register(&channels[writes], "a").await;
        let key = format!("/_etcd/registry/{}/members/a", cluster.token).into_bytes();
        let (found, present) = range(&channels[reads], &key).await;
        let revisions: Vec<i64> = found.iter().map(|kv| kv.mod_revision).collect();
        assert_eq!((revisions, present), (vec![revision], revision), "round {round}");

        let delete = DeleteRangeRequest { key: key.clone(), ..DeleteRangeRequest::default() };
        KvClient::new(channels[writes].clone()).delete_range(delete).await.unwrap();
        assert!(range(&channels[reads], &key).await.0.is_empty(), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_by_the_api_is_read_at_once_from_every_other_server() {
    let Some(postgres) = Postgres::shared() else { return };
    let (servers, _) = servers::<3>(postgres);
    let client = http::client();
    for round in 0..ROUNDS {
        let (writes, reads) = pair(&servers, round);
        let make = client.post(format!("{}/v1/clusters", writes.url)).json(&json!({ "size": 3 }));
        let made: Value = make.send().await.unwrap().error_for_status().unwrap().json().await.unwrap();
        let path = format!("v1/clusters/{}", made["token"].as_str().unwrap());
        let (at_one, at_other) = (format!("{}/{path}", writes.url), format!("{}/{path}", reads.url));
        let (status, read) = get(&client, &at_other).await;
        assert_eq!((status, &read["created_at"]), (200, &made["created_at"]), "round {round}");

        let change = client.patch(&at_one).json(&json!({ "size": 5, "name": format!("round-{round}") }));
        let changed: Value = change.send().await.unwrap().error_for_status().unwrap().json().await.unwrap();
        let read = get(&client, &at_other).await.1;
        for field in ["revision", "size", "name"] {
            assert_eq!(read[field], changed[field], "round {round}");
        }
        let events = get(&client, &format!("{at_other}/events")).await.1;
        assert_eq!(events["last_revision"], changed["revision"], "round {round}");

        let gone = client.delete(&at_one).send().await.unwrap();
        assert!(gone.status().is_success(), "{}", gone.status());
        assert_eq!(get(&client, &at_other).await.0, 404, "round {round}");
    }
}

fn pair(servers: &[Server; 3], round: usize) -> (&Server, &Server) {
    let (writes, reads) = PAIRS[round % PAIRS.len()];
    (&servers[writes], &servers[reads])
}

fn token(discovery_url: &str) -> String {
    discovery_url.rsplit_once('/').unwrap().1.to_owned()
}

async fn get(client: &Client, url: &str) -> (u16, Value) {
    let answer = client.get(url).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn range(channel: &Channel, key: &[u8]) -> (Vec<KeyValue>, i64) {
    let request = RangeRequest { key: key.to_vec(), ..RangeRequest::default() };
    let answer = KvClient::new(channel.clone()).range(request).await.unwrap().into_inner();
    (answer.kvs, answer.header.unwrap().revision)
}
