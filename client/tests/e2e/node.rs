use std::{env, sync::Arc, time::Duration};

use convene_harness::{
    Access, Place, Postgres, Process,
    cluster::{Member, member_list, wait_until_members},
    convene::{Convene, Ended},
    etcd::{Etcd, Version},
    replicas::Replicas,
    server::Server,
    wait_for,
};

/// How long anything may take that has to happen.
pub const LIMIT: Duration = Duration::from_secs(90);

/// A cluster in a registry of its own, with deadlines that a test can wait for: a member is dead after five seconds.
pub struct Registry {
    service: Option<Service>,
    /// Its discovery URL.
    pub url: String,
}

/// What serves a registry. With CONVENE_TEST_DATABASE=replicas it is three servers on one database, and each request
/// goes to any one of them.
enum Service {
    Server(Server),
    Replicas(Replicas),
}

impl Registry {
    /// A cluster of a size.
    pub fn new(size: usize) -> Self {
        let service = Service::start();
        let registry = Self::on(service.url(), size);
        Self { service: Some(service), ..registry }
    }

    /// A cluster of a size, on a server that is somebody else's.
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

    /// Runs one of the administrator's verbs on the cluster.
    pub fn administer(&self, arguments: &[&str]) -> String {
        let ended = Convene::new(arguments).env("CONVENE_DISCOVERY", &self.url).run(LIMIT);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
        ended.stdout
    }

    /// Begins a new epoch.
    pub fn reset(&self) {
        let (server, token) = self.url.rsplit_once('/').unwrap();
        let reset = reqwest::Client::new()
            .post(format!("{server}/v1/clusters/{token}/reset"))
            .json(&serde_json::json!({ "token": token }));
        let answer = tokio::runtime::Runtime::new().unwrap().block_on(reset.send()).unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// The server crashes, and does not come back.
    pub fn crash(&mut self) {
        // Whatever is dropped is ended by SIGKILL.
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

/// A machine with an etcd and with `convene`.
pub struct Node {
    /// Its name.
    pub name: String,
    /// Where its etcd is.
    pub place: Arc<Place>,
    /// The version of its etcd.
    pub version: Version,
    etcd: Option<Etcd>,
    url: String,
    /// How clients reach its etcd.
    pub access: Access,
}

impl Node {
    /// A machine without data.
    pub fn new(version: &Version, registry: &Registry, name: &str) -> Self {
        Self::at(Place::new(), version, registry, name)
    }

    /// A machine at a place.
    pub fn at(place: Place, version: &Version, registry: &Registry, name: &str) -> Self {
        let access = place.access();
        Self {
            name: name.to_owned(),
            place: Arc::new(place),
            version: version.clone(),
            etcd: None,
            url: registry.url.clone(),
            access,
        }
    }

    /// A verb of `convene`, told who this node is.
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
        arguments.extend(self.access.user.iter().map(|(name, password)| format!("--user={name}:{password}")));
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        Convene::new(arguments).env("CONVENE_DISCOVERY", &self.url)
    }

    /// A verb of `convene` that is told nothing but the name and the data directory.
    pub fn call_briefly(&self, verb: &str) -> Convene {
        let data_dir = format!("--data-dir={}", self.place.data_dir().display());
        Convene::new([verb, "--name", &self.name, &data_dir]).env("CONVENE_DISCOVERY", &self.url)
    }

    /// Starts `convene join`, which leaves the promotion to `convene promote`.
    pub fn spawn_join(&self, more: &[&str]) -> Process {
        self.call("join", &[&["--no-promote"], more].concat()).spawn()
    }

    /// Runs `convene join` to its end, and starts etcd with what it prints.
    pub fn join(&mut self, more: &[&str]) -> Ended {
        let mut joining = self.spawn_join(more);
        self.start_when_told(&mut joining)
    }

    /// Waits until `convene join` ends well, and starts etcd with what it has printed.
    pub fn start_when_told(&mut self, joining: &mut Process) -> Ended {
        let code = joining.wait_for_exit(LIMIT);
        let ended = Ended { code, stdout: joining.stdout(), stderr: joining.stderr() };
        assert_eq!(code, Some(0), "{} is not told to start: {}", self.name, ended.stderr);
        self.etcd = Some(self.version.start_with_environment(&self.place, &ended.stdout));
        ended
    }

    /// Waits until its member votes.
    pub fn promote(&self) {
        let ended = self.call("promote", &["--timeout=40s"]).run(LIMIT);
        let etcd = self.etcd.as_ref().map(|etcd| etcd.output()).unwrap_or_default();
        assert_eq!(ended.code, Some(0), "{} is not promoted: {}\netcd said:\n{etcd}", self.name, ended.stderr);
    }

    /// Gets in from the beginning to the end: joins, starts, and is promoted.
    pub fn get_in(&mut self) {
        self.join(&[]);
        self.promote();
    }

    /// Belongs to another cluster from now on.
    pub fn move_to(&mut self, registry: &Registry) {
        self.url = registry.url.clone();
    }

    /// Its etcd ends with SIGKILL.
    pub fn die(&mut self) {
        self.etcd = None;
    }

    /// Dies, and loses its data.
    pub fn lose_disk(&mut self) {
        self.die();
        self.place.lose_disk();
    }

    /// Its etcd.
    pub fn etcd(&mut self) -> &mut Etcd {
        self.etcd.as_mut().expect("its etcd has been started")
    }

    /// Runs etcdctl against its etcd alone.
    pub fn etcdctl(&self, arguments: &[&str]) -> Result<String, String> {
        self.version.etcdctl_as(&self.access, self.client_url(), arguments)
    }

    /// Removes a member by hand, through this node's etcd.
    pub fn remove_by_hand(&self, id: &str) {
        let removed = wait_for(LIMIT, || self.etcdctl(&["member", "remove", id]).ok());
        removed.expect("a healthy cluster lets a member go");
    }

    /// Its member's ID.
    pub fn member_id(&self) -> String {
        let members = member_list(&self.version, &self.access, self.client_url()).unwrap();
        members.into_iter().find(|member| member.peer_urls.contains(&self.place.peer_url)).unwrap().id
    }

    /// Where clients reach its etcd.
    pub fn client_url(&self) -> &str {
        &self.place.client_url
    }
}

/// Joins all these at the same time, and starts their etcds.
pub fn join_together(nodes: &mut [Node]) {
    // Some may have to wait for others to have started, and come late.
    std::thread::scope(|scope| {
        for node in nodes {
            scope.spawn(|| node.get_in());
        }
    });
}

/// A cluster of so many nodes that has formed, `infra0` and so on.
pub fn form(version: &Version, registry: &Registry, size: usize) -> Vec<Node> {
    let mut nodes: Vec<Node> =
        (0..size).map(|number| Node::new(version, registry, &format!("infra{number}"))).collect();
    join_together(&mut nodes);
    wait_until_whole(&nodes);
    nodes
}

/// Waits until these nodes and nobody else are the cluster's healthy voters.
pub fn wait_until_whole(nodes: &[Node]) -> Vec<Member> {
    let first = nodes.first().expect("a cluster has a node");
    let endpoints: Vec<&str> = nodes.iter().map(Node::client_url).collect();
    wait_until_members(&first.version, &first.access, &endpoints, nodes.len(), LIMIT)
}

/// Tells a story with several versions of etcd at the same time, because most of it is waiting.
pub fn with_each(versions: Vec<Version>, story: impl Fn(&Version) + Sync) {
    std::thread::scope(|scope| {
        for version in &versions {
            let story = &story;
            let telling = std::thread::Builder::new().name(format!("etcd {}", version.name));
            telling.spawn_scoped(scope, move || story(version)).expect("a thread can be started");
        }
    });
}
