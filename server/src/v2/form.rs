use std::borrow::Cow;

use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, Method, StatusCode, header},
};
use percent_encoding::percent_decode;

use super::error::{Code, V2Error};
use crate::request_body::{BodyError, read_body};

/// A request's fields: those of the body, where the method has one, before those of the query, as in
/// Go's `http.Request.ParseForm`.
#[derive(Clone, Debug, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// A field's first value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Every field with its value.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A yes or no; without the field it is no.
    pub fn flag(&self, name: &str) -> Result<bool, V2Error> {
        let invalid = || V2Error::invalid_field(format!("invalid value for \"{name}\""));
        self.get(name).map_or(Ok(false), |text| parse_bool(text).ok_or_else(invalid))
    }

    /// A yes or no that may also be left open. etcd names these fields without quotes.
    pub fn choice(&self, name: &str) -> Result<Option<bool>, V2Error> {
        let invalid = || V2Error::invalid_field(format!("invalid value for {name}"));
        self.get(name).map(|text| parse_bool(text).ok_or_else(invalid)).transpose()
    }

    /// An index. Zero counts as absent, as in etcd.
    pub fn index(&self, name: &str) -> Result<Option<u64>, V2Error> {
        let index = self.number(name, Code::IndexNotANumber)?;
        Ok(index.filter(|index| *index > 0))
    }

    /// A whole number, or this error.
    pub fn number(&self, name: &str, error: Code) -> Result<Option<u64>, V2Error> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits => Ok(Some(number)),
            _ => Err(V2Error::new(error, format!("invalid value for \"{name}\""))),
        }
    }

    fn add(&mut self, encoded: &[u8]) -> Result<(), V2Error> {
        for pair in encoded.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if pair.contains(&b';') {
                return Err(invalid("invalid semicolon separator in query"));
            }
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            self.0.push((decode(name)?, decode(value)?));
        }
        Ok(())
    }
}

impl<S: Sync> FromRequest<S> for Form {
    type Rejection = V2Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, V2Error> {
        let (parts, body) = request.into_parts();
        let mut form = Self::default();
        if matches!(parts.method, Method::PUT | Method::POST | Method::PATCH) {
            let body = read_body(&parts.headers, body).await?;
            if is_form(&parts.headers) {
                form.add(&body)?;
            }
        }
        form.add(parts.uri.query().unwrap_or_default().as_bytes())?;
        Ok(form)
    }
}

/// Reads the forms of yes and no that Go's `strconv.ParseBool` takes.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

impl From<BodyError> for V2Error {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => {
                invalid(format!("{error}; a registration has at most 4 KiB")).with_status(StatusCode::PAYLOAD_TOO_LARGE)
            }
            BodyError::Late => invalid(error.to_string()).with_status(StatusCode::REQUEST_TIMEOUT),
            BodyError::Broken(_) => invalid(error.to_string()),
        }
    }
}

/// Decodes strictly: a text that was damaged on its way is refused, not guessed at.
fn decode(encoded: &[u8]) -> Result<String, V2Error> {
    let spaced: Cow<'_, [u8]> = match encoded.contains(&b'+') {
        true => encoded.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect(),
        false => encoded.into(),
    };
    if let Some(at) = spaced.iter().enumerate().position(|(at, byte)| *byte == b'%' && !is_escape(&spaced[at..])) {
        let shown = &spaced[at..spaced.len().min(at + 3)];
        return Err(invalid(format!("invalid URL escape \"{}\"", String::from_utf8_lossy(shown))));
    }
    let decoded = percent_decode(&spaced).decode_utf8();
    decoded.map(Cow::into_owned).map_err(|_| invalid("a field is not UTF-8 after percent-decoding"))
}

fn is_escape(bytes: &[u8]) -> bool {
    bytes.len() >= 3 && bytes[1..3].iter().all(u8::is_ascii_hexdigit)
}

fn invalid(cause: impl Into<String>) -> V2Error {
    V2Error::new(Code::InvalidForm, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(encoded: &[u8]) -> Result<Form, V2Error> {
        let mut form = Form::default();
        form.add(encoded).map(|()| form)
    }

    #[test]
    fn fields_are_decoded() {
        let form = form(b"value=a%3Dhttp%3A%2F%2Fx+y&&empty=&bare&value=second").unwrap();
        assert_eq!(form.get("value"), Some("a=http://x y"));
        assert_eq!((form.get("empty"), form.get("bare"), form.get("none")), (Some(""), Some(""), None));
    }

    #[test]
    fn damaged_fields_are_refused() {
        for (encoded, expected) in [
            (&b"value=%zz"[..], "invalid URL escape \\\"%zz\\\""),
            (b"value=%", "invalid URL escape \\\"%\\\""),
            (b"%4=1", "invalid URL escape \\\"%4\\\""),
            (b"value=%ff", "not UTF-8"),
            (b"value=\xff", "not UTF-8"),
            (b"a=1;b=2", "semicolon"),
        ] {
            let error = format!("{:?}", form(encoded).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn flags_and_indexes_are_read_as_go_reads_them() {
        let form = form(b"yes=T&no=0&odd=yes&zero=0&seven=7&plus=+7&signed=%2B7").unwrap();
        assert_eq!((form.flag("yes"), form.flag("no"), form.flag("none")), (Ok(true), Ok(false), Ok(false)));
        assert_eq!((form.choice("yes"), form.choice("none")), (Ok(Some(true)), Ok(None)));
        assert!(form.flag("odd").is_err() && form.choice("odd").is_err());
        assert_eq!((form.index("zero"), form.index("seven")), (Ok(None), Ok(Some(7))));
        assert!(form.index("plus").is_err() && form.index("signed").is_err() && form.index("odd").is_err());
    }
}
