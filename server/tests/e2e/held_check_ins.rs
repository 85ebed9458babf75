//! A check-in of a node that has nothing to do waits for a change of its instruction.

use convene_harness::{http, server::Server};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    join_tokens::client::{Credential, Joining},
    scrape::Scrape,
};

/// A cluster of three whose nodes are asked to check in rarely.
async fn cluster(server: &Server) -> String {
    let settings = json!({ "size": 3, "policy": { "check_in_every_seconds": 60, "dead_after_seconds": 3600 } });
    let created = http::client().post(format!("{}/v1/clusters", server.url)).json(&settings).send().await.unwrap();
    let created: Value = created.json().await.unwrap();
    format!("{}/v1/clusters/{}", server.url, created["token"].as_str().unwrap())
}

fn report(node: u32) -> Value {
    json!({
        "name": format!("infra{node}"), "run_id": format!("run-{node}"), "state": "empty",
        "peer_urls": [format!("http://10.0.0.{node}:2380")],
    })
}

async fn check_in(cluster: &str, node: u32, query: &str) -> Response {
    http::client().post(format!("{cluster}/check-in{query}")).json(&report(node)).send().await.unwrap()
}

async fn instruction(answer: Response) -> Value {
    let (status, body) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{status}: {body}");
    serde_json::from_str(&body).unwrap()
}

async fn wait_until_held(server: &Server, count: u32) {
    Scrape::until(server, r#"convene_waits{kind="check_in"}"#, count.into()).await;
}

/// A check-in of node 1 that is held.
async fn waiting(server: &Server, cluster: &str) -> JoinHandle<Value> {
    let cluster = cluster.to_owned();
    let waiting = tokio::spawn(async move { instruction(check_in(&cluster, 1, "?wait=30s").await).await });
    wait_until_held(server, 1).await;
    waiting
}

#[tokio::test]
async fn the_response_comes_when_the_instruction_changes() {
    let server = Server::start();
    // The server holds the response for two seconds, in which a slow machine may not manage the rest.
    for _ in 0..5 {
        let cluster = cluster(&server).await;
        let first = instruction(check_in(&cluster, 1, "").await).await;
        assert_eq!((&first["instruction"], &first["wait_seconds"]), (&json!("wait"), &first["check_in_after_seconds"]));
        let waiting = waiting(&server, &cluster).await;
        check_in(&cluster, 2, "").await;
        check_in(&cluster, 3, "").await;
        let answer = waiting.await.unwrap();
        assert_eq!(answer["instruction"], "wait", "what it has reported is old: {answer}");
        assert_eq!(instruction(check_in(&cluster, 1, "").await).await["instruction"], "bootstrap");
        if answer["wait_seconds"] == 0 {
            return wait_until_held(&server, 0).await;
        }
    }
    panic!("no response came early");
}

#[tokio::test]
async fn a_change_that_does_not_concern_the_node_does_not_wake_it() {
    let server = Server::start();
    let cluster = cluster(&server).await;
    let waiting = waiting(&server, &cluster).await;
    let renamed = http::client().patch(&cluster).json(&json!({ "name": "prod" })).send().await.unwrap();
    assert!(renamed.status().is_success());
    check_in(&cluster, 2, "").await;
    let answer = waiting.await.unwrap();
    assert_eq!((&answer["reason"], &answer["wait_seconds"]), (&json!("forming"), &json!(2)), "{answer}");
}

#[tokio::test]
async fn a_client_that_may_hold_no_more_waits_is_answered_at_once_and_pauses() {
    let server = Server::start_with(&["--max-waits-per-address=1"]);
    let cluster = cluster(&server).await;
    let waiting = waiting(&server, &cluster).await;
    let answer = instruction(check_in(&cluster, 2, "?wait=30").await).await;
    assert_eq!((&answer["instruction"], &answer["wait_seconds"]), (&json!("wait"), &Value::Null), "{answer}");
    waiting.await.unwrap();
}

#[tokio::test]
async fn a_wait_ends_with_the_nodes_credential() {
    let joining = Joining::start(json!({ "size": 3 })).await;
    let token = joining.join_token(json!({})).await;
    let own = Credential::draw();
    joining.admitted("infra0", &own.with_join_token(&token)).await;
    let url = format!("{}/v1/clusters/{}/check-in?wait=30", joining.server.url, joining.token());
    let report = json!({
        "name": "infra0", "run_id": "run-infra0", "state": "empty", "peer_urls": ["http://10.0.0.1:2380"],
    });
    let waiting = joining.http.post(url).bearer_auth(own.secret()).json(&report).send();
    let revoke = joining.administer(Method::DELETE, "/nodes/infra0/credential", None);
    let (answer, _) = tokio::join!(waiting, revoke);
    let answer = answer.unwrap();
    // It was held or came too late, and is refused in either case.
    assert_eq!(answer.status(), 401, "{}", answer.text().await.unwrap());
}

#[tokio::test]
async fn the_time_to_wait_is_a_number_of_seconds() {
    let server = Server::start();
    let cluster = cluster(&server).await;
    for (wait, status) in [("0", 200), ("0s", 200), ("soon", 400), ("30m", 400), ("3601", 400)] {
        assert_eq!(check_in(&cluster, 1, &format!("?wait={wait}")).await.status(), status, "{wait}");
    }
}
