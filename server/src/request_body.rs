use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use thiserror::Error;

/// The most bytes that a body may have.
const MAX_BODY: usize = 64 << 10;

/// The most bytes of a body that are read in all: who sends too much is heard out up to here, because
/// an answer into a connection that still carries data is lost to most clients.
const MAX_DRAINED: usize = 1 << 20;

/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a body can't be had.
#[derive(Debug, Error)]
pub enum BodyError {
    /// It is longer than anything that is sent here.
    #[error("the body is larger than {} KiB", MAX_BODY >> 10)]
    TooLarge,
    /// It was not there in time.
    #[error("the body did not arrive within {} seconds", BODY_TIMEOUT.as_secs())]
    Late,
    /// The connection broke, or what came is not what HTTP says it must be.
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
