//! `convene run` as the first process of a container.

use std::{fs, process::Command};

use convene_harness::{Process, etcd::Version, server::Server, wait_for};

use super::agent::{Agent, is_running, signal};
use crate::node::{LIMIT, Registry};

mod large {
    use super::*;

    #[test]
    fn the_first_process_of_a_container_waits_for_orphans_and_ends_all() {
        let Some(version) = Version::all().pop() else { return };
        let registry = Registry::new(1);
        let node = Agent::new(&version, &registry, "infra0");
        let Some(mut container) = Container::start(&node, &[]) else { return };
        node.wait_for_state("voter");
        let etcd = container.etcd();
        container.wait_until_orphan_is_reaped();

        signal(container.first, "TERM");
        assert_eq!(container.process.wait_for_exit(LIMIT), Some(0), "{}", container.process.stderr());
        assert!(!is_running(etcd), "etcd ends with the container");
        let log = container.process.stderr();
        assert!(log.contains("etcd ended") && log.contains("the agent ends, too"), "{log}");

        // A crash of the agent ends the container with its etcd, and the next one goes on with the data.
        let Some(container) = Container::start(&node, &[]) else { return };
        node.wait_for_state("voter");
        let etcd = container.etcd();
        signal(container.first, "KILL");
        wait_for(LIMIT, || (!is_running(etcd)).then_some(())).expect("etcd ends with its agent");
        let Some(_container) = Container::start(&node, &[]) else { return };
        node.wait_for_state("voter");
    }

    /// The node can't leave, because the server does not answer.
    #[test]
    fn an_etcd_that_ends_while_its_stop_is_prepared_is_no_orphan() {
        let Some(version) = Version::all().pop() else { return };
        let server = Server::start();
        let registry = Registry::on(&server.url, 1);
        let node = Agent::new(&version, &registry, "infra0");
        let Some(mut container) = Container::start(&node, &["--leave-on-stop"]) else { return };
        node.wait_for_state("voter");
        let etcd = container.etcd();
        server.signal("STOP");
        signal(container.first, "TERM");
        node.wait_for_state("stopping");
        signal(etcd, "KILL");
        container.wait_until_orphan_is_reaped();
        signal(container.first, "TERM");
        // 128 and the signal.
        assert_eq!(container.process.wait_for_exit(LIMIT), Some(137), "{}", container.process.stderr());
        assert!(container.process.stderr().contains("etcd ended by signal 9"), "{}", container.process.stderr());
    }
}

/// A namespace of processes, of which an agent is the first one.
struct Container {
    process: Process,
    /// The agent, by the ID that it has for everybody else.
    first: u32,
}

impl Container {
    /// Starts an agent in it. `None`, with the reason printed, if that is not allowed here.
    fn start(node: &Agent, flags: &[&str]) -> Option<Self> {
        let mut process = node.call(flags).as_first_process()?.spawn();
        let children =
            wait_for(LIMIT, || children(process.id()).first().copied().or((!process.is_running()).then_some(0)));
        let first = children.filter(|first| *first != 0).unwrap_or_else(|| panic!("{}", process.output()));
        Some(Self { process, first })
    }

    /// The agent's etcd, its only child.
    fn etcd(&self) -> u32 {
        let [etcd] = children(self.first)[..] else { panic!("etcd is the only child: {:?}", children(self.first)) };
        etcd
    }

    /// Starts a process in it whose parent ends, and waits until the agent has waited for its end.
    fn wait_until_orphan_is_reaped(&self) {
        let before = children(self.first);
        let entered = Command::new("nsenter")
            .args(["--pid", "--target", &self.first.to_string(), "sh", "-c", "sleep 1 >/dev/null 2>&1 &"])
            .output()
            .unwrap();
        assert!(entered.status.success(), "{entered:?}");
        let orphan = wait_for(LIMIT, || children(self.first).into_iter().find(|child| !before.contains(child)));
        let orphan = orphan.expect("an orphan becomes a child of the first process");
        let stat = format!("/proc/{orphan}/stat");
        let reaped = wait_for(LIMIT, || (!fs::exists(&stat).unwrap()).then_some(()));
        reaped.unwrap_or_else(|| panic!("{:?}", fs::read_to_string(&stat)));
    }
}

fn children(process: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    children.split_ascii_whitespace().map(|child| child.parse().unwrap()).collect()
}
