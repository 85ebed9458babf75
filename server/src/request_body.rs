use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use thiserror::Error;

/// The largest body, in bytes.
const MAX_BODY: usize = 64 << 10;

/// How many bytes of a body are read before the server responds that it is too large. Most clients lose a response that
/// arrives while they still send.
const MAX_DRAINED: usize = 1 << 20;

/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a body can't be read.
#[derive(Debug, Error)]
pub enum BodyError {
    /// The body exceeds the limit.
    #[error("the body is larger than {} KiB", MAX_BODY >> 10)]
    TooLarge,
    /// The body did not arrive in time.
    #[error("the body did not arrive within {} seconds", BODY_TIMEOUT.as_secs())]
    Late,
    /// The connection broke, or the body violates HTTP.
    #[error("the body can't be read: {0}")]
    Broken(#[from] axum::Error),
}

/// Reads the whole body of a request, within bounds.
pub async fn read_body(headers: &HeaderMap, body: Body) -> Result<Bytes, BodyError> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|bytes| bytes > MAX_DRAINED) {
        return Err(BodyError::TooLarge);
    }
    tokio::time::timeout(BODY_TIMEOUT, read_whole(body)).await.map_err(|_| BodyError::Late)?
}

async fn read_whole(mut body: Body) -> Result<Bytes, BodyError> {
    let mut kept = Vec::new();
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        seen += data.len();
        if seen > MAX_DRAINED {
            break;
        }
        if seen <= MAX_BODY {
            kept.extend_from_slice(&data);
        }
    }
    if seen > MAX_BODY { Err(BodyError::TooLarge) } else { Ok(kept.into()) }
}
