use std::path::{Path, PathBuf};

use convene_etcd::{Access, Tls};
use convene_lifecycle::{ClientUrl, MemberName, PeerUrl};

use crate::{
    cli::{AccessArgs, NodeArgs, RegistryTlsArgs},
    data_dir::{Contents, DataDir, LeftOvers},
    discovery_url::DiscoveryUrl,
    exit::Failure,
    registry::State,
};

/// This machine, as the registry and other members know it, and how it reaches them.
#[derive(Debug)]
pub struct Node {
    /// Its cluster.
    pub cluster: DiscoveryUrl,
    /// etcd's `--name`.
    pub name: MemberName,
    /// etcd's data.
    pub data: DataDir,
    /// etcd's `--data-dir`.
    pub data_path: PathBuf,
    /// etcd's `--wal-dir`.
    pub wal_path: Option<PathBuf>,
    /// Where other members reach it; empty if nobody said.
    pub peer_urls: Vec<PeerUrl>,
    /// Where clients reach it; empty if nobody said.
    pub client_urls: Vec<ClientUrl>,
    /// The port of clients where nothing better is known.
    pub client_port: u16,
    /// How clients reach etcd.
    pub access: Access,
    /// How members reach etcd.
    pub peer_tls: Tls,
}

impl Node {
    /// What the command line says of it.
    pub fn new(arguments: &NodeArgs) -> Result<Self, Failure> {
        let name = arguments.name.clone();
        let data_path = arguments.data_dir.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.etcd")));
        // etcd may be started somewhere else, and has to find the same.
        let data_path = absolute(&data_path)?;
        let wal_path = arguments.wal_dir.as_deref().map(absolute).transpose()?;
        let (access, peer_tls) = read_access(&arguments.access)?;
        Ok(Self {
            cluster: arguments.discovery.discovery.clone(),
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

    /// What the data directory holds, with no etcd on it.
    pub fn state(&self) -> Result<State, Failure> {
        Ok(match self.data.read()? {
            Contents::Fresh => {
                let left_overs = self.data.left_overs()?;
                State::Empty { left_overs: !matches!(left_overs, LeftOvers::None | LeftOvers::NothingApplied) }
            }
            Contents::Member(identity) => State::stopped(identity),
            Contents::Unreadable { found } => State::Unreadable { found },
        })
    }

    /// Where other members reach it, or what etcd takes for that if nobody says.
    pub fn peer_urls_or_etcds_own(&self) -> Vec<PeerUrl> {
        if !self.peer_urls.is_empty() {
            return self.peer_urls.clone();
        }
        vec![PeerUrl::parse("http://localhost:2380").expect("etcd's default is a peer URL")]
    }

    /// Where members may answer clients of which only peer URLs are known.
    pub fn guessed_endpoints(&self, peer_urls: &[PeerUrl]) -> Vec<ClientUrl> {
        let guessed = peer_urls.iter().filter_map(|url| {
            let (before, _port) = url.as_str().rsplit_once(':')?;
            format!("{before}:{}", self.client_port).parse().ok()
        });
        guessed.collect()
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::Usage(format!("the directory {path:?} can't be used: {error}")))
}

/// Certificates for the registry.
pub fn registry_tls(arguments: &RegistryTlsArgs) -> Result<Tls, Failure> {
    let RegistryTlsArgs { discovery_cacert, discovery_cert, discovery_key } = arguments;
    read_tls(discovery_cacert, discovery_cert, discovery_key)
}

fn read_access(arguments: &AccessArgs) -> Result<(Access, Tls), Failure> {
    let tls = read_tls(&arguments.cacert, &arguments.cert, &arguments.key)?;
    let mut peer_tls = read_tls(&arguments.peer_trusted_ca_file, &arguments.peer_cert_file, &arguments.peer_key_file)?;
    peer_tls.ca = peer_tls.ca.or_else(|| tls.ca.clone());
    peer_tls.identity = peer_tls.identity.or_else(|| tls.identity.clone());
    Ok((Access { tls, user: arguments.user.clone() }, peer_tls))
}

fn read_tls(ca: &Option<PathBuf>, cert: &Option<PathBuf>, key: &Option<PathBuf>) -> Result<Tls, Failure> {
    Tls::read(ca.as_deref(), cert.as_deref(), key.as_deref()).map_err(|error| Failure::Usage(error.to_string()))
}
