//! A TCP proxy in front of an etcd's peer port.

use std::fs;

use tempfile::TempDir;

use crate::{Place, Process, environment, kept, peers};

/// A HAProxy at the peer URL of a place whose etcd listens elsewhere.
pub struct PeerProxy {
    _process: Process,
    _folder: TempDir,
}

impl PeerProxy {
    /// A place without data, and the proxy in front of its peer port; `None` if HAProxy is missing and that is no failure.
    pub fn with_place() -> Option<(Place, Self)> {
        let program = peers::program("haproxy/bin", "haproxy")?;
        let place = Place::with_unreachable_peer_url();
        let folder = kept::folder();
        let file = folder.path().join("haproxy.cfg");
        fs::write(&file, configuration(&place)).unwrap();
        let process = Process::spawn("haproxy", environment::command(&program).arg("-f").arg(&file));
        Some((place, Self { _process: process, _folder: folder }))
    }
}

/// HAProxy repeats a refused connection after a second each, so it closes the client's after 3 s.
fn configuration(place: &Place) -> String {
    let address = |url: &str| url.trim_start_matches("http://").to_owned();
    let (bind, server) = (address(&place.peer_url), address(place.listen_peer_url()));
    format!(
        "
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    retries 3
listen peers
    bind {bind}
    server etcd {server}
"
    )
}
