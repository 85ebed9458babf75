use std::{
    fmt::{self, Write},
    time::{Duration, SystemTime},
};

use axum::http::{Method, StatusCode};
use serde::{Serialize, Serializer, ser::SerializeMap};
use tracing::Level;

use super::{
    LogFormat,
    event_format::{RequestSpan, write_text_start},
};
use crate::{connection::ClientAddress, current_request::CurrentRequest};

/// The target of the access log, by which `RUST_LOG` chooses it.
pub const ACCESS_LOG: &str = "convene_server::access_log";

/// The message of each line.
const MESSAGE: &str = "answered";

/// One line of the access log, in the form of an event of [`tracing`].
pub struct AccessLine {
    pub level: Level,
    pub request: CurrentRequest,
    pub remote: ClientAddress,
    pub method: Method,
    /// Without whole tokens.
    pub path: String,
    pub status: StatusCode,
    /// The status code of a gRPC call.
    pub grpc_status: Option<u8>,
    /// How long the body is.
    pub bytes: usize,
    pub took: Duration,
}

impl AccessLine {
    /// Appends the line of a request that has ended at this time.
    pub fn format(&self, format: LogFormat, at: SystemTime, log: &mut String) {
        match format {
            LogFormat::Text => self.write_text(at, log).expect("a string takes any text"),
            LogFormat::Json => *log += &serde_json::to_string(&Json(self, at)).expect("all fields are JSON"),
        }
        log.push('\n');
    }

    fn write_text(&self, at: SystemTime, log: &mut String) -> fmt::Result {
        let Self { remote, method, path, bytes, .. } = self;
        let status = self.status.as_u16();
        write_text_start(log, at, self.level, Some(&self.request), ACCESS_LOG)?;
        write!(log, "{MESSAGE} remote={remote} method={method} path={path} status={status}")?;
        if let Some(grpc_status) = self.grpc_status {
            write!(log, " grpc_status={grpc_status}")?;
        }
        write!(log, " bytes={bytes} milliseconds={:?}", self.milliseconds())
    }

    fn milliseconds(&self) -> f64 {
        self.took.as_micros() as f64 / 1000.0
    }
}

struct Json<'a>(&'a AccessLine, SystemTime);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(line, at) = self;
        let mut json = serializer.serialize_map(None)?;
        json.serialize_entry("timestamp", &format_args!("{}", humantime::format_rfc3339_micros(*at)))?;
        json.serialize_entry("level", line.level.as_str())?;
        json.serialize_entry("message", MESSAGE)?;
        json.serialize_entry("remote", &format_args!("{}", line.remote))?;
        json.serialize_entry("method", line.method.as_str())?;
        json.serialize_entry("path", &line.path)?;
        json.serialize_entry("status", &line.status.as_u16())?;
        if let Some(grpc_status) = line.grpc_status {
            json.serialize_entry("grpc_status", &grpc_status)?;
        }
        json.serialize_entry("bytes", &line.bytes)?;
        json.serialize_entry("milliseconds", &line.milliseconds())?;
        json.serialize_entry("target", ACCESS_LOG)?;
        json.serialize_entry("span", &RequestSpan(&line.request))?;
        json.end()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::http::HeaderValue;
    use tracing::field::display;
    use tracing_subscriber::fmt as lines;

    use super::*;

    /// What the subscriber of the library writes of the same request.
    fn by_the_library(format: LogFormat, line: &AccessLine) -> String {
        #[derive(Clone, Default)]
        struct Text(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Text {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let text = Text::default();
        let writer = text.clone();
        let subscriber = lines().with_ansi(false).with_writer(move || writer.clone());
        let write = || {
            let cluster = line.request.cluster().map(display);
            let span = tracing::info_span!("request", request_id = line.request.id(), cluster);
            let AccessLine { remote, method, path, grpc_status, bytes, .. } = line;
            let (status, milliseconds) = (line.status.as_u16(), line.milliseconds());
            tracing::info!(target: ACCESS_LOG, parent: &span, %remote, %method, %path, status, grpc_status, bytes, milliseconds, "answered");
        };
        match format {
            LogFormat::Text => tracing::subscriber::with_default(subscriber.finish(), write),
            LogFormat::Json => {
                let subscriber = subscriber.json().flatten_event(true).with_span_list(false);
                tracing::subscriber::with_default(subscriber.finish(), write);
            }
        }
        let bytes = text.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    /// A line without its time.
    fn timeless(format: LogFormat, line: &str) -> String {
        let time = match format {
            LogFormat::Text => 0..27,
            LogFormat::Json => 14..41,
        };
        assert!(humantime::parse_rfc3339(&line[time.clone()]).is_ok(), "{line}");
        [&line[..time.start], &line[time.end..]].concat()
    }

    #[test]
    fn a_line_is_that_of_the_library() {
        let plain = CurrentRequest::new(HeaderValue::from_static("0198-a"));
        let of_cluster = CurrentRequest::new(HeaderValue::from_static("1"));
        of_cluster.show_cluster(&"6c007a14875d53d9".parse().unwrap());
        for (request, path, grpc_status, took) in [
            (plain, "/6c007a…/\"a", None, Duration::from_micros(1_230)),
            (of_cluster, "/etcdserverpb.KV/Range", Some(5), Duration::from_secs(60)),
        ] {
            let line = AccessLine {
                level: Level::INFO,
                request,
                remote: ClientAddress::of_peer("[2001:db8::1]:4711".parse().unwrap()),
                method: Method::POST,
                path: path.to_owned(),
                status: StatusCode::OK,
                grpc_status,
                bytes: 123_456,
                took,
            };
            for format in [LogFormat::Text, LogFormat::Json] {
                let mut ours = String::new();
                line.format(format, SystemTime::now(), &mut ours);
                assert_eq!(timeless(format, &ours), timeless(format, &by_the_library(format, &line)));
            }
        }
    }
}
