use std::time::Duration;

use axum::{
    extract::MatchedPath,
    http::{Method, StatusCode},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::{Registry, Unit},
};
use tonic::Code;

use super::{TimesBy, seconds};

/// The value of a label that the request chose freely.
const OTHER: &str = "other";

/// What the access log counts.
#[derive(Clone, Debug)]
pub struct RequestMetrics {
    requests: Family<RequestLabels, Counter>,
    durations: TimesBy<RouteLabels>,
    grpc: Family<GrpcLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GrpcLabels {
    method: String,
    code: String,
}

impl Default for RequestMetrics {
    fn default() -> Self {
        Self { requests: Family::default(), durations: Family::new_with_constructor(seconds), grpc: Family::default() }
    }
}

impl RequestMetrics {
    pub(super) fn register(&self, convene: &mut Registry) {
        let help = "Requests whose response has begun, by method, route and status; gRPC calls included";
        convene.register("http_requests", help, self.requests.clone());
        let help = "The time until the response begins; the time that a long poll or a watch then waits is not in it";
        convene.register_with_unit("http_request_duration", help, Unit::Seconds, self.durations.clone());
        let help = "gRPC calls that have ended, by method and code; a watch ends with its stream";
        convene.register("grpc_requests", help, self.grpc.clone());
    }

    /// Counts a request whose response begins.
    pub fn record(&self, method: &Method, route: Option<&MatchedPath>, status: StatusCode, took: Duration) {
        let (method, route) = (known_method(method), known_route(route));
        self.durations.get_or_create(&RouteLabels { method, route: route.clone() }).observe(took.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { method, route, status: status.as_u16() }).inc();
    }

    /// Counts a gRPC call that has ended; without a status, the client went away before.
    pub fn record_grpc(&self, route: Option<&MatchedPath>, status: Option<u8>) {
        let method = known_route(route).trim_start_matches('/').to_owned();
        let code = match status.map(|status| Code::from_i32(status.into())) {
            Some(Code::Ok) => "OK".to_owned(),
            // The spelling of gRPC's own documents.
            Some(Code::Cancelled) | None => "Canceled".to_owned(),
            Some(code) => format!("{code:?}"),
        };
        self.grpc.get_or_create(&GrpcLabels { method, code }).inc();
    }
}

fn known_route(route: Option<&MatchedPath>) -> String {
    route.map_or(OTHER, MatchedPath::as_str).to_owned()
}

fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or(OTHER)
}
