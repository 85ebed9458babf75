//! The cost of check-ins, and what survives a restart.

use std::time::{Duration, Instant};

use convene_harness::{http, server::Server};
use serde_json::{Value, json};

#[tokio::test]
async fn check_ins_that_change_nothing_write_nothing() {
    let server = Server::start_on_sqlite();
    let cluster = running_cluster(&server).await;
    let log = server.sqlite_file().unwrap().with_extension("db-wal");
    let size = || std::fs::metadata(&log).unwrap().len();
    // However long this takes: the other members don't check in meanwhile, and must not count as dead.
    let patient = json!({ "policy": { "dead_after_seconds": 7 * 24 * 3600 } });
    http::client().patch(&cluster.url).json(&patient).send().await.unwrap().error_for_status().unwrap();
    // One connection for all of them: making another client for each takes longer than the check-ins do.
    let (client, url) = (http::client(), format!("{}/check-in", cluster.url));
    let (before, revision, begin) = (size(), cluster.revision().await, Instant::now());
    for _ in 0..1_000 {
        let instruction = client.post(&url).json(&cluster.reports[0]).send().await.unwrap();
        assert_eq!(instruction.json::<Value>().await.unwrap()["reason"], "healthy");
    }
    // Liveness is stored every ten seconds, which may have happened in between.
    let (grown, sightings) = (size() - before, begin.elapsed().as_secs() / 10 + 1);
    assert!(grown < sightings * (64 << 10), "1,000 check-ins wrote {grown} bytes in {:?}", begin.elapsed());
    assert_eq!(cluster.revision().await, revision);
}

#[tokio::test]
async fn liveness_survives_a_restart() {
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
async fn the_nodes_that_check_in_are_listed_with_spares() {
    let server = Server::start();
    let cluster = running_cluster(&server).await;
    assert_eq!(cluster.get("/nodes").await["nodes"].as_array().unwrap().len(), 3);
    let mut spare = node(9);
    // The time is the beginning of a UUID of version 7.
    spare["run_id"] = json!("0198b2c9a87b7000800000000000000f");
    cluster.check_in(&spare).await;
    let listed = cluster.get("/nodes").await;
    let listed = listed["nodes"].as_array().unwrap();
    assert_eq!(listed.len(), 4);
    let spare = listed.iter().find(|listed| listed["name"] == spare["name"]).unwrap();
    assert_eq!((&spare["state"], &spare["member_id"]), (&json!("empty"), &Value::Null));
    assert_eq!(spare["run_started_at"], "2025-08-16T12:10:17.083Z");
    assert!(spare["checked_in_at"].is_string() && spare["peer_urls"][0].is_string(), "{spare}");
}

#[tokio::test]
async fn what_a_node_reports_for_people_is_listed_and_changes_nothing() {
    let server = Server::start();
    let cluster = running_cluster(&server).await;
    let own = cluster.get("/nodes").await["nodes"][0]["member_id"].clone();
    let mut spare = node(9);
    cluster.check_in(&spare).await;
    let revision = cluster.get("").await["revision"].clone();
    let etcd = json!({
        "version": "3.6.5", "leader": own, "raft_applied_index": 7, "database_bytes": 3, "database_bytes_in_use": 2,
        "quota_bytes": 4, "errors": ["NOSPACE"], "restarts": 1, "state": "spare", "reason": "stand_by",
    });
    let reachability = json!([{ "member": own, "peer": true, "client": null }]);
    (spare["etcd"], spare["reachability"]) = (etcd.clone(), reachability.clone());
    cluster.check_in(&spare).await;
    let listed = async || {
        let nodes = cluster.get("/nodes").await;
        nodes["nodes"].as_array().unwrap().iter().find(|listed| listed["name"] == spare["name"]).unwrap().clone()
    };
    let shown = listed().await;
    assert_eq!((&shown["etcd"], &shown["reachability"]), (&etcd, &reachability));
    assert_eq!(cluster.get("").await["revision"], revision);

    let report = |field: &str, value: Value| {
        let mut report = spare.clone();
        report[field] = value;
        report
    };
    let pair = &reachability[0];
    for wrong in [
        report("etcd", json!({ "reason": "x".repeat(201) })),
        report("etcd", json!({ "errors": vec!["x"; 9] })),
        report("etcd", json!({ "database_bytes": -1 })),
        report("reachability", json!([{ "member": "infra0" }])),
        report("reachability", json!(vec![pair; 65])),
    ] {
        let answer = http::client().post(format!("{}/check-in", cluster.url)).json(&wrong).send().await.unwrap();
        assert_eq!(answer.status(), 400, "{wrong}");
    }
    cluster.check_in(&report("etcd", json!({ "reason": "two\nlines" }))).await;
    assert_eq!(listed().await["etcd"]["reason"], "two lines");
    cluster.check_in(&node(9)).await;
    assert_eq!((&listed().await["etcd"], &listed().await["reachability"]), (&Value::Null, &json!([])));
}

#[tokio::test]
async fn an_instruction_is_repeated_after_a_crash() {
    let server = Server::start();
    let cluster = Checked::create(&server, 2).await;
    let nodes = [node(0), node(1)];
    assert_eq!(cluster.check_in(&nodes[0]).await["instruction"], "wait");
    let instruction = cluster.check_in(&nodes[1]).await;
    assert_eq!(instruction["instruction"], "bootstrap");
    let server = server.crash().restart();
    assert_eq!(cluster.check_in(&nodes[1]).await, instruction);
    let other = cluster.check_in(&nodes[0]).await;
    assert_eq!(other["start"]["initial_cluster"], instruction["start"]["initial_cluster"]);
    drop(server);
}

#[tokio::test]
async fn a_leftover_of_an_instructed_founder_shows_that_the_cluster_exists() {
    let server = Server::start();
    let cluster = Checked::create(&server, 1).await;
    let mut founder = node(0);
    founder["run_id"] = json!("first");
    assert_eq!(cluster.check_in(&founder).await["instruction"], "bootstrap");
    (founder["run_id"], founder["left_overs"]) = (json!("second"), json!(true));
    let instruction = cluster.check_in(&founder).await;
    assert_eq!(instruction["instruction"], "observe");
    founder["view"] = json!({ "since": instruction["revision"], "linearizable": false, "members": [] });
    // If it counted as a cluster that never existed, it would form again at the second of these.
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(cluster.check_in(&founder).await["reason"], "no_quorum");
    }
}

#[tokio::test]
async fn a_dry_run_returns_the_instruction_and_changes_nothing() {
    let server = Server::start();
    let cluster = Checked::create(&server, 1).await;
    let before = cluster.revision().await;
    let would_be = cluster.post("/check-in?dry_run=true", &node(0)).await;
    assert_eq!(would_be["instruction"], "bootstrap");
    assert_eq!(cluster.revision().await, before);
    assert_eq!(cluster.get("/members").await["members"], json!([]));
}

#[tokio::test]
async fn unknown_fields_of_a_report_are_ignored_and_all_errors_are_reported() {
    let server = Server::start();
    let cluster = Checked::create(&server, 1).await;
    let mut newer = node(0);
    newer["colour"] = json!("blue");
    assert_eq!(cluster.check_in(&newer).await["instruction"], "bootstrap");
    let wrong = json!({
        "name": "a,b", "peer_urls": ["10.0.0.1:2380"], "state": "running", "cluster_id": "xyz",
        "strategy": "append", "size": 0, "left_overs": "some",
        "view": { "linearizable": "yes", "members": [{ "id": "8e9e05c52164694d", "peer_urls": [], "reachable": true }] },
    });
    let problem = cluster.check_in(&wrong).await;
    let fields: Vec<&str> = problem["violations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|violation| violation["field"].as_str().unwrap())
        .collect();
    for field in [
        "name",
        "peer_urls[0]",
        "member_id",
        "cluster_id",
        "strategy",
        "size",
        "left_overs",
        "view.linearizable",
        "view.members[0].peer_urls",
    ] {
        assert!(fields.contains(&field), "{field}: {problem}");
    }
}

#[tokio::test]
async fn a_node_that_starts_on_its_data_receives_every_member() {
    let server = Server::start();
    let cluster = running_cluster(&server).await;
    let mut stopped = cluster.reports[0].clone();
    stopped["state"] = json!("stopped");
    let instruction = cluster.check_in(&stopped).await;
    assert_eq!(instruction["instruction"], "observe", "somebody may have removed it: {instruction}");
    let mut observed = stopped.clone();
    observed["view"] = json!({ "since": instruction["revision"], "linearizable": false, "members": [] });
    let instruction = cluster.check_in(&observed).await;
    assert_eq!(instruction["instruction"], "start", "no response, so that etcd is to decide: {instruction}");
    assert_eq!(instruction["start"]["initial_cluster_state"], "existing");
    let pairs = instruction["start"]["initial_cluster"].as_str().unwrap().split(',').count();
    assert_eq!(pairs, cluster.reports.len());
    let mut unknown = stopped.clone();
    (unknown["name"], unknown["member_id"], unknown["cluster_id"]) = (json!("x"), json!("1"), json!("2"));
    let cluster = Checked::create(&server, 3).await;
    let instruction = cluster.check_in(&unknown).await;
    assert_eq!(instruction["instruction"], "observe", "its cluster may run: {instruction}");
    unknown["view"] = json!({ "since": instruction["revision"], "linearizable": false, "members": [] });
    let instruction = cluster.check_in(&unknown).await;
    assert_eq!((&instruction["instruction"], &instruction["start"]), (&json!("start"), &Value::Null));
    assert_eq!(cluster.get("").await["held"]["reason"], "data_reported");
    let instruction = cluster.check_in(&node(1)).await;
    assert_eq!((&instruction["instruction"], &instruction["reason"]), (&json!("wait"), &json!("held")));
}

#[tokio::test]
async fn a_joining_node_raises_the_cluster_to_its_own_size_if_the_policy_allows_it() {
    let server = Server::start();
    let cluster = Checked::create(&server, 1).await;
    let instruction = cluster.check_in(&node(0)).await;
    let cluster_id = cluster.get("").await["cluster_id"].clone();
    let member = cluster.get("/members").await["members"][0].clone();
    let seen =
        json!({ "id": member["id"], "name": node(0)["name"], "peer_urls": node(0)["peer_urls"], "reachable": true });
    let mut joiner = node(1);
    (joiner["size"], joiner["strategy"]) = (json!(2), json!("add"));
    joiner["view"] = json!({ "since": instruction["revision"], "cluster_id": cluster_id, "linearizable": true,
                             "leader": member["id"], "members": [seen] });
    let instruction = cluster.check_in(&joiner).await;
    assert_eq!(instruction["instruction"], "stand_by", "{instruction}");
    assert!(instruction["message"].as_str().unwrap().contains("convene cluster resize 2"), "{instruction}");
    assert_eq!(cluster.get("").await["size"], 1);
    let allow = json!({ "policy": { "stock_writes": "allow" } });
    http::client().patch(&cluster.url).json(&allow).send().await.unwrap().error_for_status().unwrap();
    let instruction = cluster.check_in(&joiner).await;
    assert_eq!(instruction["instruction"], "add_member", "{instruction}");
    assert_eq!(cluster.get("").await["size"], 2);
    let refused =
        cluster.check_in(&json!({ "name": "a", "state": "empty", "peer_urls": ["http://a:2380"], "size": 1001 })).await;
    assert_eq!(refused["violations"][0]["field"], "size", "{refused}");
}

#[tokio::test]
async fn every_valid_report_can_be_stored_and_read() {
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
async fn many_large_views_do_not_delay_other_writes() {
    let server = Server::start();
    let mut crowd = Vec::new();
    for n in 0..12 {
        let cluster = Checked::create(&server, 1).await;
        crowd.push(tokio::spawn(async move {
            // Each view shows other members, so that each changes 200 or 400 of them.
            for round in 0..4 {
                let view = view(&cluster, n * 10 + round).await;
                let instruction = cluster.check_in(&running("infra-1", &view)).await;
                assert!(instruction["instruction"].is_string(), "{}", instruction["detail"]);
            }
        }));
    }
    for _ in 0..40 {
        let made = http::get(format!("{}/new", server.url)).await.unwrap();
        assert_eq!(made.status(), 200);
    }
    for one in crowd {
        one.await.unwrap();
    }
}

/// A view of 200 members, none of which is in one of another number, besides the observing one.
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
pub struct Checked {
    pub url: String,
    pub reports: Vec<Value>,
}

impl Checked {
    async fn create(server: &Server, size: u32) -> Self {
        let made = http::client().post(format!("{}/v1/clusters", server.url)).json(&json!({ "size": size }));
        let made: Value = made.send().await.unwrap().json().await.unwrap();
        let url = format!("{}/v1/clusters/{}", server.url, made["token"].as_str().unwrap());
        Self { url, reports: Vec::new() }
    }

    pub async fn check_in(&self, report: &Value) -> Value {
        self.post("/check-in", report).await
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        http::client().post(format!("{}{path}", self.url)).json(body).send().await.unwrap().json().await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Value {
        http::get(format!("{}{path}", self.url)).await.unwrap().json().await.unwrap()
    }

    async fn revision(&self) -> Value {
        self.get("").await["revision"].clone()
    }
}

/// A cluster of three whose etcds run.
pub async fn running_cluster(server: &Server) -> Checked {
    let mut cluster = Checked::create(server, 3).await;
    for n in [0, 1, 2, 0, 1] {
        cluster.check_in(&node(n)).await;
    }
    let (shown, members) = (cluster.get("").await, cluster.get("/members").await);
    for member in members["members"].as_array().unwrap() {
        let mut report = node(cluster.reports.len());
        report["state"] = json!("running");
        report["member_id"] = member["id"].clone();
        report["cluster_id"] = shown["cluster_id"].clone();
        cluster.reports.push(report);
    }
    let mut observed = cluster.reports[0].clone();
    assert_eq!(cluster.check_in(&observed).await["reason"], "look_needed", "has the cluster ever had a leader?");
    observed["view"] = view_of_quorum(&shown, &members);
    assert_eq!(cluster.check_in(&observed).await["reason"], "healthy");
    for report in &cluster.reports {
        assert_eq!(cluster.check_in(report).await["reason"], "healthy");
    }
    cluster
}

/// What a node sees that reads the member list through the quorum: every member on record answers, and the first one leads.
pub fn view_of_quorum(cluster: &Value, members: &Value) -> Value {
    let members = members["members"].as_array().unwrap();
    let seen = |member: &Value| json!({ "id": member["id"], "name": member["name"], "peer_urls": member["peer_urls"], "reachable": true });
    json!({ "since": cluster["revision"], "cluster_id": cluster["cluster_id"], "linearizable": true,
            "leader": members[0]["id"], "members": members.iter().map(seen).collect::<Vec<_>>() })
}

/// The report of a node without data.
pub fn node(n: usize) -> Value {
    json!({
        "name": format!("infra{n}"), "run_id": format!("run-{n}"), "state": "empty",
        "peer_urls": [format!("http://10.0.0.{}:2380", n + 1)],
    })
}
