//! The check-ins of a node come only to a server that is cut off from the database, so that the node is silent for the others.

use std::time::{Duration, Instant};

use convene_harness::{http, server::Server};
use serde_json::{Value, json};

use super::{LIMIT, line::servers_on_a_line};
use crate::check_in::{Checked, node, running_cluster, view_of_quorum};

const DEAD_AFTER: Duration = Duration::from_secs(5);

const PAUSE: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_check_ins_come_only_to_a_server_that_is_cut_off_is_not_replaced() {
    let Some((line, cut_off, other)) = servers_on_a_line().await else { return };
    let nodes = Nodes::start(cut_off, other).await;
    line.cut();

    // Silent for longer than a dead member is, and its etcd answers, except for one moment after that time.
    let cut = Instant::now();
    let mut received = Vec::new();
    while cut.elapsed() < DEAD_AFTER * 6 / 5 {
        received.extend(nodes.check_in(true).await);
    }
    for etcd_answers in [true, false, true, true] {
        received.extend(nodes.check_in(etcd_answers).await);
    }
    assert!(!received.contains(&"remove_member".to_owned()), "{received:?}");

    // The same silence, and its etcd does not answer either.
    let stopped = Instant::now();
    while !nodes.check_in(false).await.contains(&"remove_member".to_owned()) {
        assert!(stopped.elapsed() < LIMIT, "{}", nodes.other.output());
    }
    eprintln!("removed after {:?}", stopped.elapsed());
    assert!(stopped.elapsed() >= DEAD_AFTER, "its etcd has not answered for {:?} only", stopped.elapsed());
}

/// Three members and a spare.
struct Nodes {
    cut_off: Server,
    other: Server,
    cluster: Checked,
}

impl Nodes {
    async fn start(cut_off: Server, other: Server) -> Self {
        let cluster = running_cluster(&other).await;
        let policy = json!({ "policy": {
            "dead_after_seconds": DEAD_AFTER.as_secs(), "check_in_every_seconds": 1, "witnesses": 1,
        } });
        http::client().patch(&cluster.url).json(&policy).send().await.unwrap().error_for_status().unwrap();
        Self { cut_off, other, cluster }
    }

    /// Checks in for all nodes, and returns the instructions of those that reach a server with a database.
    async fn check_in(&self, etcd_answers: bool) -> Vec<String> {
        let (shown, members) = (self.cluster.get("").await, self.cluster.get("/members").await);
        let mut view = view_of_quorum(&shown, &members);
        let silent = &self.cluster.reports[2];
        for seen in view["members"].as_array_mut().unwrap() {
            seen["reachable"] = json!(etcd_answers || seen["id"] != silent["member_id"]);
        }
        let mut received = Vec::new();
        for report in [&self.cluster.reports[0], &self.cluster.reports[1], &node(8)] {
            let mut report = report.clone();
            report["view"] = view.clone();
            let instruction = self.cluster.check_in(&report).await;
            received.push(instruction["instruction"].as_str().unwrap_or_else(|| panic!("{instruction}")).to_owned());
        }
        let url = format!("{}/check-in", self.cluster.url.replace(&self.other.url, &self.cut_off.url));
        let refused = http::client().post(url).json(silent).send().await.unwrap();
        assert_eq!(refused.status(), 503, "{}", refused.json::<Value>().await.unwrap());
        tokio::time::sleep(PAUSE).await;
        received
    }
}
