use convene_harness::{convene::Convene, server::Server};
use futures_util::future::join_all;
use reqwest::Client;
use serde_json::json;

use super::{LIMIT, cells, done, json, make, register, said};

#[test]
fn a_new_clusters_url_is_all_that_is_printed() {
    let server = Server::start();
    let url = said(&server, &["cluster", "create", "--size", "5"]);
    let token = url.strip_prefix(&format!("{}/", server.url)).unwrap().strip_suffix('\n').unwrap();
    assert_eq!(token.len(), 32, "{url}");
    let shown = json(&said(&server, &["cluster", "show", url.trim(), "-o", "json"]));
    assert_eq!(shown["cluster"]["size"], 5);
}

#[test]
fn a_new_cluster_is_as_the_flags_say() {
    let server = Server::start();
    let flags = ["--size=1", "--name=prod", "--token=pro-duction", "--strategy=add", "--dead-after=2m"];
    let more = ["--check-in-every", "5s", "--learner", "false", "-o", "json"];
    let made = json(&said(&server, &[&["cluster", "create"], &flags[..], &more].concat()));
    assert_eq!(made["discovery_url"], format!("{}/pro-duction", server.url));
    assert_eq!((&made["name"], &made["size"]), (&json!("prod"), &json!(1)));
    assert_eq!(
        made["policy"],
        json!({ "strategy": "add", "dead_after_seconds": 120, "learner": false, "check_in_every_seconds": 5,
                "paused": false })
    );
}

#[test]
fn the_url_of_a_new_cluster_is_by_where_the_server_was_reached() {
    let server = Server::start_with(&["--public-url", "http://discovery.corp"]);
    let port = server.url.rsplit(':').next().unwrap();
    let through = format!("http://localhost:{port}");
    let url = done(Convene::new(["cluster", "create", "--server", &through]).run(LIMIT));
    assert!(url.starts_with(&format!("{through}/")), "{url}");
    let another = done(Convene::new(["cluster", "create", "--discovery", url.trim()]).run(LIMIT));
    assert!(another.starts_with(&format!("{through}/")), "{another}");
    assert_ne!(url, another);
}

#[tokio::test]
async fn all_pages_are_listed() {
    let server = Server::start();
    let make = |n| {
        let new = json!({ "token": format!("cluster-{n:03}"), "name": format!("n{n}") });
        Client::new().post(format!("{}/v1/clusters", server.url)).json(&new).send()
    };
    for made in join_all((0..201).map(make)).await {
        assert_eq!(made.unwrap().status(), 201);
    }
    let table = said(&server, &["cluster", "list"]);
    assert_eq!(table.lines().count(), 202);
    assert!(!table.contains("cluster-"), "tokens are shortened");
    let listed = json(&said(&server, &["cluster", "list", "-o", "json"]));
    let mut tokens: Vec<_> = listed["clusters"].as_array().unwrap().iter().map(|one| one["token"].clone()).collect();
    tokens.sort_by_key(ToString::to_string);
    assert_eq!(tokens, (0..201).map(|n| json!(format!("cluster-{n:03}"))).collect::<Vec<_>>());
}

#[tokio::test]
async fn clusters_are_listed_by_what_they_are() {
    let server = Server::start();
    make(&server, "token-a", &["--name=a & b", "--size=1"]);
    make(&server, "token-b", &["--name=b"]);
    register(&server, "token-a", "8e9e05c52164694d", "infra0=http://10.0.0.1:2380").await;
    said(&server, &["cluster", "pause", "token-b"]);
    let list = |flags: &[&str]| said(&server, &[&["cluster", "list"], flags].concat());
    let all = list(&[]);
    let all = cells(&all);
    assert_eq!(all[0], ["NAME", "TOKEN", "PHASE", "SIZE", "VOTERS", "LEARNERS", "PAUSED", "REVISION", "CREATED"]);
    assert_eq!(all[1][..7], ["a & b", "token-…", "formed", "1", "1", "0", "no"]);
    assert_eq!(all[2][..7], ["b", "token-…", "forming", "3", "0", "0", "yes"]);
    let first = |flags: &[&str]| cells(&list(flags))[1..].iter().map(|row| row[0].to_owned()).collect::<Vec<_>>();
    assert_eq!(first(&["--name=a & b"]), ["a & b"]);
    assert_eq!(first(&["--formed"]), ["a & b"]);
    assert_eq!(first(&["--formed=false"]), ["b"]);
    assert_eq!(first(&["--paused"]), ["b"]);
    assert_eq!(first(&["--paused", "--formed"]), Vec::<String>::new());
    assert_eq!(list(&["--name=c", "-o", "json"]), "{\"clusters\":[]}\n");
}

#[tokio::test]
async fn a_cluster_is_shown_with_its_members() {
    let server = Server::start();
    make(&server, "secret-token", &["--name=prod", "--size=2"]);
    let urls = "infra0=http://10.0.0.1:2380,infra0=http://10.1.0.1:2380";
    register(&server, "secret-token", "8e9e05c52164694d", urls).await;
    register(&server, "secret-token", "any.key", "infra1=http://10.0.0.2:2380").await;
    let url = format!("{}/secret-token", server.url);
    let status = |arguments: &[&str]| done(Convene::new(arguments).env("ETCD_DISCOVERY", &url).run(LIMIT));
    let shown = status(&["status"]);
    assert_eq!(shown, said(&server, &["cluster", "show", "prod"]));
    assert!(!shown.contains("secret-token"), "{shown}");
    let rows = cells(&shown);
    assert_eq!(rows[0], ["Name:", "prod"]);
    assert_eq!(rows[1], ["Token:", "secret…"]);
    assert_eq!(rows[2], ["Phase:", "formed"]);
    assert_eq!(rows[3], ["Size:", "2 (there are 2 voters and 0 learners)"]);
    assert_eq!(rows[7], ["Policy:", "replace, dead after 1m, check-in every 10s, nodes join as learners"]);
    assert_eq!(rows[8..11], [vec!["Paused:", "no"], vec!["Ticket:", "none"], vec![]]);
    assert_eq!(rows[11], ["NAME", "ID", "ROLE", "STARTED", "LAST HEARD OF", "PEER URLS", "CLIENT URLS", "NOTES"]);
    assert_eq!(rows[12][..4], ["infra0", "8e9e05c52164694d", "voter", "no"]);
    assert_eq!(rows[12][5..], ["http://10.0.0.1:2380,http://10.1.0.1:2380", "-", "-"]);
    assert_eq!(rows[13][..3], ["infra1", "any.key", "voter"]);
    let shown = json(&status(&["status", "-o", "json"]));
    assert_eq!(shown["cluster"]["token"], "secret-token");
    assert_eq!(shown["members"][1]["id"], "any.key");
    assert_eq!(shown["members"][1]["created_revision"], 3, "all that the API says is there");
}

#[test]
fn a_cluster_is_resized_and_paused_and_says_how_it_was() {
    let server = Server::start();
    make(&server, "6c007a14", &["--name=prod"]);
    let said = |arguments: &[&str]| said(&server, &[&["cluster"], arguments].concat());
    assert_eq!(said(&["resize", "5", "prod"]), "cluster prod (6c007a…) has size 5 now, was 3; revision 2\n");
    assert_eq!(said(&["resize", "5", "prod"]), "cluster prod (6c007a…) has size 5 already; revision 2\n");
    assert_eq!(json(&said(&["resize", "7", "prod", "-o", "json"]))["size"], 7);
    assert_eq!(
        said(&["pause", "prod"]),
        "cluster prod (6c007a…) is paused: no node is told to change its membership until it is resumed; revision 4\n"
    );
    assert_eq!(said(&["pause", "prod"]), "cluster prod (6c007a…) is paused already; revision 4\n");
    assert_eq!(said(&["resume", "prod"]), "cluster prod (6c007a…) is not paused any more; revision 5\n");
    assert_eq!(said(&["resume", "prod"]), "cluster prod (6c007a…) is not paused; revision 5\n");
    assert_eq!(json(&said(&["pause", "prod", "-o", "json"]))["policy"]["paused"], true);
}

#[test]
fn resizes_at_the_same_time_all_say_what_they_have_changed() {
    let server = Server::start();
    make(&server, "busy", &["--size=1"]);
    let mut resizes: Vec<_> = (2..6)
        .map(|size| {
            let resize = Convene::new(["cluster", "resize", &size.to_string(), "busy"]);
            resize.env("CONVENE_SERVER", &server.url).spawn()
        })
        .collect();
    let mut from_to: Vec<(u32, u32)> = Vec::new();
    for resize in &mut resizes {
        assert_eq!(resize.wait_for_exit(LIMIT), Some(0), "{}", resize.output());
        let numbers: Vec<u32> =
            resize.stdout().split([' ', ',', ';']).filter_map(|word| word.trim().parse().ok()).collect();
        from_to.push((numbers[1], numbers[0]));
    }
    // Each began where another ended, so that they make one chain from the first size.
    let mut size = 1;
    while let Some(n) = from_to.iter().position(|(from, _)| *from == size) {
        size = from_to.swap_remove(n).1;
    }
    assert_eq!(from_to, []);
}

#[test]
fn a_deleted_cluster_is_gone() {
    let server = Server::start();
    make(&server, "6c007a14", &["--name=prod"]);
    make(&server, "7c007a14", &[]);
    assert_eq!(
        said(&server, &["cluster", "delete", "prod"]),
        "cluster prod (6c007a…) is deleted; etcds of it go on running\n"
    );
    let gone = json(&said(&server, &["cluster", "delete", "7c007a14", "-o", "json"]));
    assert_eq!(gone["token"], "7c007a14");
    assert_eq!(said(&server, &["cluster", "list", "-o", "json"]), "{\"clusters\":[]}\n");
}
