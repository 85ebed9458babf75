//! Runs real etcds of all installed versions, to read their data.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use convene_harness::{
    Place,
    etcd::{Etcd, Version},
    free_port,
};
use convene_lifecycle::{ClusterId, Identity, MemberId};

/// Longer than anything here takes, even on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(60);

/// An etcd that runs on the test's data directory until this is dropped.
pub struct RealEtcd {
    etcd: Etcd,
    etcdctl: String,
}

impl RealEtcd {
    /// Starts a cluster of one member, and waits until it is healthy.
    pub fn start(version: &Version, data_dir: &Path, flags: &[&str]) -> Self {
        let etcd = start(version, data_dir, "new", flags);
        etcd.wait_until_healthy(LIMIT);
        Self { etcd, etcdctl: format!("{}/etcdctl", version.folder()) }
    }

    /// The IDs that etcd reports.
    pub fn identity(&self) -> Identity {
        let status = self.etcd.etcdctl(&["endpoint", "status", "-w", "json"]).unwrap();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let id = |name: &str| status[0]["Status"]["header"][name].as_u64().unwrap();
        Identity { member: MemberId(id("member_id")), cluster: ClusterId(id("cluster_id")) }
    }

    /// The index of the last entry in etcd's log.
    pub fn last_index(&self) -> u64 {
        let status = self.etcd.etcdctl(&["endpoint", "status", "-w", "json"]).unwrap();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        status[0]["Status"]["raftIndex"].as_u64().unwrap()
    }

    /// Writes a value, which may be larger than an argument of a command.
    pub fn put(&self, key: &str, value: &[u8]) {
        let mut etcdctl = Command::new(&self.etcdctl)
            .env("ETCDCTL_API", "3")
            .args(["--command-timeout=10s", "--endpoints", &self.etcd.place.client_url, "put", key])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        etcdctl.stdin.take().unwrap().write_all(value).unwrap();
        let output = etcdctl.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Restores a snapshot into a data directory. Returns whether the etcdctl of this version supports that: from 3.6 on it is
    /// a command of etcdutl.
    pub fn restore_to(&self, data_dir: &Path) -> bool {
        let snapshot = data_dir.with_extension("snapshot");
        let snapshot = snapshot.to_str().unwrap();
        self.etcd.etcdctl(&["snapshot", "save", snapshot]).unwrap();
        self.etcd.etcdctl(&["snapshot", "restore", snapshot, "--data-dir", data_dir.to_str().unwrap()]).is_ok()
    }

    /// Stops etcd gracefully.
    pub fn stop(mut self) {
        self.etcd.signal("TERM");
        self.etcd.wait_for_exit(LIMIT);
    }
}

/// Starts one of three founders, whose peers never start.
pub fn start_without_peers(version: &Version, data_dir: &Path) -> Etcd {
    let place = Arc::new(Place::new());
    let nowhere = [free_port(), free_port()].map(|port| format!("http://127.0.0.1:{port}"));
    let cluster = format!("a={},b={},c={}", place.peer_url, nowhere[0], nowhere[1]);
    let own = ["--name", "a", "--data-dir", data_dir.to_str().unwrap(), "--initial-cluster", &cluster];
    version.start(&place, &[&own[..], &["--initial-advertise-peer-urls", &place.peer_url]].concat())
}

/// Lets an etcd join a cluster that has no other members, and waits until it has given up.
pub fn fail_to_join(version: &Version, data_dir: &Path) {
    let mut etcd = start(version, data_dir, "existing", &[]);
    assert_ne!(etcd.wait_for_exit(LIMIT), Some(0));
}

/// The harness also sets `--data-dir`; etcd uses the last one.
fn start(version: &Version, data_dir: &Path, state: &str, flags: &[&str]) -> Etcd {
    let place = Arc::new(Place::new());
    let (data_dir, cluster) = (data_dir.to_str().unwrap(), format!("a={}", place.peer_url));
    let own = ["--name", "a", "--data-dir", data_dir, "--initial-cluster", &cluster, "--initial-cluster-state", state];
    version.start(&place, &[&own[..], &["--initial-advertise-peer-urls", &place.peer_url], flags].concat())
}
