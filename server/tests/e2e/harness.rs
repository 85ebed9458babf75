//! What the tests run: servers, etcds and other processes, each ended when its handle is dropped.

pub mod etcd;
pub mod node;
pub mod peer;
pub mod peers;
pub mod registry;
pub mod server;

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// A process whose output is kept, and which is killed when this is dropped.
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Mutex<String>>,
}

impl Process {
    pub fn spawn(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let output = Arc::new(Mutex::new(String::new()));
        keep(child.stdout.take().unwrap(), output.clone());
        keep(child.stderr.take().unwrap(), output.clone());
        Self { name: name.to_owned(), child, output }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// Waits until the output holds a text, and returns the first line with it.
    pub fn wait_for_output(&self, text: &str, limit: Duration) -> String {
        let found = || self.output.lock().unwrap().lines().find(|line| line.contains(text)).map(str::to_owned);
        wait_for(limit, found).unwrap_or_else(|| panic!("{} never said {text:?}:\n{}", self.name, self.output()))
    }

    /// Waits until the process ends by itself, and returns its exit code.
    pub fn wait_for_exit(&mut self, limit: Duration) -> Option<i32> {
        let child = &mut self.child;
        let status = wait_for(limit, || child.try_wait().unwrap());
        let status = status.unwrap_or_else(|| panic!("{} does not end:\n{}", self.name, self.output()));
        // The readers see the end of the output a moment after the process has ended.
        thread::sleep(Duration::from_millis(20));
        status.code()
    }

    /// Sends a signal, such as "TERM".
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.id().to_string()]).status().unwrap();
        assert!(sent.success(), "{} has ended already:\n{}", self.name, self.output());
    }

    /// Ends the process with SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The memory that the process has, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn keep(from: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    thread::spawn(move || {
        let mut lines = BufReader::new(from);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
}

/// Asks again and again until there is an answer, or `None` once the limit is over.
pub fn wait_for<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() > deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// A port that nobody listens on. They lie below those that the kernel gives to clients, so that none of
/// our own connections takes one before its server does.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 15_000 + (std::process::id() % 100) as u16 * 150;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
