//! A real PostgreSQL.

use std::{
    env,
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{self, Child, ChildStdin, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

use crate::{environment, free_port, kept, peers, small_disk::SmallDisk, tls::Identity, wait_for};

/// Longer than it takes to start or to stop on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Ends the server when the process that needs it has ended, in whatever way: a test that is killed leaves nothing
/// behind. That is the process with a number if one is given, and otherwise the one at the other end of the standard input. The
/// folder goes as well if it is named.
const WATCHED: &str = r#"
exec 3<&0
folder=$1; process=$2; shift 2
"$@" </dev/null &
server=$!
wait_for_its_end() {
    if [ -z "$process" ]; then cat <&3; else while kill -0 "$process"; do sleep 1; done; fi
}
(wait_for_its_end; kill -QUIT $server) >/dev/null 2>&1 &
wait $server
[ -z "$folder" ] || rm -rf "$folder"
"#;

/// How every server is set. No test takes the power away from the machine, so that nothing has to reach the disk.
const SETTINGS: [&str; 5] =
    ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=500", "jit=off", "fsync=off"];

/// A PostgreSQL server on a folder of its own.
pub struct Postgres {
    folder: PathBuf,
    /// Where its data is, if that can be filled. Unmounted before the folder is removed.
    disk: Option<SmallDisk>,
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

    /// Starts a server whose disk can be filled; `None`, with the reason printed, if that is not possible here.
    pub fn start_on_small_disk() -> Option<Self> {
        let temporary = kept::folder();
        let data = temporary.path().join("data");
        fs::create_dir(&data).unwrap();
        let disk = SmallDisk::mount(&data, 128)?;
        let mut postgres = Self::make(temporary.path().to_owned(), Some(temporary), None)?;
        postgres.disk = Some(disk);
        postgres.start_again();
        Some(postgres)
    }

    /// Leaves no free space on its small disk.
    pub fn fill_disk(&self) {
        self.disk.as_ref().expect("the server is on a small disk").fill();
    }

    /// Frees the space that was filled.
    pub fn free_disk(&self) {
        self.disk.as_ref().expect("the server is on a small disk").free();
    }

    /// Starts a server that accepts TLS connections only.
    pub fn start_with_tls(identity: &Identity) -> Option<Self> {
        let temporary = kept::folder();
        let postgres = Self::make(temporary.path().to_owned(), Some(temporary), Some(identity))?;
        postgres.start_again();
        Some(postgres)
    }

    /// The one for tests that only need a database of their own; `None` if PostgreSQL is missing and that is no failure.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
        let start = || {
            if let Ok(run) = env::var("NEXTEST_RUN_ID") {
                return Self::of_run(env::temp_dir().join(format!("convene-test-postgres-{run}")));
            }
            let postgres = Self::make(TempDir::new().unwrap().keep(), None, None)?;
            postgres.start_again();
            Some(postgres)
        };
        SHARED.get_or_init(start).as_ref()
    }

    /// nextest has a process for each test: the first one that asks starts the server, and it ends with nextest.
    #[expect(clippy::zombie_processes, reason = "the watcher outlives this process, and init collects it")]
    fn of_run(folder: PathBuf) -> Option<Self> {
        fs::create_dir_all(&folder).unwrap();
        let lock = File::create(folder.join("lock")).unwrap();
        lock.lock().unwrap();
        let port_file = folder.join("port");
        if let Ok(port) = fs::read_to_string(&port_file) {
            return Some(Self::at(folder, None, port.parse().unwrap()));
        }
        let postgres = Self::make(folder, None, None)?;
        let mut watcher = postgres.watcher(&runner());
        // In a group of its own, because nextest ends what is left in a test's.
        watcher.stdin(Stdio::null()).process_group(0).spawn().unwrap();
        postgres.wait_until_it_answers();
        fs::write(port_file, postgres.port.to_string()).unwrap();
        Some(postgres)
    }

    /// Starts a streaming replica of this server, which stops for a moment.
    pub fn start_standby(&self) -> Self {
        self.stop();
        let temporary = kept::folder();
        let standby = Self::at(temporary.path().to_owned(), Some(temporary), free_port());
        let data = standby.folder.join("data");
        let copied = Command::new("cp").arg("-a").arg(self.folder.join("data")).arg(&data).status().unwrap();
        assert!(copied.success(), "the data can't be copied");
        self.start_again();
        fs::write(data.join("standby.signal"), "").unwrap();
        let primary = format!("primary_conninfo = 'host=127.0.0.1 port={} user=postgres'\n", self.port);
        fs::write(data.join("postgresql.auto.conf"), primary).unwrap();
        standby.start_again();
        standby
    }

    /// Makes every COMMIT wait for a standby.
    pub fn require_standby(&self) {
        self.execute("postgres", "alter system set synchronous_standby_names = '*'");
        self.execute("postgres", "select pg_reload_conf()");
        let synchronous = "select count(*) from pg_stat_replication where sync_state = 'sync'";
        let is_synchronous = wait_for(LIMIT, || (self.execute("postgres", synchronous) == "1").then_some(()));
        assert!(is_synchronous.is_some(), "no standby is synchronous:\n{}", self.log());
    }

    /// Stops receiving from the primary, for a standby. What the primary writes from then on is lost if it fails.
    pub fn stop_receiving(&self) {
        self.execute("postgres", "alter system reset primary_conninfo");
        self.execute("postgres", "select pg_reload_conf()");
        let receivers = "select count(*) from pg_stat_wal_receiver";
        let stopped = wait_for(LIMIT, || (self.execute("postgres", receivers) == "0").then_some(()));
        assert!(stopped.is_some(), "the standby still receives:\n{}", self.log());
    }

    /// Makes a primary of a standby.
    pub fn promote(&self) {
        assert_eq!(self.execute("postgres", "select pg_promote()"), "t", "{}", self.log());
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
        Some(Self::at(folder, temporary, free_port()))
    }

    fn at(folder: PathBuf, temporary: Option<TempDir>, port: u16) -> Self {
        let (disk, databases, running) = Default::default();
        Self { folder, disk, _temporary: temporary, port, databases, running }
    }

    /// Starts the server that was stopped or has crashed: the same data, the same port.
    pub fn start_again(&self) {
        let mut watcher = self.watcher("").stdin(Stdio::piped()).spawn().unwrap();
        let stdin = watcher.stdin.take().unwrap();
        *self.running.lock().unwrap() = Some(Running { watcher, stdin });
        self.wait_until_it_answers();
    }

    /// The command that runs the server as long as a process needs it; see [`WATCHED`].
    fn watcher(&self, process: &str) -> Command {
        let program = program("postgres").expect("it was there before");
        let data = self.folder.join("data");
        let mut server = not_root(&program);
        server.arg("-D").arg(&data).args(["-p", &self.port.to_string()]);
        server.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        let log = File::options().append(true).create(true).open(self.folder.join("log")).unwrap();
        let removed = if self._temporary.is_some() { Path::new("") } else { &self.folder };
        let mut watcher = environment::command(Path::new("/bin/sh"));
        watcher
            .args(["-c", WATCHED, "watched"])
            .arg(removed)
            .arg(process)
            .arg(server.get_program())
            .args(server.get_args())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        watcher
    }

    fn wait_until_it_answers(&self) {
        let ready = wait_for(LIMIT, || self.try_execute("postgres", "select 1").ok());
        assert!(ready.is_some(), "PostgreSQL does not answer:\n{}", self.log());
    }

    /// Makes a database, and returns its URL.
    pub fn create_database(&self) -> String {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("convene_{}_{now}_{number}", process::id());
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

    /// Runs SQL like [`Postgres::execute`], and returns what psql prints about a failure.
    pub fn try_execute(&self, database: &str, sql: &str) -> Result<String, String> {
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

    /// Stops all of its processes, so that connections stay open and no response.
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
            // A process that a failed test left paused would never handle the signal to end.
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

/// nextest's process: the parent of the leader of the process group that it has made for this test.
fn runner() -> String {
    // proc(5): "pid (comm) state ppid pgrp ..."
    let stat = |process: &str, field: usize| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        fields.split_whitespace().nth(field).unwrap().to_owned()
    };
    let leader = stat("self", 2);
    stat(&leader, 1)
}

fn demand_tls(folder: &Path, identity: &Identity) {
    let data = folder.join("data");
    fs::copy(&identity.certificate, data.join("server.crt")).unwrap();
    // No other user may be able to read it.
    fs::copy(&identity.key, data.join("server.key")).unwrap();
    fs::set_permissions(data.join("server.key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(data.join("postgresql.auto.conf"), "ssl = on\n").unwrap();
    fs::write(data.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\n").unwrap();
}
