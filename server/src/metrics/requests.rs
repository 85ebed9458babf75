use std::{
    fmt,
    hash::{Hash, Hasher},
    time::Duration,
};

use axum::{
    extract::MatchedPath,
    http::{Method, StatusCode},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family},
    registry::{Registry, Unit},
};
use tonic::Code;

use super::{TimesBy, seconds};

/// The value of a label that the request chose freely.
const OTHER: &str = "other";

/// Where nodes check in.
const CHECK_IN: &str = "/v1/clusters/{cluster}/check-in";

/// What the access log counts.
#[derive(Clone, Debug)]
pub struct RequestMetrics {
    requests: Family<RequestLabels, Counter>,
    durations: TimesBy<RouteLabels>,
    grpc: Family<GrpcLabels, Counter>,
    check_ins_denied: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: Route,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: Route,
}

/// The route of a request. A clone copies no text.
#[derive(Clone, Debug)]
struct Route(Option<MatchedPath>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GrpcLabels {
    method: String,
    code: String,
}

impl Default for RequestMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(seconds),
            grpc: Family::default(),
            check_ins_denied: Counter::default(),
        }
    }
}

impl RequestMetrics {
    pub(super) fn register(&self, convene: &mut Registry) {
        let help = "Requests whose response has begun, by method, route and status; gRPC calls included";
        convene.register("http_requests", help, self.requests.clone());
        let help = "The time until the response begins; the time that a long poll, a watch or a held check-in waits is not in it";
        convene.register_with_unit("http_request_duration", help, Unit::Seconds, self.durations.clone());
        let help = "gRPC calls that have ended, by method and code; a watch ends with its stream";
        convene.register("grpc_requests", help, self.grpc.clone());
        let help = "Check-ins that were answered with 401 or 403, because the node is not admitted";
        convene.register("check_ins_denied", help, self.check_ins_denied.clone());
    }

    /// Counts a request whose response begins.
    pub fn record(&self, method: &Method, route: Option<&MatchedPath>, status: StatusCode, took: Duration) {
        let (method, route) = (known_method(method), Route(route.cloned()));
        // A series of its own begins at 0. Another one begins with its first request, which no rate shows.
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) && route.as_str() == CHECK_IN {
            self.check_ins_denied.inc();
        }
        self.durations.get_or_create(&RouteLabels { method, route: route.clone() }).observe(took.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { method, route, status: status.as_u16() }).inc();
    }

    /// Counts a gRPC call that has ended; without a status, the client went away before.
    pub fn record_grpc(&self, route: Option<&MatchedPath>, status: Option<u8>) {
        let method = Route(route.cloned()).as_str().trim_start_matches('/').to_owned();
        let code = match status.map(|status| Code::from_i32(status.into())) {
            Some(Code::Ok) => "OK".to_owned(),
            // The spelling of gRPC's own documents.
            Some(Code::Cancelled) | None => "Canceled".to_owned(),
            Some(code) => format!("{code:?}"),
        };
        self.grpc.get_or_create(&GrpcLabels { method, code }).inc();
    }
}

impl Route {
    fn as_str(&self) -> &str {
        self.0.as_ref().map_or(OTHER, MatchedPath::as_str)
    }
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Route {}

impl Hash for Route {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl EncodeLabelValue for Route {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.as_str().encode(encoder)
    }
}

fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or(OTHER)
}
