use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Serialize;

/// A response with JSON, which ends with a newline for readability in terminals.
pub fn json_response(status: StatusCode, body: &impl Serialize) -> Response {
    let mut line = serde_json::to_vec(body).expect("answers have text for keys, and memory takes every write");
    line.push(b'\n');
    let mut response = Response::new(Body::from(line));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
