//! Real etcds.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use tempfile::TempDir;

/// The programs of one version of etcd.
#[derive(Clone)]
pub struct Version {
    pub name: &'static str,
    folder: PathBuf,
}

impl Version {
    /// Every version that is installed; says which is not, or fails if CONVENE_TEST_REQUIRE_PEERS is set.
    pub fn all() -> Vec<Self> {
        ["3.4", "3.5", "3.6", "3.7"].into_iter().filter_map(Self::find).collect()
    }

    fn find(name: &'static str) -> Option<Self> {
        let cache = || PathBuf::from(env::var_os("HOME").expect("HOME is set")).join(".cache/convene/peers");
        let peers = env::var_os("CONVENE_TEST_PEERS").map_or_else(cache, PathBuf::from);
        let folder = peers.join(format!("etcd-{name}"));
        if folder.join("etcd").exists() {
            return Some(Self { name, folder });
        }
        let missing = format!("{} is missing; scripts/peers/install installs it", folder.display());
        assert!(env::var_os("CONVENE_TEST_REQUIRE_PEERS").is_none(), "{missing}");
        eprintln!("SKIPPED: {missing}");
        None
    }

    /// Starts an etcd at its place.
    pub fn start(&self, place: &Arc<Place>, flags: &[&str]) -> Etcd {
        let mut command = Command::new(self.folder.join("etcd"));
        command
            .arg("--data-dir")
            .arg(place.dir.path().join("data"))
            .args(["--listen-client-urls", &place.client_url, "--advertise-client-urls", &place.client_url])
            .args(["--listen-peer-urls", &place.peer_url, "--logger", "zap"])
            .args(place.identity.iter().flat_map(Identity::etcd_flags))
            .args(flags);
        let process = Process::spawn(&format!("etcd {} {flags:?}", self.name), &mut command);
        Etcd { version: self.clone(), process, place: place.clone() }
    }

    /// Starts a cluster.
    pub fn form(&self, names: &[&str]) -> Vec<Etcd> {
        self.form_at(&names.iter().map(|name| (*name, Arc::new(Place::new()))).collect::<Vec<_>>())
    }

    pub fn form_at(&self, members: &[(&str, Arc<Place>)]) -> Vec<Etcd> {
        let all: Vec<String> = members.iter().map(|(name, place)| format!("{name}={}", place.peer_url)).collect();
        let all = all.join(",");
        let start = |(name, place): &(&str, Arc<Place>)| {
            let own = ["--name", name, "--initial-advertise-peer-urls", &place.peer_url, "--initial-cluster", &all];
            self.start(place, &own)
        };
        members.iter().map(start).collect()
    }
}

/// Where an etcd has its data and is reached: stays when its process ends.
pub struct Place {
    pub client_url: String,
    pub peer_url: String,
    pub identity: Option<Identity>,
    dir: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let url = || format!("http://127.0.0.1:{}", free_port());
        Self { client_url: url(), peer_url: url(), identity: None, dir: TempDir::new().unwrap() }
    }

    /// Only for those who have a certificate of the same CA.
    pub fn with_tls(identity: Identity) -> Self {
        let url = || format!("https://127.0.0.1:{}", free_port());
        Self { client_url: url(), peer_url: url(), identity: Some(identity), dir: TempDir::new().unwrap() }
    }
}

/// A running etcd.
pub struct Etcd {
    version: Version,
    pub process: Process,
    pub place: Arc<Place>,
}

impl Etcd {
    /// Runs etcdctl against this member alone; its output, or what it says of its failure.
    pub fn etcdctl(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(self.version.folder.join("etcdctl"))
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.place.client_url, "--command-timeout", "5s"])
            .args(self.place.identity.iter().flat_map(Identity::etcdctl_flags))
            .args(arguments)
            .output()
            .unwrap();
        let said = |bytes| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(said(output.stdout)) } else { Err(said(output.stderr)) }
    }

    /// Waits until the member takes part in a cluster that has a leader.
    pub fn wait_until_healthy(&self, limit: Duration) {
        let healthy = wait_for(limit, || self.etcdctl(&["endpoint", "health"]).ok());
        healthy
            .unwrap_or_else(|| panic!("etcd {} does not get healthy:\n{}", self.version.name, self.process.output()));
    }
}

/// A process whose output is kept, and which is killed when this is dropped.
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Mutex<String>>,
}

impl Process {
    fn spawn(name: &str, command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let output = Arc::new(Mutex::new(String::new()));
        keep(child.stdout.take().unwrap(), output.clone());
        keep(child.stderr.take().unwrap(), output.clone());
        Self { name: name.to_owned(), child, output }
    }

    fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// Waits until the output holds a text.
    pub fn wait_for_output(&self, text: &str, limit: Duration) {
        let said = wait_for(limit, || self.output.lock().unwrap().contains(text).then_some(()));
        said.unwrap_or_else(|| panic!("{} never said {text:?}:\n{}", self.name, self.output()));
    }

    /// Ends the process with SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn keep(from: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            *into.lock().unwrap() += &(line + "\n");
        }
    });
}

/// Asks again and again until there is an answer, or `None` once the limit is over.
fn wait_for<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        thread::sleep(Duration::from_millis(20));
    }
    None
}

/// A port that nobody listens on, below those that the kernel gives to clients.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 15_000 + (std::process::id() % 100) as u16 * 150;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A CA that nobody else trusts.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    folder: Arc<TempDir>,
}

impl Ca {
    pub fn new() -> Self {
        let mut about = CertificateParams::default();
        about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let folder = Arc::new(TempDir::new().unwrap());
        fs::write(folder.path().join("ca.crt"), about.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(about, key), folder }
    }

    /// An identity for whoever is reached at 127.0.0.1 or localhost; etcd takes its name for a user's.
    pub fn identity(&self, name: &str) -> Identity {
        let mut about = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        about.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        about.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = about.signed_by(&key, &self.issuer).unwrap();
        let path = |extension: &str| self.folder.path().join(format!("{name}.{extension}"));
        let identity = Identity {
            ca: self.folder.path().join("ca.crt"),
            certificate: path("crt"),
            key: path("key"),
            _folder: self.folder.clone(),
        };
        fs::write(&identity.certificate, certificate.pem()).unwrap();
        fs::write(&identity.key, key.serialize_pem()).unwrap();
        identity
    }
}

/// A certificate with its key, and the CA, in files.
#[derive(Clone)]
pub struct Identity {
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
    _folder: Arc<TempDir>,
}

impl Identity {
    fn etcd_flags(&self) -> Vec<String> {
        let flags = |prefix: &str| {
            let [ca, certificate, key] = self.texts();
            [
                format!("--{prefix}cert-file={certificate}"),
                format!("--{prefix}key-file={key}"),
                format!("--{prefix}trusted-ca-file={ca}"),
                format!("--{prefix}client-cert-auth=true"),
            ]
        };
        [flags(""), flags("peer-")].concat()
    }

    fn etcdctl_flags(&self) -> Vec<String> {
        let [ca, certificate, key] = self.texts();
        vec![format!("--cacert={ca}"), format!("--cert={certificate}"), format!("--key={key}")]
    }

    fn texts(&self) -> [&str; 3] {
        [&self.ca, &self.certificate, &self.key].map(|file| file.to_str().unwrap())
    }
}
