use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use thiserror::Error;

use super::budget::{Account, Charge, Progress, TooMuchQueued};

/// The largest piece of an answer that is handed to the HTTP library at once.
const PIECE: usize = 16 << 10;

/// How many bytes of a request's body count. No handler keeps more.
const MOST_KEPT: usize = 128 << 10;

/// Why a body is broken off.
#[derive(Debug, Error)]
pub enum BrokenOff {
    /// The body's source failed.
    #[error(transparent)]
    Source(#[from] axum::Error),
    /// The client has not read what it was sent before.
    #[error("too many bytes wait for this client, or for all")]
    TooMuchQueued,
}

/// The body of an answer, whose bytes count until they are written to the client.
pub struct CountedBody {
    body: Body,
    account: Arc<Account>,
    stream: Arc<Progress>,
    /// All bytes of a body whose size is known.
    whole: Option<Arc<Charge>>,
    /// What the last frame had beyond one piece.
    rest: Bytes,
    rest_charge: Option<Arc<Charge>>,
}

/// A piece of an answer.
pub struct CountedBytes {
    bytes: Bytes,
    account: Arc<Account>,
    stream: Arc<Progress>,
    _charge: Option<Arc<Charge>>,
}

impl CountedBody {
    /// An answer whose bytes count. One that exceeds a budget is returned as an error, and with it the memory.
    pub fn of(
        response: Response,
        account: &Arc<Account>,
        stream: Arc<Progress>,
    ) -> Result<Response<Self>, TooMuchQueued> {
        let size = HttpBody::size_hint(response.body()).exact().filter(|size| *size > 0);
        let charge = size.map(|size| account.charge(usize::try_from(size).unwrap_or(usize::MAX))).transpose()?;
        let (account, whole) = (account.clone(), charge.map(Arc::new));
        let counted = response.map(|body| Self { body, account, stream, whole, rest: Bytes::new(), rest_charge: None });
        Ok(counted)
    }

    fn piece(&mut self) -> Frame<CountedBytes> {
        let bytes = self.rest.split_to(self.rest.len().min(PIECE));
        let charge = if self.rest.is_empty() { self.rest_charge.take() } else { self.rest_charge.clone() };
        self.stream.wait();
        self.account.progress.wait();
        Frame::data(CountedBytes { bytes, account: self.account.clone(), stream: self.stream.clone(), _charge: charge })
    }
}

impl HttpBody for CountedBody {
    type Data = CountedBytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<CountedBytes>, BrokenOff>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.piece())));
        }
        let frame = match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => return Poll::Pending,
        };
        match frame.into_data() {
            Ok(data) => {
                self.rest_charge = match &self.whole {
                    Some(whole) => Some(whole.clone()),
                    None => match self.account.charge(data.len()) {
                        Ok(charge) => Some(Arc::new(charge)),
                        Err(TooMuchQueued) => return Poll::Ready(Some(Err(BrokenOff::TooMuchQueued))),
                    },
                };
                self.rest = data;
                Poll::Ready(Some(Ok(self.piece())))
            }
            Err(frame) => Poll::Ready(frame.into_trailers().ok().map(|trailers| Ok(Frame::trailers(trailers)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = HttpBody::size_hint(&self.body);
        let rest = self.rest.len() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

impl Buf for CountedBytes {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.stream.advance(count);
        self.account.progress.advance(count);
        self.bytes.advance(count);
    }
}

impl Drop for CountedBytes {
    fn drop(&mut self) {
        self.stream.done();
        self.account.progress.done();
    }
}

/// The body of a request, whose bytes count as long as the request is being answered.
pub struct CountedRequest {
    body: Incoming,
    charge: Charge,
}

impl CountedRequest {
    /// A body whose bytes are added to the charge for the request's head.
    pub fn new(body: Incoming, charge: Charge) -> Self {
        Self { body, charge }
    }
}

impl HttpBody for CountedRequest {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let bytes = frame.data_ref().map_or(0, Bytes::len).min(MOST_KEPT.saturating_sub(self.charge.bytes()));
            if bytes > 0 && self.charge.grow(bytes).is_err() {
                return Poll::Ready(Some(Err(axum::Error::new(BrokenOff::TooMuchQueued))));
            }
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(axum::Error::new)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
