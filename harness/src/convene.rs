//! The real `convene`.

use std::{ffi::OsStr, path::Path, process::Command, time::Duration};

use crate::{Process, environment, network::Host, peers, programs};

/// A call of `convene`, with none of the variables that the test was started with. It may call the server of a network in clear
/// text.
pub struct Convene {
    name: String,
    command: Command,
}

/// Allows clear text.
const INSECURE: &str = "CONVENE_INSECURE_DISCOVERY";

impl Convene {
    /// A call with arguments.
    pub fn new<I>(arguments: I) -> Self
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        let arguments: Vec<_> = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        let mut command = environment::command(&programs::client());
        command.args(&arguments).env(INSECURE, "true");
        Self { name: format!("convene {arguments:?}"), command }
    }

    /// The same call with a variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// The same call with its defaults: over TLS to the servers of other machines.
    pub fn secure(mut self) -> Self {
        self.command.env_remove(INSECURE);
        self
    }

    /// The same call on a machine of a network.
    pub fn on(mut self, host: &Host) -> Self {
        self.command = host.wrap(&self.command);
        self
    }

    /// The same call with a filesystem of its own at a directory, which nobody else sees: a tmpfs with these mount options. `None`, with
    /// the reason printed, if mounting is not allowed here.
    pub fn with_disk(self, directory: &Path, options: &str) -> Option<Self> {
        const MOUNT: &str = "mount -t tmpfs -o \"$0\" none \"$1\" && shift && exec \"$@\"";
        self.unshared("mounting", |command| {
            command.args(["--mount", "--map-root-user", "sh", "-c", MOUNT, options]).arg(directory);
        })
    }

    /// The same call as the first process of a namespace of processes, as in a container: the only child of the process that is
    /// started. `None`, with the reason printed, if that is not allowed here.
    pub fn as_first_process(self) -> Option<Self> {
        self.unshared("a namespace of processes", |command| {
            command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]);
        })
    }

    /// The same call in namespaces of its own, for which these are the arguments of unshare.
    fn unshared(mut self, what: &str, arguments: impl Fn(&mut Command)) -> Option<Self> {
        let wrapped = |command: &Command| {
            let mut wrapped = environment::command(Path::new("unshare"));
            arguments(&mut wrapped);
            wrapped.arg(command.get_program()).args(command.get_args());
            environment::copy(command, &mut wrapped);
            wrapped
        };
        let tried = wrapped(&Command::new("true")).output();
        if !tried.is_ok_and(|tried| tried.status.success()) {
            peers::skip(&format!("{what} is not allowed here"));
            return None;
        }
        self.command = wrapped(&self.command);
        Some(self)
    }

    /// Runs it to its end.
    pub fn run(self, limit: Duration) -> Ended {
        let mut process = self.spawn();
        let code = process.wait_for_exit(limit);
        Ended { code, stdout: process.stdout(), stderr: process.stderr() }
    }

    /// Starts it without waiting for its output or its end.
    pub fn spawn(mut self) -> Process {
        Process::spawn(&self.name, &mut self.command)
    }
}

/// The result of a process.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit code; `None` if a signal has ended it.
    pub code: Option<i32>,
    /// Its whole standard output.
    pub stdout: String,
    /// Its whole standard error.
    pub stderr: String,
}
