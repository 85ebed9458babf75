//! Which nodes may check in: join tokens, credentials and certificates.

mod certificates;
pub mod client;
mod refusals;
mod several_servers;

use convene_harness::server::Server;
use serde_json::json;

use client::{Credential, Joining, wait_until};

#[tokio::test]
async fn a_join_token_binds_a_credential_that_alone_speaks_for_the_node() {
    let joining = Joining::start(json!({ "size": 3 })).await;
    let token = joining.join_token(json!({ "uses": 2 })).await;
    let (first, second) = (Credential::draw(), Credential::draw());
    joining.admitted("infra0", &first.with_join_token(&token)).await;
    let revision = joining.revision().await;
    // The answer may have been lost.
    joining.admitted("infra0", &first.with_join_token(&token)).await;
    joining.admitted("infra0", &first).await;
    assert_eq!(joining.revision().await, revision, "a check-in that changes nothing writes nothing");
    joining.admitted("infra1", &second.with_join_token(&token)).await;
    joining.refused("infra1", &first, 403, "credential-of-other-node").await;
    joining.refused("infra0", &Credential::none(), 401, "credential-required").await;

    let listed = joining.get("/join-tokens").await;
    let listed = &listed["join_tokens"][0];
    assert_eq!((&listed["used_by"], &listed["valid"]), (&json!(["infra0", "infra1"]), &json!(false)), "{listed}");
    assert!(!listed.to_string().contains(&token), "{listed}");
    let nodes = joining.get("/nodes").await;
    let nodes: Vec<&str> =
        nodes["credentials"].as_array().unwrap().iter().map(|own| own["node"].as_str().unwrap()).collect();
    assert_eq!(nodes, ["infra0", "infra1"]);
    for secret in [&token, first.secret(), second.secret()] {
        assert!(!joining.server.output().contains(secret), "a secret is in the log");
    }
}

#[tokio::test]
async fn a_revoked_name_needs_a_join_token_for_that_very_name() {
    let joining = Joining::start(json!({ "size": 3 })).await;
    let token = joining.join_token(json!({ "uses": 3 })).await;
    let (old, new) = (Credential::draw(), Credential::draw());
    joining.admitted("infra0", &old.with_join_token(&token)).await;
    joining.administer(reqwest::Method::DELETE, "/nodes/infra0/credential", None).await;
    joining.refused("infra0", &old, 403, "credential-revoked").await;
    joining.refused("infra0", &old.with_join_token(&token), 403, "credential-revoked").await;
    joining.refused("infra0", &new, 403, "credential-revoked").await;
    joining.refused("infra0", &new.with_join_token(&token), 403, "credential-revoked").await;
    let for_any = joining.join_token(json!({ "uses": 3 })).await;
    joining.refused("infra0", &new.with_join_token(&for_any), 403, "credential-revoked").await;
    joining.admitted("infra1", &new.with_join_token(&for_any)).await;
    let new = Credential::draw();
    let again = joining.join_token(json!({ "node": "infra0" })).await;
    joining.admitted("infra0", &new.with_join_token(&again)).await;
    assert_eq!(joining.events("credential_revoked").await.len(), 1);
}

/// The registry was lost with the credentials. Members of the cluster that runs are refused before any node without data asks.
#[tokio::test]
async fn the_data_of_a_refused_node_holds_the_founding() {
    let joining = Joining::start(json!({ "size": 1 })).await;
    let token = joining.join_token(json!({ "uses": 3 })).await;
    let running = json!({ "state": "running", "member_id": "8e9e05c52164694d", "cluster_id": "cdf818194e3a8c32" });
    let member = Credential::draw();
    for _ in 0..2 {
        let (status, problem) = joining.check_in_with("infra0", &member, running.clone()).await;
        assert_eq!((status, &problem["code"]), (401, &json!("join-token-required")), "{problem}");
    }
    assert_eq!(joining.events("founding_held").await.len(), 1);
    let (_, answer) = joining.check_in("infra1", &Credential::draw().with_join_token(&token)).await;
    assert_eq!((&answer["instruction"], &answer["reason"]), (&json!("wait"), &json!("held")), "{answer}");
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("convene cluster join-token create --node infra0"), "{message}");
}

#[tokio::test]
async fn a_renewed_credential_retires_the_one_before_at_its_first_use() {
    let joining = Joining::start(json!({ "size": 3 })).await;
    let token = joining.join_token(json!({})).await;
    let (old, new) = (Credential::draw(), Credential::draw());
    joining.admitted("infra0", &old.with_join_token(&token)).await;
    joining.admitted("infra0", &old.announcing(&new)).await;
    joining.admitted("infra0", &old).await;
    joining.admitted("infra0", &new).await;
    joining.refused("infra0", &old, 403, "node-bound").await;
    joining.admitted("infra0", &new).await;
}

#[tokio::test]
async fn in_an_open_cluster_the_first_credential_is_trusted_until_its_node_is_silent() {
    let joining = Joining::start(json!({ "size": 3, "policy": { "join": "open", "dead_after_seconds": 5 } })).await;
    joining.admitted("infra9", &Credential::none()).await;
    let (own, other) = (Credential::draw(), Credential::draw());
    joining.admitted("infra0", &own).await;
    joining.refused("infra0", &Credential::none(), 401, "credential-required").await;
    let problem = joining.refused("infra0", &other, 403, "node-bound").await;
    assert_eq!(problem["may_pass"], true, "{problem}");
    wait_until("it takes over", async || joining.check_in("infra0", &other).await.0 == 200).await;
    let admitted = joining.events("node_admitted").await;
    assert!(admitted.last().unwrap().contains("the holder of the name was silent for 5s"), "{admitted:?}");
    joining.refused("infra0", &own, 403, "node-bound").await;
}

#[tokio::test]
async fn a_node_announces_its_own_downtime_only() {
    let joining = Joining::start(json!({ "size": 2 })).await;
    let token = joining.join_token(json!({ "uses": 2 })).await;
    let credentials = [Credential::draw(), Credential::draw()];
    for (node, credential) in ["infra0", "infra1"].into_iter().zip(&credentials) {
        joining.admitted(node, &credential.with_join_token(&token)).await;
    }
    // The second one was the last founder. From now on they may start.
    joining.admitted("infra0", &credentials[0]).await;
    let cluster_id = joining.get("").await["cluster_id"].clone();
    let members = joining.get("/members").await;
    let id = |name: &str| {
        let members = members["members"].as_array().unwrap();
        members.iter().find(|member| member["name"] == name).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let announce = async |member: &str| {
        let path = format!("/members/{member}/downtime");
        joining
            .send(reqwest::Method::PUT, &path, Some(credentials[0].secret()), Some(json!({ "for_seconds": 60 })))
            .await
            .0
    };
    let shows = async |node: usize, member: &str| {
        let report = json!({
            "name": format!("infra{node}"), "run_id": format!("run-infra{node}"), "state": "running",
            "peer_urls": [format!("http://10.0.0.{}:2380", node + 1)], "member_id": member, "cluster_id": cluster_id,
        });
        let secret = Some(credentials[node].secret());
        let (status, answer) = joining.send(reqwest::Method::POST, "/check-in", secret, Some(report)).await;
        (status, answer["code"].as_str().unwrap_or_default().to_owned())
    };
    let admitted = (200, String::new());
    let (own, other) = (id("infra0"), id("infra1"));
    assert_eq!(announce(&own).await, 403, "it has not shown that member's data");
    assert_eq!(shows(0, &own).await, admitted);
    assert_eq!(announce(&own).await, 200);
    assert_eq!(joining.get(&format!("/members/{own}")).await["downtime_by"], "node");
    assert_eq!(announce(&other).await, 403);
    // Nor may it show the data of another node's member.
    assert_eq!(shows(1, &other).await, admitted);
    assert_eq!(shows(0, &other).await, (403, "data-of-other-node".to_owned()));
    assert_eq!(announce(&other).await, 403);
    for (method, path) in [
        (reqwest::Method::DELETE, ""),
        (reqwest::Method::POST, "/join-tokens"),
        (reqwest::Method::POST, "/pause"),
        (reqwest::Method::DELETE, "/nodes/infra1/credential"),
    ] {
        let status = joining.send(method.clone(), path, Some(credentials[0].secret()), None).await.0;
        assert_eq!(status, 403, "{method} {path}");
    }
    assert_eq!(joining.send(reqwest::Method::GET, "", Some(credentials[0].secret()), None).await.0, 200);
}

#[tokio::test]
async fn without_authentication_nothing_is_demanded_and_nothing_is_bound() {
    let server = Server::start();
    let joining = Joining::on(server, None, json!({ "size": 3 })).await;
    joining.admitted("infra0", &Credential::none()).await;
    joining.admitted("infra0", &Credential::draw()).await;
    joining.admitted("infra0", &Credential::draw()).await;
    assert_eq!(joining.get("/nodes").await["credentials"], json!([]));
}

#[tokio::test]
async fn credentials_survive_a_crash() {
    let joining = Joining::start(json!({ "size": 3 })).await;
    let token = joining.join_token(json!({})).await;
    let own = Credential::draw();
    joining.admitted("infra0", &own.with_join_token(&token)).await;
    let joining = joining.restart();
    joining.admitted("infra0", &own).await;
    joining.refused("infra1", &Credential::draw().with_join_token(&token), 403, "join-token-used").await;
}
