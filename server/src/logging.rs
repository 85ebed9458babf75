//! The log: lines on standard error.
//!
//! Threads that answer requests put their lines into buffers, and one thread writes what is there ([`writer`]). If the reader of the log
//! stalls, lines are lost and requests are not: a full log must not stop the maintenance of etcd clusters.

mod access_line;
mod buffers;
mod event_format;
mod writer;

use std::{io, sync::LazyLock};

use clap::ValueEnum;
use prometheus_client::metrics::counter::Counter;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    filter::Targets,
    fmt::{self, MakeWriter, format},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use buffers::{Buffers, Entry};
use event_format::EventFormat;
use writer::Writer;

pub use access_line::{ACCESS_LOG, AccessLine};

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Human-readable lines.
    Text,
    /// One JSON object per line.
    Json,
}

/// What waits to be written. Of the whole process, as the subscriber of its events is.
static BUFFERS: LazyLock<Buffers> = LazyLock::new(Buffers::new);

/// Writes log lines to standard error until the guard is dropped. `RUST_LOG` filters them, as in `RUST_LOG=warn` or
/// `RUST_LOG=info,convene_server::access_log=off`.
pub fn start(format: LogFormat) -> Writer {
    let wanted = std::env::var("RUST_LOG").ok().and_then(|wanted| wanted.parse::<Targets>().ok());
    // sqlx logs every reconnection; the store logs the outage once.
    let usual = || Targets::new().with_default(LevelFilter::INFO).with_target("sqlx", LevelFilter::WARN);
    let lines = fmt::layer().event_format(EventFormat(format)).with_ansi(false);
    let lines = lines.fmt_fields(format::DefaultFields::new()).with_writer(BufferedLines);
    tracing_subscriber::registry().with(wanted.unwrap_or_else(usual)).with(lines).init();
    Writer::start(&BUFFERS, format, io::stderr())
}

/// Logs the end of a request.
pub fn log_access(line: AccessLine) {
    BUFFERS.push(Entry::Access(line));
}

/// Counts the lines that were lost.
pub fn lost_lines() -> Counter {
    BUFFERS.lost.clone()
}

/// Where the subscriber writes the lines of events.
struct BufferedLines;

impl<'a> MakeWriter<'a> for BufferedLines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

impl io::Write for BufferedLines {
    /// Takes one whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        BUFFERS.push(Entry::Line(line.into()));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
