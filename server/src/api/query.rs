//! Queries, read so that one response reports everything that is wrong with one.
//!
//! [`parameters!`] declares the parameters of an endpoint.

mod declare;

use std::{str::FromStr, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};
use percent_encoding::percent_decode_str;
use utoipa::openapi::{
    RefOr, Schema,
    path::{Parameter as Description, ParameterBuilder, ParameterIn},
};

use super::{
    body::{Limits, Scalar, doc_text},
    problem::{Problem, Violation, shown},
};
use crate::app::App;

pub(super) use declare::parameters;

/// The parameters of a request's query; `Query<()>` for endpoints that take none.
pub struct Query<T>(pub T);

/// Parameters that can be read from a query. [`parameters!`] implements it.
pub trait Parameters: Sized {
    /// Takes every known parameter. The remaining ones are refused.
    fn read(pairs: &mut Pairs<'_>) -> Self;
}

impl Parameters for () {
    fn read(_: &mut Pairs<'_>) -> Self {}
}

/// The type of a parameter: a scalar, or an `Option` of one.
pub trait Parameter {
    /// The scalar.
    type Scalar: Scalar + FromStr;
}

impl<T: Scalar + FromStr> Parameter for T {
    type Scalar = T;
}

impl<T: Scalar + FromStr> Parameter for Option<T> {
    type Scalar = T;
}

/// The description of a parameter.
pub fn describe<T: Parameter>(name: &str, doc: &[&str], default: Option<serde_json::Value>) -> Description {
    let mut schema = T::Scalar::schema();
    if let RefOr::T(Schema::Object(object)) = &mut schema {
        object.default = default;
    }
    let description = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query);
    description.description(Some(doc_text(doc))).schema(Some(schema)).build()
}

/// A query that is being read: the pairs that no parameter has taken yet, and all violations so far.
pub struct Pairs<'a> {
    limits: &'a Limits,
    given: Vec<(String, String)>,
    known: Vec<&'static str>,
    violations: Vec<Violation>,
}

impl<'a> Pairs<'a> {
    /// Takes a parameter.
    pub fn read<T: Scalar + FromStr>(&mut self, name: &'static str) -> Option<T> {
        self.known.push(name);
        let taken: Vec<_> = self.given.extract_if(.., |(given, _)| given == name).collect();
        let [(_, value)] = taken.as_slice() else {
            if !taken.is_empty() {
                self.violations.push(Violation::new(name, format!("is given {} times", taken.len())));
            }
            return None;
        };
        let parsed = value.parse::<T>().ok().filter(|parsed| parsed.fits(self.limits));
        if parsed.is_none() {
            let message = format!("must be {}, not {:?}", T::expected(self.limits), shown(value));
            self.violations.push(Violation::new(name, message));
        }
        parsed
    }

    fn parse(query: &str, limits: &'a Limits) -> Self {
        let mut pairs = Self { limits, given: Vec::new(), known: Vec::new(), violations: Vec::new() };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (decode(name), decode(value)) {
                (Some(name), Some(value)) => pairs.given.push((name, value)),
                _ => pairs.violations.push(Violation::new(shown(name), "is not UTF-8 after percent-decoding")),
            }
        }
        pairs
    }

    fn finish(self) -> Result<(), Problem> {
        let Self { given, known, mut violations, .. } = self;
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let unknown = |(name, _): (String, String)| {
            Violation::new(shown(&name), format!("is not a parameter of this endpoint; the parameters are: {known}"))
        };
        violations.extend(given.into_iter().map(unknown));
        if violations.is_empty() { Ok(()) } else { Err(Problem::invalid("query", violations)) }
    }
}

impl<T: Parameters> FromRequestParts<Arc<App>> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        read(parts.uri.query().unwrap_or_default(), &Limits::of(app)).map(Self)
    }
}

fn read<T: Parameters>(query: &str, limits: &Limits) -> Result<T, Problem> {
    let mut pairs = Pairs::parse(query, limits);
    let parameters = T::read(&mut pairs);
    pairs.finish().map(|()| parameters)
}

fn decode(encoded: &str) -> Option<String> {
    let spaced = encoded.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use convene_lifecycle::{ClusterName, ClusterSize};
    use utoipa::IntoParams;

    use super::*;
    use crate::api::body::Seconds;

    parameters! {
        /// Every kind of parameter.
        struct Everything {
            /// A duration with a default.
            wait: Seconds<1, 9> = Seconds(std::time::Duration::from_secs(7)),
            /// A name.
            name: Option<ClusterName>,
        }
    }

    const LIMITS: Limits = Limits { max_cluster_size: ClusterSize::DEFAULT };

    /// The parameters as text.
    fn given(query: &str) -> String {
        let Everything { wait: Seconds(wait), name } = read(query, &LIMITS).unwrap();
        format!("{wait:?}, {}", name.map_or("no name".to_owned(), |name| name.to_string()))
    }

    #[test]
    fn parameters_are_read() {
        assert_eq!(given("wait=3&&name=a+b%21"), "3s, a b!");
        assert_eq!(given(""), "7s, no name");
    }

    #[test]
    fn everything_that_is_wrong_is_reported_at_once() {
        let problem = read::<Everything>("wait=soon&name=a&name=b&form=1&%ff=2", &LIMITS).unwrap_err();
        let problem = serde_json::to_string(&problem).unwrap();
        for expected in [
            r#"{"field":"wait","message":"must be a whole number of seconds from 1 to 9, not \"soon\""}"#,
            r#"{"field":"name","message":"is given 2 times"}"#,
            r#"{"field":"form","message":"is not a parameter of this endpoint; the parameters are: wait, name"}"#,
            r#"{"field":"%ff","message":"is not UTF-8 after percent-decoding"}"#,
        ] {
            assert!(problem.contains(expected), "{expected}: {problem}");
        }
    }

    #[test]
    fn the_description_has_what_is_declared() {
        let described = serde_json::to_value(Everything::into_params(|| None)).unwrap();
        let schema =
            serde_json::json!({ "type": "integer", "format": "int32", "minimum": 1, "maximum": 9, "default": 7 });
        assert_eq!((&described[0]["name"], &described[0]["required"]), (&"wait".into(), &false.into()));
        assert_eq!(
            (&described[0]["description"], &described[0]["schema"]),
            (&"A duration with a default.".into(), &schema)
        );
        assert_eq!(described[1]["name"], "name");
    }
}
