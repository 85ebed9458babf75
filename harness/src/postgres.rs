//! A real PostgreSQL.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;

use crate::{environment, free_port, kept, peers, tls::Identity, wait_for};

/// Longer than it takes to start or to stop on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Ends what it has started when whoever started it has gone, in whatever way: a test that is killed leaves nothing
/// behind. The folder goes as well if it is named.
const WATCHED: &str = r#"
exec 3<&0
folder=$1; shift
"$@" </dev/null &
server=$!
(cat <&3 >/dev/null; kill -QUIT $server) 2>/dev/null &
wait $server
[ -z "$folder" ] || rm -rf "$folder"
"#;

/// A PostgreSQL server on a folder of its own.
pub struct Postgres {
    folder: PathBuf,
    /// Removes the folder at the end; the shared one's is removed by its watcher.
    _temporary: Option<TempDir>,
    port: u16,
    databases: AtomicU32,
    running: Mutex<Option<Running>>,
}

/// A watched server, which ends when the other end of its standard input does.
struct Running {
    watcher: Child,
    stdin: ChildStdin,
}

impl Postgres {
    /// Starts a server; `None` if PostgreSQL is missing and that is no failure.
    pub fn start() -> Option<Self> {
        let temporary = kept::folder();
        let postgres = Self::make(temporary.path().to_owned(), Some(temporary), None)?;
        postgres.start_again();
        Some(postgres)
    }

    /// Starts a server that lets in nobody without TLS.
    pub fn start_with_tls(identity: &Identity) -> Option<Self> {
        let temporary = kept::folder();
        let postgres = Self::make(temporary.path().to_owned(), Some(temporary), Some(identity))?;
        postgres.start_again();
        Some(postgres)
    }

    /// The one of this process, for tests that only need a database of their own; `None` if PostgreSQL is missing and that
    /// is no failure.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
        let start = || {
            let postgres = Self::make(TempDir::new().unwrap().keep(), None, None)?;
            postgres.start_again();
            Some(postgres)
        };
        SHARED.get_or_init(start).as_ref()
    }

    fn make(folder: PathBuf, temporary: Option<TempDir>, identity: Option<&Identity>) -> Option<Self> {
        let initdb = program("initdb")?;
        let mut command = not_root(&initdb);
        command.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"]);
        let made = command.arg(folder.join("data")).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        if let Some(identity) = identity {
            demand_tls(&folder, identity);
        }
        let (databases, running) = Default::default();
        Some(Self { folder, _temporary: temporary, port: free_port(), databases, running })
    }

    /// Starts the server that was stopped or has crashed: the same data, the same port.
    pub fn start_again(&self) {
        let program = program("postgres").expect("it was there before");
        let data = self.folder.join("data");
        let mut server = not_root(&program);
        server.arg("-D").arg(&data).args(["-p", &self.port.to_string()]);
        let settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=500", "jit=off"];
        for setting in settings {
            server.args(["-c", setting]);
        }
        let log = File::options().append(true).create(true).open(self.folder.join("log")).unwrap();
        let removed = if self._temporary.is_some() { Path::new("") } else { &self.folder };
        let mut watcher = environment::command(Path::new("/bin/sh"))
            .args(["-c", WATCHED, "watched"])
            .arg(removed)
            .arg(server.get_program())
            .args(server.get_args())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let stdin = watcher.stdin.take().unwrap();
        *self.running.lock().unwrap() = Some(Running { watcher, stdin });
        let ready = wait_for(LIMIT, || self.try_execute("postgres", "select 1").ok());
        assert!(ready.is_some(), "PostgreSQL does not answer:\n{}", self.log());
    }

    /// Makes a database, and returns its URL.
    pub fn create_database(&self) -> String {
        let name = format!("convene_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.execute("postgres", &format!("create database {name}"));
        self.url(&name)
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs SQL in a database, given by its name or its URL, and returns the rows: a line each, `|` between columns.
    pub fn execute(&self, database: &str, sql: &str) -> String {
        self.try_execute(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn try_execute(&self, database: &str, sql: &str) -> Result<String, String> {
        let url = if database.contains("://") { database.to_owned() } else { self.url(database) };
        let mut psql = environment::command(&program("psql").expect("it was there before"));
        let run =
            psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "-c", sql, &url]).output().unwrap();
        if !run.status.success() {
            return Err(String::from_utf8_lossy(&run.stderr).into_owned());
        }
        Ok(String::from_utf8(run.stdout).unwrap().trim_end().to_owned())
    }

    /// Ends all sessions of a database whose last statement is like a pattern, such as `LISTEN%`, and returns how many.
    pub fn cut_connections(&self, database: &str, like: &str) -> usize {
        let cut = format!(
            "select pg_terminate_backend(pid) from pg_stat_activity \
             where pid <> pg_backend_pid() and datname = current_database() and query like '{like}'"
        );
        self.execute(database, &cut).lines().filter(|line| *line == "t").count()
    }

    /// Stops the server as an administrator does: sessions are ended, what is committed is on the disk.
    pub fn stop(&self) {
        self.end("INT");
    }

    /// Ends the server at once, as a crash does.
    pub fn crash(&self) {
        self.end("QUIT");
    }

    /// Stops all of its processes, so that connections stay open and nobody answers.
    pub fn pause(&self) {
        self.signal_all("STOP");
    }

    /// Lets paused processes go on.
    pub fn resume(&self) {
        self.signal_all("CONT");
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn end(&self, signal: &str) {
        let Running { mut watcher, stdin } = self.running.lock().unwrap().take().expect("it runs");
        kill(signal, &self.pid());
        let ended = wait_for(LIMIT, || watcher.try_wait().unwrap());
        assert!(ended.is_some(), "PostgreSQL does not end:\n{}", self.log());
        drop(stdin);
    }

    fn signal_all(&self, signal: &str) {
        let parent = self.pid();
        kill(signal, &parent);
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
        // Some of them may end at this moment.
        let _ = Command::new("kill").arg(format!("-{signal}")).args(children.split_whitespace()).output();
    }

    fn pid(&self) -> String {
        let file = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap();
        file.lines().next().unwrap().trim().to_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(Running { mut watcher, stdin }) = self.running.get_mut().unwrap().take() {
            // One that is paused, because a test has failed meanwhile, would never hear that it is to end.
            if let Ok(file) = fs::read_to_string(self.folder.join("data/postmaster.pid")) {
                let _ = Command::new("kill").args(["-CONT", file.lines().next().unwrap_or_default().trim()]).output();
            }
            drop(stdin);
            let _ = watcher.wait();
        }
    }
}

/// A program of PostgreSQL. Its folders lie where they do in Debian's packages.
fn program(name: &str) -> Option<PathBuf> {
    peers::program("postgresql/bin", name)
}

/// A command that does not run as root, which PostgreSQL refuses: within a namespace of its own it is somebody else, to
/// whom everything belongs that is root's.
fn not_root(program: &Path) -> Command {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !is_root {
        return environment::command(program);
    }
    let mut command = environment::command(Path::new("unshare"));
    command.args(["--user", "--map-user=65534", "--map-group=65534"]).arg(program);
    command
}

fn kill(signal: &str, process: &str) {
    let killed = Command::new("kill").args([&format!("-{signal}"), process]).status().unwrap();
    assert!(killed.success(), "{process} has ended already");
}

fn demand_tls(folder: &Path, identity: &Identity) {
    let data = folder.join("data");
    fs::copy(&identity.certificate, data.join("server.crt")).unwrap();
    // It has to be nobody else's to read.
    fs::copy(&identity.key, data.join("server.key")).unwrap();
    fs::set_permissions(data.join("server.key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(data.join("postgresql.auto.conf"), "ssl = on\n").unwrap();
    fs::write(data.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\n").unwrap();
}
