use convene_harness::{Process, convene::Convene, server::Server};
use reqwest::Client;
use serde_json::json;

use super::{LIMIT, cells, convene, create, failure, json, output, register};

fn follow(server: &Server, arguments: &[&str]) -> Process {
    let arguments = [&["cluster", "events", "--follow"], arguments].concat();
    Convene::new(arguments).env("CONVENE_SERVER", &server.url).spawn()
}

/// Changes the size so often that the server drops the first events.
async fn exceed_retention(server: &Server, token: &str) {
    let client = Client::new();
    for n in 0..1300 {
        let change = json!({ "size": 1 + n % 5 });
        let changed = client.patch(format!("{}/v1/clusters/{token}", server.url)).json(&change).send().await.unwrap();
        assert_eq!(changed.status(), 200);
    }
}

#[test]
fn events_are_listed() {
    let server = Server::start();
    create(&server, "6c007a14", &[]);
    output(&server, &["cluster", "resize", "5", "6c007a14"]);
    output(&server, &["cluster", "pause", "6c007a14"]);
    let table = output(&server, &["cluster", "events", "6c007a14"]);
    let rows = cells(&table);
    assert_eq!(rows[0], ["REVISION", "TIME", "KIND", "MEMBER", "BY", "MESSAGE"]);
    let kinds: Vec<_> = rows[1..].iter().map(|row| (row[0], row[2])).collect();
    assert_eq!(kinds, [("1", "cluster_created"), ("2", "size_set"), ("3", "paused")]);
    assert!(rows[1][1].starts_with("20") && rows[1][1].ends_with('Z'), "{table}");
    let lines = output(&server, &["cluster", "events", "6c007a14", "--after", "1", "-o", "json"]);
    let events: Vec<_> = lines.lines().map(json).collect();
    assert_eq!(events.len(), 2);
    assert_eq!((&events[0]["kind"], &events[0]["value"]), (&json!("size_set"), &json!("5")));
    let none = output(&server, &["cluster", "events", "6c007a14", "--after", "3"]);
    assert_eq!(cells(&none), [["REVISION", "TIME", "KIND", "MEMBER", "BY", "MESSAGE"]]);
}

#[tokio::test]
async fn events_about_a_member_name_it() {
    let server = Server::start();
    create(&server, "6c007a14", &[]);
    register(&server, "6c007a14", "8e9e05c52164694d", "infra0=http://10.0.0.1:2380").await;
    let table = output(&server, &["cluster", "events", "6c007a14"]);
    let rows = cells(&table);
    assert_eq!((rows[1][3], rows[2][3]), ("-", "8e9e05c52164694d"));
}

#[test]
fn a_revision_in_the_future_is_refused_or_followed_from_the_present() {
    let server = Server::start();
    create(&server, "6c007a14", &[]);
    let error = failure(convene(&server, &["cluster", "events", "6c007a14", "--after=9"]), 3);
    assert!(error.contains("does not know revision 9") && !error.contains("--after"), "{error}");
    let following = follow(&server, &["6c007a14", "--after=9"]);
    let line = following.wait_for_stderr("forgotten", LIMIT);
    assert!(line.contains("the cluster is at revision 1, but was at 9 before"), "{line}");
    super::output(&server, &["cluster", "resize", "5", "6c007a14"]);
    following.wait_for_stdout("size_set", LIMIT);
}

#[tokio::test]
async fn a_gap_in_the_events_is_reported() {
    let server = Server::start();
    create(&server, "6c007a14", &[]);
    exceed_retention(&server, "6c007a14").await;
    let error = failure(convene(&server, &["cluster", "events", "6c007a14", "--after=1"]), 3);
    assert!(error.contains("have been deleted") && error.contains("(use --after "), "{error}");
    // More than one page.
    let all = super::output(&server, &["cluster", "events", "6c007a14", "-o", "json"]);
    assert!(all.lines().count() >= 1000, "{}", all.lines().count());
    assert_eq!(json(all.lines().last().unwrap())["revision"], 1301);
    let following = follow(&server, &["6c007a14", "--after=1", "-o", "json"]);
    let line = following.wait_for_stderr("forgotten", LIMIT);
    assert!(line.contains("no longer has the events after revision 1 and before "), "{line}");
    following.wait_for_stdout("\"revision\":1301,", LIMIT);
}

#[test]
fn follow_prints_new_events_until_the_cluster_is_deleted() {
    let server = Server::start();
    create(&server, "6c007a14", &["--name=prod"]);
    let mut table = follow(&server, &["prod"]);
    let mut lines = follow(&server, &["prod", "-o", "json", "--after=1"]);
    table.wait_for_stdout("cluster_created", LIMIT);
    output(&server, &["cluster", "resize", "5", "prod"]);
    table.wait_for_stdout("size_set", LIMIT);
    assert_eq!(json(&lines.wait_for_stdout("size_set", LIMIT))["revision"], 2);
    output(&server, &["cluster", "delete", "prod"]);
    assert_eq!(table.wait_for_exit(LIMIT), Some(0));
    assert_eq!(lines.wait_for_exit(LIMIT), Some(0));
    let rows = table.stdout();
    let rows = cells(&rows);
    assert_eq!(
        rows.iter().map(|row| row[2]).collect::<Vec<_>>(),
        ["KIND", "cluster_created", "size_set", "cluster_deleted"]
    );
    assert_eq!(lines.stdout().lines().count(), 2);
    assert_eq!((table.stderr(), lines.stderr()), (String::new(), String::new()));
}

#[test]
fn follow_reconnects_after_a_restart_of_the_server() {
    let server = Server::start();
    create(&server, "6c007a14", &[]);
    let following = follow(&server, &["6c007a14"]);
    following.wait_for_stdout("cluster_created", LIMIT);
    let crashed = server.crash();
    let line = following.wait_for_stderr("unreachable", LIMIT);
    assert!(line.contains("cluster 6c00…"), "{line}");
    let server = crashed.restart();
    output(&server, &["cluster", "resize", "5", "6c007a14"]);
    following.wait_for_stdout("size_set", LIMIT);
    following.wait_for_stderr("the server answers again", LIMIT);
    assert_eq!(following.stdout().matches("cluster_created").count(), 1);
    assert!(!following.stderr().contains("6c007a14"), "{}", following.stderr());
}

#[test]
fn follow_logs_in_json_if_asked() {
    let server = Server::start();
    create(&server, "6c007a14", &[]);
    let following = follow(&server, &["6c007a14", "--log-format=json"]);
    following.wait_for_stdout("cluster_created", LIMIT);
    let _crashed = server.crash();
    let line = json(&following.wait_for_stderr("unreachable", LIMIT));
    assert_eq!((&line["subject"], &line["reason"]), (&json!("cluster 6c00…"), &json!("unreachable")));
}
