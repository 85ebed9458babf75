//! Which cluster a command applies to.

use convene_harness::{convene::Convene, server::Server};

use super::{LIMIT, convene, create, failure, json, output, stdout};

/// The token of the cluster that the command shows.
fn shown_token(convene: Convene) -> String {
    json(&stdout(convene.run(LIMIT)))["cluster"]["token"].as_str().unwrap().to_owned()
}

fn show(arguments: &[&str]) -> Convene {
    Convene::new([&["cluster", "show", "-o", "json"], arguments].concat())
}

#[test]
fn a_token_wins_over_a_name() {
    let server = Server::start();
    create(&server, "first", &["--name=prod"]);
    let show = |cluster: &str| shown_token(show(&[cluster]).env("CONVENE_SERVER", &server.url));
    assert_eq!(show("prod"), "first");
    create(&server, "prod", &["--name=test"]);
    assert_eq!(show("prod"), "prod");
    assert_eq!(show("test"), "prod");
}

#[test]
fn a_name_may_have_any_characters() {
    let server = Server::start();
    create(&server, "one", &["--name=Zürich & Bern/2?limit=1#%20"]);
    create(&server, "two", &["--name=Zürich"]);
    let found = shown_token(show(&["Zürich & Bern/2?limit=1#%20"]).env("CONVENE_SERVER", &server.url));
    assert_eq!(found, "one");
}

#[test]
fn an_ambiguous_name_is_refused() {
    let server = Server::start();
    for token in ["one", "two", "three"] {
        create(&server, token, &["--name=prod"]);
    }
    let error = failure(convene(&server, &["cluster", "pause", "prod"]), 3);
    assert!(error.contains("3 clusters have the name prod; give the ID of one of them"), "{error}");
}

#[test]
fn a_discovery_url_selects_the_server_too() {
    let (server, other) = (Server::start(), Server::start());
    create(&server, "here", &[]);
    create(&other, "there", &[]);
    create(&other, "here-too", &[]);
    let there = format!("{}/there", other.url);
    assert_eq!(shown_token(show(&[&there])), "there");
    assert_eq!(shown_token(show(&[&there]).env("CONVENE_SERVER", &server.url)), "there");
    assert_eq!(shown_token(show(&[]).env("CONVENE_SERVER", &server.url).env("CONVENE_DISCOVERY", &there)), "there");
    assert_eq!(
        shown_token(show(&[]).env("ETCD_DISCOVERY", format!("{}/v2/keys/_etcd/registry/there", other.url))),
        "there"
    );
    // A token without --server is looked up on the server of the discovery URL.
    assert_eq!(shown_token(show(&["here-too"]).env("CONVENE_DISCOVERY", &there)), "here-too");
    assert_eq!(
        shown_token(show(&["here"]).env("CONVENE_SERVER", &server.url).env("CONVENE_DISCOVERY", &there)),
        "here"
    );
}

#[test]
fn delete_needs_an_explicit_cluster() {
    let server = Server::start();
    create(&server, "here", &[]);
    let delete = Convene::new(["cluster", "delete"]).env("CONVENE_DISCOVERY", format!("{}/here", server.url));
    assert!(failure(delete.run(LIMIT), 2).contains("<CLUSTER>"));
    let empty = Convene::new(["cluster", "delete", ""]).env("CONVENE_DISCOVERY", format!("{}/here", server.url));
    assert!(failure(empty.run(LIMIT), 2).contains("CLUSTER is empty"));
    assert!(output(&server, &["cluster", "list", "-o", "json"]).contains("\"here\""));
}

#[test]
fn a_missing_cluster_or_server_is_reported_with_the_flag_to_use() {
    for (arguments, expected) in [
        (&["cluster", "show"][..], "no cluster is given; give its discovery URL (or set CONVENE_DISCOVERY)"),
        (&["cluster", "show", "prod"], "no server is given; set --server https://HOST:PORT (or CONVENE_SERVER)"),
        (&["cluster", "list"], "no server is given"),
        (&["cluster", "create"], "no server is given"),
        (&["member", "list"], "no cluster is given"),
        (&["status"], "--discovery <URL>"),
    ] {
        let error = failure(Convene::new(arguments).run(LIMIT), 2);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    let error = failure(Convene::new(["cluster", "show"]).env("CONVENE_SERVER", "http://127.0.0.1:1").run(LIMIT), 2);
    assert!(error.contains("no cluster is given"), "{error}");
}
