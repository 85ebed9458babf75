//! The problems of an endpoint in its OpenAPI description: `responses(…, BodyProblems, StoreProblems)`.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses, ToSchema,
    openapi::{
        Content, Header, Ref, RefOr, Response, ResponseBuilder,
        schema::{ObjectBuilder, Type},
    },
};

use super::{Kind, Problem};

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The problems of every endpoint: an invalid request, a credential that is not enough, or no database.
pub enum CommonProblems {}

/// The problems of endpoints that need an existing cluster.
pub enum ClusterProblems {}

/// The problems of endpoints that speak for a node.
pub enum NodeProblems {}

/// The problems of endpoints that take a body.
pub enum BodyProblems {}

/// The problem of a POST that does not declare JSON.
pub enum JsonProblems {}

/// The problems of endpoints whose change may conflict with the cluster's state.
pub enum ConflictProblems {}

/// The problems of endpoints that read the history.
pub enum HistoryProblems {}

/// The problems of endpoints that check `If-Match`.
pub enum PreconditionProblems {}

impl IntoResponses for CommonProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let kinds = [
            Kind::InvalidRequest,
            Kind::Unauthenticated,
            Kind::Forbidden,
            Kind::Misdirected,
            Kind::TooManyRequests,
            Kind::Unavailable,
        ];
        let mut responses = documented(&kinds);
        describe_both(&mut responses, Kind::Forbidden, Kind::OtherSite);
        responses
    }
}

impl IntoResponses for ClusterProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        documented(&[Kind::NotFound])
    }
}

impl IntoResponses for NodeProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        documented(&[Kind::NodeNotAuthenticated, Kind::NodeNotAdmitted])
    }
}

impl IntoResponses for BodyProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        documented(&[Kind::BodyTooLate, Kind::BodyTooLarge, Kind::UnsupportedMediaType, Kind::QuotaExceeded])
    }
}

impl IntoResponses for JsonProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        documented(&[Kind::UnsupportedMediaType])
    }
}

impl IntoResponses for ConflictProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut responses = documented(&[Kind::Conflict]);
        describe_both(&mut responses, Kind::Conflict, Kind::TokenUsedUp);
        responses
    }
}

impl IntoResponses for HistoryProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        documented(&[Kind::Forgotten])
    }
}

impl IntoResponses for PreconditionProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        documented(&[Kind::PreconditionFailed])
    }
}

/// Describes the response of two kinds with the same status.
fn describe_both(responses: &mut BTreeMap<String, RefOr<Response>>, one: Kind, other: Kind) {
    if let Some(RefOr::T(response)) = responses.get_mut(one.status().as_str()) {
        response.description = format!("{}. Or: {}", one.title(), other.title());
    }
}

fn documented(kinds: &[Kind]) -> BTreeMap<String, RefOr<Response>> {
    kinds.iter().map(|kind| (kind.status().as_str().to_owned(), RefOr::T(response(*kind)))).collect()
}

fn response(kind: Kind) -> Response {
    let content = Content::new(Some(Ref::from_schema_name(Problem::name())));
    let response = ResponseBuilder::new().description(kind.title()).content(PROBLEM_JSON, content);
    match kind {
        Kind::Unavailable | Kind::TooManyRequests => response.header("Retry-After", seconds()).build(),
        Kind::Unauthenticated => response.header("WWW-Authenticate", Header::default()).build(),
        _ => response.build(),
    }
}

fn seconds() -> Header {
    let mut header = Header::new(ObjectBuilder::new().schema_type(Type::Integer));
    header.description = Some("The number of seconds after which to retry.".to_owned());
    header
}
