//! The problems of an endpoint as its description lists them: `responses(…, BodyProblems, StoreProblems)`.

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

/// Of every endpoint: it reads a path, a query and headers, and asks the registry.
pub enum CommonProblems {}

/// Of endpoints on a cluster that must be there.
pub enum ClusterProblems {}

/// Of endpoints that take a body.
pub enum BodyProblems {}

/// Of endpoints that make something that may be there already.
pub enum ConflictProblems {}

/// Of endpoints that look back.
pub enum HistoryProblems {}

/// Of endpoints that look at `If-Match`.
pub enum PreconditionProblems {}

impl IntoResponses for CommonProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        documented(&[Kind::InvalidRequest, Kind::Unavailable])
    }
}

impl IntoResponses for ClusterProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        documented(&[Kind::NotFound])
    }
}

impl IntoResponses for BodyProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        documented(&[Kind::BodyTooLate, Kind::BodyTooLarge, Kind::UnsupportedMediaType])
    }
}

impl IntoResponses for ConflictProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut responses = documented(&[Kind::Conflict]);
        let both = format!("{}, or: {}", Kind::Conflict.title(), Kind::TokenUsedUp.title());
        for response in responses.values_mut() {
            if let RefOr::T(response) = response {
                response.description.clone_from(&both);
            }
        }
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

fn documented(kinds: &[Kind]) -> BTreeMap<String, RefOr<Response>> {
    kinds.iter().map(|kind| (kind.status().as_str().to_owned(), RefOr::T(response(*kind)))).collect()
}

fn response(kind: Kind) -> Response {
    let content = Content::new(Some(Ref::from_schema_name(Problem::name())));
    let response = ResponseBuilder::new().description(kind.title()).content(PROBLEM_JSON, content);
    match kind {
        Kind::Unavailable => response.header("Retry-After", seconds()).build(),
        _ => response.build(),
    }
}

fn seconds() -> Header {
    let mut header = Header::new(ObjectBuilder::new().schema_type(Type::Integer));
    header.description = Some("After how many seconds to try again.".to_owned());
    header
}
