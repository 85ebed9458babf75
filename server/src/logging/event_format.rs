use std::{fmt, time::SystemTime};

use serde::{Serialize, Serializer, ser::SerializeMap};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_serde::{AsSerde, SerdeMapVisitor};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{DefaultFields, Writer},
    },
    registry::LookupSpan,
};

use super::LogFormat;
use crate::current_request::CurrentRequest;

/// Formats events as [`mod@tracing_subscriber::fmt`] does, with the request of the task in the place of a span: a span takes more time than
/// all else that the log does for a request.
pub struct EventFormat(pub LogFormat);

impl<S> FormatEvent<S, DefaultFields> for EventFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, DefaultFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (now, request) = (SystemTime::now(), CurrentRequest::of_task());
        // Libraries that use the crate `log` have one target for all events, and their own in a field.
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        match self.0 {
            LogFormat::Text => {
                write_text_start(&mut writer, now, *metadata.level(), request.as_ref(), metadata.target())?;
                context.format_fields(writer.by_ref(), event)?;
            }
            LogFormat::Json => {
                let mut json = serde_json::Serializer::new(Vec::new());
                write_json(&mut json, now, metadata, event, request.as_ref()).map_err(|_| fmt::Error)?;
                writer.write_str(&String::from_utf8(json.into_inner()).map_err(|_| fmt::Error)?)?;
            }
        }
        writeln!(writer)
    }
}

/// Writes what stands before the message: `TIME LEVEL request{request_id=…}: TARGET: `.
pub fn write_text_start(
    line: &mut impl fmt::Write,
    at: SystemTime,
    level: Level,
    request: Option<&CurrentRequest>,
    target: &str,
) -> fmt::Result {
    write!(line, "{} {level:>5} ", humantime::format_rfc3339_micros(at))?;
    if let Some(request) = request {
        write!(line, "request{{request_id={:?}", request.id())?;
        if let Some(cluster) = request.cluster() {
            write!(line, " cluster={cluster}")?;
        }
        line.write_str("}: ")?;
    }
    write!(line, "{target}: ")
}

fn write_json(
    json: &mut serde_json::Serializer<Vec<u8>>,
    now: SystemTime,
    metadata: &Metadata<'_>,
    event: &Event<'_>,
    request: Option<&CurrentRequest>,
) -> serde_json::Result<()> {
    let mut line = json.serialize_map(None)?;
    line.serialize_entry("timestamp", &format_args!("{}", humantime::format_rfc3339_micros(now)))?;
    line.serialize_entry("level", &metadata.level().as_serde())?;
    let mut fields = SerdeMapVisitor::new(line);
    event.record(&mut fields);
    let mut line = fields.take_serializer()?;
    line.serialize_entry("target", metadata.target())?;
    if let Some(request) = request {
        line.serialize_entry("span", &RequestSpan(request))?;
    }
    line.end()
}

/// A request as JSON shows it.
pub struct RequestSpan<'a>(pub &'a CurrentRequest);

impl Serialize for RequestSpan<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(request) = self;
        let mut span = serializer.serialize_map(None)?;
        if let Some(cluster) = request.cluster() {
            span.serialize_entry("cluster", &format_args!("{cluster}"))?;
        }
        span.serialize_entry("request_id", request.id())?;
        span.serialize_entry("name", "request")?;
        span.end()
    }
}
