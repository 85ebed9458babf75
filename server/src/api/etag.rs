use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use convene_lifecycle::{Cluster, Revision};
use serde::Serialize;
use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::Type,
    },
};

use super::{
    answer::json_response,
    problem::{Problem, Violation, shown},
};

/// A cluster's ETag, which is its revision in quotes.
pub fn etag(revision: Revision) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{revision}\"")).expect("digits are a header value")
}

/// A response about a cluster or its members. It has the ETag of the cluster, because a change of a member changes the cluster.
pub fn with_etag(cluster: &Cluster, body: &impl Serialize) -> Response {
    let mut response = json_response(StatusCode::OK, body);
    response.headers_mut().insert(header::ETAG, etag(cluster.revision));
    response
}

/// The revisions that a client expects, from `If-Match`. Without the header, any revision will do.
#[derive(Clone, Debug)]
pub struct IfMatch(Option<Tags>);

impl IfMatch {
    /// Refuses a change if the client has not seen the present revision.
    pub fn check(&self, present: Revision) -> Result<(), Problem> {
        let holds = match &self.0 {
            None | Some(Tags::Any) => true,
            // A weak tag matches nothing here (RFC 9110, 13.1.1).
            Some(Tags::These(tags)) => tags.iter().any(|tag| !tag.weak && tag.names(present)),
        };
        if holds { Ok(()) } else { Err(Problem::stale(present)) }
    }
}

/// The revisions that a client has already, from `If-None-Match`.
#[derive(Clone, Debug)]
pub struct IfNoneMatch(Option<Tags>);

impl IfNoneMatch {
    /// Whether the client already has the present revision.
    pub fn has(&self, present: Revision) -> bool {
        match &self.0 {
            None => false,
            Some(Tags::Any) => true,
            Some(Tags::These(tags)) => tags.iter().any(|tag| tag.names(present)),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    Any,
    These(Vec<Tag>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    weak: bool,
    opaque: Vec<u8>,
}

impl Tag {
    fn names(&self, revision: Revision) -> bool {
        self.opaque == revision.to_string().as_bytes()
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(read(&parts.headers, header::IF_MATCH)?))
    }
}

impl<S: Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(read(&parts.headers, header::IF_NONE_MATCH)?))
    }
}

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![described("If-Match", "Make the change only if the cluster is still at this revision.")]
    }
}

impl IntoParams for IfNoneMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![described("If-None-Match", "Respond with 304 if the cluster is still at this revision.")]
    }
}

fn described(name: &str, description: &str) -> Parameter {
    // Without a pattern: testing tools know this header and its syntax by its name.
    let tag = ObjectBuilder::new().schema_type(Type::String);
    let description = format!(
        "{description} An ETag from a response, including the quotes; a comma-separated list of \
                               ETags; or `*`."
    );
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .description(Some(description))
        .schema(Some(tag))
        .example(Some("\"1\"".into()))
        .build()
}

fn read(headers: &HeaderMap, name: HeaderName) -> Result<Option<Tags>, Problem> {
    let lines: Vec<_> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
    if lines.is_empty() {
        return Ok(None);
    }
    let given = lines.join(&b","[..]);
    let malformed = || {
        let given = String::from_utf8_lossy(&given);
        let message = format!(
            "must be an ETag from a response, including the quotes, such as \"7\", a comma-separated list of them, or \
             *; not {}",
            shown(&given)
        );
        let field = match name {
            header::IF_MATCH => "If-Match",
            _ => "If-None-Match",
        };
        Problem::invalid("headers", vec![Violation::new(field, message)])
    };
    parse(&given).map(Some).ok_or_else(malformed)
}

/// Reads `*` or a list of entity tags (RFC 9110, 8.8.3); items of the list may be empty.
fn parse(given: &[u8]) -> Option<Tags> {
    let mut rest = given.trim_ascii();
    if rest == b"*" {
        return Some(Tags::Any);
    }
    let mut tags = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(b",") {
            rest = after.trim_ascii_start();
            continue;
        }
        let (weak, quoted) = match rest.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let inside = quoted.strip_prefix(b"\"")?;
        let end = inside.iter().position(|byte| *byte == b'"')?;
        let opaque = &inside[..end];
        if opaque.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
            return None;
        }
        tags.push(Tag { weak, opaque: opaque.to_vec() });
        rest = inside[end + 1..].trim_ascii_start();
        if !rest.is_empty() && !rest.starts_with(b",") {
            return None;
        }
    }
    (!tags.is_empty()).then_some(Tags::These(tags))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEVEN: Revision = Revision(7);

    #[test]
    fn a_change_needs_an_if_match_with_the_present_revision() {
        for (given, may) in [
            ("*", true),
            ("\"7\"", true),
            ("\"6\", \"7\"", true),
            (",\"6\",,\"7\" ,", true),
            ("\"a,b\",\"7\"", true),
            ("\"6\"", false),
            ("\"07\"", false),
            ("W/\"7\"", false),
            ("\"\"", false),
        ] {
            let if_match = IfMatch(parse(given.as_bytes()));
            assert!(if_match.0.is_some(), "{given}");
            assert_eq!(if_match.check(SEVEN).is_ok(), may, "{given}");
        }
        assert!(IfMatch(None).check(SEVEN).is_ok());
    }

    #[test]
    fn an_if_none_match_with_the_present_revision_matches() {
        for (given, has) in [("*", true), ("\"7\"", true), ("W/\"7\"", true), ("\"6\"", false)] {
            assert_eq!(IfNoneMatch(parse(given.as_bytes())).has(SEVEN), has, "{given}");
        }
        assert!(!IfNoneMatch(None).has(SEVEN));
    }

    #[test]
    fn an_invalid_tag_is_refused() {
        for given in ["", ",", "7", "\"7", "7\"", "\"7\"\"8\"", "w/\"7\"", "W/7", "*, \"7\"", "\"a b\"", "\"7\" x"] {
            assert_eq!(parse(given.as_bytes()), None, "{given}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(given in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&given);
        }
    }
}
