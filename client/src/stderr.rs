//! Standard error, and a relay to it for a command that must not wait for whoever reads it.
//!
//! A pipe that nobody reads, or a terminal at which somebody has typed Control-S, would freeze the agent of a node, and a watchdog
//! would kill its etcd.

use std::{
    io::{self, Write},
    sync::{Condvar, Mutex, MutexGuard, OnceLock},
    time::Duration,
};

use crate::command_error::CommandError;

/// How many bytes wait while standard error is blocked. Further ones are lost.
const MOST_WAITING: usize = 1 << 20;

static RELAY: OnceLock<Relay> = OnceLock::new();

/// Prints a part of a result that does not belong on standard output.
pub fn print(text: &str) -> Result<(), CommandError> {
    let result = io::stderr().lock().write_all(text.as_bytes());
    result.map_err(|error| CommandError::Local(format!("cannot write to standard error: {error}")))
}

/// Logs a line. A closed standard error is no reason to stop in the middle of a membership change.
pub fn log(line: &str) {
    let _ = writeln!(Log, "{line}");
}

/// From now on, [`log`] and [`Log`] never wait. Called once.
pub fn begin_relay() {
    let relay = RELAY.get_or_init(Relay::default);
    std::thread::spawn(|| relay.pass_on(&mut io::stderr()));
}

/// Waits until what was logged is written, but not for long: nobody may read it.
pub fn flush(within: Duration) {
    if let Some(relay) = RELAY.get() {
        relay.flush(within);
    }
}

/// The log of the command, for bytes.
pub struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match RELAY.get() {
            Some(relay) => relay.add(bytes),
            None => io::stderr().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Default)]
struct Relay {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// How many bytes were lost since the last ones that wait.
    lost: usize,
    /// Whether bytes were taken, and are not written yet.
    is_writing: bool,
}

impl Relay {
    fn add(&self, bytes: &[u8]) {
        let mut waiting = self.lock();
        if waiting.bytes.len() + bytes.len() > MOST_WAITING {
            waiting.lost += bytes.len();
            return;
        }
        if waiting.lost > 0 {
            let note =
                format!("convene: {} bytes of the log are missing here: standard error was blocked\n", waiting.lost);
            waiting.bytes.extend_from_slice(note.as_bytes());
            waiting.lost = 0;
        }
        waiting.bytes.extend_from_slice(bytes);
        self.changed.notify_all();
    }

    /// Passes on without end what is added.
    fn pass_on(&self, to: &mut impl Write) {
        loop {
            let mut waiting = self.lock();
            while waiting.bytes.is_empty() {
                waiting = self.changed.wait(waiting).expect(NO_PANIC);
            }
            let bytes = std::mem::take(&mut waiting.bytes);
            waiting.is_writing = true;
            drop(waiting);
            // A closed standard error gets nothing.
            let _ = to.write_all(&bytes);
            self.lock().is_writing = false;
            self.changed.notify_all();
        }
    }

    fn flush(&self, within: Duration) {
        let is_left = |waiting: &mut Waiting| waiting.is_writing || !waiting.bytes.is_empty();
        let _ = self.changed.wait_timeout_while(self.lock(), within, is_left);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect(NO_PANIC)
    }
}

const NO_PANIC: &str = "no thread panics while it holds the lock";

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixStream, sync::Arc, thread, time::Instant};

    use super::*;

    #[test]
    fn a_reader_that_stops_reading_delays_nobody_and_learns_what_is_missing() {
        let (mut to, from) = UnixStream::pair().unwrap();
        let relay: &'static Relay = Box::leak(Box::default());
        thread::spawn(move || relay.pass_on(&mut to));
        let line = [b'x'; 1 << 10];
        let began = Instant::now();
        for _ in 0..4 << 10 {
            relay.add(&line);
        }
        relay.flush(Duration::from_millis(10));
        assert!(relay.lock().bytes.len() <= MOST_WAITING && began.elapsed() < Duration::from_secs(30));

        let read = Arc::new(Mutex::new(Vec::new()));
        let reader = read.clone();
        thread::spawn(move || {
            for byte in io::Read::bytes(io::BufReader::new(from)) {
                reader.lock().unwrap().push(byte.unwrap());
            }
        });
        relay.flush(Duration::from_secs(60));
        relay.add(b"the end\n");
        relay.flush(Duration::from_secs(60));
        let deadline = Instant::now() + Duration::from_secs(60);
        while !read.lock().unwrap().ends_with(b"standard error was blocked\nthe end\n") {
            assert!(Instant::now() < deadline, "the rest does not come");
            thread::sleep(Duration::from_millis(1));
        }
    }
}
