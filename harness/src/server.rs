//! The real `convene-server`.

use std::{
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::{Process, environment, free_port, programs};

/// A running `convene-server` on a database of its own.
pub struct Server {
    process: Process,
    /// Where it is reached, without a slash at the end.
    pub url: String,
    settings: Settings,
}

/// What a server is started with: the same again after a crash.
struct Settings {
    dir: TempDir,
    port: u16,
    arguments: Vec<String>,
}

impl Server {
    /// Starts a server and waits until it listens.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with arguments of a test's own, and waits until it listens.
    pub fn start_with(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Settings { dir: TempDir::new().unwrap(), port: free_port(), arguments }.start()
    }

    /// Ends the server with SIGKILL; [`Crashed::restart`] starts it again.
    pub fn crash(mut self) -> Crashed {
        self.process.kill();
        Crashed(self.settings)
    }

    /// Where its data is.
    pub fn database(&self) -> PathBuf {
        self.settings.database()
    }

    /// Makes a cluster and returns its discovery URL.
    pub async fn new_cluster(&self, size: u32) -> String {
        let answer = reqwest::get(format!("{}/new?size={size}", self.url)).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap()
    }
}

/// A server that is not running, and its data.
pub struct Crashed(Settings);

impl Crashed {
    /// Starts it again, on the same data and the same port.
    pub fn restart(self) -> Server {
        self.0.start()
    }
}

impl Settings {
    fn start(self) -> Server {
        let address = format!("127.0.0.1:{}", self.port);
        let process = Process::spawn("convene-server", &mut command(&address, &self.database(), &self.arguments));
        process.wait_for_output("listens on", Duration::from_secs(20));
        Server { process, url: format!("http://{address}"), settings: self }
    }

    fn database(&self) -> PathBuf {
        self.dir.path().join("convene.db")
    }
}

/// The command that starts a server.
pub fn command(listen: &str, database: &Path, arguments: &[String]) -> Command {
    let mut command = environment::command(&programs::server());
    command.args(["--listen", listen, "--database-url", &format!("sqlite:{}", database.display())]).args(arguments);
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
