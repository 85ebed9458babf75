//! Clusters that may exist without the registry's knowledge: they are held, adopted, or reset.

use std::{fs, path::Path, time::Duration};

use convene_harness::{Postgres, http, server::Server};
use reqwest::Method;
use serde_json::{Value, json};

use crate::check_in::view_of_quorum;

/// A cluster of the API.
struct Cluster {
    url: String,
    token: String,
}

impl Cluster {
    async fn create(server: &Server, size: u32) -> Self {
        let new = json!({ "size": size });
        let created = send(Method::POST, &format!("{}/v1/clusters", server.url), &new).await;
        let token = created["token"].as_str().unwrap().to_owned();
        Self { url: format!("{}/v1/clusters/{token}", server.url), token }
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        send(Method::POST, &format!("{}{path}", self.url), body).await
    }

    async fn check_in(&self, report: &Value) -> Value {
        self.post("/check-in", report).await
    }

    async fn show(&self) -> Value {
        http::get(&self.url).await.unwrap().json().await.unwrap()
    }

    /// The names and the roles of the members.
    async fn members(&self) -> Vec<String> {
        let members: Value = http::get(format!("{}/members", self.url)).await.unwrap().json().await.unwrap();
        let shown = |member: &Value| format!("{} {}", text(&member["name"]), text(&member["role"]));
        members["members"].as_array().unwrap().iter().map(shown).collect()
    }

    /// Three nodes without data form the cluster. Returns the reports of their etcds, which run.
    async fn form(&self) -> Vec<Value> {
        for n in [0, 1, 2, 0, 1] {
            self.check_in(&empty(n)).await;
        }
        let members: Value = http::get(format!("{}/members", self.url)).await.unwrap().json().await.unwrap();
        let cluster = self.show().await;
        let mut reports = Vec::new();
        for (n, member) in members["members"].as_array().unwrap().iter().enumerate() {
            let mut report = empty(n);
            report["state"] = json!("running");
            (report["member_id"], report["cluster_id"]) = (member["id"].clone(), cluster["cluster_id"].clone());
            reports.push(report);
        }
        let mut observed = reports[0].clone();
        observed["view"] = view_of_quorum(&cluster, &members);
        self.check_in(&observed).await;
        for report in &reports {
            assert_eq!(self.check_in(report).await["reason"], "healthy");
        }
        reports
    }
}

async fn send(method: Method, url: &str, body: &Value) -> Value {
    http::client().request(method, url).json(body).send().await.unwrap().json().await.unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The report of a node without data.
fn empty(n: usize) -> Value {
    json!({
        "name": format!("infra{n}"), "run_id": format!("run-{n}"), "state": "empty",
        "peer_urls": [format!("http://10.0.0.{}:2380", n + 1)],
    })
}

/// A member list of etcd with these names. The last member is a learner.
fn list(cluster_id: &str, names: &[&str]) -> Value {
    let member = |(n, name): (usize, &&str)| {
        json!({
            "id": format!("{:x}", 0xa0 + n), "name": name, "peer_urls": [format!("http://10.0.0.{}:2380", n + 1)],
            "client_urls": [format!("http://10.0.0.{}:2379", n + 1)], "learner": n + 1 == names.len(),
        })
    };
    json!({ "cluster_id": cluster_id, "members": names.iter().enumerate().map(member).collect::<Vec<_>>() })
}

/// A view that shows these running members.
fn view(reports: &[Value]) -> Value {
    let seen = |report: &Value| json!({ "id": report["member_id"], "name": report["name"], "peer_urls": report["peer_urls"], "reachable": true });
    json!({
        "since": 0, "cluster_id": reports[0]["cluster_id"], "linearizable": true, "leader": reports[0]["member_id"],
        "members": reports.iter().map(seen).collect::<Vec<_>>(),
    })
}

#[tokio::test]
async fn an_adopted_list_replaces_the_record() {
    let server = Server::start();
    let cluster = Cluster::create(&server, 3).await;
    cluster.form().await;
    let before = cluster.show().await;
    let restored = list("c1", &["infra0", "infra1", "infra2", ""]);

    let preview = cluster.post("/adopt?dry_run=true", &restored).await;
    assert_eq!((&preview["cluster_id"], &preview["epoch"]), (&json!("c1"), &json!(2)));
    let changes = preview["changes"].as_array().unwrap();
    assert!(
        changes.iter().any(|change| text(change) == "running etcd cluster c1 adopted by an administrator"),
        "{preview}"
    );
    assert_eq!(cluster.show().await, before, "a dry run changes nothing");

    let adopted = cluster.post("/adopt", &restored).await;
    assert_eq!(adopted, preview);
    assert_eq!(cluster.members().await, ["infra0 voter", "infra1 voter", "infra2 voter", "a3 learner"]);
    let again = cluster.post("/adopt", &restored).await;
    assert_eq!((&again["changes"], &again["revision"]), (&json!([]), &adopted["revision"]));
}

#[tokio::test]
async fn an_impossible_member_list_is_refused() {
    let server = Server::start();
    let cluster = Cluster::create(&server, 3).await;
    let mut twice = list("c1", &["infra0", "infra1"]);
    twice["members"][1]["id"] = twice["members"][0]["id"].clone();
    let without_voter = list("c1", &["infra0"]);
    for (wrong, field) in [
        (twice, "members[1].id"),
        (without_voter, "members"),
        (json!({ "cluster_id": "c1", "members": [] }), "members"),
        (json!({ "members": [{ "id": "1", "peer_urls": ["http://a:2380"] }] }), "cluster_id"),
    ] {
        let refused = cluster.post("/adopt", &wrong).await;
        assert_eq!((&refused["status"], text(&refused["violations"][0]["field"])), (&json!(400), field), "{refused}");
    }
    assert_eq!(cluster.show().await["revision"], 1);
}

#[tokio::test]
async fn a_dry_run_of_a_reset_changes_nothing() {
    let server = Server::start();
    let cluster = Cluster::create(&server, 3).await;
    cluster.form().await;
    let before = cluster.show().await;
    let confirmed = json!({ "token": cluster.token });
    let preview = cluster.post("/reset?dry_run=true", &confirmed).await;
    assert_eq!((&preview["epoch"], &preview["phase"]), (&json!(2), &json!("forming")));
    assert_eq!(preview["changes"].as_array().unwrap().len(), 4, "{preview}");
    assert_eq!(cluster.show().await, before);
    assert_eq!(cluster.post("/reset", &confirmed).await, preview);
}

#[tokio::test]
async fn data_that_the_registry_does_not_know_holds_the_founding_until_a_reset() {
    let server = Server::start();
    let cluster = Cluster::create(&server, 3).await;
    let mut unknown = empty(9);
    unknown["state"] = json!("stopped");
    (unknown["member_id"], unknown["cluster_id"]) = (json!("1f"), json!("c1"));
    cluster.check_in(&unknown).await;
    let held = cluster.show().await["held"].clone();
    assert_eq!(
        (&held["reason"], &held["node"], &held["cluster_id"]),
        (&json!("data_reported"), &json!("infra9"), &json!("c1"))
    );
    let instruction = cluster.check_in(&empty(0)).await;
    assert_eq!((text(&instruction["instruction"]), text(&instruction["reason"])), ("wait", "held"));
    assert!(text(&instruction["message"]).contains("infra9 has reported data of etcd cluster c1"), "{instruction}");
    let by_v2 = http::client()
        .put(format!("{}/{}/1f", server.url, cluster.token))
        .form(&[("value", "infra0=http://10.0.0.1:2380")])
        .send()
        .await
        .unwrap();
    assert_eq!(by_v2.status(), 412);
    assert!(by_v2.text().await.unwrap().contains("forming of this cluster is held"));
    let reset = cluster.post("/reset", &json!({ "token": cluster.token })).await;
    assert_eq!(reset["held"], Value::Null);
    assert_eq!(cluster.check_in(&empty(0)).await["reason"], "forming");
}

/// The database is replaced by a copy from before a cluster formed. Three nodes without data found no second cluster.
#[tokio::test]
async fn a_file_restored_from_before_a_cluster_formed_founds_no_second_one() {
    let mut server = Server::start_on_sqlite();
    let file = server.sqlite_file().unwrap();
    let cluster = Cluster::create(&server, 3).await;
    let other = Cluster::create(&server, 1).await;
    stop(&mut server);
    let copy = fs::read(&file).unwrap();
    let server = server.crash().restart();
    let reports = cluster.form().await;
    let crashed = server.crash();
    restore(&file, &copy);
    let server = crashed.restart();
    let log = server.wait_for_output("the database is an older copy", Duration::from_secs(10));
    assert!(log.contains("convene cluster adopt"), "{log}");

    for n in 0..3 {
        let instruction = cluster.check_in(&empty(n)).await;
        assert_eq!((text(&instruction["instruction"]), text(&instruction["reason"])), ("wait", "held"));
    }
    assert_eq!(other.show().await["held"]["reason"], "store_went_back");
    // A node of the cluster shows that it exists.
    let mut member = reports[0].clone();
    member["view"] = view(&reports);
    assert_eq!(cluster.check_in(&member).await["reason"], "healthy");
    assert_eq!(cluster.members().await, ["infra0 voter", "infra1 voter", "infra2 voter"]);
    assert_eq!(cluster.show().await["held"], Value::Null);
    // An administrator knows that the other one does not exist.
    other.post("/reset", &json!({ "token": other.token })).await;
    assert_eq!(other.check_in(&empty(9)).await["instruction"], "bootstrap");

    let server = server.crash().restart();
    assert!(!server.output().contains("is an older copy"), "{}", server.output());
}

/// PostgreSQL is replaced while the server runs: another system identifier answers.
#[tokio::test]
async fn another_postgresql_holds_the_founding() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.create_database();
    let server = Server::start_on(&database, &[]);
    let (formed, forming) = (Cluster::create(&server, 3).await, Cluster::create(&server, 3).await);
    formed.form().await;
    assert_eq!(forming.check_in(&empty(0)).await["reason"], "forming");
    postgres.execute(&database, "update registry set system = '1/00000001'");
    server.wait_for_output("the database is an older copy", Duration::from_secs(20));
    let instruction = forming.check_in(&empty(1)).await;
    assert_eq!((text(&instruction["instruction"]), text(&instruction["reason"])), ("wait", "held"));
    assert_eq!(formed.show().await["held"], Value::Null);
}

fn stop(server: &mut Server) {
    server.signal("TERM");
    assert_eq!(server.wait_for_exit(Duration::from_secs(20)), Some(0));
}

fn restore(file: &Path, copy: &[u8]) {
    for log in ["db-wal", "db-shm"] {
        let _ = fs::remove_file(file.with_extension(log));
    }
    fs::write(file, copy).unwrap();
}
