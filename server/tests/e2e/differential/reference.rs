use std::{fs, net::TcpStream, path::Path, process::Command, time::Duration};

use convene_harness::{Process, free_port, peers, wait_for};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(30);

/// What discovery.etcd.io was made of: its Go server in front of an etcd with the v2 API.
pub struct Reference {
    /// Where the Go server answers: `/TOKEN` and so on.
    pub discovery_url: String,
    /// Where its etcd answers: `/v2/keys/_etcd/registry/TOKEN` and so on.
    pub etcd_url: String,
    _discovery: Process,
    _etcd: Process,
    _dir: TempDir,
}

impl Reference {
    /// Starts both on data of their own; `None` if one of them is not installed.
    pub fn start() -> Option<Self> {
        let etcd = peers::program("etcd-3.4", "etcd")?;
        let discovery = peers::program("discovery", "discovery.etcd.io")?;
        let dir = TempDir::new().unwrap();
        let (etcd, etcd_url) = start_etcd(&etcd, dir.path());
        let (discovery, discovery_url) = start_discovery(&discovery, dir.path(), &etcd_url);
        Some(Self { discovery_url, etcd_url, _discovery: discovery, _etcd: etcd, _dir: dir })
    }
}

fn start_etcd(program: &Path, dir: &Path) -> (Process, String) {
    let client_url = format!("http://127.0.0.1:{}", free_port());
    let peer_url = format!("http://127.0.0.1:{}", free_port());
    let mut command = Command::new(program);
    command
        .args(["--name", "reference", "--enable-v2", "--logger", "zap", "--data-dir"])
        .arg(dir.join("data"))
        .args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url])
        .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
        .args(["--initial-cluster", &format!("reference={peer_url}")]);
    let process = Process::spawn("the reference's etcd", &mut command);
    process.wait_for_output("serving client traffic", LIMIT);
    (process, client_url)
}

/// The Go server reads /etc/etcd-discovery/etcd-discovery.conf before it looks at its flags, and ends if there
/// is none. So it gets an /etc of its own, which nobody else sees, with that file in it. Everything that starts
/// it becomes it in the end (`exec`), so that whoever kills the process kills the server.
fn start_discovery(program: &Path, dir: &Path, etcd_url: &str) -> (Process, String) {
    const BECOME: &str = r#"mount --bind "$0" /etc && exec "$@""#;
    let address = format!("127.0.0.1:{}", free_port());
    let url = format!("http://{address}");
    let etc = dir.join("etc");
    fs::create_dir_all(etc.join("etcd-discovery")).unwrap();
    let settings = format!(
        "[server]\nprefix_url = {url}\nweb_service_address = {address}\n[etcd]\nendpoint_location = {etcd_url}\n"
    );
    fs::write(etc.join("etcd-discovery/etcd-discovery.conf"), settings).unwrap();

    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", BECOME]).args([&etc, program]);
    let process = Process::spawn("the reference's Go server", &mut command);
    // It logs that it serves a moment before it does.
    process.wait_for_output("discovery serving on", LIMIT);
    wait_for(LIMIT, || TcpStream::connect(&address).ok()).expect("the reference's Go server listens");
    (process, url)
}
