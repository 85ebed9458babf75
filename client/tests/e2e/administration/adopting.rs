use std::{sync::Arc, time::Duration};

use convene_harness::{Place, convene::Convene, etcd::Version, server::Server};
use serde_json::json;

use super::{LIMIT, convene, create, failure, json, output, register};

#[tokio::test]
async fn a_reset_names_what_it_changes_and_needs_the_cluster() {
    let server = Server::start();
    create(&server, "6c007a14", &["--name=prod", "--size=1"]);
    register(&server, "6c007a14", "8e9e05c52164694d", "infra0=http://10.0.0.1:2380").await;
    let run = |flags: &[&str]| output(&server, &[&["cluster", "reset"], flags].concat());
    let preview = run(&["prod", "--dry-run"]);
    let first = "cluster prod (6c00…) would be reset: its nodes would form a new etcd cluster in epoch 2\n";
    assert!(preview.starts_with(first), "{preview}");
    assert!(preview.contains("\n  infra0 removed: it belonged to epoch 1\n"), "{preview}");
    assert_eq!(json(&output(&server, &["cluster", "show", "prod", "-o", "json"]))["cluster"]["epoch"], 1);
    let reset = run(&["prod"]);
    assert!(
        reset.starts_with("cluster prod (6c00…) is reset: its nodes form a new etcd cluster in epoch 2\n"),
        "{reset}"
    );
    assert_eq!(json(&run(&["prod", "-o", "json"]))["epoch"], 3);

    let url = format!("{}/6c007a14", server.url);
    let unnamed = Convene::new(["cluster", "reset"]).env("CONVENE_DISCOVERY", &url).run(LIMIT);
    assert!(failure(unnamed, 2).contains("CLUSTER"));
}

#[test]
fn a_running_cluster_is_adopted_from_its_own_list() {
    let Some(version) = Version::oldest_and_newest().into_iter().next_back() else { return };
    let server = Server::start();
    create(&server, "6c007a14", &["--name=prod"]);
    let place = Arc::new(Place::new());
    let etcd = &version.form(&[("infra0", place.clone())])[0];
    etcd.wait_until_healthy(Duration::from_secs(30));
    let adopt =
        |flags: &[&str]| output(&server, &[&["cluster", "adopt", "--endpoints", &place.client_url], flags].concat());
    let preview = adopt(&["prod", "--dry-run"]);
    assert!(preview.starts_with("cluster prod (6c00…) would have etcd cluster "), "{preview}");
    assert!(preview.contains("\n  infra0 added as voter\n"), "{preview}");
    let show = || json(&output(&server, &["cluster", "show", "prod", "-o", "json"]));
    assert_eq!(show()["cluster"]["phase"], "forming");
    let adopted = adopt(&["prod"]);
    assert!(adopted.contains(", in epoch 1\n"), "{adopted}");
    let shown = show();
    assert_eq!((&shown["cluster"]["phase"], &shown["members"][0]["name"]), (&json!("bootstrapped"), &json!("infra0")));
    assert!(adopt(&["prod"]).contains(" already has etcd cluster "));

    // The variable could be of another cluster, so what is known is only replaced by name.
    let other = Arc::new(Place::new());
    let second = &version.form(&[("infra0", other.clone())])[0];
    second.wait_until_healthy(Duration::from_secs(30));
    let replace = ["cluster", "adopt", "--endpoints", &other.client_url];
    let url = format!("{}/6c007a14", server.url);
    let unnamed = failure(Convene::new(replace).env("CONVENE_DISCOVERY", &url).run(LIMIT), 2);
    assert!(unnamed.contains("give the cluster on the command line: convene cluster adopt CLUSTER"), "{unnamed}");
    let named = output(&server, &[&replace[..], &["prod"]].concat());
    assert!(named.contains(", in epoch 2\n"), "{named}");
}

#[test]
fn without_a_quorum_nothing_is_adopted() {
    let server = Server::start();
    create(&server, "6c007a14", &[]);
    let refused = convene(&server, &["cluster", "adopt", "6c007a14", "--endpoints", "http://127.0.0.1:1"]);
    let error = failure(refused, 3);
    assert!(error.contains("can't read the member list through the quorum"), "{error}");
}
