//! Marks answers that a server gave from memory because its database is down.

use std::time::Duration;

use axum::{http::HeaderValue, response::Response};

use crate::registry::KnownCluster;

/// How old an answer is, in seconds: since when the database has not confirmed it. In gRPC, this is metadata.
pub const STALE: &str = "x-convene-stale";

/// Adds the header [`STALE`] to an answer from a state that the database does not confirm now.
pub fn mark_stale(mut response: Response, known: &KnownCluster) -> Response {
    if let Some(stale) = known.stale {
        response.headers_mut().insert(STALE, HeaderValue::from(seconds(stale)));
    }
    response
}

/// Whole seconds, rounded up: the answer is no older.
pub fn seconds(stale: Duration) -> u64 {
    stale.as_millis().div_ceil(1000) as u64
}
