//! What is said, and with which exit code, when it can't be done.

use convene_harness::{convene::Convene, free_port, server::Server};

use super::{LIMIT, convene, failed, make};

/// Every verb, on a cluster.
fn verbs(cluster: &str) -> Vec<Vec<&str>> {
    vec![
        vec!["cluster", "show", cluster],
        vec!["cluster", "resize", "5", cluster],
        vec!["cluster", "events", cluster],
        vec!["cluster", "events", "--follow", cluster],
        vec!["cluster", "pause", cluster],
        vec!["cluster", "resume", cluster],
        vec!["cluster", "delete", cluster],
        vec!["member", "list", cluster],
        vec!["member", "evict", "8e9e05c52164694d", cluster],
        vec!["status", "--discovery", cluster],
    ]
}

#[test]
fn an_unknown_cluster_is_refused_without_its_token() {
    let server = Server::start();
    let url = format!("{}/secret-token", server.url);
    for arguments in verbs(&url) {
        let said = failed(Convene::new(&arguments).run(LIMIT), 3);
        assert!(said.contains("has no cluster with the token secret…: it was never made, or was deleted"), "{said}");
        assert!(!said.contains("secret-token"), "{said}");
    }
    let said = failed(convene(&server, &["cluster", "show", "secret-token"]), 3);
    assert!(said.contains("no cluster with the token or the name secret…; `convene cluster list` shows"), "{said}");
    assert!(!said.contains("secret-token"), "{said}");
}

#[test]
fn a_server_that_is_down_is_unreachable() {
    let server = format!("http://me:password@127.0.0.1:{}", free_port());
    let url = format!("{server}/secret-token");
    let mut all = verbs(&url);
    all.extend([vec!["cluster", "list", "--server", &server], vec!["cluster", "create", "--server", &server]]);
    for arguments in all {
        let said = failed(Convene::new(&arguments).run(LIMIT), 5);
        assert!(said.contains("convene: unreachable: the server at http://127.0.0.1:"), "{said}");
        assert!(!said.contains("secret-token") && !said.contains("password"), "{said}");
    }
}

#[test]
fn what_answers_and_is_no_registry_is_said_to_be_none() {
    let server = Server::start();
    let elsewhere = format!("{}/docs", server.url);
    let said = failed(Convene::new(["cluster", "list", "--server", &elsewhere]).run(LIMIT), 5);
    assert!(said.contains("is not a Convene server"), "{said}");
}

#[test]
fn bad_usage_is_said_without_secrets() {
    let server = Server::start();
    for arguments in [
        &["cluster", "resize", "0", "a"][..],
        &["cluster", "resize", "many", "a"],
        &["cluster", "resize"],
        &["cluster", "create", "--size=1001"],
        &["cluster", "create", "--token=secret token"],
        &["cluster", "create", "--dead-after=1500ms"],
        &["cluster", "create", "--strategy=hope"],
        &["cluster", "create", "--learner=perhaps"],
        &["cluster", "show", "http://corp:8087/secret token"],
        &["cluster", "show", "ftp://corp:8087/secret-token"],
        &["cluster", "show", "a", "http://corp:8087/secret-token"],
        &["cluster", "events", "a", "--after=secret", "-o", "xml"],
        &["cluster", "show", "-o", "xml"],
        &["member", "evict"],
        &["status", "--discovery=corp/secret-token"],
    ] {
        let said = failed(convene(&server, arguments), 2);
        assert!(!said.contains("secret token") && !said.contains("secret-token"), "{said}");
    }
}

#[test]
fn what_the_registry_refuses_is_said_in_its_words() {
    let server = Server::start_with(&["--max-cluster-size", "5"]);
    let said = failed(convene(&server, &["cluster", "create", "--size=7"]), 2);
    assert!(said.contains("size must be a whole number from 1 to 5"), "{said}");
    let said = failed(convene(&server, &["cluster", "create", "--dead-after=1s"]), 2);
    assert!(said.contains("policy.dead_after_seconds"), "{said}");
    make(&server, "secret-token", &[]);
    let said = failed(convene(&server, &["cluster", "create", "--token=secret-token"]), 3);
    assert!(said.contains("a cluster has this token already"), "{said}");
    assert!(!said.contains("secret-token"), "{said}");
}
