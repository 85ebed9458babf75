//! A node restarts with stale data, or with valid data at a new address.

use std::{fs, sync::Arc};

use convene_harness::{Place, convene::Ended, etcd::Version, wait_for};

use crate::node::{LIMIT, Node, Registry, form, join_together, wait_until_healthy, with_each};

#[test]
fn data_of_a_removed_member_is_archived() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        let id = nodes[2].member_id();
        nodes[2].kill();
        nodes[0].remove_by_hand(&id);

        let ended = nodes[2].join(&[]);
        nodes[2].promote();
        wait_until_healthy(&nodes);
        assert_archived(&nodes[2], &ended, "removed_member", &id);
    });
}

#[test]
fn data_of_another_cluster_is_archived() {
    with_each(Version::oldest_and_newest(), |version| {
        let (elsewhere, registry) = (Registry::new(1), Registry::new(1));
        let mut stranger = form(version, &elsewhere, 1).pop().unwrap();
        let id = stranger.member_id();
        stranger.kill();
        let mut nodes = form(version, &registry, 1);
        registry.administer(&["cluster", "resize", "2"]);

        stranger.name = "infra1".to_owned();
        stranger.move_to(&registry);
        let ended = stranger.join(&[]);
        stranger.promote();
        assert_archived(&stranger, &ended, "foreign_data", &id);
        nodes.push(stranger);
        wait_until_healthy(&nodes);
    });
}

/// The node is started with the discovery URL of another cluster, and later with its own one again.
#[test]
fn a_node_without_data_names_the_archive_of_the_cluster_that_it_waits_for() {
    with_each(Version::oldest_and_newest(), |version| {
        let (own, other) = (Registry::new(1), Registry::new(1));
        let mut nodes = form(version, &own, 1);
        wait_for(LIMIT, || nodes[0].etcdctl(&["put", "key", "acknowledged"]).ok())
            .expect("a healthy cluster takes writes");
        let id = nodes[0].member_id();
        nodes[0].kill();
        let _others = form(version, &other, 1);
        nodes[0].move_to(&other);
        nodes[0].name = "infra1".to_owned();
        let mut joining = nodes[0].spawn_join(&[]);
        joining.wait_for_stderr("stand_by (full)", LIMIT);
        joining.kill();
        assert!(!joining.stderr().contains("has an archive"), "{}", joining.stderr());

        nodes[0].move_to(&own);
        nodes[0].name = "infra0".to_owned();
        let mut joining = nodes[0].spawn_join(&[]);
        joining.wait_for_stderr("this node has an archive", LIMIT);
        joining.kill();
        let stderr = joining.stderr();
        let line = stderr.lines().find(|line| line.contains("this node has an archive")).unwrap();
        assert!(line.contains("wait (no_quorum)"), "{line}");
        let (_, named) = line.split_once(&format!("with the data of member {id} of etcd cluster ")).expect(line);
        let (_, path) = named.split_once(": ").expect(line);
        let (path, _) = path.split_once("; if that data is needed, stop this command").expect(line);

        fs::rename(path, nodes[0].place.data_dir()).unwrap();
        nodes[0].join_and_promote();
        wait_until_healthy(&nodes);
        assert!(nodes[0].etcdctl(&["get", "key"]).unwrap().contains("acknowledged"));
    });
}

#[test]
fn data_of_an_earlier_epoch_is_archived_with_consent_on_each_node() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(2);
        let mut nodes = form(version, &registry, 2);
        let ids: Vec<String> = nodes.iter().map(Node::member_id).collect();
        nodes.iter_mut().for_each(Node::kill);
        registry.reset();

        let refused = nodes[0].call("join", &[]).run(LIMIT);
        assert_eq!(refused.code, Some(3), "{}", refused.stderr);
        assert!(refused.stderr.contains("start this node with `--accept-reset 2`"), "{}", refused.stderr);

        let mut joining: Vec<_> = nodes.iter().map(|node| node.spawn_join(&["--accept-reset=2"])).collect();
        let ended: Vec<Ended> =
            nodes.iter_mut().zip(&mut joining).map(|(node, joining)| node.start_with_result(joining)).collect();
        for ((node, ended), id) in nodes.iter().zip(&ended).zip(&ids) {
            assert_archived(node, ended, "earlier_epoch", id);
        }
        let members = wait_until_healthy(&nodes);
        assert!(members.iter().all(|member| !ids.contains(&member.id)));
    });
}

#[test]
fn a_database_without_a_wal_does_not_count_as_data() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(2);
        let mut nodes: Vec<Node> =
            ["infra0", "infra1"].iter().map(|name| Node::new(version, &registry, name)).collect();
        let snap = nodes[0].place.data_dir().join("member/snap");
        fs::create_dir_all(&snap).unwrap();
        fs::write(snap.join("db"), "").unwrap();
        join_together(&mut nodes);
        wait_until_healthy(&nodes);
    });
}

#[test]
fn unreadable_data_does_not_count_as_missing() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let mut node = form(&version, &registry, 1).pop().unwrap();
    node.kill();
    let wal = node.place.data_dir().join("member/wal");
    let segment = fs::read_dir(&wal)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|ext| ext == "wal"));
    fs::OpenOptions::new().write(true).open(segment.unwrap()).unwrap().set_len(10).unwrap();
    let ended = node.call("join", &["--timeout=5s"]).run(LIMIT);
    assert_ne!(ended.code, Some(0), "{}", ended.stdout);
    assert!(ended.stdout.is_empty() && ended.stderr.contains("ends at offset 10"), "{}", ended.stderr);
}

#[test]
fn a_node_with_a_new_address_keeps_its_data_and_its_member() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        nodes[0].etcdctl(&["put", "greeting", "hello"]).unwrap();
        let before = nodes[2].member_id();
        nodes[2].kill();
        nodes[2].place = Arc::new(Place::moved(&nodes[2].place));

        let ended = nodes[2].join(&[]);
        assert!(ended.stderr.contains("update_member"), "{}", ended.stderr);
        wait_until_healthy(&nodes);
        assert_eq!(nodes[2].member_id(), before);
        assert!(nodes[2].etcdctl(&["get", "greeting"]).unwrap().contains("hello"));
    });
}

/// The data was renamed, and etcd runs as a member with another ID.
fn assert_archived(node: &Node, ended: &Ended, why: &str, former: &str) {
    assert!(ended.stderr.contains("archive_data") && ended.stderr.contains(why), "{}", ended.stderr);
    let siblings = fs::read_dir(node.place.data_dir().parent().unwrap()).unwrap();
    let archives = siblings.filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().contains("archived"));
    let archives: Vec<_> = archives.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(archives.len(), 1, "{archives:?}");
    assert!(archives[0].join("member/wal").is_dir());
    let fresh = wait_for(LIMIT, || node.etcdctl(&["endpoint", "health"]).ok().map(|_| node.member_id()));
    assert_ne!(fresh.expect("etcd becomes healthy"), former);
}
