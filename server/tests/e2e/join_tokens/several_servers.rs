//! A join token is used once, however many ask at the same time and whichever server they ask.

use convene_harness::{Postgres, server::Server};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use super::client::{Credential, Joining, wait_until};

/// Many nodes use a join token at the same time. Exactly `uses` of them are admitted.
async fn race(servers: &[&Joining], uses: usize) {
    let token = servers[0].join_token(json!({ "uses": uses })).await;
    let nodes: Vec<(String, Credential)> =
        (0..20).map(|n| (format!("infra{n}"), Credential::draw().with_join_token(&token))).collect();
    let asked = nodes.iter().enumerate().map(|(n, (node, shown))| servers[n % servers.len()].check_in(node, shown));
    let answers = join_all(asked).await;
    let admitted = answers.iter().filter(|(status, _)| *status == 200).count();
    assert_eq!(admitted, uses, "{answers:?}");
    let refused = answers.iter().filter(|(_, problem)| problem["code"] == "join-token-used").count();
    assert_eq!(refused, nodes.len() - uses, "{answers:?}");
}

#[tokio::test]
async fn a_join_token_is_not_used_twice_at_the_same_time() {
    let joining = Joining::start(json!({ "size": 3 })).await;
    race(&[&joining], 2).await;
}

#[tokio::test]
async fn a_join_token_is_not_used_twice_at_several_servers_and_a_revocation_reaches_all() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.create_database();
    let start = || Server::start_on(&database, &["--auth", "on"]);
    let server = start();
    let admin = server.create_api_token(&["--role", "admin", "--name", "test"]);
    let one = Joining::on(server, Some(admin), json!({ "size": 3 })).await;
    let other = one.at(start());
    race(&[&one, &other], 3).await;

    let token = one.join_token(json!({ "node": "infra50" })).await;
    let own = Credential::draw();
    one.admitted("infra50", &own.with_join_token(&token)).await;
    other.admitted("infra50", &own).await;
    one.administer(Method::DELETE, "/nodes/infra50/credential", None).await;
    let is_refused = async || other.check_in("infra50", &own).await.1["code"] == "credential-revoked";
    wait_until("the revocation reaches the other server", is_refused).await;
    one.refused("infra50", &own, 403, "credential-revoked").await;
}
