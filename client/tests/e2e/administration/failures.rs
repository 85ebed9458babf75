//! Error messages and exit codes.

use convene_harness::{convene::Convene, free_port, server::Server};

use super::{LIMIT, convene, create, failure};

/// Every command for one cluster.
fn commands(cluster: &str) -> Vec<Vec<&str>> {
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
fn an_unknown_cluster_is_refused_without_repeating_its_token() {
    let server = Server::start();
    let url = format!("{}/secret-token", server.url);
    for arguments in commands(&url) {
        let error = failure(Convene::new(&arguments).run(LIMIT), 3);
        assert!(error.contains("has no cluster with the token or ID secret… (deleted, or never created)"), "{error}");
        assert!(!error.contains("secret-token"), "{error}");
    }
    let error = failure(convene(&server, &["cluster", "show", "secret-token"]), 3);
    assert!(
        error.contains("no cluster with the token, ID or name secret…; `convene cluster list` lists its clusters"),
        "{error}"
    );
    assert!(!error.contains("secret-token"), "{error}");
}

#[test]
fn a_server_that_is_down_is_unreachable() {
    let server = format!("http://me:password@127.0.0.1:{}", free_port());
    let url = format!("{server}/secret-token");
    let mut all = commands(&url);
    all.extend([vec!["cluster", "list", "--server", &server], vec!["cluster", "create", "--server", &server]]);
    for arguments in all {
        let error = failure(Convene::new(&arguments).run(LIMIT), 5);
        assert!(error.contains("convene: unreachable: the registry at http://127.0.0.1:"), "{error}");
        assert!(!error.contains("secret-token") && !error.contains("password"), "{error}");
    }
}

#[test]
fn a_url_that_is_not_a_convene_server_is_reported() {
    let server = Server::start();
    let elsewhere = format!("{}/docs", server.url);
    let error = failure(Convene::new(["cluster", "list", "--server", &elsewhere]).run(LIMIT), 5);
    assert!(error.contains("is not a Convene server"), "{error}");
}

#[test]
fn usage_errors_do_not_repeat_secrets() {
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
        let error = failure(convene(&server, arguments), 2);
        assert!(!error.contains("secret token") && !error.contains("secret-token"), "{error}");
    }
}

#[test]
fn the_registrys_own_message_is_printed() {
    let server = Server::start_with(&["--max-cluster-size", "5"]);
    let error = failure(convene(&server, &["cluster", "create", "--size=7"]), 2);
    assert!(error.contains("size must be a whole number from 1 to 5"), "{error}");
    let error = failure(convene(&server, &["cluster", "create", "--dead-after=1s"]), 2);
    assert!(error.contains("policy.dead_after_seconds"), "{error}");
    create(&server, "secret-token", &[]);
    let error = failure(convene(&server, &["cluster", "create", "--token=secret-token"]), 3);
    assert!(error.contains("a cluster has this token already"), "{error}");
    assert!(!error.contains("secret-token"), "{error}");
}
