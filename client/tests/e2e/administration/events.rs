use convene_harness::{Process, convene::Convene, server::Server};
use reqwest::Client;
use serde_json::json;

use super::{LIMIT, cells, convene, failed, json, make, register, said};

fn follow(server: &Server, arguments: &[&str]) -> Process {
    let arguments = [&["cluster", "events", "--follow"], arguments].concat();
    Convene::new(arguments).env("CONVENE_SERVER", &server.url).spawn()
}

/// Sets the size so often that the first events are forgotten.
async fn outrun(server: &Server, token: &str) {
    let client = Client::new();
    for n in 0..1300 {
        let change = json!({ "size": 1 + n % 5 });
        let changed = client.patch(format!("{}/v1/clusters/{token}", server.url)).json(&change).send().await.unwrap();
        assert_eq!(changed.status(), 200);
    }
}

#[test]
fn what_has_happened_is_listed() {
    let server = Server::start();
    make(&server, "6c007a14", &[]);
    said(&server, &["cluster", "resize", "5", "6c007a14"]);
    said(&server, &["cluster", "pause", "6c007a14"]);
    let table = said(&server, &["cluster", "events", "6c007a14"]);
    let rows = cells(&table);
    assert_eq!(rows[0], ["REVISION", "TIME", "KIND", "MEMBER", "MESSAGE"]);
    let kinds: Vec<_> = rows[1..].iter().map(|row| (row[0], row[2])).collect();
    assert_eq!(kinds, [("1", "cluster_created"), ("2", "size_set"), ("3", "paused")]);
    assert!(rows[1][1].starts_with("20") && rows[1][1].ends_with('Z'), "{table}");
    let lines = said(&server, &["cluster", "events", "6c007a14", "--after", "1", "-o", "json"]);
    let events: Vec<_> = lines.lines().map(json).collect();
    assert_eq!(events.len(), 2);
    assert_eq!((&events[0]["kind"], &events[0]["value"]), (&json!("size_set"), &json!("5")));
    let none = said(&server, &["cluster", "events", "6c007a14", "--after", "3"]);
    assert_eq!(cells(&none), [["REVISION", "TIME", "KIND", "MEMBER", "MESSAGE"]]);
}

#[tokio::test]
async fn events_about_a_member_name_it() {
    let server = Server::start();
    make(&server, "6c007a14", &[]);
    register(&server, "6c007a14", "8e9e05c52164694d", "infra0=http://10.0.0.1:2380").await;
    let table = said(&server, &["cluster", "events", "6c007a14"]);
    let rows = cells(&table);
    assert_eq!((rows[1][3], rows[2][3]), ("-", "8e9e05c52164694d"));
}

#[test]
fn a_revision_that_has_not_come_is_unknown() {
    let server = Server::start();
    make(&server, "6c007a14", &[]);
    let said = failed(convene(&server, &["cluster", "events", "6c007a14", "--after=9"]), 3);
    assert!(said.contains("does not know revision 9") && !said.contains("--after"), "{said}");
    let following = follow(&server, &["6c007a14", "--after=9"]);
    let told = following.wait_for_stderr("forgotten", LIMIT);
    assert!(told.contains("the cluster is at revision 1, and was at 9 before"), "{told}");
    super::said(&server, &["cluster", "resize", "5", "6c007a14"]);
    following.wait_for_stdout("size_set", LIMIT);
}

#[tokio::test]
async fn events_that_are_forgotten_are_not_passed_over_silently() {
    let server = Server::start();
    make(&server, "6c007a14", &[]);
    outrun(&server, "6c007a14").await;
    let said = failed(convene(&server, &["cluster", "events", "6c007a14", "--after=1"]), 3);
    assert!(said.contains("have been forgotten") && said.contains("(--after "), "{said}");
    // More than one page.
    let all = super::said(&server, &["cluster", "events", "6c007a14", "-o", "json"]);
    assert!(all.lines().count() >= 1000, "{}", all.lines().count());
    assert_eq!(json(all.lines().last().unwrap())["revision"], 1301);
    let following = follow(&server, &["6c007a14", "--after=1", "-o", "json"]);
    let told = following.wait_for_stderr("forgotten", LIMIT);
    assert!(told.contains("what happened after revision 1 and before "), "{told}");
    following.wait_for_stdout("\"revision\":1301,", LIMIT);
}

#[test]
fn followers_see_what_happens_later_until_the_end() {
    let server = Server::start();
    make(&server, "6c007a14", &["--name=prod"]);
    let mut table = follow(&server, &["prod"]);
    let mut lines = follow(&server, &["prod", "-o", "json", "--after=1"]);
    table.wait_for_stdout("cluster_created", LIMIT);
    said(&server, &["cluster", "resize", "5", "prod"]);
    table.wait_for_stdout("size_set", LIMIT);
    assert_eq!(json(&lines.wait_for_stdout("size_set", LIMIT))["revision"], 2);
    said(&server, &["cluster", "delete", "prod"]);
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
fn followers_come_back_when_the_server_does() {
    let server = Server::start();
    make(&server, "6c007a14", &[]);
    let following = follow(&server, &["6c007a14"]);
    following.wait_for_stdout("cluster_created", LIMIT);
    let crashed = server.crash();
    let told = following.wait_for_stderr("unreachable", LIMIT);
    assert!(told.contains("cluster 6c007a…"), "{told}");
    let server = crashed.restart();
    said(&server, &["cluster", "resize", "5", "6c007a14"]);
    following.wait_for_stdout("size_set", LIMIT);
    following.wait_for_stderr("the registry answers again", LIMIT);
    assert_eq!(following.stdout().matches("cluster_created").count(), 1);
    assert!(!following.stderr().contains("6c007a14"), "{}", following.stderr());
}

#[test]
fn followers_tell_programs_in_json_what_they_wait_for() {
    let server = Server::start();
    make(&server, "6c007a14", &[]);
    let following = follow(&server, &["6c007a14", "--log-format=json"]);
    following.wait_for_stdout("cluster_created", LIMIT);
    let _crashed = server.crash();
    let told = json(&following.wait_for_stderr("unreachable", LIMIT));
    assert_eq!((&told["subject"], &told["reason"]), (&json!("cluster 6c007a…"), &json!("unreachable")));
}
