use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
};

use super::problem::{Kind, Problem};

/// A request that declares JSON, also if it has no body. A web page of another origin can send nothing that does.
pub struct DeclaredJson;

impl DeclaredJson {
    /// Checks the headers of a request.
    pub fn check(headers: &HeaderMap) -> Result<Self, Problem> {
        let detail = "the request must declare JSON; send the header Content-Type: application/json, with curl \
                      -H 'Content-Type: application/json'";
        if is_json(headers) { Ok(Self) } else { Err(Problem::new(Kind::UnsupportedMediaType, detail)) }
    }
}

impl<S: Sync> FromRequestParts<S> for DeclaredJson {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::check(&parts.headers)
    }
}

/// Whether the headers declare a body of JSON in UTF-8.
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
    use super::*;

    #[test]
    fn only_json_in_utf_8_is_json() {
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
}
