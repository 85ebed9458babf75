use convene_harness::server::Server;
use reqwest::Client;
use serde_json::Value;

use super::{cells, convene, create, failure, json, output, register};

/// A cluster of two members, registered as stock etcds do.
async fn formed(server: &Server) {
    create(server, "6c007a14", &["--name=prod", "--size=2", "--stock-writes=allow"]);
    register(server, "6c007a14", "8e9e05c52164694d", "infra0=http://10.0.0.1:2380").await;
    register(server, "6c007a14", "5e3cabcd5164694d", "infra1=http://10.0.0.2:2380").await;
}

async fn remove(server: &Server, key: &str) {
    let removed = Client::new().delete(format!("{}/6c007a14/{key}", server.url)).send().await.unwrap();
    assert_eq!(removed.status(), 200);
}

#[tokio::test]
async fn removed_members_are_listed_on_request() {
    let server = Server::start();
    formed(&server).await;
    remove(&server, "8e9e05c52164694d").await;
    let table = output(&server, &["member", "list", "prod"]);
    assert_eq!(cells(&table)[1..].iter().map(|row| row[0]).collect::<Vec<_>>(), ["infra1"]);
    let table = output(&server, &["member", "list", "prod", "--removed"]);
    let rows = cells(&table);
    assert_eq!((rows[1][0], *rows[1].last().unwrap()), ("infra0", "removed"));
    assert_eq!((rows[2][0], *rows[2].last().unwrap()), ("infra1", "-"));
    let listed = json(&output(&server, &["member", "list", "prod", "-o", "json"]));
    assert_eq!(listed["members"][0]["name"], "infra1");
    assert_eq!(listed["members"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_eviction_can_be_withdrawn_before_and_after_the_removal() {
    let server = Server::start();
    formed(&server).await;
    let evict = |arguments: &[&str]| output(&server, &[&["member", "evict"], arguments, &["prod"]].concat());
    let member = "member infra0 (8e9e05c52164694d) of cluster prod (6c00…)";
    // No node of this cluster checks in.
    let answer = evict(&["infra0"]);
    let evicted = format!("{member} is evicted, but no node that can remove it checks in now");
    assert!(answer.starts_with(&evicted), "{answer}");
    let again = evict(&["8e9e05c52164694d"]);
    assert!(again.starts_with(&format!("{member} is already evicted, since 20")), "{again}");
    let table = output(&server, &["member", "list", "prod"]);
    assert!(cells(&table)[1].last().unwrap().starts_with("evicted since 20"), "{table}");
    assert_eq!(evict(&["--withdraw", "infra0"]), format!("{member} is no longer evicted\n"));
    assert_eq!(evict(&["--withdraw", "infra0"]), format!("{member} is not evicted\n"));
    let shown = json(&evict(&["infra0", "-o", "json"]));
    assert_eq!((&shown["name"], shown["evicted_at"].is_string()), (&Value::from("infra0"), true));
    remove(&server, "8e9e05c52164694d").await;
    let withdrawn = format!("{member} was already removed; its node may join again now\n");
    assert_eq!(evict(&["--withdraw", "infra0"]), withdrawn);
    assert_eq!(evict(&["--withdraw", "8e9e05c52164694d"]), format!("{member} is not evicted\n"));
    let error = failure(convene(&server, &["member", "evict", "--withdraw", "infra0", "prod"]), 3);
    assert!(error.contains("no present member has that name; `convene member list --removed` lists all"), "{error}");
}

#[tokio::test]
async fn a_forming_cluster_refuses_evictions() {
    let server = Server::start();
    create(&server, "forming", &[]);
    register(&server, "forming", "any.key", "infra0=http://10.0.0.1:2380").await;
    let error = failure(convene(&server, &["member", "evict", "any.key", "forming"]), 3);
    assert!(error.contains("convene: refused: "), "{error}");
}
