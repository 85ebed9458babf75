//! Runs etcds of all the versions that are installed, to read what they write.

use std::{
    env,
    fs::{self, File},
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use convene_lifecycle::{ClusterId, Identity, MemberId};

const DEADLINE: Duration = Duration::from_secs(60);

/// A version of etcd that is installed.
pub struct Version {
    folder: PathBuf,
}

/// An etcd that runs until this is dropped.
pub struct RealEtcd {
    process: Child,
    etcdctl: PathBuf,
    client_url: String,
}

/// The versions of etcd that are installed; if there are none, says that the test is skipped.
pub fn versions() -> Vec<Version> {
    let peers = env::var_os("CONVENE_TEST_PEERS").map(PathBuf::from).unwrap_or_else(|| {
        let home = || PathBuf::from(env::var_os("HOME").expect("HOME is set")).join(".cache");
        env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("convene/peers")
    });
    let folders = ["3.4", "3.5", "3.6", "3.7"].map(|version| peers.join(format!("etcd-{version}")));
    let found: Vec<Version> =
        folders.into_iter().filter(|folder| folder.join("etcd").exists()).map(|folder| Version { folder }).collect();
    if found.is_empty() {
        assert!(env::var_os("CONVENE_TEST_REQUIRE_PEERS").is_none(), "no etcd in {}", peers.display());
        eprintln!("SKIPPED: no etcd in {}; scripts/peers/install installs it", peers.display());
    }
    found
}

/// Waits until something is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

impl Version {
    pub fn name(&self) -> &str {
        self.folder.file_name().unwrap().to_str().unwrap()
    }

    /// Starts a member that is alone in its cluster, and waits until it is ready.
    pub fn start(&self, data_dir: &Path, flags: &[&str]) -> RealEtcd {
        for _ in 0..3 {
            let (process, client_url) = self.spawn(data_dir, "new", flags);
            let mut etcd = RealEtcd { process, etcdctl: self.folder.join("etcdctl"), client_url };
            let mut exited = false;
            eventually("the etcd is ready", || {
                exited = etcd.process.try_wait().unwrap().is_some();
                exited || etcd.etcdctl(&["endpoint", "health"], b"").is_some()
            });
            // Someone else may have taken a port in between.
            if !exited {
                return etcd;
            }
        }
        panic!("{} does not start on {}: see etcd.log beside it", self.name(), data_dir.display());
    }

    /// Lets an etcd join a cluster in which nobody else is, and waits until it has given up.
    pub fn fail_to_join(&self, data_dir: &Path) {
        let (mut process, _) = self.spawn(data_dir, "existing", &[]);
        eventually("the etcd gives up", || process.try_wait().unwrap().is_some());
        assert!(!process.wait().unwrap().success());
    }

    fn spawn(&self, data_dir: &Path, state: &str, flags: &[&str]) -> (Child, String) {
        let [peer_url, client_url] = free_ports().map(|port| format!("http://127.0.0.1:{port}"));
        let log = File::options().create(true).append(true).open(data_dir.with_file_name("etcd.log")).unwrap();
        let process = Command::new(self.folder.join("etcd"))
            .arg("--name=a")
            .arg("--data-dir")
            .arg(data_dir)
            .arg(format!("--initial-cluster=a={peer_url}"))
            .arg(format!("--initial-cluster-state={state}"))
            .args([format!("--initial-advertise-peer-urls={peer_url}"), format!("--listen-peer-urls={peer_url}")])
            .args([format!("--advertise-client-urls={client_url}"), format!("--listen-client-urls={client_url}")])
            .args(flags)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        (process, client_url)
    }
}

impl RealEtcd {
    /// The IDs, as etcd itself says them.
    pub fn identity(&self) -> Identity {
        let status = self.etcdctl(&["endpoint", "status", "-w", "json"], b"").unwrap();
        let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
        let id = |name: &str| status[0]["Status"]["header"][name].as_u64().unwrap();
        Identity { member: MemberId(id("member_id")), cluster: ClusterId(id("cluster_id")) }
    }

    pub fn put(&self, key: &str, value: &[u8]) {
        self.etcdctl(&["put", key], value).expect("etcd takes the value");
    }

    /// Makes a data directory from a snapshot, and says whether this version's etcdctl does that: from 3.6 it is
    /// left to etcdutl.
    pub fn restore_to(&self, data_dir: &Path) -> bool {
        let snapshot = data_dir.with_extension("snapshot");
        let snapshot = snapshot.to_str().unwrap();
        self.etcdctl(&["snapshot", "save", snapshot], b"").expect("a snapshot is taken");
        self.etcdctl(&["snapshot", "restore", snapshot, "--data-dir", data_dir.to_str().unwrap()], b"").is_some()
    }

    /// Ends it as a shutdown does.
    pub fn stop(mut self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        eventually("the etcd stops", || self.process.try_wait().unwrap().is_some());
    }

    /// What etcdctl answers; `None` if it fails.
    fn etcdctl(&self, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
        let mut etcdctl = Command::new(&self.etcdctl)
            .env("ETCDCTL_API", "3")
            .args(["--command-timeout=10s", "--endpoints", &self.client_url])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // etcdctl may end without having read everything, or anything.
        let _ = etcdctl.stdin.take().unwrap().write_all(input);
        let output = etcdctl.wait_with_output().unwrap();
        output.status.success().then_some(output.stdout)
    }
}

impl Drop for RealEtcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// The names in a directory, in order.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
