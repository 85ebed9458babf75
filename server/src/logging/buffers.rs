use std::{
    cell::Cell,
    sync::{
        Mutex, MutexGuard, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{Thread, available_parallelism},
    time::SystemTime,
};

use prometheus_client::metrics::counter::Counter;

use super::AccessLine;

/// How many lines a buffer holds.
const LINES: usize = 10_000;

/// How many buffers there are at most: they bound the memory that a stalled log takes.
const MOST_BUFFERS: usize = 8;

/// The lines that wait to be written. Each thread uses one of several buffers, so that threads hardly ever wait for each other.
pub struct Buffers {
    buffers: Box<[Buffer]>,
    /// Counts the lines for which there was no room.
    pub lost: Counter,
    writer: OnceLock<Thread>,
    /// Whether the writer has to be woken for the next line.
    writer_sleeps: AtomicBool,
}

/// One buffer, in a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Buffer(Mutex<Vec<(SystemTime, Entry)>>);

/// What waits to be written.
pub enum Entry {
    /// A whole line, with its end.
    Line(Box<[u8]>),
    /// A line of the access log, not formatted yet.
    Access(AccessLine),
}

impl Buffers {
    pub fn new() -> Self {
        let buffers = available_parallelism().map_or(1, usize::from).min(MOST_BUFFERS);
        Self {
            buffers: (0..buffers).map(|_| Buffer::default()).collect(),
            lost: Counter::default(),
            writer: OnceLock::new(),
            writer_sleeps: AtomicBool::new(false),
        }
    }

    /// Adds an entry, or counts it as lost.
    pub fn push(&self, entry: Entry) {
        let now = SystemTime::now();
        let mut buffer = self.of_thread().lock();
        if buffer.len() < LINES {
            buffer.push((now, entry));
        } else {
            self.lost.inc();
        }
        drop(buffer);
        // A writer that has looked into this buffer before it was locked has said so before.
        if self.writer_sleeps.load(Ordering::Relaxed) && self.writer_sleeps.swap(false, Ordering::Acquire) {
            self.writer.get().into_iter().for_each(Thread::unpark);
        }
    }

    /// Moves what waits to `taken`, oldest first.
    pub fn take(&self, taken: &mut Vec<(SystemTime, Entry)>) {
        for buffer in &self.buffers {
            taken.append(&mut buffer.lock());
        }
        taken.sort_by_key(|(at, _)| *at);
    }

    /// Returns when something waits, or when somebody has unparked the thread. Only one thread may call it.
    pub fn wait(&self) {
        self.writer.get_or_init(std::thread::current);
        self.writer_sleeps.store(true, Ordering::Release);
        if self.buffers.iter().all(|buffer| buffer.lock().is_empty()) {
            std::thread::park();
        }
        self.writer_sleeps.store(false, Ordering::Relaxed);
    }

    fn of_thread(&self) -> &Buffer {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static THREAD: Cell<Option<usize>> = const { Cell::new(None) };
        }
        let thread = THREAD.get().unwrap_or_else(|| THREADS.fetch_add(1, Ordering::Relaxed));
        THREAD.set(Some(thread));
        &self.buffers[thread % self.buffers.len()]
    }
}

impl Buffer {
    fn lock(&self) -> MutexGuard<'_, Vec<(SystemTime, Entry)>> {
        self.0.lock().expect("no holder panics")
    }
}
