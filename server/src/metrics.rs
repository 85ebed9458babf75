//! What `/metrics` shows, in Prometheus' text format.
//!
//! Each group belongs to the part of the server that counts in it; [`Metrics`] registers all of them. There are no globals,
//! so every server in a test process has its own. No label has a token, a name or an address: every label has a fixed set of
//! values, or that of the routes. docs/reference/metrics.md lists the metrics.

mod database;
mod registry;
mod requests;

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::SystemTime,
};

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use prometheus_client::{
    encoding::prometheus_text::{CONTENT_TYPE, encode},
    metrics::{family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

use crate::{app::App, connection::Limits, logging, operation::plain_error};
use requests::RequestMetrics;

pub use database::{DatabaseMetrics, TransactionMeasurement};
pub use registry::{OpenWait, Phase, RegistryMetrics, WaitKind};

/// All metrics of a server.
#[derive(Debug)]
pub struct Metrics {
    registered: Registry,
    /// Counts requests.
    pub requests: RequestMetrics,
}

impl Metrics {
    /// Registers the metrics of a server whose process starts now.
    pub fn new(registry: &RegistryMetrics, database: &DatabaseMetrics) -> Self {
        let requests = RequestMetrics::default();
        let mut registered = Registry::default();
        register_process(&mut registered);
        let convene = registered.sub_registry_with_prefix("convene");
        convene.register("build", "The version of this server", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let help = "Log lines that were lost because the reader of the log was too slow, of all servers of the process";
        convene.register("log_lines_lost", help, logging::lost_lines());
        requests.register(convene);
        registry.register(convene);
        database.register(convene);
        Self { registered, requests }
    }

    /// Shows the end of the server's certificate.
    pub fn show_certificate(&mut self, not_after: Gauge) {
        let convene = self.registered.sub_registry_with_prefix("convene");
        let help = "When the certificate in use ends, in seconds since the Unix epoch";
        convene.register_with_unit("tls_certificate_not_after", help, Unit::Seconds, not_after);
    }

    /// Shows what clients hold.
    pub fn show_limits(&mut self, limits: &Limits) {
        limits.register(self.registered.sub_registry_with_prefix("convene"));
    }

    fn to_text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registered)?;
        Ok(text)
    }
}

/// Shows the server's metrics
///
/// The metrics are in Prometheus' text format, version 0.0.4. They contain no tokens, names or addresses.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operation",
    responses((status = 200, description = "The metrics.", body = String, content_type = "text/plain"))
)]
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    app.registry.update_gauges().await;
    match app.metrics.to_text() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(_) => plain_error(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n").into_response(),
    }
}

/// The metrics that every Prometheus client library has, with their usual names.
fn register_process(registered: &mut Registry) {
    let started = Gauge::<f64, AtomicU64>::default();
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    started.set(since_epoch.as_secs_f64());
    let help = "When the process started, in seconds since the Unix epoch";
    registered.register_with_unit("process_start_time", help, Unit::Seconds, started);
}

/// The upper bounds of the buckets of times, in seconds: from a read in memory to a database that hangs.
const SECONDS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// A family of [`seconds`].
type TimesBy<Labels> = Family<Labels, Histogram, fn() -> Histogram>;
