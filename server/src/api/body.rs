//! JSON bodies, read so that one response reports everything that is wrong with one.
//!
//! [`body!`] declares an object with its fields. Each field has a type that is a [`Value`], which knows what it expects,
//! reads itself, and describes itself in OpenAPI. serde's derived `Deserialize` would stop at the first problem, and take a
//! list for an object.

mod declare;
mod numbers;
mod object;
mod place;
mod value;
mod words;

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use serde_json::value::RawValue;

use super::{
    declared_json::DeclaredJson,
    problem::{Problem, Violation},
};
use crate::{app::App, request_body::read_body};

pub use numbers::{Count, Number, Seconds, integer, whole_number};
pub use object::{Fields, Object, UnknownFields, add_field, doc_text, read as read_object, without_fields};
pub use place::Place;
pub use value::{Check, Clearable, Limits, List, Scalar, Schemas, Value};
pub use words::text;

pub(super) use declare::{body, object_value};
pub(super) use words::scalar;

/// A valid body. `JsonBody<Option<T>>` also takes an empty one.
pub struct JsonBody<T>(pub T);

impl<T: Value> FromRequest<Arc<App>> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read_body(&parts.headers, body).await?;
        DeclaredJson::check(&parts.headers)?;
        read(&bytes, &Limits::of(app)).map(Self)
    }
}

fn read<T: Value>(bytes: &[u8], limits: &Limits) -> Result<T, Problem> {
    let of_the_whole = |message: String| Problem::invalid("body", vec![Violation::new("", message)]);
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|error| of_the_whole(format!("is not UTF-8 from byte {} on", error.valid_up_to())))?;
    if text.is_empty() || text.trim_ascii() == "null" {
        let is_missing = || of_the_whole("is missing; send a JSON object, as curl --json '{…}' does".to_owned());
        return T::omitted().ok_or_else(is_missing);
    }
    let json: &RawValue = serde_json::from_str(text).map_err(|error| of_the_whole(format!("is not JSON: {error}")))?;
    Check::run(json, limits).map_err(|violations| Problem::invalid("body", violations))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use convene_lifecycle::ClusterSize;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    body! {
        /// Every kind of field.
        #[body(name = "Everything", unknown_fields = Refused)]
        #[derive(PartialEq)]
        struct Everything {
            /// A text.
            name: String,
            /// A number.
            count: Option<Count>,
            /// An object.
            policy: Option<Policy>,
            /// A list.
            urls: List<String, 0, 2>,
        }
    }

    body! {
        /// An object in another one.
        #[body(name = "Policy", unknown_fields = Refused)]
        #[derive(PartialEq)]
        struct Policy {
            /// A duration.
            dead_after_seconds: Seconds<1, 9>,
        }
    }

    body! {
        /// A body of a client that may be newer.
        #[body(name = "Lenient", unknown_fields = Ignored)]
        #[derive(PartialEq)]
        struct Lenient {
            /// A text.
            name: String,
        }
    }

    const LIMITS: Limits = Limits { max_cluster_size: ClusterSize::DEFAULT };

    /// The violations of a body, one line each: `field: message`.
    fn violations<T: Value>(bytes: impl AsRef<[u8]>) -> String {
        let problem = read::<T>(bytes.as_ref(), &LIMITS).err().expect("something is wrong with it");
        let problem = serde_json::to_value(problem).unwrap();
        let line = |violation: &serde_json::Value| {
            format!("{}: {}\n", violation["field"].as_str().unwrap(), violation["message"].as_str().unwrap())
        };
        problem["violations"].as_array().unwrap().iter().map(line).collect()
    }

    #[test]
    fn a_valid_body_is_read() {
        let everything =
            read::<Everything>(br#"{"name": "a", "count": null, "policy": {"dead_after_seconds": 9.0}}"#, &LIMITS);
        let policy = Some(Policy { dead_after_seconds: Seconds(Duration::from_secs(9)) });
        assert_eq!(everything, Ok(Everything { name: "a".to_owned(), count: None, policy, urls: List(Vec::new()) }));
        assert_eq!(read(br#"{"new": [1], "name": "a"}"#, &LIMITS), Ok(Lenient { name: "a".to_owned() }));
    }

    #[test]
    fn everything_that_is_wrong_is_reported_at_once() {
        let body = r#"{"count": -1, "policy": {"dead_after_seconds": "9s", "x": 1}, "urls": ["a", 2, null],
                       "cuont": 3, "count": 4}"#;
        let expected = "\
            name: is missing; must be a text\n\
            count: is given 2 times\n\
            policy.dead_after_seconds: must be a whole number of seconds from 1 to 9, not \"9s\"\n\
            policy.x: is not a field of this object; the fields are: dead_after_seconds\n\
            urls: must have 0 to 2 items, not 3\n\
            urls[1]: must be a text, not 2\n\
            cuont: is not a field of this object; the fields are: name, count, policy, urls\n";
        assert_eq!(violations::<Everything>(body), expected);
    }

    #[test]
    fn a_body_may_be_missing_only_if_it_is_optional() {
        for body in ["", " null\n"] {
            assert_eq!(read::<Option<Everything>>(body.as_bytes(), &LIMITS), Ok(None));
            assert!(violations::<Everything>(body).starts_with(": is missing; send a JSON object"));
        }
        assert_eq!(violations::<Option<Everything>>("{}"), "name: is missing; must be a text\n");
    }

    #[test]
    fn other_values_than_objects_are_refused() {
        let fields = "must be an object with the fields name, count, policy, urls";
        for (body, shown) in [("[1,2]", "[1,2]"), ("7", "7"), ("\"x\"", "\"x\"")] {
            assert_eq!(violations::<Everything>(body), format!(": {fields}, not {shown}\n"));
        }
        assert!(violations::<Everything>(r#"{"name": "a", "policy": [9]}"#).starts_with("policy: must be an object"));
        let not_a_list = violations::<Everything>(r#"{"name": "a", "urls": {}}"#);
        assert_eq!(not_a_list, "urls: must be a list of 0 to 2 items, not {}\n");
    }

    #[test]
    fn the_description_has_what_is_declared() {
        let described = serde_json::to_value(<Everything as utoipa::PartialSchema>::schema()).unwrap();
        assert_eq!((&described["required"], &described["additionalProperties"]), (&json!(["name"]), &json!(false)));
        let count = json!({ "type": ["integer", "null"], "format": "int64", "minimum": 0, "description": "A number." });
        assert_eq!(described["properties"]["count"], count);
        let mut schemas = Vec::new();
        <Everything as utoipa::ToSchema>::schemas(&mut schemas);
        assert_eq!(schemas.len(), 1);
        assert_eq!(schemas[0].0, "Policy");
    }

    #[test]
    fn a_text_that_is_not_json_is_refused_with_the_place() {
        for (body, expected) in [
            (&b"{\"name\": NaN}"[..], ": is not JSON: expected value at line 1 column 10\n"),
            (b"{\"name\": \"a\",\n}", ": is not JSON: key must be a string at line 2 column 1\n"),
            (b" \n", ": is not JSON: EOF while parsing a value at line 2 column 0\n"),
            (b"name=a", ": is not JSON: expected ident at line 1 column 2\n"),
            (b"{} {}", ": is not JSON: trailing characters at line 1 column 4\n"),
            (b"{\"name\": \"\xff\"}", ": is not UTF-8 from byte 10 on\n"),
        ] {
            assert_eq!(violations::<Everything>(body), expected);
        }
    }

    #[test]
    fn values_that_are_too_deep_or_too_large_are_refused() {
        let deep = format!(r#"{{"name": {}1{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
        assert_eq!(violations::<Everything>(deep), format!("name: must be a text, not {}…\n", "[".repeat(32)));
        for huge in ["99999999999999999999", "9223372036854775808", "1e999", "1.5", "-1"] {
            let expected = format!("count: must be a whole number from 0 to 9223372036854775807, not {huge}\n");
            assert_eq!(violations::<Everything>(format!(r#"{{"name": "a", "count": {huge}}}"#)), expected);
        }
        let surrogate = violations::<Everything>(r#"{"name": "\ud800"}"#);
        assert_eq!(surrogate, "name: must be a text, not \"\\ud800\"\n");
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
