use std::{borrow::Cow, str::FromStr};

use axum::{
    extract::FromRequestParts,
    http::{HeaderValue, request::Parts},
};
use convene_lifecycle::Revision;
use utoipa::{
    IntoParams,
    openapi::{
        KnownFormat, RefOr, Schema,
        path::{Parameter, ParameterBuilder, ParameterIn},
    },
};

use crate::api::{
    body::{Count, Limits, Scalar, integer},
    problem::{Problem, Violation, shown},
};

/// A revision after which a client wants the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AfterRevision(pub Revision);

const EXPECTED: &str = "a revision: a whole number, 0 or more";

/// The revision of the last event that a client received before it reconnected, from `Last-Event-ID`.
pub struct LastEventId(pub Option<Revision>);

const HEADER: &str = "Last-Event-ID";

impl FromStr for AfterRevision {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        text.parse().ok().filter(|revision| *revision <= Count::MAX).map(|revision| Self(Revision(revision))).ok_or(())
    }
}

impl Scalar for AfterRevision {
    fn expected(_: &Limits) -> Cow<'static, str> {
        EXPECTED.into()
    }

    fn schema() -> RefOr<Schema> {
        integer(KnownFormat::Int64).minimum(Some(0)).into()
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
        let description = "The `id` of the last event that a client of the stream received. Replaces `after`.";
        let parameter = ParameterBuilder::new().name(HEADER).parameter_in(ParameterIn::Header);
        vec![parameter.description(Some(description)).schema(Some(AfterRevision::schema())).build()]
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
