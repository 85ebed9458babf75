//! All nodes of a cluster are installed again with the token that is fixed in their configuration.

use std::{sync::Arc, time::Duration};

use convene_etcd::wire::{PutRequest, kv_client::KvClient};
use convene_harness::{
    Place, Postgres,
    cluster::every_member_serves_what_another_wrote,
    etcd::{Etcd, Version},
    http,
    server::Server,
};
use serde_json::{Value, json};

use crate::v3_client;

const LIMIT: Duration = Duration::from_secs(60);

const TOKEN: &str = "fixed-token";

/// Why a server refuses a used token.
const USED: &str = "a deleted cluster used this token";

#[test]
fn etcds_form_a_cluster_by_v2_under_a_fixed_token_again_and_again() {
    for version in ["2.3", "3.6"].into_iter().filter_map(Version::find) {
        install_again_and_again(|server, place, name| {
            let url = format!("{}/v2/keys/_etcd/registry/{TOKEN}", server.url);
            let own = ["--name", name, "--initial-advertise-peer-urls", &place.peer_url];
            version.start(place, &[&["--discovery", &url][..], &own].concat())
        });
    }
}

#[test]
fn etcds_form_a_cluster_by_v3_under_a_fixed_token_again_and_again() {
    for version in ["3.6", "3.7"].into_iter().filter_map(Version::find) {
        install_again_and_again(|server, place, name| version.discover_v3_at(place, name, &server.url, TOKEN));
    }
}

/// Every installation has the same names and addresses, and so the same member IDs.
fn install_again_and_again(start: impl Fn(&Server, &Arc<Place>, &str) -> Etcd) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = Server::start();
    let places = [(); 2].map(|()| Arc::new(Place::new()));
    for installation in 1..=3 {
        assert_eq!(runtime.block_on(create_by_v2(&server)), Ok(()), "installation {installation}");
        let members: Vec<Etcd> =
            places.iter().zip(["infra0", "infra1"]).map(|(place, name)| start(&server, place, name)).collect();
        members.iter().for_each(|member| member.wait_until_healthy(LIMIT));
        every_member_serves_what_another_wrote(&members);

        drop(members);
        places.iter().for_each(|place| place.lose_disk());
        if installation == 1 {
            // The usual deletion uses the token up.
            assert_eq!(runtime.block_on(delete(&server, "")).0, 204);
            assert!(runtime.block_on(create_by_v2(&server)).unwrap_err().contains(USED));
        }
        let (status, freed) = runtime.block_on(delete(&server, "?used=forget"));
        assert_eq!((status, &freed["forgotten"], &freed["deleted"]), (200, &json!(true), &json!(installation > 1)));
    }
    server.wait_for_output("a used token is free again", LIMIT);
}

#[tokio::test]
async fn a_freed_token_is_free_on_every_face() {
    let server = Server::start();
    free_and_create_on_every_face(&server, &server).await;
}

#[tokio::test]
async fn a_freed_token_is_free_on_every_server_of_a_database_at_once() {
    let Some(postgres) = Postgres::shared() else { return };
    let url = postgres.create_database();
    let [one, other] = std::array::from_fn(|_| Server::start_on(&url, &[]));
    free_and_create_on_every_face(&one, &other).await;
}

/// Deletes the cluster and frees its token on one server, and creates it on another one on each face.
async fn free_and_create_on_every_face(frees: &Server, creates: &Server) {
    for round in 0..6 {
        let create = async || match round % 3 {
            0 => create_by_v2(creates).await,
            1 => create_by_v3(creates).await,
            _ => create_by_v1(creates).await,
        };
        assert_eq!(create().await, Ok(()), "round {round}");
        register(creates).await;
        assert_eq!(delete(frees, "").await.0, 204);
        assert!(create().await.unwrap_err().contains(USED), "round {round}");
        for forgotten in [true, false] {
            let (status, freed) = delete(frees, "?used=forget").await;
            assert_eq!(status, 200);
            assert_eq!((&freed["deleted"], &freed["forgotten"]), (&json!(false), &json!(forgotten)));
            assert_eq!(freed["warning"].is_string(), forgotten, "{freed}");
        }
    }
    // A cluster without members doesn't use its token up.
    assert_eq!(create_by_v1(creates).await, Ok(()));
    let (_, freed) = delete(frees, "?used=forget").await;
    assert_eq!((&freed["deleted"], &freed["forgotten"]), (&json!(true), &json!(false)));
    let (status, problem) = delete(frees, "?used=again").await;
    assert_eq!((status, &problem["violations"][0]["field"]), (400, &json!("used")));
    let stale = http::client().delete(format!("{}/v1/clusters/{TOKEN}?used=keep", frees.url));
    assert_eq!(stale.send().await.unwrap().status(), 404);
}

async fn create_by_v2(server: &Server) -> Result<(), String> {
    let url = format!("{}/v2/keys/_etcd/registry/{TOKEN}/_config/size", server.url);
    let answer = http::client().put(url).form(&[("value", "2")]).send().await.unwrap();
    let is_created = answer.status() == 201;
    if is_created { Ok(()) } else { Err(answer.text().await.unwrap()) }
}

async fn create_by_v3(server: &Server) -> Result<(), String> {
    let key = format!("/_etcd/registry/{TOKEN}/_config/size").into_bytes();
    let put = PutRequest { key, value: b"2".to_vec(), ..PutRequest::default() };
    let created = KvClient::new(v3_client::connect(&server.url).await).put(put).await;
    created.map(|_| ()).map_err(|status| status.message().to_owned())
}

async fn create_by_v1(server: &Server) -> Result<(), String> {
    let new = json!({ "size": 2, "token": TOKEN });
    let answer = http::client().post(format!("{}/v1/clusters", server.url)).json(&new).send().await.unwrap();
    let is_created = answer.status() == 201;
    if is_created { Ok(()) } else { Err(answer.text().await.unwrap()) }
}

async fn register(server: &Server) {
    let value = [("value", "infra0=http://10.0.0.1:2380")];
    let answer = http::client().put(format!("{}/{TOKEN}/1", server.url)).form(&value).send().await.unwrap();
    assert_eq!(answer.status(), 201);
}

async fn delete(server: &Server, query: &str) -> (u16, Value) {
    let answer = http::client().delete(format!("{}/v1/clusters/{TOKEN}{query}", server.url)).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}
