use convene_harness::server::Server;
use reqwest::Client;
use serde_json::Value;

use super::{cells, convene, failed, json, make, register, said};

/// A cluster of two that stock etcds have formed.
async fn formed(server: &Server) {
    make(server, "6c007a14", &["--name=prod", "--size=2"]);
    register(server, "6c007a14", "8e9e05c52164694d", "infra0=http://10.0.0.1:2380").await;
    register(server, "6c007a14", "5e3cabcd5164694d", "infra1=http://10.0.0.2:2380").await;
}

async fn remove(server: &Server, key: &str) {
    let removed = Client::new().delete(format!("{}/6c007a14/{key}", server.url)).send().await.unwrap();
    assert_eq!(removed.status(), 200);
}

#[tokio::test]
async fn members_are_listed_with_those_that_were_removed_if_they_are_asked_for() {
    let server = Server::start();
    formed(&server).await;
    remove(&server, "8e9e05c52164694d").await;
    let table = said(&server, &["member", "list", "prod"]);
    assert_eq!(cells(&table)[1..].iter().map(|row| row[0]).collect::<Vec<_>>(), ["infra1"]);
    let table = said(&server, &["member", "list", "prod", "--removed"]);
    let rows = cells(&table);
    assert_eq!((rows[1][0], *rows[1].last().unwrap()), ("infra0", "removed"));
    assert_eq!((rows[2][0], *rows[2].last().unwrap()), ("infra1", "-"));
    let listed = json(&said(&server, &["member", "list", "prod", "-o", "json"]));
    assert_eq!(listed["members"][0]["name"], "infra1");
    assert_eq!(listed["members"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_member_is_evicted_and_let_in_again() {
    let server = Server::start();
    formed(&server).await;
    let evict = |arguments: &[&str]| said(&server, &[&["member", "evict"], arguments, &["prod"]].concat());
    let member = "member infra0 (8e9e05c52164694d) of cluster prod (6c007a…)";
    let evicted =
        "is evicted: it is removed as soon as that is safe for the quorum and a node whose etcd runs checks in";
    let answer = evict(&["infra0"]);
    assert!(answer.starts_with(&format!("{member} {evicted};")), "{answer}");
    let again = evict(&["8e9e05c52164694d"]);
    assert!(again.starts_with(&format!("{member} is evicted already, since 20")), "{again}");
    let table = said(&server, &["member", "list", "prod"]);
    assert!(cells(&table)[1].last().unwrap().starts_with("evicted since 20"), "{table}");
    assert_eq!(evict(&["--withdraw", "infra0"]), format!("{member} is not evicted any more\n"));
    assert_eq!(evict(&["--withdraw", "infra0"]), format!("{member} is not evicted\n"));
    let shown = json(&evict(&["infra0", "-o", "json"]));
    assert_eq!((&shown["name"], shown["evicted_at"].is_string()), (&Value::from("infra0"), true));
    remove(&server, "8e9e05c52164694d").await;
    let nobody = failed(convene(&server, &["member", "evict", "--withdraw", "infra0", "prod"]), 3);
    assert!(nobody.contains("no present one has the name; `convene member list --removed` shows all"), "{nobody}");
    assert_eq!(
        evict(&["--withdraw", "8e9e05c52164694d"]),
        format!("{member} was removed already; its node may come back now\n")
    );
}

#[tokio::test]
async fn nobody_is_evicted_from_a_cluster_that_forms() {
    let server = Server::start();
    make(&server, "forming", &[]);
    register(&server, "forming", "any.key", "infra0=http://10.0.0.1:2380").await;
    let said = failed(convene(&server, &["member", "evict", "any.key", "forming"]), 3);
    assert!(said.contains("convene: refused: "), "{said}");
}
