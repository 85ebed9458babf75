//! The log of etcd: the agent passes it on, and keeps the last lines and what etcd complains about.

mod complaint;

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::{
    fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create},
    process::Pid,
};

use complaint::Complaint;

use crate::stderr;

/// How often the agent passes on what etcd has written.
const INTERVAL: Duration = Duration::from_millis(200);

/// The name of the file in `/proc`.
const NAME: &str = "etcd-log";

/// How many lines are kept.
const KEPT_LINES: usize = 20;

/// The longest line that is kept whole, in bytes.
const MAX_LINE_BYTES: usize = 1_000;

/// The log of an etcd: standard output and standard error, in a file that exists in memory only.
///
/// With a pipe, etcd would be killed by SIGPIPE once the agent is gone (a Go program does not survive a failed write to standard
/// error). With a file on a disk, the lines that tell of a full disk would be lost.
#[derive(Debug)]
pub struct Log {
    file: File,
    tail: Arc<Mutex<Tail>>,
}

/// How far the log was passed on.
#[derive(Debug)]
struct Tail {
    file: File,
    /// The bytes before this one were passed on.
    passed_on: u64,
    /// The bytes before this one take no memory any more.
    freed: u64,
    /// Whether zeros come before what is to be passed on.
    skips_zeros: bool,
    lines: VecDeque<String>,
    /// The line that says most about why etcd ends, or does not answer.
    complaint: Option<Complaint>,
    /// The line that has no end yet.
    unfinished: Vec<u8>,
}

impl Log {
    /// An empty log, which is passed on to standard error for as long as this value exists.
    pub fn new() -> io::Result<Self> {
        Self::of_file(File::from(memfd_create(NAME, MemfdFlags::CLOEXEC)?))
    }

    /// The log of an etcd that another agent has started, from what that agent had not freed yet. `None` if the process writes to
    /// something else.
    pub fn resume(pid: Pid) -> Option<Self> {
        let path = format!("/proc/{}/fd/2", pid.as_raw_nonzero());
        let target = fs::read_link(&path).ok()?;
        if !target.to_string_lossy().starts_with(&format!("/memfd:{NAME} ")) {
            return None;
        }
        let mut file = File::options().read(true).write(true).open(path).ok()?;
        let log = Self::of_file(file.try_clone().ok()?).ok()?;
        {
            let mut tail = log.tail.lock().expect("no thread panics while it holds the lock");
            // The agent before has freed what it had passed on, which reads as zeros up to the end of a page.
            let data = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(0)).ok();
            tail.freed = data.map_or_else(|| file.seek(SeekFrom::End(0)), Ok).ok()?;
            tail.passed_on = tail.freed;
            tail.skips_zeros = true;
        }
        Some(log)
    }

    fn of_file(file: File) -> io::Result<Self> {
        let tail = Tail {
            file: file.try_clone()?,
            passed_on: 0,
            freed: 0,
            skips_zeros: false,
            lines: VecDeque::new(),
            complaint: None,
            unfinished: Vec::new(),
        };
        let tail = Arc::new(Mutex::new(tail));
        let weak = Arc::downgrade(&tail);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(INTERVAL).await;
                let Some(tail) = weak.upgrade() else { return };
                pass_on(&tail);
            }
        });
        Ok(Self { file, tail })
    }

    /// A standard stream of etcd that writes to it. All of them share a position in the file.
    pub fn writer(&self) -> io::Result<Stdio> {
        self.file.try_clone().map(Stdio::from)
    }

    /// The last lines, after everything has been passed on that etcd has written so far.
    pub fn last_lines(&self) -> Vec<String> {
        pass_on(&self.tail);
        let tail = self.tail.lock().expect("no thread panics while it holds the lock");
        let unfinished = (!tail.unfinished.is_empty()).then(|| text(&tail.unfinished));
        tail.lines.iter().cloned().chain(unfinished).collect()
    }

    /// What keeps etcd from answering, or why it has ended: the worst line so far. With what a person can do, if that is known.
    pub fn complaint(&self) -> Option<String> {
        self.worst().map(|complaint| complaint.to_string())
    }

    /// Why etcd has ended, if it says so. Older warnings are not the cause.
    pub fn cause(&self) -> Option<String> {
        self.worst().filter(Complaint::is_fatal).map(|complaint| complaint.to_string())
    }

    fn worst(&self) -> Option<Complaint> {
        pass_on(&self.tail);
        self.tail.lock().expect("no thread panics while it holds the lock").complaint.clone()
    }
}

fn pass_on(tail: &Mutex<Tail>) {
    let mut tail = tail.lock().expect("no thread panics while it holds the lock");
    // What can't be read now is read later.
    let _ = tail.pass_on(&mut stderr::Log);
}

impl Tail {
    fn pass_on(&mut self, to: &mut impl Write) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        loop {
            let count = self.file.read_at(&mut buffer, self.passed_on)?;
            if count == 0 {
                return Ok(());
            }
            let mut bytes = &buffer[..count];
            if self.skips_zeros {
                bytes = bytes.iter().position(|byte| *byte != 0).map_or(&[], |start| &bytes[start..]);
                self.skips_zeros = bytes.is_empty();
            }
            self.keep(bytes);
            let written = to.write_all(bytes);
            self.passed_on += count as u64;
            self.free()?;
            written?;
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = MAX_LINE_BYTES.saturating_sub(self.unfinished.len());
            self.unfinished.extend_from_slice(&line[..line.len().min(room)]);
            if !line.ends_with(b"\n") {
                continue;
            }
            let line = text(&self.unfinished);
            self.unfinished.clear();
            if let Some(later) = Complaint::of(&line) {
                self.complaint = Some(match self.complaint.take() {
                    Some(earlier) => earlier.or(later),
                    None => later,
                });
            }
            self.lines.push_back(line);
            if self.lines.len() > KEPT_LINES {
                self.lines.pop_front();
            }
        }
    }

    /// Gives back the memory of what was passed on. etcd's position in the file stays.
    fn free(&mut self) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&self.file, flags, self.freed, self.passed_on - self.freed)?;
        self.freed = self.passed_on;
        Ok(())
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::MetadataExt, process::Command};

    use super::*;

    fn tail() -> (File, Tail) {
        let file = File::from(memfd_create("test", MemfdFlags::CLOEXEC).unwrap());
        let tail = Tail {
            file: file.try_clone().unwrap(),
            passed_on: 0,
            freed: 0,
            skips_zeros: false,
            lines: VecDeque::new(),
            complaint: None,
            unfinished: Vec::new(),
        };
        (file, tail)
    }

    #[test]
    fn everything_is_passed_on_once_and_the_last_lines_are_kept() {
        let (mut file, mut tail) = tail();
        let mut passed_on = Vec::new();
        for number in 0..30 {
            write!(file, "line {number}\nand").unwrap();
            tail.pass_on(&mut passed_on).unwrap();
            writeln!(file, " more").unwrap();
            tail.pass_on(&mut passed_on).unwrap();
        }
        let expected: String = (0..30).map(|number| format!("line {number}\nand more\n")).collect();
        assert_eq!(String::from_utf8(passed_on).unwrap(), expected);
        assert_eq!(tail.lines.len(), KEPT_LINES);
        assert_eq!(tail.lines.back().unwrap(), "and more");
    }

    #[tokio::test]
    async fn the_next_agent_goes_on_where_the_last_one_has_ended() {
        let log = Log::new().unwrap();
        let mut etcd = Command::new("sh")
            .args(["-c", "echo one >&2; read line; echo two >&2; exec sleep 600"])
            .stdin(Stdio::piped())
            .stderr(log.writer().unwrap())
            .spawn()
            .unwrap();
        let lines_of = async |log: &Log| {
            let lines = async {
                while log.last_lines().is_empty() {
                    tokio::time::sleep(INTERVAL).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(60), lines).await.expect("a line comes");
            log.last_lines()
        };
        assert_eq!(lines_of(&log).await, ["one"]);
        drop(log);
        etcd.stdin.take().unwrap().write_all(b"\n").unwrap();
        let pid = Pid::from_raw(etcd.id().try_into().unwrap()).unwrap();
        assert_eq!(lines_of(&Log::resume(pid).unwrap()).await, ["two"]);
        etcd.kill().unwrap();
        etcd.wait().unwrap();
    }

    #[test]
    fn what_was_passed_on_takes_no_memory() {
        let (mut file, mut tail) = tail();
        let line = [b'x'; 64 << 10];
        for _ in 0..64 {
            file.write_all(&line).unwrap();
            tail.pass_on(&mut io::sink()).unwrap();
        }
        let found = file.metadata().unwrap();
        assert_eq!(found.size(), 4 << 20);
        assert!(found.blocks() * 512 <= 8 << 10, "{} blocks", found.blocks());
        assert!(tail.unfinished.len() <= MAX_LINE_BYTES);
    }
}
