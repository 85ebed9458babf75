use std::{
    fs,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;

use super::{Process, free_port, peers, wait_for};

/// The programs of one version of etcd.
#[derive(Clone)]
pub struct Version {
    pub name: &'static str,
    etcd: PathBuf,
    etcdctl: PathBuf,
}

impl Version {
    /// A version such as "3.5"; `None` if it is not installed.
    pub fn find(name: &'static str) -> Option<Self> {
        let folder = format!("etcd-{name}");
        let (etcd, etcdctl) = (peers::program(&folder, "etcd")?, peers::program(&folder, "etcdctl")?);
        Some(Self { name, etcd, etcdctl })
    }

    /// Where its programs are.
    pub fn folder(&self) -> &str {
        self.etcd.parent().and_then(Path::to_str).unwrap()
    }

    /// Starts an etcd that bootstraps by v2 discovery.
    pub fn discover(&self, name: &str, discovery_url: &str) -> Etcd {
        let place = Arc::new(Place::new());
        let advertised = ["--initial-advertise-peer-urls", &place.peer_url];
        self.start(&place, &[&["--name", name, "--discovery", discovery_url][..], &advertised].concat())
    }

    /// Starts an etcd at its place.
    pub fn start(&self, place: &Arc<Place>, flags: &[&str]) -> Etcd {
        let mut command = Command::new(&self.etcd);
        command
            .arg("--data-dir")
            .arg(place.data())
            .args(["--listen-client-urls", &place.client_url, "--advertise-client-urls", &place.client_url])
            .args(["--listen-peer-urls", &place.peer_url, "--logger", "zap"])
            .args(flags);
        let process = Process::spawn(&format!("etcd {} {flags:?}", self.name), &mut command);
        Etcd { version: self.clone(), process, place: place.clone() }
    }

    /// Runs etcdctl against one member alone; its output, or what it says of its failure.
    pub fn etcdctl(&self, endpoint: &str, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(&self.etcdctl)
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", endpoint, "--command-timeout", "5s"])
            .args(arguments)
            .output()
            .unwrap();
        let said = |bytes| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(said(output.stdout)) } else { Err(said(output.stderr)) }
    }
}

/// Where an etcd has its data and is reached: stays when its process ends.
pub struct Place {
    pub client_url: String,
    pub peer_url: String,
    dir: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let url = || format!("http://127.0.0.1:{}", free_port());
        Self { client_url: url(), peer_url: url(), dir: TempDir::new().unwrap() }
    }

    /// Loses the data, as a disk does that breaks.
    pub fn lose_disk(&self) {
        fs::remove_dir_all(self.data()).unwrap();
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}

/// A running etcd.
pub struct Etcd {
    version: Version,
    process: Process,
    pub place: Arc<Place>,
}

impl Etcd {
    /// Runs etcdctl against this member alone; its output, or `None` if it fails.
    pub fn etcdctl(&self, arguments: &[&str]) -> Option<String> {
        self.version.etcdctl(&self.place.client_url, arguments).ok()
    }

    /// Waits until the member takes part in a cluster that has a leader.
    pub fn wait_until_healthy(&self, limit: Duration) {
        let healthy = wait_for(limit, || self.etcdctl(&["endpoint", "health"]));
        healthy.unwrap_or_else(|| panic!("etcd {} does not get healthy:\n{}", self.version.name, self.output()));
    }
}

impl Deref for Etcd {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Etcd {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}
