//! Which cluster is meant.

use convene_harness::{convene::Convene, server::Server};

use super::{LIMIT, convene, done, failed, json, make, said};

/// The token of the cluster that is shown.
fn meant(convene: Convene) -> String {
    json(&done(convene.run(LIMIT)))["cluster"]["token"].as_str().unwrap().to_owned()
}

fn show(arguments: &[&str]) -> Convene {
    Convene::new([&["cluster", "show", "-o", "json"], arguments].concat())
}

#[test]
fn a_token_counts_before_a_name() {
    let server = Server::start();
    make(&server, "first", &["--name=prod"]);
    let show = |cluster: &str| meant(show(&[cluster]).env("CONVENE_SERVER", &server.url));
    assert_eq!(show("prod"), "first");
    make(&server, "prod", &["--name=test"]);
    assert_eq!(show("prod"), "prod");
    assert_eq!(show("test"), "prod");
}

#[test]
fn a_name_may_have_any_characters() {
    let server = Server::start();
    make(&server, "one", &["--name=Zürich & Bern/2?limit=1#%20"]);
    make(&server, "two", &["--name=Zürich"]);
    let found = meant(show(&["Zürich & Bern/2?limit=1#%20"]).env("CONVENE_SERVER", &server.url));
    assert_eq!(found, "one");
}

#[test]
fn a_name_that_several_have_is_refused() {
    let server = Server::start();
    for token in ["one", "two", "three"] {
        make(&server, token, &["--name=prod"]);
    }
    let said = failed(convene(&server, &["cluster", "pause", "prod"]), 3);
    assert!(said.contains("3 clusters are called prod; say which by its token"), "{said}");
}

#[test]
fn a_discovery_url_says_where_its_cluster_is_by_itself() {
    let (server, other) = (Server::start(), Server::start());
    make(&server, "here", &[]);
    make(&other, "there", &[]);
    make(&other, "here-too", &[]);
    let there = format!("{}/there", other.url);
    assert_eq!(meant(show(&[&there])), "there");
    assert_eq!(meant(show(&[&there]).env("CONVENE_SERVER", &server.url)), "there");
    assert_eq!(meant(show(&[]).env("CONVENE_SERVER", &server.url).env("CONVENE_DISCOVERY", &there)), "there");
    assert_eq!(meant(show(&[]).env("ETCD_DISCOVERY", format!("{}/v2/keys/_etcd/registry/there", other.url))), "there");
    // A token without a server is that server's whose cluster is known.
    assert_eq!(meant(show(&["here-too"]).env("CONVENE_DISCOVERY", &there)), "here-too");
    assert_eq!(meant(show(&["here"]).env("CONVENE_SERVER", &server.url).env("CONVENE_DISCOVERY", &there)), "here");
}

#[test]
fn a_cluster_is_deleted_only_if_it_is_named() {
    let server = Server::start();
    make(&server, "here", &[]);
    let delete = Convene::new(["cluster", "delete"]).env("CONVENE_DISCOVERY", format!("{}/here", server.url));
    assert!(failed(delete.run(LIMIT), 2).contains("<CLUSTER>"));
    let empty = Convene::new(["cluster", "delete", ""]).env("CONVENE_DISCOVERY", format!("{}/here", server.url));
    assert!(failed(empty.run(LIMIT), 2).contains("CLUSTER is empty"));
    assert!(said(&server, &["cluster", "list"]).contains("here"));
}

#[test]
fn who_names_neither_cluster_nor_server_is_told_what_to_give() {
    for (arguments, expected) in [
        (&["cluster", "show"][..], "which cluster? Give its discovery URL (or CONVENE_DISCOVERY)"),
        (&["cluster", "show", "prod"], "which server? Give --server http://HOST:PORT (or CONVENE_SERVER)"),
        (&["cluster", "list"], "which server?"),
        (&["cluster", "create"], "which server?"),
        (&["member", "list"], "which cluster?"),
        (&["status"], "--discovery <URL>"),
    ] {
        let said = failed(Convene::new(arguments).run(LIMIT), 2);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    let said = failed(Convene::new(["cluster", "show"]).env("CONVENE_SERVER", "http://127.0.0.1:1").run(LIMIT), 2);
    assert!(said.contains("which cluster?"), "{said}");
}
