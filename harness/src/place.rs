use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;

use crate::{Access, free_port, kept, network::Host, tls::Identity};

/// Where an etcd has its data and is reached: stays when its process ends.
pub struct Place {
    /// Where its clients reach it.
    pub client_url: String,
    /// Where the other members reach it.
    pub peer_url: String,
    /// Where etcd listens for the other members. `None`: at the peer URL.
    listen_peer_url: Option<String>,
    /// Where etcd serves metrics besides at the client URL.
    metrics_url: Option<String>,
    disk: Arc<TempDir>,
    has_wal_dir: bool,
    identity: Option<Identity>,
    host: Option<Arc<Host>>,
}

impl Place {
    /// A place without data, which is reached over plain HTTP.
    pub fn new() -> Self {
        Self::on(Arc::new(kept::folder()), "http")
    }

    /// A place without data on a machine of a network, with etcd's usual ports.
    pub fn on_host(host: &Arc<Host>) -> Self {
        let url = |port| format!("http://{}:{port}", host.address);
        Self { client_url: url(2379), peer_url: url(2380), host: Some(host.clone()), ..Self::new() }
    }

    /// The machine, if it is one of a network.
    pub fn host(&self) -> Option<&Arc<Host>> {
        self.host.as_ref()
    }

    /// A copy of the data at another address, as of a machine that was copied.
    pub fn copied(&self) -> Self {
        self.copied_to(Self::new())
    }

    /// The other place with a copy of the data.
    pub fn copied_to(&self, copy: Self) -> Self {
        let copied = std::process::Command::new("cp").arg("-a").arg(self.data_dir()).arg(copy.data_dir()).status();
        assert!(copied.unwrap().success(), "the data can be copied");
        copy
    }

    /// A place without data that is reached over TLS alone, with this identity, by clients and members that have a
    /// certificate of the same CA.
    pub fn with_tls(identity: &Identity) -> Self {
        Self { identity: Some(identity.clone()), ..Self::on(Arc::new(kept::folder()), "https") }
    }

    /// A place without data whose peer URL nobody reaches, as behind NAT: its etcd listens elsewhere.
    pub fn with_unreachable_peer_url() -> Self {
        Self { listen_peer_url: Some(format!("http://127.0.0.1:{}", free_port())), ..Self::new() }
    }

    /// A place without data whose peer URL is another spelling of another member's, as of a name that each machine has for itself. Its
    /// etcd listens elsewhere.
    pub fn with_peer_url_of(other: &Self) -> Self {
        Self { peer_url: other.peer_url.replace("127.0.0.1", "localhost"), ..Self::with_unreachable_peer_url() }
    }

    /// Where its etcd listens for the other members.
    pub(crate) fn listen_peer_url(&self) -> &str {
        self.listen_peer_url.as_ref().unwrap_or(&self.peer_url)
    }

    /// A place without data whose etcd also serves metrics at a port of its own.
    pub fn with_metrics_port(port: u16) -> Self {
        Self { metrics_url: Some(format!("http://127.0.0.1:{port}")), ..Self::new() }
    }

    /// The same place, with the write-ahead log outside the data.
    pub fn with_wal_dir(self) -> Self {
        Self { has_wal_dir: true, ..self }
    }

    /// The same data at a new address, as of a machine that has moved.
    pub fn moved(&self) -> Self {
        let scheme = if self.identity.is_some() { "https" } else { "http" };
        let (has_wal_dir, identity, host) = (self.has_wal_dir, self.identity.clone(), self.host.clone());
        Self { has_wal_dir, identity, host, ..Self::on(self.disk.clone(), scheme) }
    }

    /// The same data on another machine of a network, as of a disk that was moved.
    pub fn moved_to(&self, host: &Arc<Host>) -> Self {
        Self { disk: self.disk.clone(), ..Self::on_host(host) }
    }

    /// The same data at another place's address.
    pub fn at_address_of(&self, other: &Self) -> Self {
        Self { client_url: other.client_url.clone(), peer_url: other.peer_url.clone(), ..self.moved() }
    }

    /// Where etcd has its data. Nobody has made it before etcd has.
    pub fn data_dir(&self) -> PathBuf {
        self.disk.path().join("data")
    }

    /// Where etcd has its write-ahead log, if that is not in the data.
    pub fn wal_dir(&self) -> Option<PathBuf> {
        self.has_wal_dir.then(|| self.disk.path().join("wal"))
    }

    /// With what it is reached, if that is TLS.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// How clients reach it.
    pub fn access(&self) -> Access {
        Access { identity: self.identity.clone(), ..Access::default() }
    }

    /// Loses the data, as a disk does that breaks.
    pub fn lose_disk(&self) {
        fs::remove_dir_all(self.data_dir()).unwrap();
        if let Some(wal) = self.wal_dir() {
            fs::remove_dir_all(wal).unwrap();
        }
    }

    /// etcd's flags for it: where the data are, where it listens, where clients reach it, and TLS.
    pub fn etcd_flags(&self) -> Vec<String> {
        self.settings().into_iter().map(|(flag, value)| format!("--{flag}={value}")).collect()
    }

    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let text = |path: &Path| path.to_str().expect("the temporary folder's name is UTF-8").to_owned();
        let mut settings = vec![
            ("data-dir", text(&self.data_dir())),
            ("listen-client-urls", self.client_url.clone()),
            ("advertise-client-urls", self.client_url.clone()),
            ("listen-peer-urls", self.listen_peer_url().to_owned()),
            ("logger", "zap".to_owned()),
        ];
        settings.extend(self.metrics_url.iter().map(|url| ("listen-metrics-urls", url.clone())));
        settings.extend(self.wal_dir().map(|wal| ("wal-dir", text(&wal))));
        settings.extend(self.identity.iter().flat_map(Identity::etcd_settings));
        settings
    }

    fn on(disk: Arc<TempDir>, scheme: &str) -> Self {
        let url = || format!("{scheme}://127.0.0.1:{}", free_port());
        Self {
            client_url: url(),
            peer_url: url(),
            disk,
            has_wal_dir: false,
            identity: None,
            host: None,
            listen_peer_url: None,
            metrics_url: None,
        }
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}
