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

/// The last revision that a client has seen, as a request names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen(pub Revision);

/// What a text is that names one.
pub const SEEN: &str = "a revision: a whole number from 0 on";

/// Where a client that reconnects to a stream has got to, from `Last-Event-ID`.
pub struct LastEventId(pub Option<Revision>);

const HEADER: &str = "Last-Event-ID";

impl FromStr for Seen {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        text.parse().ok().filter(|seen| *seen <= Count::MAX).map(|seen| Self(Revision(seen))).ok_or(())
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
        let description = "The `id` of the last event that a client of the stream has: in place of `after`.";
        let parameter = ParameterBuilder::new().name(HEADER).parameter_in(ParameterIn::Header);
        vec![parameter.description(Some(description)).schema(Some(revision)).build()]
    }
}

fn parse(given: &HeaderValue) -> Result<Revision, Problem> {
    let seen = given.to_str().ok().and_then(|text| text.parse().ok());
    seen.map(|Seen(seen)| seen).ok_or_else(|| {
        let given = String::from_utf8_lossy(given.as_bytes());
        let message = format!("must be {SEEN}, not {:?}", shown(&given));
        Problem::invalid("headers", vec![Violation::new(HEADER, message)])
    })
}
