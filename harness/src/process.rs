use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use crate::{kept, secrets, wait_for};

/// A process whose output is recorded. It is killed when this is dropped, and fails the test if it is one of ours and has logged a
/// [secret](secrets).
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Output>,
}

impl Process {
    /// Starts a command. The name is for the messages of failing tests.
    pub fn spawn(name: &str, command: &mut Command) -> Self {
        Self::spawn_reading_from(Stdio::null(), name, command)
    }

    /// Starts a command that reads a short text from its standard input.
    pub fn spawn_with_input(name: &str, command: &mut Command, input: &str) -> Self {
        let mut process = Self::spawn_reading_from(Stdio::piped(), name, command);
        let mut stdin = process.child.stdin.take().unwrap();
        // A process that ends before it has read everything prints the reason, which is more useful than the broken pipe.
        let _ = stdin.write_all(input.as_bytes());
        process
    }

    /// Its process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its output so far, of both streams, in the order of reading.
    pub fn output(&self) -> String {
        self.output.so_far(&Stream::BOTH)
    }

    /// Its standard output so far.
    pub fn stdout(&self) -> String {
        self.output.so_far(&[Stream::Stdout])
    }

    /// Its standard error so far.
    pub fn stderr(&self) -> String {
        self.output.so_far(&[Stream::Stderr])
    }

    /// Waits until the output holds a text, and returns the first line with it.
    pub fn wait_for_output(&self, text: &str, limit: Duration) -> String {
        self.wait_for_line(&Stream::BOTH, text, limit)
    }

    /// Waits until the standard output holds a text, and returns the first line with it.
    pub fn wait_for_stdout(&self, text: &str, limit: Duration) -> String {
        self.wait_for_line(&[Stream::Stdout], text, limit)
    }

    /// Waits until the standard error holds a text, and returns the first line with it.
    pub fn wait_for_stderr(&self, text: &str, limit: Duration) -> String {
        self.wait_for_line(&[Stream::Stderr], text, limit)
    }

    /// Ends the process with SIGKILL as soon as it prints a text, and returns the line with it.
    pub fn kill_at(&mut self, text: &str, limit: Duration) -> String {
        let line = self.wait_for_output(text, limit);
        self.kill();
        line
    }

    /// Waits until the process ends by itself, and returns its exit code.
    pub fn wait_for_exit(&mut self, limit: Duration) -> Option<i32> {
        let child = &mut self.child;
        let status = wait_for(limit, || child.try_wait().unwrap());
        let status = status.unwrap_or_else(|| panic!("{} does not end:\n{}", self.name, self.output()));
        // Its last output is read shortly after its end, unless a child process keeps the streams open or the machine is busy.
        self.output.wait_until_all_is_read(Duration::from_secs(10));
        status.code()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
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

    fn spawn_reading_from(stdin: Stdio, name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let output = Arc::new(Output::default());
        let log = kept::log(name, child.id()).map(Arc::new);
        output.keep(Stream::Stdout, child.stdout.take().unwrap(), log.clone());
        output.keep(Stream::Stderr, child.stderr.take().unwrap(), log);
        Self { name: name.to_owned(), child, output }
    }

    /// Whether its standard error is a log that others read later: of the server, and of the verbs of nodes. The verbs of administrators
    /// show a new secret to the person who has asked for it.
    fn is_kept_as_log(&self) -> bool {
        let of_node = |verb: &str| self.name.starts_with(&format!("convene [\"{verb}\""));
        self.name.starts_with("convene-server")
            || ["run", "join", "promote", "leave", "status"].into_iter().any(of_node)
    }

    fn wait_for_line(&self, streams: &[Stream], text: &str, limit: Duration) -> String {
        let line = self.output.wait_for_line(streams, text, limit);
        line.unwrap_or_else(|| panic!("{} never printed {text:?}:\n{}", self.name, self.output()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        // A failed test prints its own reason.
        if !self.is_kept_as_log() || thread::panicking() {
            return;
        }
        if let Some(line) = secrets::line_with_secret(&self.stderr()) {
            panic!("{} logged a secret: {line}", self.name);
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    const BOTH: [Self; 2] = [Self::Stdout, Self::Stderr];
}

/// The output of a process.
#[derive(Default)]
struct Output {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Default)]
struct Lines {
    lines: Vec<(Stream, String)>,
    /// How many streams are still read.
    open: usize,
}

impl Output {
    /// Reads a stream to its end, and copies it to a log.
    fn keep(self: &Arc<Self>, stream: Stream, from: impl Read + Send + 'static, log: Option<Arc<File>>) {
        self.lines().open += 1;
        let output = self.clone();
        thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
                // A full disk must not end the test.
                let _ = log.as_deref().map_or(Ok(()), |mut log| log.write_all(&line));
                output.lines().lines.push((stream, String::from_utf8_lossy(&line).into_owned()));
                output.changed.notify_all();
                line.clear();
            }
            output.lines().open -= 1;
            output.changed.notify_all();
        });
    }

    fn so_far(&self, streams: &[Stream]) -> String {
        let lines = self.lines();
        lines.lines.iter().filter(|(stream, _)| streams.contains(stream)).map(|(_, line)| line.as_str()).collect()
    }

    /// The first line with a text; `None` once the limit is over, or once nothing more can come.
    fn wait_for_line(&self, streams: &[Stream], text: &str, limit: Duration) -> Option<String> {
        let deadline = Instant::now() + limit;
        let mut seen = 0;
        let mut lines = self.lines();
        loop {
            let new = lines.lines[seen..].iter();
            if let Some((_, line)) = new.clone().find(|(stream, line)| streams.contains(stream) && line.contains(text))
            {
                return Some(line.trim_end_matches(['\r', '\n']).to_owned());
            }
            seen = lines.lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if lines.open == 0 || left.is_zero() {
                return None;
            }
            lines = self.changed.wait_timeout(lines, left).unwrap().0;
        }
    }

    fn wait_until_all_is_read(&self, limit: Duration) {
        drop(self.changed.wait_timeout_while(self.lines(), limit, |lines| lines.open > 0).unwrap());
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap()
    }
}
