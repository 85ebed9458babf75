use std::borrow::Cow;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Serialize;

use crate::visible::visible;

/// A response with JSON, which ends with a newline for readability in terminals.
pub fn json_response(status: StatusCode, body: &impl Serialize) -> Response {
    let mut line = json_text(body);
    line.push('\n');
    let mut response = Response::new(Body::from(line));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A value as JSON on one line, without characters that people don't see: names of members may have them, because etcd's may.
pub fn json_text(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).expect("answers have text for keys, and memory takes every write");
    match visible(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(escaped) => escaped,
    }
}
