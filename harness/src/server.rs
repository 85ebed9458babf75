//! The real `convene-server`.

use std::{
    env,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;

use crate::{Postgres, Process, environment, free_port, http, kept, network::Host, programs, secrets, tls::Identity};

/// A running `convene-server`.
pub struct Server {
    process: Process,
    /// Where it is reached, without a slash at the end.
    pub url: String,
    settings: Settings,
}

/// What a server is started with: the same again after a crash.
struct Settings {
    database: Database,
    ip: String,
    /// The machine of a network that it runs on.
    host: Option<Arc<Host>>,
    port: u16,
    arguments: Vec<String>,
    /// Whether it logs all that its libraries can log.
    traces: bool,
}

enum Database {
    /// A file in a folder of its own.
    Sqlite(TempDir),
    /// A URL of another server.
    Of(String),
}

impl Server {
    /// Starts a server on a database of its own, and waits until it listens.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with arguments of a test's own on a database of its own, and waits until it listens.
    /// CONVENE_TEST_DATABASE selects the kind of database: `sqlite`, which is the default, `postgres`, or
    /// `replicas`, with which tests that can do with several servers have three on a PostgreSQL.
    pub fn start_with(arguments: &[&str]) -> Self {
        let database = match env::var("CONVENE_TEST_DATABASE").as_deref() {
            Err(_) | Ok("sqlite") => Database::Sqlite(kept::folder()),
            Ok("postgres" | "replicas") => {
                let postgres = Postgres::shared().expect("CONVENE_TEST_DATABASE asks for PostgreSQL");
                Database::Of(postgres.create_database())
            }
            Ok(other) => panic!("CONVENE_TEST_DATABASE must be sqlite, postgres or replicas, and is {other}"),
        };
        Settings::new(database, arguments).start()
    }

    /// Starts a server that speaks TLS with this identity, with arguments of a test's own, and waits until it listens.
    pub fn start_with_tls(identity: &Identity, arguments: &[&str]) -> Self {
        let [certificate, key] = [&identity.certificate, &identity.key].map(|file| file.to_str().unwrap());
        Self::start_with(&[&["--tls-cert", certificate, "--tls-key", key][..], arguments].concat())
    }

    /// Starts a server that demands credentials, on a SQLite file of its own, and waits until it listens. Returns the API token of
    /// an administrator as well.
    pub fn start_with_auth(arguments: &[&str]) -> (Self, String) {
        let settings = Settings::new(Database::Sqlite(kept::folder()), &[&["--auth", "on"], arguments].concat());
        let token = create_api_token(&settings.database.url(), &["--role", "admin", "--name", "test"]);
        (settings.start(), token)
    }

    /// Creates an API token in the server's database, and returns it.
    pub fn create_api_token(&self, arguments: &[&str]) -> String {
        create_api_token(&self.database_url(), arguments)
    }

    /// Starts a server on a SQLite file of its own, whatever other tests use, and waits until it listens.
    pub fn start_on_sqlite() -> Self {
        Settings::new(Database::Sqlite(kept::folder()), &[]).start()
    }

    /// Starts a server on a SQLite file of its own at this IP address, and waits until it listens.
    pub fn start_at(ip: &str) -> Self {
        Settings { ip: ip.to_owned(), ..Settings::new(Database::Sqlite(kept::folder()), &[]) }.start()
    }

    /// Starts a server on a SQLite file of its own, on a machine of a network, and waits until it listens.
    pub fn start_on_host(host: &Arc<Host>) -> Self {
        let settings = Settings::new(Database::Sqlite(kept::folder()), &[]);
        Settings { ip: host.address.clone(), host: Some(host.clone()), ..settings }.start()
    }

    /// Starts a server with arguments of a test's own on a database that others may use as well, and waits until it
    /// listens.
    pub fn start_on(database_url: &str, arguments: &[&str]) -> Self {
        Settings::new(Database::Of(database_url.to_owned()), arguments).start()
    }

    /// [`Server::start_on`], with a log of everything that the server and its libraries can log.
    pub fn start_tracing_on(database_url: &str, arguments: &[&str]) -> Self {
        Settings { traces: true, ..Settings::new(Database::Of(database_url.to_owned()), arguments) }.start()
    }

    /// Ends the server with SIGKILL; [`Crashed::restart`] starts it again.
    pub fn crash(mut self) -> Crashed {
        self.process.kill();
        Crashed(self.settings)
    }

    /// `HOST:PORT` of [`Server::url`].
    pub fn address(&self) -> &str {
        self.url.split_once("://").map_or(&self.url, |(_, address)| address)
    }

    /// Where its data is.
    pub fn database_url(&self) -> String {
        self.settings.database.url()
    }

    /// The file that its data is in, if it is on SQLite.
    pub fn sqlite_file(&self) -> Option<PathBuf> {
        match &self.settings.database {
            Database::Sqlite(folder) => Some(folder.path().join("convene.db")),
            Database::Of(_) => None,
        }
    }

    /// Makes a cluster and returns its discovery URL.
    pub async fn new_cluster(&self, size: u32) -> String {
        let answer = http::get(format!("{}/new?size={size}", self.url)).await.unwrap();
        assert_eq!(answer.status(), 200);
        let url = answer.text().await.unwrap();
        secrets::remember(url.rsplit('/').next().unwrap());
        url
    }
}

/// A server that is not running, and its data.
pub struct Crashed(Settings);

impl Crashed {
    /// Starts it again, on the same data and the same port.
    pub fn restart(self) -> Server {
        self.0.start()
    }

    /// Starts it again on another database and the same port.
    pub fn restart_on(self, database_url: &str) -> Server {
        Settings { database: Database::Of(database_url.to_owned()), ..self.0 }.start()
    }
}

impl Settings {
    fn new(database: Database, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { database, ip: "127.0.0.1".to_owned(), host: None, port: free_port(), arguments, traces: false }
    }

    fn start(self) -> Server {
        let address = format!("{}:{}", self.ip, self.port);
        let mut command = command(&address, &self.database.url(), &self.arguments);
        if self.traces {
            command.env("RUST_LOG", "trace");
        }
        if let Some(host) = &self.host {
            command = host.wrap(&command);
        }
        let process = Process::spawn("convene-server", &mut command);
        process.wait_for_output("listens on", Duration::from_secs(20));
        let scheme = if self.arguments.iter().any(|argument| argument == "--tls-cert") { "https" } else { "http" };
        Server { process, url: format!("{scheme}://{address}"), settings: self }
    }
}

impl Database {
    fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => sqlite_url(&folder.path().join("convene.db")),
            Self::Of(url) => url.clone(),
        }
    }
}

/// The URL of a SQLite file.
pub fn sqlite_url(file: &Path) -> String {
    format!("sqlite:{}", file.display())
}

/// Creates an API token in a database, also while a server uses it, and returns it.
pub fn create_api_token(database_url: &str, arguments: &[&str]) -> String {
    let mut command = environment::command(&programs::server());
    command.args(["token", "create", "--database-url", database_url]).args(arguments);
    let created = command.output().unwrap();
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    String::from_utf8(created.stdout).unwrap().trim().to_owned()
}

/// The command that starts a server. It demands no credentials, unless the arguments have `--auth`.
pub fn command(listen: &str, database_url: &str, arguments: &[String]) -> Command {
    let mut command = environment::command(&programs::server());
    if !arguments.iter().any(|argument| argument == "--auth") {
        command.args(["--auth", "off", "--allow-unauthenticated"]);
    }
    command.args(["--listen", listen, "--database-url", database_url]).args(arguments);
    // A test sends what many clients send; tests of these limits give the flags, which take precedence.
    for limit in
        ["CONVENE_MAX_REQUESTS_PER_SECOND", "CONVENE_MAX_TOTAL_REQUESTS_PER_SECOND", "CONVENE_MAX_NEW_PER_HOUR"]
    {
        command.env(limit, "0");
    }
    command.env("CONVENE_MAX_CLUSTERS_PER_ADDRESS", "1000000");
    command
}

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}
