use std::io::{self, BufWriter};

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{Layer, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Human-readable lines.
    Text,
    /// One JSON object per line.
    Json,
}

/// How many lines the buffer holds.
const LINES: usize = 10_000;

/// Writes log lines to standard error until the guard is dropped. `RUST_LOG` filters them, as in `RUST_LOG=warn` or
/// `RUST_LOG=info,convene_server::access_log=off`.
///
/// A separate thread writes the buffered lines. If the reader of the log stalls, lines are lost and requests are not: a
/// full log must not stop the maintenance of etcd clusters.
pub fn start(format: LogFormat) -> WorkerGuard {
    let (writer, guard) =
        NonBlockingBuilder::default().buffered_lines_limit(LINES).finish(BufWriter::new(io::stderr()));
    let lines = fmt::layer().with_writer(writer);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let wanted = std::env::var("RUST_LOG").ok().and_then(|wanted| wanted.parse::<Targets>().ok());
    // sqlx logs every reconnection; the store logs the outage once.
    let usual = || Targets::new().with_default(LevelFilter::INFO).with_target("sqlx", LevelFilter::WARN);
    let wanted = wanted.unwrap_or_else(usual);
    tracing_subscriber::registry().with(lines.with_filter(wanted)).init();
    guard
}
