use convene_harness::{convene::Convene, server::Server};
use futures_util::future::join_all;
use reqwest::Client;
use serde_json::json;

use super::{LIMIT, cells, convene, create, failure, json, output, register, stdout};

#[test]
fn create_prints_only_the_discovery_url() {
    let server = Server::start();
    let url = output(&server, &["cluster", "create", "--size", "5"]);
    let token = url.strip_prefix(&format!("{}/", server.url)).unwrap().strip_suffix('\n').unwrap();
    assert_eq!(token.len(), 32, "{url}");
    let shown = json(&output(&server, &["cluster", "show", url.trim(), "-o", "json"]));
    assert_eq!(shown["cluster"]["size"], 5);
}

#[test]
fn a_new_cluster_has_the_settings_of_the_flags() {
    let server = Server::start();
    let flags = ["--size=1", "--name=prod", "--token=pro-duction", "--strategy=add", "--dead-after=2m"];
    let more = ["--check-in-every", "5s", "--learner", "false", "--stock-writes=allow", "-o", "json"];
    let created = json(&output(&server, &[&["cluster", "create"], &flags[..], &more].concat()));
    assert_eq!(created["discovery_url"], format!("{}/pro-duction", server.url));
    assert_eq!((&created["name"], &created["size"]), (&json!("prod"), &json!(1)));
    assert_eq!(
        created["policy"],
        json!({ "strategy": "add", "dead_after_seconds": 120, "learner": false, "check_in_every_seconds": 5,
                "paused": false, "max_failed_starts": 5, "witnesses": 2, "stock_writes": "allow", "join": "token" })
    );
}

#[test]
fn the_discovery_url_has_the_url_under_which_the_server_was_reached() {
    let server = Server::start_with(&["--public-url", "http://discovery.corp"]);
    let port = server.url.rsplit(':').next().unwrap();
    let through = format!("http://localhost:{port}");
    let url = stdout(Convene::new(["cluster", "create", "--server", &through]).run(LIMIT));
    assert!(url.starts_with(&format!("{through}/")), "{url}");
    let another = stdout(Convene::new(["cluster", "create"]).env("CONVENE_DISCOVERY", url.trim()).run(LIMIT));
    assert!(another.starts_with(&format!("{through}/")), "{another}");
    assert_ne!(url, another);
}

#[tokio::test]
async fn a_list_of_several_pages_is_complete() {
    let server = Server::start();
    let create = |n| {
        let new = json!({ "token": format!("cluster-{n:03}"), "name": format!("n{n}") });
        Client::new().post(format!("{}/v1/clusters", server.url)).json(&new).send()
    };
    for created in join_all((0..201).map(create)).await {
        assert_eq!(created.unwrap().status(), 201);
    }
    let table = output(&server, &["cluster", "list"]);
    assert_eq!(table.lines().count(), 202);
    assert!(!table.contains("cluster-"), "tokens are shortened");
    let listed = json(&output(&server, &["cluster", "list", "-o", "json"]));
    let mut tokens: Vec<_> = listed["clusters"].as_array().unwrap().iter().map(|one| one["token"].clone()).collect();
    tokens.sort_by_key(ToString::to_string);
    assert_eq!(tokens, (0..201).map(|n| json!(format!("cluster-{n:03}"))).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_list_is_filtered_by_name_and_state() {
    let server = Server::start();
    create(&server, "token-a", &["--name=a & b", "--size=1"]);
    create(&server, "token-b", &["--name=b"]);
    register(&server, "token-a", "8e9e05c52164694d", "infra0=http://10.0.0.1:2380").await;
    output(&server, &["cluster", "pause", "token-b"]);
    let list = |flags: &[&str]| output(&server, &[&["cluster", "list"], flags].concat());
    let all = list(&[]);
    let all = cells(&all);
    assert_eq!(all[0], ["NAME", "ID", "PHASE", "SIZE", "VOTERS", "LEARNERS", "PAUSED", "REVISION", "CREATED"]);
    assert_eq!((all[1][0], &all[1][2..7]), ("a & b", &["formed", "1", "1", "0", "no"][..]));
    assert_eq!((all[2][0], &all[2][2..7]), ("b", &["forming", "3", "0", "0", "yes"][..]));
    assert!(all[1][1].starts_with("cl-") && all[1][1] != all[2][1], "{all:?}");
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
    create(&server, "secret-token", &["--name=prod", "--size=2"]);
    let urls = "infra0=http://10.0.0.1:2380,infra0=http://10.1.0.1:2380";
    register(&server, "secret-token", "8e9e05c52164694d", urls).await;
    register(&server, "secret-token", "any.key", "infra1=http://10.0.0.2:2380").await;
    let url = format!("{}/secret-token", server.url);
    let status = |arguments: &[&str]| stdout(Convene::new(arguments).env("ETCD_DISCOVERY", &url).run(LIMIT));
    let seen = status(&["status"]);
    assert!(seen.contains("Quorum:       unknown: no member answers from here"), "{seen}");
    let shown = output(&server, &["cluster", "show", "prod"]);
    assert!(!shown.contains("secret-token") && !seen.contains("secret-token"), "{shown}{seen}");
    let rows = cells(&shown);
    assert_eq!(rows[0], ["Name:", "prod"]);
    assert!(rows[1][0] == "ID:" && rows[1][1].starts_with("cl-"), "{shown}");
    assert_eq!(rows[2], ["Phase:", "formed (no node has checked in, as with stock etcd)"]);
    assert_eq!(rows[3], ["Size:", "2 (has 2 voters and 0 learners)"]);
    assert_eq!(
        rows[7],
        [
            "Policy:",
            "replace, dead after 1m of silence, confirmed by 2 witnesses, check-in every 10s, nodes join as learners with a join token"
        ]
    );
    assert_eq!(rows[8..10], [["Paused:", "no"], ["Ticket:", "none"]]);
    assert!(rows[10][0] == "Watched by:" && rows[10][1].starts_with("nobody"), "{shown}");
    assert_eq!(rows[12], ["NAME", "ID", "ROLE", "HEALTH", "AGE", "PEER URLS", "CLIENT URLS", "NOTES"]);
    assert_eq!(rows[13][..4], ["infra0", "8e9e05c52164694d", "voter", "unknown"]);
    assert_eq!(rows[13][5..], ["http://10.0.0.1:2380,http://10.1.0.1:2380", "-", "-"]);
    assert_eq!(rows[14][..3], ["infra1", "any.key", "voter"]);
    let shown = json(&status(&["status", "-o", "json"]));
    assert_eq!(shown["cluster"]["token"], "secret-token");
    assert_eq!(shown["members"][1]["id"], "any.key");
    assert_eq!(shown["members"][1]["created_revision"], 3, "JSON has all fields of the API");
}

#[test]
fn status_warns_of_a_server_that_everybody_may_administer() {
    for (ip, is_exposed) in [("127.0.0.1", false), ("0.0.0.0", true)] {
        let server = Server::start_at(ip);
        create(&server, "secret-token", &["--size=2"]);
        let url = format!("{}/secret-token", server.url);
        let seen = stdout(Convene::new(&["status"]).env("CONVENE_DISCOVERY", &url).run(LIMIT));
        let warning = "Warning: the server runs with --auth off and --allow-unauthenticated";
        assert_eq!(seen.contains(warning), is_exposed, "{seen}");
    }
}

#[test]
fn set_changes_the_name_and_the_policy_and_nothing_else() {
    let server = Server::start();
    create(&server, "6c007a14", &["--size=1", "--strategy=add"]);
    let set = |flags: &[&str]| output(&server, &[&["cluster", "set", "6c007a14"], flags].concat());
    let settings = ["--name=prod", "--join=open", "--dead-after=30s", "--max-failed-starts=9"];
    let printed = set(&settings);
    assert!(printed.contains("now has the name prod and the policy: add, dead after 30s of silence"), "{printed}");
    assert!(printed.trim_end().ends_with("with the discovery URL alone; revision 2"), "{printed}");
    let printed = set(&settings);
    assert!(printed.contains("already has the name prod") && printed.contains("revision 2"), "{printed}");
    let changed = json(&set(&["--witnesses=1", "--learner=false", "-o", "json"]));
    assert_eq!(changed["name"], "prod");
    assert_eq!(
        changed["policy"],
        json!({ "strategy": "add", "dead_after_seconds": 30, "learner": false, "check_in_every_seconds": 10,
                "paused": false, "max_failed_starts": 9, "witnesses": 1, "stock_writes": "refuse", "join": "open" })
    );
    let nothing = failure(convene(&server, &["cluster", "set", "prod"]), 2);
    assert!(nothing.contains("nothing to set: give --name"), "{nothing}");
    let too_long = failure(convene(&server, &["cluster", "set", "prod", "--dead-after=30days"]), 2);
    assert!(too_long.contains("dead_after_seconds"), "{too_long}");
}

#[test]
fn resize_and_pause_print_the_change_and_its_revision() {
    let server = Server::start();
    create(&server, "6c007a14", &["--name=prod"]);
    let run = |arguments: &[&str]| output(&server, &[&["cluster"], arguments].concat());
    assert_eq!(run(&["resize", "5", "prod"]), "cluster prod (6c00…) now has size 5, was 3; revision 2\n");
    assert_eq!(run(&["resize", "5", "prod"]), "cluster prod (6c00…) already has size 5; revision 2\n");
    assert_eq!(json(&run(&["resize", "7", "prod", "-o", "json"]))["size"], 7);
    assert_eq!(
        run(&["pause", "prod"]),
        "cluster prod (6c00…) is paused: no membership changes until `convene cluster resume`; revision 4\n"
    );
    assert_eq!(run(&["pause", "prod"]), "cluster prod (6c00…) is already paused; revision 4\n");
    assert_eq!(run(&["resume", "prod"]), "cluster prod (6c00…) is no longer paused; revision 5\n");
    assert_eq!(run(&["resume", "prod"]), "cluster prod (6c00…) is not paused; revision 5\n");
    assert_eq!(json(&run(&["pause", "prod", "-o", "json"]))["policy"]["paused"], true);
}

#[test]
fn concurrent_resizes_each_print_the_size_that_they_changed() {
    let server = Server::start();
    create(&server, "busy", &["--size=1"]);
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
    // Each resize starts from the size that another one has set, so they form one chain.
    let mut size = 1;
    while let Some(n) = from_to.iter().position(|(from, _)| *from == size) {
        size = from_to.swap_remove(n).1;
    }
    assert_eq!(from_to, []);
}

#[test]
fn a_deleted_cluster_is_no_longer_listed() {
    let server = Server::start();
    create(&server, "6c007a14", &["--name=prod"]);
    create(&server, "7c007a14", &[]);
    assert_eq!(
        output(&server, &["cluster", "delete", "prod"]),
        "cluster prod (6c00…) is deleted; its etcd nodes keep running\n"
    );
    let gone = json(&output(&server, &["cluster", "delete", "7c007a14", "-o", "json"]));
    assert_eq!(gone["token"], "7c007a14");
    assert_eq!(output(&server, &["cluster", "list", "-o", "json"]), "{\"clusters\":[]}\n");
}

#[tokio::test]
async fn a_deleted_cluster_with_members_gives_its_token_free_on_request() {
    let server = Server::start();
    let url = format!("{}/fixed-token", server.url);
    for cluster in ["prod", "fixed-token", &url] {
        create(&server, "fixed-token", &["--name=prod"]);
        register(&server, "fixed-token", "8e9e05c52164694d", "infra0=http://10.0.0.1:2380").await;
        let freed = output(&server, &["cluster", "delete", "--forget-used", cluster]);
        let (first, rest) = freed.split_once('\n').unwrap();
        assert_eq!(first, "cluster fixed… is deleted, and its token is free; its etcd nodes keep running");
        assert!(rest.starts_with("Warning: etcd computes the IDs of a cluster") && rest.ends_with('\n'), "{rest}");
    }

    create(&server, "fixed-token", &[]);
    register(&server, "fixed-token", "8e9e05c52164694d", "infra0=http://10.0.0.1:2380").await;
    output(&server, &["cluster", "delete", "fixed-token"]);
    let refused = failure(convene(&server, &["cluster", "create", "--token", "fixed-token"]), 3);
    assert!(refused.contains("`convene cluster delete --forget-used`"), "{refused}");
    let freed = json(&output(&server, &["cluster", "delete", "--forget-used", "fixed-token", "-o", "json"]));
    assert_eq!((&freed["deleted"], &freed["forgotten"]), (&json!(false), &json!(true)));
    assert!(freed["warning"].as_str().unwrap().contains("delete their data"), "{freed}");
    for free in ["fixed-token", &url, "never-used"] {
        let shown = &free.rsplit('/').next().unwrap()[..5];
        let freed = output(&server, &["cluster", "delete", "--forget-used", free]);
        assert_eq!(freed, format!("the token {shown}… was free already\n"));
    }
    create(&server, "fixed-token", &[]);
}
