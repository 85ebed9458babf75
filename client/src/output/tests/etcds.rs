//! etcds start with what is printed.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::*;

#[test]
fn etcds_bootstrap_with_variables_whatever_discovery_was_set_before() {
    for etcd in etcds() {
        let node = Node::new("infra 0 'a'", "my data");
        // 3.4 and 3.5 do not know the last two, and say so.
        let script = r#"export ETCD_DISCOVERY=http://127.0.0.1:1/x ETCD_DISCOVERY_SRV=example.invalid \
            ETCD_DISCOVERY_ENDPOINTS=http://127.0.0.1:1 ETCD_DISCOVERY_TOKEN=x
            eval "$(cat printed)"; exec "#;
        node.bootstraps(&etcd, Format::Env, &|listen| format!("{script}{} {listen}", etcd.display()));
    }
}

#[test]
fn etcds_bootstrap_with_flags() {
    for etcd in etcds() {
        let node = Node::new("infra0", "data");
        node.bootstraps(&etcd, Format::Flags, &|listen| format!("exec {} $(cat printed) {listen}", etcd.display()));
    }
}

#[test]
fn etcds_go_on_from_their_data_whatever_their_variables_say() {
    for etcd in etcds() {
        let mut node = Node::new("infra0", "data");
        let script = |listen: &str| format!("exec {} $(cat printed) {listen}", etcd.display());
        node.bootstraps(&etcd, Format::Flags, &script);
        node.config.action = Action::Start;
        node.config.initial_cluster = None;
        node.config.initial_cluster_state = InitialClusterState::Existing;
        let stale = |variable: &str| match variable {
            "ETCD_INITIAL_CLUSTER" => Some("other=http://10.0.0.9:2380".into()),
            "ETCD_INITIAL_CLUSTER_STATE" => Some("new".into()),
            "ETCD_INITIAL_CLUSTER_TOKEN" => Some("".into()),
            _ => None,
        };
        let variables = "ETCD_INITIAL_CLUSTER=other=http://10.0.0.9:2380 ETCD_INITIAL_CLUSTER_STATE=new \
            ETCD_INITIAL_CLUSTER_TOKEN=";
        let printed = node.config.print(Format::Flags, &stale).expect("printable");
        node.starts(&etcd, &printed.text, &|listen| format!("export {variables}; {}", script(listen)));
    }
}

/// If this changes, then flags may be printed beside variables that say the same or nothing.
#[test]
fn etcds_refuse_a_flag_whose_variable_is_set() {
    for etcd in etcds() {
        for set in ["infra0", ""] {
            let directory = tempfile::tempdir().expect("a directory");
            let script = format!("ETCD_NAME={set} exec {} --name=infra0 2>&1", etcd.display());
            let output = run(Path::new("timeout"), &["20", "sh", "-c", &script], directory.path());
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(said.contains("is shadowed by corresponding command-line flag"), "{}: {said}", etcd.display());
        }
    }
}

/// The etcds that are installed; those of which a test can't be without are said to be missing.
fn etcds() -> Vec<PathBuf> {
    ["etcd-3.4/etcd", "etcd-3.5/etcd", "etcd-3.6/etcd"].into_iter().filter_map(peer).collect()
}

/// A node that bootstraps a cluster alone.
struct Node {
    config: EtcdConfig,
    client_url: String,
    directory: tempfile::TempDir,
}

impl Node {
    fn new(name: &str, data_dir: &str) -> Self {
        let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let [peer_url, client_url] = ports.map(|port| format!("http://{}", port.local_addr().expect("an address")));
        let directory = tempfile::tempdir().expect("a directory");
        let mut config = config(name, &directory.path().join(data_dir).display().to_string());
        config.initial_cluster = Some(format!("{name}={peer_url}"));
        config.initial_advertise_peer_urls = vec![peer_url.parse().expect("a URL")];
        config.advertise_client_urls = vec![client_url.parse().expect("a URL")];
        Self { config, client_url, directory }
    }

    fn bootstraps(&self, etcd: &Path, format: Format, script: &dyn Fn(&str) -> String) {
        self.starts(etcd, &print(&self.config, format), script);
    }

    /// Starts etcd by a script, which is made of what etcd is told beside what is printed, and waits for its
    /// cluster; what is printed is in the file `printed`.
    fn starts(&self, etcd: &Path, printed: &str, script: &dyn Fn(&str) -> String) {
        let directory = self.directory.path();
        fs::write(directory.join("printed"), printed).expect("written");
        let peer_url = &self.config.initial_advertise_peer_urls[0];
        let listen = format!("--listen-peer-urls={peer_url} --listen-client-urls={}", self.client_url);
        let log = fs::File::create(directory.join("log")).expect("created");
        let mut command = Command::new("sh");
        command.args(["-c", &script(&listen)]).env_clear().env("PATH", env::var_os("PATH").expect("PATH is set"));
        command.current_dir(directory).stderr(log.try_clone().expect("cloned")).stdout(log).stdin(Stdio::null());
        let mut running = Running(command.spawn().expect("sh starts"));
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.is_healthy() {
            let log = || fs::read_to_string(directory.join("log")).unwrap_or_default();
            assert!(running.0.try_wait().expect("known").is_none(), "{} ended: {}", etcd.display(), log());
            assert!(Instant::now() < deadline, "{} does not get healthy: {}", etcd.display(), log());
            thread::sleep(Duration::from_millis(100));
        }
        assert!(self.config.data_dir.join("member/wal").exists());
    }

    fn is_healthy(&self) -> bool {
        let address = self.client_url.strip_prefix("http://").expect("http");
        let Ok(mut stream) = TcpStream::connect(address) else { return false };
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("set");
        let mut answer = String::new();
        let asked = write!(stream, "GET /health HTTP/1.0\r\n\r\n").and_then(|()| stream.read_to_string(&mut answer));
        asked.is_ok() && answer.contains(r#""health":"true""#)
    }
}

/// A process that is killed with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
