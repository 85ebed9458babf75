use std::str::FromStr;

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, request::Parts},
};
use convene_lifecycle::Revision;
use utoipa::{
    IntoParams,
    openapi::{
        KnownFormat, ObjectBuilder, SchemaFormat,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::Type,
    },
};

use crate::api::{
    body::Count,
    problem::{Problem, Violation, shown},
};

/// A revision after which a client wants the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AfterRevision(pub Revision);

/// Completes the sentence "must be …" for an [`AfterRevision`].
pub const EXPECTED: &str = "a revision: a whole number, 0 or more";

/// The revision of the last event that a client received before it reconnected, from `Last-Event-ID`.
pub struct LastEventId(pub Option<Revision>);

const HEADER: &str = "Last-Event-ID";

impl FromStr for AfterRevision {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        text.parse().ok().filter(|revision| *revision <= Count::MAX).map(|revision| Self(Revision(revision))).ok_or(())
    }
}

impl<S: Sync> FromRequestParts<S> for LastEventId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.headers.get(HEADER).map(parse).transpose().map(Self)
    }
}

impl IntoParams for LastEventId {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let revision = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(0));
        let description = "The `id` of the last event that a client of the stream received. Replaces `after`.";
        let parameter = ParameterBuilder::new().name(HEADER).parameter_in(ParameterIn::Header);
        vec![parameter.description(Some(description)).schema(Some(revision)).build()]
    }
}

fn parse(given: &HeaderValue) -> Result<Revision, Problem> {
    let revision = given.to_str().ok().and_then(|text| text.parse().ok());
    revision.map(|AfterRevision(revision)| revision).ok_or_else(|| {
        let given = String::from_utf8_lossy(given.as_bytes());
        let message = format!("must be {EXPECTED}, not {:?}", shown(&given));
        Problem::invalid("headers", vec![Violation::new(HEADER, message)])
    })
}
