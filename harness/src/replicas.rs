//! Several servers that are one service.

use std::{fs, path::Path, time::Duration};

use tempfile::TempDir;

use crate::{Postgres, Process, environment, free_port, kept, peers, server::Crashed, server::Server, wait_for};

const LIMIT: Duration = Duration::from_secs(20);

/// Servers on one database, and a HAProxy before them that sends each request to any one of them.
pub struct Replicas {
    /// Where they are reached as one, without a slash at the end.
    pub url: String,
    /// Where their data is.
    pub database_url: String,
    /// What became of each.
    replicas: Vec<Replica>,
    _proxy: Process,
    _folder: TempDir,
}

enum Replica {
    Running(Server),
    Crashed(Crashed),
    /// For the moment of a change.
    Changing,
}

impl Replicas {
    /// Starts so many servers on a new database; `None` if HAProxy is missing and that is no failure.
    pub fn start(count: usize, postgres: &Postgres) -> Option<Self> {
        Self::start_on(count, &postgres.create_database(), &[])
    }

    /// Starts so many servers, with arguments of a test's own, on a database that is there; `None` if HAProxy is missing
    /// and that is no failure.
    pub fn start_on(count: usize, database_url: &str, arguments: &[&str]) -> Option<Self> {
        let program = peers::program("haproxy/bin", "haproxy")?;
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}");
        let arguments = [&["--public-url", &url], arguments].concat();
        let servers: Vec<Server> = (0..count).map(|_| Server::start_on(database_url, &arguments)).collect();
        let folder = kept::folder();
        let file = folder.path().join("haproxy.cfg");
        fs::write(&file, configuration(port, &servers)).unwrap();
        let proxy = start_proxy(&program, &file);
        let replicas = Self {
            url,
            database_url: database_url.to_owned(),
            replicas: servers.into_iter().map(Replica::Running).collect(),
            _proxy: proxy,
            _folder: folder,
        };
        replicas.wait_until_reached();
        Some(replicas)
    }

    /// A server that runs.
    pub fn server(&self, index: usize) -> &Server {
        match &self.replicas[index] {
            Replica::Running(server) => server,
            Replica::Crashed(_) | Replica::Changing => panic!("server {index} does not run"),
        }
    }

    /// The servers that run.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.replicas.iter().filter_map(|replica| match replica {
            Replica::Running(server) => Some(server),
            Replica::Crashed(_) | Replica::Changing => None,
        })
    }

    /// Ends a server with SIGKILL.
    pub fn crash(&mut self, index: usize) {
        self.change(index, |replica| match replica {
            Replica::Running(server) => Replica::Crashed(server.crash()),
            other => other,
        });
    }

    /// Starts a server that has crashed.
    pub fn restart(&mut self, index: usize) {
        self.change(index, |replica| match replica {
            Replica::Crashed(crashed) => Replica::Running(crashed.restart()),
            other => other,
        });
    }

    fn change(&mut self, index: usize, change: impl FnOnce(Replica) -> Replica) {
        let replica = std::mem::replace(&mut self.replicas[index], Replica::Changing);
        self.replicas[index] = change(replica);
    }

    fn wait_until_reached(&self) {
        let address = self.url.trim_start_matches("http://");
        assert!(wait_for(LIMIT, || std::net::TcpStream::connect(address).ok()).is_some(), "HAProxy does not listen");
    }
}

fn start_proxy(program: &Path, file: &Path) -> Process {
    let mut command = environment::command(program);
    Process::spawn("haproxy", command.arg("-f").arg(file))
}

/// Requests with the content type of gRPC are forwarded as HTTP/2; both kinds arrive at one port. Only a request that
/// never came to a server is sent to another one.
fn configuration(port: u16, servers: &[Server]) -> String {
    let lines = |parameters: &str| -> String {
        let line = |(index, server): (usize, &Server)| {
            let address = server.url.trim_start_matches("http://");
            format!("    server server-{index} {address} {parameters}\n")
        };
        servers.iter().enumerate().map(line).collect()
    };
    format!(
        "
defaults
    mode http
    balance random
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    retries 3
    option redispatch 1
    retry-on conn-failure
    option httpchk GET /readyz
    timeout check 5s
    default-server check inter 500ms fall 3 rise 1
frontend all
    bind 127.0.0.1:{port}
    use_backend grpc if {{ req.hdr(content-type) -m beg application/grpc }}
    default_backend http
backend http
{}
backend grpc
{}
",
        lines(""),
        lines("proto h2 check-proto h1")
    )
}
