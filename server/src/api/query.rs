use std::str::FromStr;

use axum::{extract::FromRequestParts, http::request::Parts};
use percent_encoding::percent_decode_str;

use super::problem::{Problem, Violation, shown};

/// The parameters of a request's query; `Query<()>` for endpoints that take none.
pub struct Query<T>(pub T);

/// Parameters that can be read from a query.
pub trait Parameters: Sized {
    /// Takes every known parameter. The remaining ones are refused.
    fn read(pairs: &mut Pairs) -> Self;
}

impl Parameters for () {
    fn read(_: &mut Pairs) -> Self {}
}

/// A query that is being read: the pairs that no parameter has taken yet, and all violations so far.
#[derive(Debug, Default)]
pub struct Pairs {
    given: Vec<(String, String)>,
    known: Vec<&'static str>,
    violations: Vec<Violation>,
}

impl Pairs {
    /// Takes a parameter. `expected` completes the sentence "must be …", for example with "a whole number".
    pub fn optional<T: FromStr>(&mut self, name: &'static str, expected: &str) -> Option<T> {
        self.known.push(name);
        let taken: Vec<_> = self.given.extract_if(.., |(given, _)| given == name).collect();
        let [(_, value)] = taken.as_slice() else {
            if !taken.is_empty() {
                self.violations.push(Violation::new(name, format!("is given {} times", taken.len())));
            }
            return None;
        };
        let parsed = value.parse().ok();
        if parsed.is_none() {
            let message = format!("must be {expected}, not {:?}", shown(value));
            self.violations.push(Violation::new(name, message));
        }
        parsed
    }

    fn parse(query: &str) -> Self {
        let mut pairs = Self::default();
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
        let Self { given, known, mut violations } = self;
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let unknown = |(name, _): (String, String)| {
            Violation::new(shown(&name), format!("is not a parameter of this endpoint; the parameters are: {known}"))
        };
        violations.extend(given.into_iter().map(unknown));
        if violations.is_empty() { Ok(()) } else { Err(Problem::invalid("query", violations)) }
    }
}

impl<T: Parameters, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut pairs = Pairs::parse(parts.uri.query().unwrap_or_default());
        let parameters = T::read(&mut pairs);
        pairs.finish().map(|()| Self(parameters))
    }
}

fn decode(encoded: &str) -> Option<String> {
    let spaced = encoded.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parameters, and the problem as JSON.
    fn read(query: &str) -> (Option<u64>, Option<String>, String) {
        let mut pairs = Pairs::parse(query);
        let from = pairs.optional("from", "a whole number");
        let name = pairs.optional("name", "a name");
        (from, name, serde_json::to_string(&pairs.finish().err()).unwrap())
    }

    #[test]
    fn parameters_are_read() {
        assert_eq!(read("from=7&&name=a+b%21"), (Some(7), Some("a b!".to_owned()), "null".to_owned()));
        assert_eq!(read(""), (None, None, "null".to_owned()));
    }

    #[test]
    fn everything_that_is_wrong_is_reported_at_once() {
        let (_, _, problem) = read("from=soon&name=a&name=b&form=1&%ff=2");
        for expected in [
            r#"{"field":"from","message":"must be a whole number, not \"soon\""}"#,
            r#"{"field":"name","message":"is given 2 times"}"#,
            r#"{"field":"form","message":"is not a parameter of this endpoint; the parameters are: from, name"}"#,
            r#"{"field":"%ff","message":"is not UTF-8 after percent-decoding"}"#,
        ] {
            assert!(problem.contains(expected), "{expected}: {problem}");
        }
    }
}
