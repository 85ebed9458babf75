//! JSON bodies, read so that everything that is wrong with one is said at once.
//!
//! First a body's fields are looked at one by one, as [`Body::check`] declares them, and only then it is read as
//! its type. This order is what makes it strict: serde alone would take a list for an object.

mod count;
mod field;
mod fields;
mod whole;
mod words;

use std::sync::Arc;

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::problem::{Kind, Problem, Violation};
use crate::{app::App, request_body::read_body};

pub use count::Count;
pub use field::{Field, Limits};
pub use fields::Fields;
pub use whole::Whole;

/// A body that was read and is as it must be.
pub struct JsonBody<T>(pub T);

/// What can be the body of a request, or an object in one.
pub trait Body: DeserializeOwned {
    /// Whether fields that are not declared are refused. Only what comes from nodes, whose agents may be newer than
    /// the server, is taken with them. In the description `#[serde(deny_unknown_fields)]` says the same.
    const REFUSES_UNKNOWN: bool = true;

    /// Whether no body at all, or null, stands for one without fields.
    const MAY_BE_MISSING: bool = false;

    /// Declares the fields, for a look at each.
    fn check(fields: &mut Fields<'_>);
}

impl<T: Body> FromRequest<Arc<App>> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read_body(&parts.headers, body).await?;
        if !bytes.is_empty() && !is_json(&parts.headers) {
            let detail = "the body must be JSON and be said to be: send the header Content-Type: application/json, with \
                          curl -H 'Content-Type: application/json'";
            return Err(Problem::new(Kind::UnsupportedMediaType, detail));
        }
        read(&bytes, &Limits { max_cluster_size: app.max_cluster_size }).map(Self)
    }
}

/// Reads a body.
fn read<T: Body>(bytes: &[u8], limits: &Limits) -> Result<T, Problem> {
    let of_the_whole = |message: String| Problem::invalid("body", vec![Violation::new("", message)]);
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|error| of_the_whole(format!("is not UTF-8 from byte {} on", error.valid_up_to())))?;
    let is_missing = text.is_empty() || text.trim_ascii() == "null";
    if is_missing && !T::MAY_BE_MISSING {
        return Err(of_the_whole("is missing; send a JSON object, as curl --json '{…}' does".to_owned()));
    }
    let text = if is_missing { "{}" } else { text };
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| of_the_whole(format!("is not JSON: {error}")))?;
    let violations = Fields::check::<T>(whole, String::new(), limits);
    if !violations.is_empty() {
        return Err(Problem::invalid("body", violations));
    }
    // The type may know more than its fields tell.
    serde_json::from_str(text).map_err(|error| of_the_whole(error.to_string().chars().take(MAX_REASON).collect()))
}

/// The most characters of what serde says, which may quote what was sent in full.
const MAX_REASON: usize = 200;

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    let utf8 = |parameter: &str| match parameter.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
            value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    };
    media_type.eq_ignore_ascii_case("application/json") && parts.all(utf8)
}

#[cfg(test)]
mod tests {
    use convene_lifecycle::ClusterSize;
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Everything {
        name: String,
        count: Option<Whole>,
        policy: Option<Policy>,
        #[serde(default)]
        urls: Vec<String>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Policy {
        dead_after_seconds: Whole,
    }

    /// What a node sends.
    #[derive(Debug, PartialEq, Deserialize)]
    struct Lenient {
        name: String,
    }

    impl Body for Everything {
        const MAY_BE_MISSING: bool = true;

        fn check(fields: &mut Fields<'_>) {
            fields.required::<String>("name");
            fields.optional::<Whole>("count");
            fields.object::<Policy>("policy");
            fields.list::<String>("urls", 0..=2);
        }
    }

    impl Body for Policy {
        fn check(fields: &mut Fields<'_>) {
            fields.required::<Whole>("dead_after_seconds");
        }
    }

    impl Body for Lenient {
        const MAY_BE_MISSING: bool = true;
        const REFUSES_UNKNOWN: bool = false;

        fn check(fields: &mut Fields<'_>) {
            fields.required::<String>("name");
        }
    }

    const LIMITS: Limits = Limits { max_cluster_size: ClusterSize::DEFAULT };

    /// All that is said about a body, one line each: `field: message`.
    fn said<T: Body>(bytes: impl AsRef<[u8]>) -> String {
        let problem = read::<T>(bytes.as_ref(), &LIMITS).err().expect("something is wrong with it");
        let problem = serde_json::to_value(problem).unwrap();
        let line = |violation: &serde_json::Value| {
            format!("{}: {}\n", violation["field"].as_str().unwrap(), violation["message"].as_str().unwrap())
        };
        problem["violations"].as_array().unwrap().iter().map(line).collect()
    }

    #[test]
    fn a_good_body_is_read() {
        let everything =
            read::<Everything>(br#"{"name": "a", "count": null, "policy": {"dead_after_seconds": 9.0}}"#, &LIMITS);
        let policy = Some(Policy { dead_after_seconds: Whole(9) });
        assert_eq!(everything, Ok(Everything { name: "a".to_owned(), count: None, policy, urls: Vec::new() }));
        assert_eq!(read(br#"{"new": [1], "name": "a"}"#, &LIMITS), Ok(Lenient { name: "a".to_owned() }));
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let body = r#"{"count": -1, "policy": {"dead_after_seconds": "9s", "x": 1}, "urls": ["a", 2, null],
                       "cuont": 3, "count": 4}"#;
        let expected = "\
            name: is missing; must be a text\n\
            count: is given 2 times\n\
            policy.dead_after_seconds: must be a whole number from 0 to 4294967295, not \"9s\"\n\
            policy.x: is no field here; there are: dead_after_seconds\n\
            urls: must have 0 to 2 items, not 3\n\
            urls[1]: must be a text, not 2\n\
            urls[2]: must be a text, not null\n\
            cuont: is no field here; there are: name, count, policy, urls\n";
        assert_eq!(said::<Everything>(body), expected);
    }

    #[test]
    fn no_body_is_an_object_without_fields() {
        for body in ["", " null\n", "{}"] {
            assert_eq!(said::<Everything>(body), "name: is missing; must be a text\n");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let fields = "must be an object with the fields name, count, policy, urls";
        for (body, shown) in [("[1,2]", "[1,2]"), ("7", "7"), ("\"x\"", "\"x\"")] {
            assert_eq!(said::<Everything>(body), format!(": {fields}, not {shown}\n"));
        }
        assert!(said::<Everything>(r#"{"name": "a", "policy": [9]}"#).starts_with("policy: must be an object"));
        assert!(said::<Everything>(r#"{"name": "a", "urls": {}}"#).starts_with("urls: must be a list, not {}"));
    }

    #[test]
    fn what_is_no_json_is_refused_with_the_place() {
        for (body, expected) in [
            (&b"{\"name\": NaN}"[..], ": is not JSON: expected value at line 1 column 10\n"),
            (b"{\"name\": \"a\",\n}", ": is not JSON: key must be a string at line 2 column 1\n"),
            (b" \n", ": is not JSON: EOF while parsing a value at line 2 column 0\n"),
            (b"name=a", ": is not JSON: expected ident at line 1 column 2\n"),
            (b"{} {}", ": is not JSON: trailing characters at line 1 column 4\n"),
            (b"{\"name\": \"\xff\"}", ": is not UTF-8 from byte 10 on\n"),
        ] {
            assert_eq!(said::<Everything>(body), expected);
        }
    }

    #[test]
    fn values_that_are_too_much_are_refused() {
        let deep = format!(r#"{{"name": {}1{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
        assert_eq!(said::<Everything>(deep), format!("name: must be a text, not {}…\n", "[".repeat(32)));
        for huge in ["99999999999999999999", "4294967296", "1e999", "1.5", "-1"] {
            let expected = format!("count: must be a whole number from 0 to 4294967295, not {huge}\n");
            assert_eq!(said::<Everything>(format!(r#"{{"name": "a", "count": {huge}}}"#)), expected);
        }
        let surrogate = said::<Everything>(r#"{"name": "\ud800"}"#);
        assert_eq!(surrogate, "name: must be a text, not \"\\ud800\"\n");
    }

    #[test]
    fn json_has_to_be_said_to_be_json() {
        for (content_type, is) in [
            ("application/json", true),
            ("Application/JSON; charset=UTF-8", true),
            ("application/json;charset=\"utf-8\"", true),
            ("application/json; charset=latin1", false),
            ("application/x-www-form-urlencoded", false),
            ("text/plain", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type.parse().unwrap())]);
            assert_eq!(is_json(&headers), is, "{content_type}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
            let _ = read::<Everything>(&bytes, &LIMITS);
        }

        #[test]
        fn no_text_that_looks_like_json_makes_it_panic(text in r#"[\{\[]("(name|count|policy|urls|\\u[0-9a-f]{4})"?:?|[\[\]\{\},:]|-?[0-9]+|null|true){0,24}"#) {
            let _ = read::<Everything>(text.as_bytes(), &LIMITS);
        }
    }
}
