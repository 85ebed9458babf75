//! Boots machines of the documentation, for somebody who tries a page by hand. Nothing is installed on them but etcd; `target/dist` and
//! `deploy` are in root's home, as docs/install.md wants them.
//!
//! It reads lines: `boot infra4` boots another machine, and `lose infra2` ends one as a loss of power does. The end of the input, Ctrl-C
//! or SIGTERM ends all.

use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions},
    io::{self, BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::mpsc::{self, Sender},
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use convene_harness::{Machine, Site, etcd::Version};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(about = "Boot machines of the documentation, each with systemd; needs root")]
struct Arguments {
    /// Machines to boot first: discovery, discovery2, infra0 to infra5, db with PostgreSQL, proxy with HAProxy
    #[arg(default_values = ["discovery", "infra0", "infra1", "infra2"])]
    machines: Vec<String>,
    /// Version of etcd on the machines
    #[arg(long, default_value = "3.6")]
    etcd: String,
    /// Hours until all ends by itself
    #[arg(long, default_value_t = 3.0)]
    hours: f64,
    /// Folder for the script `on` [default: a temporary one]
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Read the lines from the fifo `commands` in the folder instead of from standard input; it has no end
    #[arg(long)]
    fifo: bool,
}

/// The script that opens a shell on a machine. Next to it, a file for each machine has the words that enter the machine.
const ON: &str = r#"#!/bin/sh
# on MACHINE: opens a root shell on a machine, or runs the lines of its standard input there.
# on MACHINE COMMAND: runs a command of shell there.
machines=$(dirname "$0")/machines
if [ ! -f "$machines/$1" ]; then
    echo "usage: $0 MACHINE [COMMAND]; the machines are" $(ls "$machines") >&2
    exit 2
fi
enter=$(cat "$machines/$1")
shift
if [ $# = 0 ]; then
    exec $enter TERM="${TERM:-dumb}" bash
fi
exec $enter bash -c "$*"
"#;

enum Event {
    Line(String),
    End,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let deadline = Instant::now() + Duration::from_secs_f64(arguments.hours * 3600.0);
    let Some(version) = ["3.4", "3.5", "3.6", "3.7"].into_iter().find(|name| *name == arguments.etcd) else {
        eprintln!("--etcd: must be 3.4, 3.5, 3.6 or 3.7, and is {}", arguments.etcd);
        return ExitCode::from(2);
    };
    // A reason was printed.
    let Some(site) = Version::find(version).and_then(Site::new) else { return ExitCode::FAILURE };
    let temporary = tempfile::TempDir::new().unwrap();
    let folder = arguments.folder.unwrap_or_else(|| temporary.path().to_owned());
    let (events, received) = mpsc::channel();
    end_on_signals(events.clone());
    let mut machines = Machines::new(site, &folder);
    for name in &arguments.machines {
        machines.boot(name);
    }
    println!("lines: boot MACHINE, lose MACHINE; all ends after {} hours", arguments.hours);
    if arguments.fifo {
        let fifo = folder.join("commands");
        // That of an earlier run in the same folder.
        let _ = fs::remove_file(&fifo);
        let made = Command::new("mkfifo").arg(&fifo).status();
        assert!(made.is_ok_and(|made| made.success()), "{} can be made", fifo.display());
        println!("they are read from {}", fifo.display());
        // This process can write to it as well, so that it does not end with its first writer.
        let fifo = File::options().read(true).write(true).open(fifo).unwrap();
        read(BufReader::new(fifo), events);
    } else {
        read(BufReader::new(io::stdin()), events);
    }
    while let Ok(Event::Line(line)) = received.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [] => {}
            ["boot", name] => machines.boot(name),
            ["lose", name] => machines.lose(name),
            _ => println!("{line:?} is neither `boot MACHINE` nor `lose MACHINE`"),
        }
    }
    ExitCode::SUCCESS
}

struct Machines {
    running: BTreeMap<String, Machine>,
    site: Site,
    /// Where the script `on` is.
    folder: PathBuf,
}

impl Machines {
    fn new(site: Site, folder: &Path) -> Self {
        // Those of an earlier run in the same folder.
        let _ = fs::remove_dir_all(folder.join("machines"));
        fs::create_dir_all(folder.join("machines")).unwrap();
        let folder = folder.canonicalize().unwrap();
        fs::write(folder.join("on"), ON).unwrap();
        fs::set_permissions(folder.join("on"), Permissions::from_mode(0o755)).unwrap();
        Self { running: BTreeMap::new(), site, folder }
    }

    fn boot(&mut self, name: &str) {
        if self.running.contains_key(name) || Site::names().all(|known| known != name) {
            let known: Vec<_> = Site::names().collect();
            println!("{name} can't boot: it runs, or is none of {}", known.join(", "));
            return;
        }
        let machine = match name {
            "db" => self.site.boot_database(),
            "proxy" => self.site.boot_proxy(),
            _ => Some(self.site.boot(name)),
        };
        // A reason was printed.
        let Some(machine) = machine else { return };
        let enter = machine.enter();
        let words = [enter.get_program()].into_iter().chain(enter.get_args()).map(|word| word.to_str().unwrap());
        fs::write(self.file(name), words.collect::<Vec<_>>().join(" ")).unwrap();
        println!("{name} has booted: {} {name}", self.folder.join("on").display());
        self.running.insert(name.to_owned(), machine);
    }

    fn lose(&mut self, name: &str) {
        if !self.running.contains_key(name) {
            println!("{name} does not run");
            return;
        }
        fs::remove_file(self.file(name)).unwrap();
        self.running.remove(name);
        println!("{name} is lost");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join("machines").join(name)
    }
}

impl Drop for Machines {
    /// Another process may soon have the number of one that the script enters.
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.folder.join("machines"));
    }
}

/// Hands over lines, and then the end.
fn read(from: impl BufRead + Send + 'static, events: Sender<Event>) {
    thread::spawn(move || {
        for line in from.lines().map_while(Result::ok) {
            let _ = events.send(Event::Line(line));
        }
        let _ = events.send(Event::End);
    });
}

/// Ends on Ctrl-C and SIGTERM, so that no machine is left.
fn end_on_signals(events: Sender<Event>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let (mut interrupt, mut terminate) = {
        let _within = runtime.enter();
        (signal(SignalKind::interrupt()).unwrap(), signal(SignalKind::terminate()).unwrap())
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        });
        let _ = events.send(Event::End);
    });
}
