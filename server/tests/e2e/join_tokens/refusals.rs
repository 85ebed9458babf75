//! What is refused, in one line and with one event, however often it is repeated.

use reqwest::Method;
use serde_json::json;

use super::client::{Credential, Joining, wait_until};

#[tokio::test]
async fn each_refusal_is_one_line_and_one_event() {
    let joining = Joining::start(json!({ "size": 3 })).await;
    let once = joining.join_token(json!({})).await;
    joining.admitted("infra0", &Credential::draw().with_join_token(&once)).await;
    let elsewhere = joining.join_token(json!({ "cidr": "10.0.0.0/8" })).await;
    let of_infra7 = joining.join_token(json!({ "node": "infra7" })).await;
    let expired = joining.join_token(json!({ "ttl_seconds": 1 })).await;
    let revoked = joining.administer(Method::POST, "/join-tokens", None).await;
    let id = revoked["id"].as_str().unwrap();
    joining.administer(Method::DELETE, &format!("/join-tokens/{id}"), None).await;
    let revoked = revoked["secret"].as_str().unwrap().to_owned();
    let unknown = format!("cvnj_{}", "A".repeat(43));

    let own = Credential::draw();
    let is_expired = async || {
        let listed = joining.get("/join-tokens").await;
        let listed = listed["join_tokens"].as_array().unwrap().clone();
        listed.iter().filter(|token| token["valid"] == false && token["revoked_at"].is_null()).count() == 2
    };
    wait_until("the join token expires", is_expired).await;
    let mut expected = 0;
    for (token, status, code) in [
        (&once, 403, "join-token-used"),
        (&elsewhere, 403, "join-token-of-other-address"),
        (&of_infra7, 403, "join-token-of-other-node"),
        (&expired, 403, "join-token-expired"),
        (&revoked, 403, "join-token-revoked"),
        (&unknown, 401, "join-token-unknown"),
    ] {
        for _ in 0..3 {
            let problem = joining.refused("infra1", &own.with_join_token(token), status, code).await;
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains("convene cluster join-token create"), "{detail}");
        }
        expected += 1;
        let events = joining.events("node_turned_away").await;
        assert_eq!(events.len(), expected, "{code}: {events:?}");
        assert!(events.last().unwrap().starts_with("check-in for infra1 from 127.0.0.1 refused: "), "{events:?}");
    }
    // Nothing of that has admitted anybody, or made a join token worthless.
    let nodes = joining.get("/nodes").await;
    assert_eq!(nodes["credentials"].as_array().unwrap().len(), 1);
    joining.admitted("infra7", &own.with_join_token(&of_infra7)).await;
}

#[tokio::test]
async fn neither_join_tokens_nor_credentials_are_of_use_in_another_cluster() {
    let joining = Joining::start(json!({ "size": 3 })).await;
    let token = joining.join_token(json!({ "uses": 3 })).await;
    let own = Credential::draw();
    joining.admitted("infra0", &own.with_join_token(&token)).await;
    let other = joining.into_another_cluster(json!({ "size": 3 })).await;
    other.refused("infra1", &Credential::draw().with_join_token(&token), 401, "join-token-unknown").await;
    other.refused("infra0", &own, 401, "join-token-required").await;
}

#[tokio::test]
async fn whoever_knows_the_discovery_token_alone_speaks_for_nobody() {
    let joining = Joining::start(json!({ "size": 3 })).await;
    let token = joining.join_token(json!({})).await;
    let own = Credential::draw();
    joining.admitted("infra0", &own.with_join_token(&token)).await;
    let members = joining.get("/members").await;
    for node in ["infra0", "infra1"] {
        joining.refused(node, &Credential::none(), 401, "credential-required").await;
    }
    let dry = joining
        .send(
            Method::POST,
            "/check-in?dry_run=true",
            None,
            Some(json!({ "name": "infra0", "state": "empty", "peer_urls": ["http://a:1"] })),
        )
        .await;
    assert_eq!((dry.0, dry.1["code"].as_str()), (401, Some("credential-required")), "{}", dry.1);
    assert_eq!(joining.get("/members").await, members);
}
