//! The promoter that `convene join` leaves behind: one per data directory, for as long as etcd loads and no longer.

use std::{fs, net::TcpListener, path::Path, time::Duration};

use convene_harness::{Process, etcd::Version, server::Server, wait_for};

use crate::node::{LIMIT, Node, Registry, form, wait_until_healthy, with_each};

/// The promoters of a data directory.
pub fn promoters(data_dir: &Path) -> Vec<u32> {
    let wanted = format!("CONVENE_DATA_DIR={}", data_dir.display());
    let is_promoter = |process: &Path| {
        // A process may have exited since it was listed.
        let has = |file: &str, text: &str| {
            let content = fs::read(process.join(file)).unwrap_or_default();
            content.split(|byte| *byte == 0).any(|part| part == text.as_bytes())
        };
        has("cmdline", "--as-long-as-etcd-runs") && has("environ", &wanted)
    };
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let ids = processes.filter(|process| is_promoter(process));
    ids.filter_map(|process| process.file_name()?.to_str()?.parse().ok()).collect()
}

#[test]
fn restarts_leave_one_promoter_behind_which_exits_soon_after_etcd() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let mut nodes = form(&version, &registry, 1);
    nodes[0].kill();
    let data_dir = nodes[0].place.data_dir();
    // A full disk, for example, ends etcd right after each start.
    let mut last = Vec::new();
    for _ in 0..10 {
        let ended = nodes[0].call("join", &[]).run(LIMIT);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let only = wait_for(Duration::from_secs(2), || {
            Some(promoters(&data_dir)).filter(|found| found.len() == 1 && *found != last)
        });
        last = only.unwrap_or_else(|| {
            panic!("the latest promoter is not the only one: {last:?}, then {:?}", promoters(&data_dir))
        });
    }
    let gone = wait_for(Duration::from_secs(40), || promoters(&data_dir).is_empty().then_some(()));
    gone.expect("a promoter exits if no etcd starts");
}

/// The server crashes once it has instructed the founders, and is back after their etcds have started.
#[test]
fn a_registry_that_was_down_learns_that_the_cluster_formed() {
    with_each(Version::oldest_and_newest(), |version| {
        let server = Server::start_on_sqlite();
        let registry = Registry::on(&server.url, 3);
        let mut nodes = ["infra0", "infra1", "infra2"].map(|name| Node::new(version, &registry, name));
        let mut joining: Vec<Process> = nodes.iter().map(|node| node.call("join", &[]).spawn()).collect();
        for joining in &mut joining {
            assert_eq!(joining.wait_for_exit(LIMIT), Some(0), "{}", joining.stderr());
        }
        let address = server.address().to_owned();
        let crashed = server.crash();
        let port = TcpListener::bind(address).unwrap();
        for (node, joining) in nodes.iter_mut().zip(&mut joining) {
            node.start_with_result(joining);
        }
        wait_until_healthy(&nodes);
        // Each promoter tries to report its voter, and gets no answer.
        for _ in &nodes {
            drop(port.accept().unwrap());
        }
        drop(port);

        let _server = crashed.restart();
        let is_known = || (registry.get("")["phase"] == "bootstrapped").then_some(());
        wait_for(LIMIT, is_known).expect("a promoter reports that the cluster has formed");
    });
}
