use std::path::{Path, PathBuf};

use convene_etcd::{Access, ListedMember, SendPassword, Tls};
use convene_lifecycle::{ClientUrl, MemberName, PeerUrl};

use crate::{
    cli::{AccessArgs, NodeArgs, RegistryTlsArgs},
    command_error::CommandError,
    data_dir::{Contents, DataDir, Leftover},
    discovery_url::DiscoveryUrl,
    registry::{RegistryAccess, State},
};

/// This node: its member's settings, its data directory, and how it connects to other members.
#[derive(Debug)]
pub struct Node {
    /// Its cluster.
    pub cluster: DiscoveryUrl,
    /// etcd's `--name`.
    pub name: MemberName,
    /// The data directory.
    pub data: DataDir,
    /// etcd's `--data-dir`.
    pub data_path: PathBuf,
    /// etcd's `--wal-dir`.
    pub wal_path: Option<PathBuf>,
    /// `--initial-advertise-peer-urls`; empty if not given.
    pub peer_urls: Vec<PeerUrl>,
    /// `--advertise-client-urls`; empty if not given.
    pub client_urls: Vec<ClientUrl>,
    /// `--client-port`: the client port of members of which only peer URLs are known.
    pub client_port: u16,
    /// TLS and user for client ports.
    pub access: Access,
    /// TLS for peer ports.
    pub peer_tls: Tls,
}

impl Node {
    /// The node that the command line describes.
    pub fn new(arguments: &NodeArgs) -> Result<Self, CommandError> {
        let name = arguments.name.clone();
        let data_path = arguments.data_dir.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.etcd")));
        // etcd may be started in another working directory.
        let data_path = absolute(&data_path)?;
        let wal_path = arguments.wal_dir.as_deref().map(absolute).transpose()?;
        let (access, peer_tls) = read_access(&arguments.access, &arguments.advertise_client_urls)?;
        Ok(Self {
            cluster: arguments.discovery.url().clone(),
            name,
            data: DataDir::new(data_path.clone(), wal_path.clone()),
            data_path,
            wal_path,
            peer_urls: arguments.initial_advertise_peer_urls.clone(),
            client_urls: arguments.advertise_client_urls.clone(),
            client_port: arguments.client_port,
            access,
            peer_tls,
        })
    }

    /// The state of the data directory, assuming that no etcd runs on it.
    pub fn state(&self) -> Result<State, CommandError> {
        let disk = self.data.disk();
        let contents = self.data.read()?;
        // A mount may have come meanwhile.
        let disk_id = disk.filter(|disk| self.data.disk().as_ref() == Some(disk));
        Ok(match contents {
            Contents::Fresh => {
                let leftover = self.data.leftover()?;
                let leftover = !matches!(leftover, Leftover::None | Leftover::NothingApplied);
                State::Empty { leftover, disk_id }
            }
            Contents::Member(identity) => State::stopped(identity, self.data.evidence(), disk_id),
            Contents::Unreadable { found } => State::Unreadable { found },
        })
    }

    /// Whether a listed member has this node's name or one of its peer URLs.
    pub fn shares_name_or_peer_url(&self, listed: &ListedMember) -> bool {
        listed.name == self.name.as_str() || listed.peer_urls.iter().any(|url| self.peer_urls.contains(url))
    }

    /// `--initial-advertise-peer-urls`, or etcd's default.
    pub fn peer_urls_or_default(&self) -> Vec<PeerUrl> {
        if !self.peer_urls.is_empty() {
            return self.peer_urls.clone();
        }
        vec![PeerUrl::parse("http://localhost:2380").expect("etcd's default is a peer URL")]
    }

    /// Client URLs guessed from peer URLs: the same hosts with `--client-port`.
    pub fn guessed_client_urls(&self, peer_urls: &[PeerUrl]) -> Vec<ClientUrl> {
        guess_client_urls(peer_urls, self.client_port)
    }
}

/// Client URLs guessed from peer URLs: the same hosts with this port.
pub fn guess_client_urls(peer_urls: &[PeerUrl], port: u16) -> Vec<ClientUrl> {
    let guessed = peer_urls.iter().filter_map(|url| {
        let (before, _port) = url.as_str().rsplit_once(':')?;
        format!("{before}:{port}").parse().ok()
    });
    guessed.collect()
}

fn absolute(path: &Path) -> Result<PathBuf, CommandError> {
    std::path::absolute(path)
        .map_err(|error| CommandError::Usage(format!("cannot use the directory {path:?}: {error}")))
}

/// How the registry is reached.
pub fn registry_access(arguments: &RegistryTlsArgs) -> Result<RegistryAccess, CommandError> {
    let RegistryTlsArgs { insecure_discovery, discovery_cacert, discovery_cert, discovery_key } = arguments;
    let tls = read_tls(discovery_cacert, discovery_cert, discovery_key)?;
    Ok(RegistryAccess { tls, allows_clear_text: *insecure_discovery })
}

/// TLS and user for the client ports of etcd, and TLS for its peer ports. `own`: the client URLs of this node's etcd.
pub fn read_access(arguments: &AccessArgs, own: &[ClientUrl]) -> Result<(Access, Tls), CommandError> {
    let tls = read_tls(&arguments.cacert, &arguments.cert, &arguments.key)?;
    let mut peer_tls = read_tls(&arguments.peer_trusted_ca_file, &arguments.peer_cert_file, &arguments.peer_key_file)?;
    // etcds with TLS for their clients may well talk to each other in clear text.
    peer_tls.ca = peer_tls.ca.or_else(|| tls.ca.clone());
    peer_tls.identity = peer_tls.identity.or_else(|| tls.identity.clone());
    let send_password = match arguments.insecure_etcd_credentials {
        true => SendPassword::Anybody,
        false => SendPassword::Verified { own: own.to_vec() },
    };
    Ok((Access { tls, user: arguments.user.clone(), send_password }, peer_tls))
}

fn read_tls(ca: &Option<PathBuf>, cert: &Option<PathBuf>, key: &Option<PathBuf>) -> Result<Tls, CommandError> {
    Tls::read(ca.as_deref(), cert.as_deref(), key.as_deref()).map_err(|error| CommandError::Usage(error.to_string()))
}
