//! What checking in costs, and what survives.

use std::time::Duration;

use convene_harness::server::Server;
use reqwest::Client;
use serde_json::{Value, json};

#[tokio::test]
async fn check_ins_that_change_nothing_write_nothing() {
    let server = Server::start();
    let cluster = running_cluster(&server).await;
    let log = server.database().with_extension("db-wal");
    let size = || std::fs::metadata(&log).unwrap().len();
    let (before, revision) = (size(), cluster.revision().await);
    for _ in 0..1_000 {
        assert_eq!(cluster.check_in(&cluster.reports[0]).await["reason"], "healthy");
    }
    // When members were heard of is written down every ten seconds, which may have come in between.
    let grown = size() - before;
    assert!(grown < 64 << 10, "1,000 check-ins wrote {grown} bytes");
    assert_eq!(cluster.revision().await, revision);
}

#[tokio::test]
async fn when_members_were_heard_of_survives_a_restart() {
    let mut server = Server::start();
    let cluster = running_cluster(&server).await;
    let heard = cluster.get("/members").await["members"][0]["heard_of_at"].clone();
    assert!(heard.is_string(), "{heard}");
    server.signal("TERM");
    let mut server =
        tokio::task::spawn_blocking(move || (server.wait_for_exit(Duration::from_secs(20)), server).1).await.unwrap();
    server.kill();
    let server = server.crash().restart();
    assert_eq!(cluster.get("/members").await["members"][0]["heard_of_at"], heard);
    drop(server);
}

#[tokio::test]
async fn what_a_node_was_told_is_told_again_after_a_crash() {
    let server = Server::start();
    let cluster = Checked::create(&server, 2).await;
    let nodes = [node(0), node(1)];
    assert_eq!(cluster.check_in(&nodes[0]).await["instruction"], "wait");
    let told = cluster.check_in(&nodes[1]).await;
    assert_eq!(told["instruction"], "bootstrap");
    let server = server.crash().restart();
    assert_eq!(cluster.check_in(&nodes[1]).await, told);
    let other = cluster.check_in(&nodes[0]).await;
    assert_eq!(other["start"]["initial_cluster"], told["start"]["initial_cluster"]);
    drop(server);
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_changes_nothing() {
    let server = Server::start();
    let cluster = Checked::create(&server, 1).await;
    let before = cluster.revision().await;
    let would_be = cluster.post("/check-in?dry_run=true", &node(0)).await;
    assert_eq!(would_be["instruction"], "bootstrap");
    assert_eq!(cluster.revision().await, before);
    assert_eq!(cluster.get("/members").await["members"], json!([]));
}

#[tokio::test]
async fn a_report_may_say_more_than_the_server_knows_and_all_that_is_wrong_is_said() {
    let server = Server::start();
    let cluster = Checked::create(&server, 1).await;
    let mut newer = node(0);
    newer["colour"] = json!("blue");
    assert_eq!(cluster.check_in(&newer).await["instruction"], "bootstrap");
    let wrong = json!({
        "name": "a,b", "peer_urls": ["10.0.0.1:2380"], "state": "running", "cluster_id": "xyz",
        "view": { "linearizable": "yes", "members": [{ "id": "8e9e05c52164694d", "peer_urls": [], "reachable": true }] },
    });
    let problem = cluster.check_in(&wrong).await;
    let fields: Vec<&str> = problem["violations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|violation| violation["field"].as_str().unwrap())
        .collect();
    for field in ["name", "peer_urls[0]", "member_id", "cluster_id", "view.linearizable", "view.members[0].peer_urls"] {
        assert!(fields.contains(&field), "{field}: {problem}");
    }
}

#[tokio::test]
async fn what_a_report_may_say_can_be_stored_and_read_again() {
    let server = Server::start();
    let cluster = Checked::create(&server, 1).await;
    for (name, url) in [
        ("a".repeat(121), "http://10.0.0.1:2380".to_owned()),
        ("a".to_owned(), "http://a,b:2380".to_owned()),
        ("a".to_owned(), format!("http://{}:2380", "a".repeat(255))),
    ] {
        let refused = cluster.check_in(&json!({ "name": name, "state": "empty", "peer_urls": [url] })).await;
        assert_eq!(refused["status"], 400, "{refused}");
    }
    // The longest that is accepted: more than a v2 client may register.
    let urls =
        |kind: &str| -> Vec<String> { (0..16).map(|n| format!("http://{kind}{n}-{}:2380", "x".repeat(230))).collect() };
    let node =
        json!({ "name": "a".repeat(120), "state": "empty", "peer_urls": urls("peer"), "client_urls": urls("client") });
    assert_eq!(cluster.check_in(&node).await["instruction"], "bootstrap");
    let server = server.crash().restart();
    assert_eq!(cluster.get("/members").await["members"][0]["peer_urls"], node["peer_urls"]);
    drop(server);
}

#[tokio::test]
async fn a_crowd_of_large_views_keeps_nobody_else_from_writing() {
    let server = Server::start();
    let mut crowd = Vec::new();
    for n in 0..12 {
        let cluster = Checked::create(&server, 1).await;
        crowd.push(tokio::spawn(async move {
            // Each look shows other members, so that each changes 200 or 400 of them.
            for round in 0..4 {
                let view = view(&cluster, n * 10 + round).await;
                let told = cluster.check_in(&running("infra-1", &view)).await;
                assert!(told["instruction"].is_string(), "{}", told["detail"]);
            }
        }));
    }
    for _ in 0..40 {
        let made = reqwest::get(format!("{}/new", server.url)).await.unwrap();
        assert_eq!(made.status(), 200);
    }
    for one in crowd {
        one.await.unwrap();
    }
}

/// A view of 200 members, none of which is in one of another number, beside the one that looks.
async fn view(cluster: &Checked, number: usize) -> Value {
    let seen = |n: usize| {
        let id = if n == 0 { 1 } else { number * 1_000 + n + 1 };
        json!({ "id": format!("{id:x}"), "name": format!("infra-{id}"), "reachable": true,
                "peer_urls": [format!("http://m{id}:2380")] })
    };
    let members: Vec<Value> = (0..200).map(seen).collect();
    json!({ "since": cluster.revision().await, "cluster_id": "abc", "linearizable": true, "leader": "1", "members": members })
}

fn running(name: &str, view: &Value) -> Value {
    json!({ "name": name, "run_id": "run", "state": "running", "member_id": "1", "cluster_id": "abc",
            "peer_urls": ["http://m1:2380"], "view": view })
}

/// A cluster of the API, and the reports of nodes whose etcds run.
struct Checked {
    url: String,
    reports: Vec<Value>,
}

impl Checked {
    async fn create(server: &Server, size: u32) -> Self {
        let made = Client::new().post(format!("{}/v1/clusters", server.url)).json(&json!({ "size": size }));
        let made: Value = made.send().await.unwrap().json().await.unwrap();
        let url = format!("{}/v1/clusters/{}", server.url, made["token"].as_str().unwrap());
        Self { url, reports: Vec::new() }
    }

    async fn check_in(&self, report: &Value) -> Value {
        self.post("/check-in", report).await
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        Client::new().post(format!("{}{path}", self.url)).json(body).send().await.unwrap().json().await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        reqwest::get(format!("{}{path}", self.url)).await.unwrap().json().await.unwrap()
    }

    async fn revision(&self) -> Value {
        self.get("").await["revision"].clone()
    }
}

async fn running_cluster(server: &Server) -> Checked {
    let mut cluster = Checked::create(server, 3).await;
    for n in [0, 1, 2, 0, 1] {
        cluster.check_in(&node(n)).await;
    }
    let cluster_id = cluster.get("").await["cluster_id"].clone();
    for member in cluster.get("/members").await["members"].as_array().unwrap() {
        let mut report = node(cluster.reports.len());
        report["state"] = json!("running");
        report["member_id"] = member["id"].clone();
        report["cluster_id"] = cluster_id.clone();
        assert_eq!(cluster.check_in(&report).await["reason"], "healthy");
        cluster.reports.push(report);
    }
    cluster
}

/// The report of a node without data.
fn node(n: usize) -> Value {
    json!({
        "name": format!("infra{n}"), "run_id": format!("run-{n}"), "state": "empty",
        "peer_urls": [format!("http://10.0.0.{}:2380", n + 1)],
    })
}
