//! A node verifies the reason of an instruction itself. These registries are wrong or malicious.

use convene_harness::{Place, convene::Convene, etcd::Version, free_port, tls::Ca, wait_for};
use serde_json::{Value, json};

use super::{
    copies::{copy_of, start_drill},
    lying_registry::LyingRegistry,
};
use crate::node::{LIMIT, Node, Registry, form, wait_until_healthy, with_each};

fn archive_data() -> Value {
    json!({ "instruction": "archive_data", "reason": "removed_member" })
}

/// Waits until the etcd of a node lists these nodes to its peers, which takes no leader. While etcd 3.4 loads its log, it lists
/// nobody.
fn wait_until_it_lists(node: &Node, listed: &[&Node]) {
    let members = format!("{}/members", node.place.peer_url);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let list = || runtime.block_on(async { reqwest::get(&members).await.ok()?.text().await.ok() });
    let all_listed = || list().filter(|list| listed.iter().all(|node| list.contains(&node.place.peer_url)));
    wait_for(LIMIT, all_listed).expect("the member serves its peers");
}

#[test]
fn data_of_a_member_that_is_listed_is_not_archived() {
    with_each(Version::oldest_and_newest(), |version| {
        let mut nodes = form(version, &Registry::new(3), 3);
        let id = nodes[2].member_id();
        nodes[2].kill();
        let liar = LyingRegistry::start(&[&nodes[0].place, &nodes[1].place], archive_data());
        nodes[2].move_to(&liar.registry);

        let ended = nodes[2].join(&[]);
        assert!(ended.stderr.contains("start (node_refused)"), "{}", ended.stderr);
        wait_until_healthy(&nodes);
        assert_eq!(nodes[2].member_id(), id);
        let found = format!("archive_data: member {id} is in the current member list of its cluster");
        assert!(liar.refusals()[0].starts_with(&found), "{:?}", liar.refusals());
    });
}

#[test]
fn the_list_of_a_drill_elsewhere_is_no_reason_to_archive() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        let copy = copy_of(&mut nodes, 0);
        // The drill is the only etcd that answers.
        nodes.iter_mut().for_each(Node::kill);
        let drill = Node::at(copy, version, &registry, "infra0");
        let forced = start_drill(version, &drill.place, &[]);
        let liar = LyingRegistry::start(&[&drill.place], archive_data());
        nodes[1].move_to(&liar.registry);

        let ended = nodes[1].join(&[]);
        assert!(ended.stderr.contains("start (node_refused)"), "{}", ended.stderr);
        assert!(!liar.refusals().is_empty());
        drop(forced);
        nodes[1].move_to(&registry);
        for node in &mut nodes {
            node.kill();
        }
        std::thread::scope(|scope| {
            for node in &mut nodes {
                scope.spawn(|| node.join(&[]));
            }
        });
        wait_until_healthy(&nodes);
    });
}

#[test]
fn a_member_that_answers_is_not_removed() {
    with_each(Version::oldest_and_newest(), |version| {
        let mut nodes = form(version, &Registry::new(3), 3);
        let ids: Vec<String> = nodes.iter().map(Node::member_id).collect();
        let expect: Vec<Value> = ids.iter().map(|id| json!({ "id": id, "learner": false })).collect();
        let remove = json!({
            "instruction": "remove_member",
            "reason": "dead",
            "member_id": ids[1],
            "terms": { "ticket": 1, "act_within_seconds": 20, "expect": expect },
        });
        let places: Vec<_> = nodes.iter().map(|node| node.place.clone()).collect();
        let places: Vec<_> = places.iter().map(|place| &**place).collect();
        let liar = LyingRegistry::start(&places, remove);
        let spare = Node::new(version, &liar.registry, "spare");
        let ended = spare.call("join", &["--timeout=8s"]).run(LIMIT);
        assert_eq!(ended.code, Some(4), "{}", ended.stderr);
        let found = format!("remove_member: infra1 ({}) answers", ids[1]);
        assert!(liar.refusals().contains(&found), "{:?}", liar.refusals());
        wait_until_healthy(&nodes);

        // A dead one is removed.
        nodes[1].kill();
        spare.call("join", &["--timeout=8s"]).run(LIMIT);
        nodes.remove(1);
        wait_until_healthy(&nodes);
    });
}

#[test]
fn leaving_on_a_copy_removes_no_member_that_runs() {
    with_each(Version::oldest_and_newest(), |version| {
        let mut nodes = form(version, &Registry::new(3), 3);
        let copy = copy_of(&mut nodes, 0);
        let ids: Vec<String> = nodes.iter().map(Node::member_id).collect();
        let expect: Vec<Value> = ids.iter().map(|id| json!({ "id": id, "learner": false })).collect();
        for instruction in ["remove_member", "leave"] {
            let remove = json!({
                "instruction": instruction,
                "reason": "leaving",
                "member_id": ids[0],
                "terms": { "ticket": 1, "act_within_seconds": 20, "expect": expect },
            });
            let liar = LyingRegistry::start(&[&nodes[1].place, &nodes[2].place], remove);
            let mut copy = Node::at(copy.copied(), version, &liar.registry, "infra0");
            let ended = copy.call("leave", &["--timeout=6s"]).run(LIMIT);
            assert_eq!(ended.code, Some(4), "{}", ended.stderr);
            let found = format!("{instruction}: an etcd already runs as member {}", ids[0]);
            assert!(liar.refusals()[0].starts_with(&found), "{:?}", liar.refusals());

            let refusals = liar.refusals().len();
            copy.lose_disk();
            let ended = copy.call("leave", &["--timeout=6s"]).run(LIMIT);
            assert_eq!(ended.code, Some(4), "{}", ended.stderr);
            assert!(
                liar.refusals()[refusals..].iter().any(|refusal| refusal.starts_with(&found)),
                "{:?}",
                liar.refusals()
            );
        }
        wait_until_healthy(&nodes);
        assert_eq!(nodes.iter().map(Node::member_id).collect::<Vec<_>>(), ids);
    });
}

/// The registry was made to believe that the founders have never had a leader.
#[test]
fn a_node_without_data_founds_no_cluster_next_to_one_that_runs() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        let places: Vec<_> = nodes.iter().map(|node| node.place.clone()).collect();
        let founders: Vec<String> =
            places.iter().enumerate().map(|(at, place)| format!("infra{at}={}", place.peer_url)).collect();
        let bootstrap = json!({
            "instruction": "bootstrap",
            "reason": "roster_complete",
            "start": {
                "name": "infra0",
                "initial_advertise_peer_urls": [&places[0].peer_url],
                "initial_cluster": founders.join(","),
                "initial_cluster_state": "new",
                "initial_cluster_token": "another",
            },
        });
        nodes[0].kill();
        places[0].lose_disk();
        let liar = LyingRegistry::start(&[&places[0]], bootstrap);
        nodes[0].move_to(&liar.registry);
        let ended = nodes[0].call("join", &["--timeout=6s"]).run(LIMIT);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(4), ""), "{}", ended.stderr);
        let found = &liar.refusals()[0];
        assert!(
            found.contains("was instructed to found another one") && found.contains("convene cluster adopt"),
            "{found}"
        );
        nodes[0].move_to(&registry);
        nodes[0].join_and_promote();
        wait_until_healthy(&nodes);
    });
}

#[test]
fn a_copy_does_not_start_while_the_member_runs() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        let copy = copy_of(&mut nodes, 0);
        let start = json!({ "instruction": "start", "reason": "own_data" });
        let liar = LyingRegistry::start(&[&nodes[1].place, &nodes[2].place], start);
        let copy = Node::at(copy, version, &liar.registry, "infra0");
        let ended = copy.call("join", &["--timeout=5s"]).run(LIMIT);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(4), ""), "{}", ended.stderr);
        assert!(liar.refusals()[0].starts_with("start: an etcd already runs as member"), "{:?}", liar.refusals());

        // Without a registry, too.
        let gone = Registry::at(format!("http://127.0.0.1:{}/6c007a14875d53d9bf0ef5a6fc0257c8", free_port()));
        let mut copy = copy;
        copy.move_to(&gone);
        let ended = copy.call("join", &["--timeout=5s", "--offline-grace=0s"]).run(LIMIT);
        assert_eq!(ended.stdout, "", "{}", ended.stderr);
        assert!(ended.stderr.contains("an etcd already runs as member"), "{}", ended.stderr);

        // Nor while the member knows no leader: its client port is closed then.
        nodes.iter_mut().for_each(Node::kill);
        nodes[0].join(&[]);
        wait_until_it_lists(&nodes[0], &nodes.iter().collect::<Vec<_>>());
        let ended = copy.call("join", &["--timeout=5s", "--offline-grace=0s"]).run(LIMIT);
        assert_eq!(ended.stdout, "", "{}", ended.stderr);
        let at_peer_port = format!("at {}; two", nodes[0].place.peer_url);
        assert!(ended.stderr.contains(&at_peer_port), "{}", ended.stderr);
        nodes[1].join(&[]);
        nodes[2].join(&[]);
        wait_until_healthy(&nodes);
    });
}

#[test]
fn a_copy_does_not_start_while_the_member_is_suspended() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(1);
        let mut nodes = form(version, &registry, 1);
        let copy = copy_of(&mut nodes, 0);
        nodes[0].etcd().signal("STOP");
        let gone = Registry::at(format!("http://127.0.0.1:{}/6c007a14875d53d9bf0ef5a6fc0257c8", free_port()));
        let mut copy = Node::at(copy, version, &registry, "infra0");
        for registry in [&registry, &gone] {
            copy.move_to(registry);
            let joining = copy.spawn_join(&["--offline-grace=0s"]);
            let suspended = format!("a process at {}, a peer URL of member ", nodes[0].place.peer_url);
            let line = joining.wait_for_stderr(&suspended, LIMIT);
            assert!(line.contains("runs as this member: a process accepts connections"), "{line}");
            assert_eq!(joining.stdout(), "", "{}", joining.stderr());
        }
        nodes[0].etcd().signal("CONT");
        wait_until_healthy(&nodes);
    });
}

/// Somebody runs `convene join` for another data directory on the machine of a member whose etcd is suspended.
#[test]
fn a_suspended_member_is_not_removed_for_a_run_without_data_on_its_machine() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        let members = wait_until_healthy(&nodes);
        let empty = tempfile::tempdir().unwrap();
        nodes[2].etcd().signal("STOP");
        let place = &nodes[2].place;
        let joining = Convene::new([
            "join".to_owned(),
            "--name=infra2".to_owned(),
            format!("--data-dir={}", empty.path().join("data").display()),
            format!("--initial-advertise-peer-urls={}", place.peer_url),
            format!("--advertise-client-urls={}", place.client_url),
            "--no-promote".to_owned(),
            "--timeout=60s".to_owned(),
        ]);
        let joining = joining.env("CONVENE_DISCOVERY", &registry.url).spawn();
        joining.wait_for_stderr("a process accepts connections", LIMIT);
        drop(joining);
        nodes[2].etcd().signal("CONT");
        assert_eq!(wait_until_healthy(&nodes), members);
    });
}

#[test]
fn a_copy_does_not_start_if_the_member_rejects_its_certificate() {
    with_each(Version::oldest_and_newest(), |version| {
        let (ca, other) = (Ca::new(), Ca::new());
        let registry = Registry::new(1);
        let mut nodes = [Node::at(Place::with_tls(&ca.node()), version, &registry, "infra0")];
        nodes[0].join(&[]);
        wait_until_healthy(&nodes);
        nodes[0].kill();
        let foreign = other.node().trusting(&[&ca, &other]);
        let copy = nodes[0].place.copied_to(Place::with_tls(&foreign)).at_address_of(&nodes[0].place);
        nodes[0].join(&[]);
        wait_until_healthy(&nodes);

        let copy = Node::at(copy, version, &registry, "infra0");
        let ended = copy.call("join", &["--timeout=8s"]).run(LIMIT);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(4), ""), "{}", ended.stderr);
        let found = format!("a process at {}, a peer URL of member ", nodes[0].place.peer_url);
        assert!(ended.stderr.contains(&found), "{}", ended.stderr);
        wait_until_healthy(&nodes);
    });
}

#[test]
fn an_instruction_that_does_not_fit_the_data_directory_is_refused() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let mut nodes = form(&version, &registry, 1);
    nodes[0].kill();
    let place = nodes[0].place.clone();
    let bootstrap = json!({
        "instruction": "bootstrap",
        "reason": "roster_complete",
        "start": {
            "name": "infra0",
            "initial_advertise_peer_urls": [&place.peer_url],
            "initial_cluster": format!("infra0={}", place.peer_url),
            "initial_cluster_state": "new",
            "initial_cluster_token": "another",
        },
    });
    let liar = LyingRegistry::start(&[&place], bootstrap);
    nodes[0].move_to(&liar.registry);
    let ended = nodes[0].call("join", &["--timeout=4s"]).run(LIMIT);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(4), ""), "{}", ended.stderr);
    let does_not_fit = "the instruction does not fit the contents of";
    assert!(liar.refusals()[0].starts_with(&format!("bootstrap: {does_not_fit}")), "{:?}", liar.refusals());

    // Without data, etcd would start as a member that has lost its log.
    let liar = LyingRegistry::start(&[&place], json!({ "instruction": "start", "reason": "own_data" }));
    let empty = Node::new(&version, &liar.registry, "infra0");
    let ended = empty.call("join", &["--timeout=4s"]).run(LIMIT);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(4), ""), "{}", ended.stderr);
    assert!(liar.refusals()[0].starts_with(&format!("start: {does_not_fit}")), "{:?}", liar.refusals());

    nodes[0].move_to(&registry);
    nodes[0].join(&[]);
    wait_until_healthy(&nodes);
}

/// The registry instructs a founder to bootstrap, to archive its data as that of an earlier attempt, and to bootstrap again in the
/// same attempt: the member would forget how it has voted.
#[test]
fn a_founder_does_not_bootstrap_again_without_the_data_that_it_has_archived() {
    with_each(Version::oldest_and_newest(), |version| {
        let mut node = Node::new(version, &Registry::at(String::new()), "infra0");
        let place = node.place.clone();
        let (peer_url, other) = (&place.peer_url, free_port());
        let bootstrap = |token: &str| {
            json!({
                "instruction": "bootstrap",
                "reason": "roster_complete",
                "start": {
                    "name": "infra0",
                    "initial_advertise_peer_urls": [peer_url],
                    "initial_cluster": format!("infra0={peer_url},infra1=http://127.0.0.1:{other}"),
                    "initial_cluster_state": "new",
                    "initial_cluster_token": token,
                },
            })
        };
        node.move_to(&LyingRegistry::start(&[&place], bootstrap("first")).registry);
        node.join(&[]);
        wait_until_it_lists(&node, &[&node]);
        node.kill();

        let archive = json!({ "instruction": "archive_data", "reason": "earlier_epoch" });
        node.move_to(&LyingRegistry::start(&[&place], archive).registry);
        node.call("join", &["--timeout=8s"]).run(LIMIT);
        assert!(!place.data_dir().join("member/wal").exists(), "data without an entry of a leader is archived");

        let liar = LyingRegistry::start(&[&place], bootstrap("first"));
        node.move_to(&liar.registry);
        let ended = node.call("join", &["--timeout=8s"]).run(LIMIT);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(4), ""), "{}", ended.stderr);
        let found = &liar.refusals()[0];
        assert!(found.contains("would start without its data, which this node has archived in"), "{found}");

        // The next attempt has another token.
        node.move_to(&LyingRegistry::start(&[&place], bootstrap("second")).registry);
        node.join(&[]);
    });
}
