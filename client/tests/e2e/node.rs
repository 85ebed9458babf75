use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use convene_harness::{
    Access, Place, Postgres, Process,
    cluster::{Member, member_list, wait_until_members},
    convene::{Convene, Ended},
    etcd::{Etcd, Version},
    network::{Host, Network},
    replicas::Replicas,
    server::Server,
    wait_for,
};
use serde_json::{Value, json};

/// How long a test waits for anything that has to happen.
pub const LIMIT: Duration = Duration::from_secs(90);

/// A cluster in a registry of its own, with short deadlines: a member is dead after five seconds.
pub struct Registry {
    service: Option<Service>,
    /// The discovery URL of the cluster.
    pub url: String,
}

/// The servers of a registry. With CONVENE_TEST_DATABASE=replicas there are three servers on one database, and each request
/// goes to one of them at random.
enum Service {
    Server(Server),
    Replicas(Replicas),
}

impl Registry {
    /// Creates a cluster of this size, on a new server.
    pub fn new(size: usize) -> Self {
        let service = Service::start();
        let registry = Self::on(service.url(), size);
        Self { service: Some(service), ..registry }
    }

    /// Creates a cluster of this size, on a new server that the machines of a network reach.
    pub fn in_network(network: &Network, size: usize) -> Self {
        let service = Service::Server(Server::start_at(&network.address));
        let registry = Self::on(service.url(), size);
        Self { service: Some(service), ..registry }
    }

    /// Creates a cluster of this size, on a new server on a machine of a network.
    pub fn on_host(host: &Arc<Host>, size: usize) -> Self {
        let service = Service::Server(Server::start_on_host(host));
        let registry = Self::on(service.url(), size);
        Self { service: Some(service), ..registry }
    }

    /// Creates a cluster of this size on an existing server.
    pub fn on(server: &str, size: usize) -> Self {
        let created = Convene::new([
            "cluster",
            "create",
            "--server",
            server,
            "--size",
            &size.to_string(),
            "--dead-after",
            "5s",
            "--check-in-every",
            "1s",
        ])
        .run(LIMIT);
        assert_eq!(created.code, Some(0), "{}", created.stderr);
        Self { url: created.stdout.trim().to_owned(), service: None }
    }

    /// A cluster of a server that the test itself runs, by its discovery URL.
    pub fn at(url: String) -> Self {
        Self { url, service: None }
    }

    /// Runs an administrator's command for the cluster.
    pub fn administer(&self, arguments: &[&str]) -> String {
        let ended = Convene::new(arguments).env("CONVENE_DISCOVERY", &self.url).run(LIMIT);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
        ended.stdout
    }

    /// Lets whoever knows the discovery token change the cluster after it has formed.
    pub fn allow_stock_writes(&self) {
        self.request(reqwest::Method::PATCH, "", Some(&json!({ "policy": { "stock_writes": "allow" } })));
    }

    /// Resets the cluster, which begins a new epoch.
    pub fn reset(&self) {
        let token = self.url.rsplit_once('/').unwrap().1;
        self.post("/reset", &json!({ "token": token }));
    }

    /// The cluster, a list of its members or the like, as the API returns it.
    pub fn get(&self, path: &str) -> Value {
        self.request(reqwest::Method::GET, path, None)
    }

    /// Sends a request to the API, as somebody with curl does who knows the token.
    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.request(reqwest::Method::POST, path, Some(body))
    }

    /// The reason that the last instruction of a report by hand gives.
    pub fn check_in_by_hand(&self, report: &Value) -> String {
        self.post("/check-in", report)["reason"].as_str().expect("an instruction has a reason").to_owned()
    }

    fn request(&self, method: reqwest::Method, path: &str, body: Option<&Value>) -> Value {
        let (server, token) = self.url.rsplit_once('/').unwrap();
        let mut request = reqwest::Client::new().request(method, format!("{server}/v1/clusters/{token}{path}"));
        if let Some(body) = body {
            request = request.json(body);
        }
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let answer = request.send().await.unwrap();
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            assert!(status.is_success(), "{path}: {status}: {text}");
            serde_json::from_str(&text).unwrap()
        })
    }

    /// Kills the server for good.
    pub fn crash(&mut self) {
        // Dropping a process kills it with SIGKILL.
        drop(self.service.take().expect("a server crashes once"));
    }
}

impl Service {
    fn start() -> Self {
        if env::var("CONVENE_TEST_DATABASE").as_deref() != Ok("replicas") {
            return Self::Server(Server::start());
        }
        let postgres = Postgres::shared().expect("CONVENE_TEST_DATABASE asks for PostgreSQL");
        Self::Replicas(Replicas::start(3, postgres).expect("CONVENE_TEST_DATABASE asks for HAProxy"))
    }

    fn url(&self) -> &str {
        match self {
            Self::Server(server) => &server.url,
            Self::Replicas(replicas) => &replicas.url,
        }
    }
}

/// A machine with etcd and `convene`.
pub struct Node {
    /// The name of the node.
    pub name: String,
    /// The directories and ports of its etcd.
    pub place: Arc<Place>,
    /// The version of its etcd.
    pub version: Version,
    etcd: Option<Etcd>,
    url: String,
    /// The credentials of clients of its etcd.
    pub access: Access,
    /// The file with its join token.
    pub join_token_file: Option<PathBuf>,
    /// Further flags of each call.
    pub more: Vec<String>,
}

impl Node {
    /// A machine without data.
    pub fn new(version: &Version, registry: &Registry, name: &str) -> Self {
        Self::at(Place::new(), version, registry, name)
    }

    /// A machine with these directories and ports.
    pub fn at(place: impl Into<Arc<Place>>, version: &Version, registry: &Registry, name: &str) -> Self {
        let place = place.into();
        let access = place.access();
        Self {
            name: name.to_owned(),
            place,
            version: version.clone(),
            etcd: None,
            url: registry.url.clone(),
            access,
            join_token_file: None,
            more: Vec::new(),
        }
    }

    /// A command of `convene` with all flags of this node.
    pub fn call(&self, verb: &str, more: &[&str]) -> Convene {
        let data_dir = self.place.data_dir();
        let mut arguments = vec![
            verb.to_owned(),
            format!("--name={}", self.name),
            format!("--data-dir={}", data_dir.display()),
            format!("--initial-advertise-peer-urls={}", self.place.peer_url),
            format!("--advertise-client-urls={}", self.place.client_url),
        ];
        arguments.extend(self.place.wal_dir().map(|wal| format!("--wal-dir={}", wal.display())));
        arguments.extend(self.place.identity().into_iter().flat_map(|identity| {
            let files = [("cacert", &identity.ca), ("cert", &identity.certificate), ("key", &identity.key)];
            files.map(|(flag, file)| format!("--{flag}={}", file.display()))
        }));
        let join_token_file = self.join_token_file.as_ref();
        arguments.extend(join_token_file.map(|file| format!("--join-token-file={}", file.display())));
        arguments.extend(self.more.iter().cloned());
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        let mut call = Convene::new(arguments).env("CONVENE_DISCOVERY", &self.url);
        if let Some((name, password)) = &self.access.user {
            call = call.env("CONVENE_USER", format!("{name}:{password}"));
            if self.place.identity().is_none() {
                call = call.env("CONVENE_INSECURE_ETCD_CREDENTIALS", "true");
            }
        }
        match self.place.host() {
            Some(host) => call.on(host),
            None => call,
        }
    }

    /// A command of `convene` with the name and the data directory only.
    pub fn call_with_name_only(&self, verb: &str) -> Convene {
        let data_dir = format!("--data-dir={}", self.place.data_dir().display());
        Convene::new([verb, "--name", &self.name, &data_dir]).env("CONVENE_DISCOVERY", &self.url)
    }

    /// Starts `convene join` without a promoter.
    pub fn spawn_join(&self, more: &[&str]) -> Process {
        self.call("join", &[&["--no-promote"], more].concat()).spawn()
    }

    /// Runs `convene join`, and starts etcd with the result.
    pub fn join(&mut self, more: &[&str]) -> Ended {
        let mut joining = self.spawn_join(more);
        self.start_with_result(&mut joining)
    }

    /// Waits until `convene join` succeeds, and starts etcd with the result.
    pub fn start_with_result(&mut self, joining: &mut Process) -> Ended {
        let code = joining.wait_for_exit(LIMIT);
        let ended = Ended { code, stdout: joining.stdout(), stderr: joining.stderr() };
        assert_eq!(code, Some(0), "{} gets no result: {}", self.name, ended.stderr);
        self.etcd = Some(self.version.start_with_environment(&self.place, &ended.stdout));
        ended
    }

    /// Runs `convene promote` until its member is a voter.
    pub fn promote(&self) {
        let ended = self.call("promote", &["--timeout=40s"]).run(LIMIT);
        let etcd = self.etcd.as_ref().map(|etcd| etcd.output()).unwrap_or_default();
        assert_eq!(ended.code, Some(0), "{} is not promoted: {}\netcd logged:\n{etcd}", self.name, ended.stderr);
    }

    /// Starts its etcd with v2 discovery, without `convene`.
    pub fn discover(&mut self) {
        let own = ["--name", &self.name, "--initial-advertise-peer-urls", &self.place.peer_url];
        self.etcd = Some(self.version.start(&self.place, &[&["--discovery", &self.url][..], &own].concat()));
    }

    /// Joins, starts etcd, and is promoted.
    pub fn join_and_promote(&mut self) {
        self.join(&[]);
        self.promote();
    }

    /// Moves the node to another cluster.
    pub fn move_to(&mut self, registry: &Registry) {
        self.url = registry.url.clone();
    }

    /// Kills its etcd with SIGKILL.
    pub fn kill(&mut self) {
        self.etcd = None;
    }

    /// Kills its etcd and deletes its data.
    pub fn lose_disk(&mut self) {
        self.kill();
        self.place.lose_disk();
    }

    /// The running etcd.
    pub fn etcd(&mut self) -> &mut Etcd {
        self.etcd.as_mut().expect("etcd has been started")
    }

    /// Runs etcdctl against its etcd only.
    pub fn etcdctl(&self, arguments: &[&str]) -> Result<String, String> {
        self.version.etcdctl_as(&self.access, self.client_url(), arguments)
    }

    /// Removes a member with etcdctl, through this node's etcd.
    pub fn remove_by_hand(&self, id: &str) {
        let removed = wait_for(LIMIT, || self.etcdctl(&["member", "remove", id]).ok());
        removed.expect("a healthy cluster removes a member");
    }

    /// The ID of its member.
    pub fn member_id(&self) -> String {
        let members = member_list(&self.version, &self.access, self.client_url()).unwrap();
        members.into_iter().find(|member| member.peer_urls.contains(&self.place.peer_url)).unwrap().id
    }

    /// The client URL of its etcd.
    pub fn client_url(&self) -> &str {
        &self.place.client_url
    }
}

/// Joins all these nodes at the same time, starts their etcds, and waits until they are voters.
pub fn join_together(nodes: &mut [Node]) {
    // Some have to wait until others have started.
    std::thread::scope(|scope| {
        for node in nodes {
            scope.spawn(|| node.join_and_promote());
        }
    });
}

/// Runs `convene join` on all these nodes at the same time, without promoters, and starts their etcds.
pub fn join_all(nodes: &mut [Node]) -> Vec<Ended> {
    std::thread::scope(|scope| {
        let joining: Vec<_> = nodes.iter_mut().map(|node| scope.spawn(|| node.join(&[]))).collect();
        joining.into_iter().map(|joining| joining.join().unwrap()).collect()
    })
}

/// Forms a cluster of this size, with the nodes `infra0`, `infra1`, …
pub fn form(version: &Version, registry: &Registry, size: usize) -> Vec<Node> {
    let mut nodes: Vec<Node> =
        (0..size).map(|number| Node::new(version, registry, &format!("infra{number}"))).collect();
    join_together(&mut nodes);
    wait_until_healthy(&nodes);
    nodes
}

/// Waits until exactly these nodes are the healthy voters of the cluster.
pub fn wait_until_healthy(nodes: &[Node]) -> Vec<Member> {
    let first = nodes.first().expect("a cluster has a node");
    let endpoints: Vec<&str> = nodes.iter().map(Node::client_url).collect();
    wait_until_members(&first.version, &first.access, &endpoints, nodes.len(), LIMIT)
}

/// Runs a test with several versions of etcd at the same time, because it mostly waits.
pub fn with_each(versions: Vec<Version>, test: impl Fn(&Version) + Sync) {
    std::thread::scope(|scope| {
        for version in &versions {
            let test = &test;
            let thread = std::thread::Builder::new().name(format!("etcd {}", version.name));
            thread.spawn_scoped(scope, move || test(version)).expect("a thread can be started");
        }
    });
}

/// Copies a directory with all that is in it.
pub fn copy_directory(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}
