use std::io::{self, BufWriter, Write};

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{Layer, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::visible::visible;

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
        NonBlockingBuilder::default().buffered_lines_limit(LINES).finish(Visible(BufWriter::new(io::stderr())));
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

/// Writes lines without characters that people don't see: texts from outside may have them.
struct Visible<W>(W);

impl<W: Write> Write for Visible<W> {
    /// Takes one or more whole lines.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        match str::from_utf8(lines) {
            Ok(text) => self.0.write_all(visible(text).as_bytes())?,
            Err(_) => self.0.write_all(lines)?,
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_visible_characters_only() {
        let mut lines = Visible(Vec::new());
        lines.write_all("{\"a\":\"März\u{202e}\"}\n".as_bytes()).unwrap();
        lines.write_all("plain\u{feff}\n".as_bytes()).unwrap();
        assert_eq!(String::from_utf8(lines.0).unwrap(), "{\"a\":\"März\\u202e\"}\nplain\\ufeff\n");
    }
}
