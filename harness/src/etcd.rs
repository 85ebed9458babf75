//! Real etcds, of every version that is installed.

use std::{
    env,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use crate::{Access, Process, environment, peers, place::Place, secrets, wait_for};

/// A version of the former API, which speaks v2 discovery. Convene's own client does not support it.
const FORMER_API: &str = "2.3";

/// The supported versions, oldest first.
const SUPPORTED: [&str; 4] = ["3.4", "3.5", "3.6", "3.7"];

/// The programs of one version of etcd.
#[derive(Clone)]
pub struct Version {
    /// Such as "3.5".
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

    /// Every installed version, oldest first. With CONVENE_TEST_ETCD=3.6 only that version.
    pub fn all() -> Vec<Self> {
        Self::installed(&SUPPORTED)
    }

    /// The oldest and the newest supported version, if they are installed. With CONVENE_TEST_ETCD=3.6 only that version.
    pub fn oldest_and_newest() -> Vec<Self> {
        Self::installed(&[SUPPORTED[0], SUPPORTED[SUPPORTED.len() - 1]])
    }

    /// Every installed version in `scripts/test --all`, otherwise the oldest and the newest one: for a story that takes four clusters
    /// long, and of which no step depends on the version.
    pub fn sample() -> Vec<Self> {
        if env::var_os("CONVENE_TEST_EVERY_VERSION").is_some() { Self::all() } else { Self::oldest_and_newest() }
    }

    /// Every installed version in `scripts/test --all`, otherwise the newest one: for a long story of which no step depends on the
    /// version.
    pub fn newest_or_all() -> Vec<Self> {
        let mut all = Self::all();
        if env::var_os("CONVENE_TEST_EVERY_VERSION").is_none() {
            all.drain(..all.len().saturating_sub(1));
        }
        all
    }

    fn installed(names: &[&'static str]) -> Vec<Self> {
        let Ok(only) = env::var("CONVENE_TEST_ETCD") else {
            return names.iter().filter_map(|name| Self::find(name)).collect();
        };
        let name = SUPPORTED.iter().find(|name| **name == only);
        let name = name.unwrap_or_else(|| panic!("CONVENE_TEST_ETCD must be one of {SUPPORTED:?}, and is {only}"));
        Self::find(name).into_iter().collect()
    }

    /// Where its programs are.
    pub fn folder(&self) -> &str {
        self.etcd.parent().and_then(Path::to_str).unwrap()
    }

    /// The etcd binary, for tests that start it themselves.
    pub fn program(&self) -> &Path {
        &self.etcd
    }

    /// Starts an etcd at its place, with flags in addition to those for its data directory and URLs.
    pub fn start(&self, place: &Arc<Place>, flags: &[&str]) -> Etcd {
        let mut command = environment::command(&self.etcd);
        let of_place =
            place.etcd_flags().into_iter().filter(|flag| !(self.is_of_former_api() && flag.starts_with("--logger=")));
        command.args(of_place).args(flags);
        self.spawn(place, &mut command, &format!("{flags:?}"))
    }

    /// What the first etcd of a cluster of two logs that has registered by v2 discovery, and waits for the other.
    pub fn waits_by_v2(&self) -> &'static str {
        if self.is_of_former_api() {
            "waiting for 1 more"
        } else {
            "found peers from discovery server; waiting for more"
        }
    }

    fn is_of_former_api(&self) -> bool {
        self.name == FORMER_API
    }

    /// Starts an etcd with variables as `convene join -o env` prints them, and as a shell reads them. They have the
    /// last word on where it has its data and is reached; etcd takes no flag that a variable contradicts, so that
    /// the place's own settings become variables too.
    pub fn start_with_environment(&self, place: &Arc<Place>, variables: &str) -> Etcd {
        self.start_in_shell(place, variables, "")
    }

    /// Starts an etcd as [`Version::start_with_environment`] does, which takes this long to load its data. Meanwhile it locks
    /// its database, as etcd does, and answers nothing.
    pub fn start_slowly_with_environment(&self, place: &Arc<Place>, variables: &str, loading: Duration) -> Etcd {
        let db = place.data_dir().join("member/snap/db");
        let seconds = loading.as_secs();
        // Only the shell has the lock, so that it ends with the shell.
        let load = format!("exec 9<'{}'; flock 9; sleep {seconds} 9<&-; exec 9<&-; ", db.display());
        self.start_in_shell(place, variables, &load)
    }

    fn start_in_shell(&self, place: &Arc<Place>, variables: &str, first: &str) -> Etcd {
        let mut command = environment::command(Path::new("/bin/sh"));
        let own = place.settings().into_iter();
        command
            .envs(own.map(|(flag, value)| (format!("ETCD_{}", flag.replace('-', "_").to_uppercase()), value)))
            .args(["-c", &format!(r#"set -a; {first}eval "$1"; exec "$0""#)])
            .arg(&self.etcd)
            .arg(variables);
        self.spawn(place, &mut command, variables)
    }

    /// Starts an etcd that bootstraps by v2 discovery, which 3.7 doesn't know any more.
    pub fn discover(&self, name: &str, discovery_url: &str) -> Etcd {
        let place = Arc::new(Place::new());
        self.start(&place, &[&["--discovery", discovery_url][..], &advertised(&place, name)].concat())
    }

    /// Starts an etcd that bootstraps by v2 discovery from a server with a certificate of this CA.
    pub fn discover_over_tls(&self, name: &str, discovery_url: &str, ca: &Path) -> Etcd {
        let place = Arc::new(Place::new());
        let mut command = environment::command(&self.etcd);
        command.env("SSL_CERT_FILE", ca).args(place.etcd_flags());
        command.args(["--discovery", discovery_url]).args(advertised(&place, name));
        self.spawn(&place, &mut command, discovery_url)
    }

    /// Starts an etcd that bootstraps by v3 discovery, which 3.5 doesn't know yet.
    pub fn discover_v3(&self, name: &str, endpoint: &str, token: &str) -> Etcd {
        self.discover_v3_at(&Arc::new(Place::new()), name, endpoint, token)
    }

    /// Starts an etcd as [`Version::discover_v3`] does, at a place where it may have been before.
    pub fn discover_v3_at(&self, place: &Arc<Place>, name: &str, endpoint: &str, token: &str) -> Etcd {
        self.start(place, &[&v3_discovery(endpoint, token)[..], &advertised(place, name)].concat())
    }

    /// Starts an etcd as [`Version::discover_v3`] does, which logs in to the discovery service.
    pub fn discover_v3_as(&self, user: &str, password: &str, name: &str, endpoint: &str, token: &str) -> Etcd {
        let place = Arc::new(Place::new());
        let login = ["--discovery-user", user, "--discovery-password", password];
        self.start(&place, &[&v3_discovery(endpoint, token)[..], &advertised(&place, name), &login].concat())
    }

    /// Starts a new cluster with a static member list, without discovery.
    pub fn form(&self, members: &[(&str, Arc<Place>)]) -> Vec<Etcd> {
        let all: Vec<String> = members.iter().map(|(name, place)| format!("{name}={}", place.peer_url)).collect();
        let all = all.join(",");
        let start = |(name, place): &(&str, Arc<Place>)| {
            let own = ["--name", name, "--initial-advertise-peer-urls", &place.peer_url, "--initial-cluster", &all];
            self.start(place, &own)
        };
        members.iter().map(start).collect()
    }

    /// Runs etcdctl against one member alone; its output, or its error message.
    pub fn etcdctl(&self, endpoint: &str, arguments: &[&str]) -> Result<String, String> {
        self.etcdctl_as(&Access::default(), endpoint, arguments)
    }

    /// Restores a member of these from a snapshot, at its place without data. The etcdctl of 3.6 and
    /// later lacks the command.
    pub fn restore<'a>(
        &self,
        snapshot: &Path,
        name: &str,
        place: &Place,
        members: impl Iterator<Item = (&'a str, &'a Place)>,
    ) {
        let all: Vec<String> = members.map(|(name, place)| format!("{name}={}", place.peer_url)).collect();
        let restored = environment::command(&self.etcdctl)
            .env("ETCDCTL_API", "3")
            .args(["snapshot", "restore"])
            .arg(snapshot)
            .args(["--name", name, "--initial-cluster", &all.join(","), "--initial-cluster-token", "restored"])
            .args(["--initial-advertise-peer-urls", &place.peer_url])
            .arg("--data-dir")
            .arg(place.data_dir())
            .output()
            .unwrap();
        assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    }

    /// Runs etcdctl as [`Version::etcdctl`] does, with a certificate or as a user.
    pub fn etcdctl_as(&self, access: &Access, endpoint: &str, arguments: &[&str]) -> Result<String, String> {
        finished(self.start_etcdctl(access, endpoint, arguments, None))
    }

    /// Runs etcdctl as [`Version::etcdctl`] does, with a text that it reads from its standard input.
    pub fn etcdctl_reading(&self, endpoint: &str, arguments: &[&str], input: &str) -> Result<String, String> {
        finished(self.start_etcdctl(&Access::default(), endpoint, arguments, Some(input)))
    }

    /// Starts an etcdctl that runs until it is dropped, such as a watch.
    pub fn spawn_etcdctl(&self, endpoint: &str, arguments: &[&str]) -> Process {
        self.start_etcdctl(&Access::default(), endpoint, arguments, None)
    }

    /// Creates a user `root` with all rights, and turns authentication on.
    pub fn turn_auth_on(&self, access: &Access, endpoint: &str, password: &str) {
        secrets::remember(password);
        let root = format!("root:{password}");
        for arguments in [&["user", "add", &root][..], &["user", "grant-role", "root", "root"], &["auth", "enable"]] {
            if let Err(failure) = self.etcdctl_as(access, endpoint, arguments) {
                // 3.4 wants the role to be made first.
                let made = self.etcdctl_as(access, endpoint, &["role", "add", "root"]);
                let done = made.and_then(|_| self.etcdctl_as(access, endpoint, arguments));
                done.unwrap_or_else(|again| panic!("{failure}, then {again}"));
            }
        }
    }

    fn start_etcdctl(&self, access: &Access, endpoint: &str, arguments: &[&str], input: Option<&str>) -> Process {
        let mut command = environment::command(&self.etcdctl);
        let limits: &[&str] = match self.is_of_former_api() {
            // By default a request has one second, which a busy machine exceeds.
            true => &["--no-sync", "--timeout=5s", "--total-timeout=5s"],
            false => &["--command-timeout", "5s"],
        };
        command
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", endpoint])
            .args(limits)
            .args(access.etcdctl_flags())
            .args(arguments);
        let name = format!("etcdctl {} {arguments:?}", self.name);
        match input {
            Some(input) => Process::spawn_with_input(&name, &mut command, input),
            None => Process::spawn(&name, &mut command),
        }
    }

    fn spawn(&self, place: &Arc<Place>, command: &mut Command, kind: &str) -> Etcd {
        let name = format!("etcd {} {kind}", self.name);
        let process = match place.host() {
            Some(host) => Process::spawn(&name, &mut host.wrap(command)),
            None => Process::spawn(&name, command),
        };
        Etcd { version: self.clone(), process, place: place.clone() }
    }
}

/// The name and the place of a founder.
fn advertised<'a>(place: &'a Place, name: &'a str) -> [&'a str; 4] {
    ["--name", name, "--initial-advertise-peer-urls", &place.peer_url]
}

fn v3_discovery<'a>(endpoint: &'a str, token: &'a str) -> [&'a str; 4] {
    ["--discovery-endpoints", endpoint, "--discovery-token", token]
}

/// The output of etcdctl, or its error message.
fn finished(mut etcdctl: Process) -> Result<String, String> {
    let code = etcdctl.wait_for_exit(Duration::from_secs(60));
    if code == Some(0) { Ok(etcdctl.stdout()) } else { Err(etcdctl.stderr()) }
}

/// A running etcd.
pub struct Etcd {
    version: Version,
    process: Process,
    /// Where it runs.
    pub place: Arc<Place>,
}

impl Etcd {
    /// Runs etcdctl against this member alone; its output, or its error message.
    pub fn etcdctl(&self, arguments: &[&str]) -> Result<String, String> {
        self.version.etcdctl_as(&self.place.access(), &self.place.client_url, arguments)
    }

    /// Writes a key through this member.
    pub fn put(&self, key: &str, value: &str) -> Result<String, String> {
        self.etcdctl(&[if self.version.is_of_former_api() { "set" } else { "put" }, key, value])
    }

    /// Reads a key through this member and the quorum.
    pub fn get(&self, key: &str) -> Result<String, String> {
        match self.version.is_of_former_api() {
            true => self.etcdctl(&["get", "--quorum", key]),
            false => self.etcdctl(&["get", key, "--print-value-only"]),
        }
    }

    /// Waits until the member takes part in a cluster that has a leader.
    pub fn wait_until_healthy(&self, limit: Duration) {
        let health = if self.version.is_of_former_api() { &["cluster-health"][..] } else { &["endpoint", "health"] };
        let healthy = wait_for(limit, || self.etcdctl(health).ok());
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
