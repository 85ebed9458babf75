//! A server as the README sets it up: `convene-server --setup DIR`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::{Process, environment, free_port, kept, programs, secrets};

/// The folder of a set-up, which need not exist yet, and the port of its server.
pub struct SetUp {
    parent: TempDir,
    port: u16,
}

impl SetUp {
    /// A set-up that has not begun.
    pub fn new() -> Self {
        Self { parent: kept::folder(), port: free_port() }
    }

    /// The folder in which the folder of the set-up is.
    pub fn parent(&self) -> &Path {
        self.parent.path()
    }

    /// The folder of the set-up, or a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.parent.path().join("convene").join(name)
    }

    /// The content of a file, without the end of its line. It may be a secret.
    pub fn read(&self, name: &str) -> String {
        let path = self.path(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.trim_end().to_owned()
    }

    /// `HOST:PORT` of the server.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The command that starts the server, with arguments of a test's own.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = environment::command(&programs::server());
        command.current_dir(self.parent()).args(["--setup", "convene"]).args(arguments);
        if !arguments.contains(&"--listen") {
            command.args(["--listen", &self.address()]);
        }
        command
    }

    /// Starts the server, and waits until it listens.
    pub fn start(&self) -> Process {
        let server = Process::spawn("convene-server", &mut self.command(&[]));
        server.wait_for_output("listens on", Duration::from_secs(20));
        if let Some((_, token)) = self.read("discovery").split_once('#').and_then(|(url, _)| url.rsplit_once('/')) {
            secrets::remember(token);
        }
        server
    }
}

impl Default for SetUp {
    fn default() -> Self {
        Self::new()
    }
}
