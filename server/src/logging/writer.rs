use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime},
};

use prometheus_client::metrics::counter::Counter;

use super::{
    LogFormat,
    buffers::{Buffers, Entry},
};
use crate::visible::visible;

/// How long lines gather before they are written together.
const GATHERING: Duration = Duration::from_millis(10);

/// How long the end of the process waits for the last lines, if the reader of the log has stalled.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How many bytes are written at once.
const PIECE: usize = 64 << 10;

/// The thread that formats and writes the lines. It sleeps while there are none. Dropping the guard writes what is left.
pub struct Writer {
    thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
    ended: Receiver<()>,
}

impl Writer {
    /// Starts to write what is in the buffers.
    pub fn start(buffers: &'static Buffers, format: LogFormat, log: impl Write + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (end, ended) = sync_channel(1);
        let is_stopping = stop.clone();
        let write = move || {
            let mut lines = Lines { format, log, told: 0, waiting: Vec::new(), text: String::new() };
            while !is_stopping.load(Ordering::Acquire) {
                buffers.wait();
                thread::park_timeout(GATHERING);
                lines.write_from(buffers);
            }
            lines.write_from(buffers);
            // What is told of lost lines is a line itself.
            lines.write_from(buffers);
            let _ = end.send(());
        };
        let thread =
            thread::Builder::new().name("log".to_owned()).spawn(write).expect("the process can start a thread");
        Self { thread, stop, ended }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        let _ = self.ended.recv_timeout(LAST_LINES);
    }
}

struct Lines<W> {
    format: LogFormat,
    log: W,
    /// How many lost lines have been reported.
    told: u64,
    /// The lines of one round. It keeps its memory, as `text` does.
    waiting: Vec<(SystemTime, Entry)>,
    text: String,
}

impl<W: Write> Lines<W> {
    /// Writes what waits.
    fn write_from(&mut self, buffers: &Buffers) {
        buffers.take(&mut self.waiting);
        for (at, entry) in self.waiting.drain(..) {
            match entry {
                Entry::Line(line) => self.text += &String::from_utf8_lossy(&line),
                Entry::Access(line) => line.format(self.format, at, &mut self.text),
            }
            if self.text.len() >= PIECE {
                write(&mut self.log, &mut self.text, &buffers.lost);
            }
        }
        write(&mut self.log, &mut self.text, &buffers.lost);
        let lost = buffers.lost.get();
        if lost > self.told {
            let lines = lost - self.told;
            self.told = lost;
            tracing::warn!(lines, "lost lines of this log, because its reader is too slow");
        }
    }
}

/// Writes a text without characters that people don't see, and clears it: texts from outside may have them. Lines that can't be written
/// are lost.
fn write(log: &mut impl Write, text: &mut String, lost: &Counter) {
    if log.write_all(visible(text).as_bytes()).is_err() {
        lost.inc_by(text.lines().count() as u64);
    }
    text.clear();
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Mutex};

    use super::*;

    /// A log that can be read.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn buffers() -> &'static Buffers {
        Box::leak(Box::new(Buffers::new()))
    }

    fn push(buffers: &Buffers, line: &str) {
        buffers.push(Entry::Line(line.as_bytes().into()));
    }

    #[test]
    fn a_line_has_visible_characters_only() {
        let (buffers, log) = (buffers(), Log::default());
        push(buffers, "{\"a\":\"März\u{202e}\"}\n");
        push(buffers, "plain\u{feff}\n");
        drop(Writer::start(buffers, LogFormat::Text, log.clone()));
        assert_eq!(log.text(), "{\"a\":\"März\\u202e\"}\nplain\\ufeff\n");
    }

    #[test]
    fn all_lines_of_all_threads_are_written_and_those_of_each_in_their_order() {
        let (buffers, log) = (buffers(), Log::default());
        let writer = Writer::start(buffers, LogFormat::Text, log.clone());
        thread::scope(|scope| {
            for thread in 0..20 {
                scope.spawn(move || (0..100).for_each(|line| push(buffers, &format!("{thread} {line}\n"))));
            }
        });
        drop(writer);
        let text = log.text();
        for thread in 0..20 {
            let lines: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(&format!("{thread} "))).collect();
            assert_eq!(lines, (0..100).map(|line| line.to_string()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_writer_that_sleeps_wakes_for_the_next_line() {
        let (buffers, log) = (buffers(), Log::default());
        let _writer = Writer::start(buffers, LogFormat::Text, log.clone());
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        for line in 0..50 {
            push(buffers, &format!("{line}\n"));
            while !log.text().ends_with(&format!("{line}\n")) {
                assert!(std::time::Instant::now() < deadline, "{line} is not written");
                thread::yield_now();
            }
        }
    }

    #[test]
    fn a_stalled_log_loses_lines_that_are_counted() {
        let buffers = buffers();
        (0..1_000_000).for_each(|_| push(buffers, "line\n"));
        let lost = buffers.lost.get();
        let log = Log::default();
        drop(Writer::start(buffers, LogFormat::Text, log.clone()));
        assert!(lost > 900_000, "{lost}");
        assert_eq!(log.text().lines().count() as u64 + lost, 1_000_000);
    }
}
