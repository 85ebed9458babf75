use std::{
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    process::Command,
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
        let dir = TempDir::new().unwrap();
        let client_url = format!("http://127.0.0.1:{}", free_port());
        let peer_url = format!("http://127.0.0.1:{}", free_port());
        let mut command = Command::new(&self.etcd);
        command
            .args(["--name", name, "--data-dir"])
            .arg(dir.path().join("data"))
            .args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url])
            .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
            .args(["--discovery", discovery_url, "--logger", "zap"]);
        let process = Process::spawn(&format!("etcd {} {name}", self.name), &mut command);
        Etcd { version: self.clone(), process, client_url, _dir: dir }
    }
}

/// A running etcd on a data directory of its own.
pub struct Etcd {
    version: Version,
    process: Process,
    pub client_url: String,
    _dir: TempDir,
}

impl Etcd {
    /// Runs etcdctl against this member alone; its output, or `None` if it fails.
    pub fn etcdctl(&self, arguments: &[&str]) -> Option<String> {
        let output = Command::new(&self.version.etcdctl)
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.client_url, "--command-timeout", "5s"])
            .args(arguments)
            .output()
            .unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
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
