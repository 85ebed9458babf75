//! Lets clients in that give their endpoint, a URL, where HTTP/2 wants an authority.
//!
//! The client of etcd 3.4 sends `:authority: http://10.0.0.1:8087` for what it asks one endpoint alone, such as its status
//! (`etcdctl endpoint status`), if that is how the endpoint was given. etcd's own server doesn't look; ours refuses
//! the request before anybody is asked, and can't be told not to. So the three characters that an authority can't have
//! are replaced on their way in. Nobody here reads the authority.

mod block;

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum_server::accept::Accept;
use bytes::{Buf, BytesMut};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

/// Mends what comes on the connections of another acceptor.
#[derive(Clone, Debug)]
pub struct MendingAcceptor<A>(pub A);

impl<A, I, S> Accept<I, S> for MendingAcceptor<A>
where
    A: Accept<I, S>,
    A::Stream: Send,
    A::Service: Send,
    A::Future: Send + 'static,
{
    type Stream = Mended<A::Stream>;
    type Service = A::Service;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let accepted = self.0.accept(stream, service);
        accepted.map(|accepted| accepted.map(|(stream, service)| (Mended::new(stream), service))).boxed()
    }
}

/// A connection on which authorities are mended. HTTP/1.1 goes through as it is.
#[derive(Debug)]
pub struct Mended<S> {
    connection: S,
    reads: Reads,
    /// What has come and was not handed on yet.
    held: BytesMut,
    /// How much of it can be handed on.
    ready: usize,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    /// The words that every HTTP/2 connection begins with, or something else.
    Preface,
    /// A frame, after so many bytes that are of no interest.
    Frame { after: usize },
    /// Nothing that could be mended.
    Anything,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How many bytes a frame has before its payload: three for the payload's length, one for the frame's type, and others.
const FRAME_HEADER: usize = 9;

/// The type of the frame that begins a request.
const HEADERS: u8 = 1;

/// A frame's flags that say that something stands before the headers: the length of a padding, a priority.
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;

/// The longest payload that a client may send without being asked to.
const MAX_PAYLOAD: usize = 16 << 10;

/// How many bytes are read at a time.
const READ: usize = 8 << 10;

impl<S> Mended<S> {
    fn new(connection: S) -> Self {
        Self { connection, reads: Reads::Preface, held: BytesMut::new(), ready: 0 }
    }

    /// Finds out how much of what is held can be handed on. A frame of headers is, once all of it is there.
    fn scan(&mut self) {
        while self.ready < self.held.len() {
            let rest = &mut self.held[self.ready..];
            let (step, then) = match self.reads {
                Reads::Anything => (rest.len(), Reads::Anything),
                Reads::Frame { after: 0 } => {
                    let Some(length) = mend_frame(rest) else { return };
                    (0, Reads::Frame { after: length })
                }
                Reads::Frame { after } => {
                    let step = after.min(rest.len());
                    (step, Reads::Frame { after: after - step })
                }
                Reads::Preface if rest.starts_with(PREFACE) => (PREFACE.len(), Reads::Frame { after: 0 }),
                Reads::Preface if PREFACE.starts_with(rest) => return,
                Reads::Preface => (rest.len(), Reads::Anything),
            };
            self.ready += step;
            self.reads = then;
        }
    }
}

/// The length of the frame that begins here, which is mended; `None` if more of it is needed.
fn mend_frame(bytes: &mut [u8]) -> Option<usize> {
    let (header, payload) = bytes.split_at_mut_checked(FRAME_HEADER)?;
    let length = usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2]);
    if header[3] == HEADERS && length <= MAX_PAYLOAD {
        let payload = payload.get_mut(..length)?;
        let before = usize::from(header[4] & PADDED != 0) + if header[4] & PRIORITY != 0 { 5 } else { 0 };
        if let Some(headers) = payload.get_mut(before..) {
            block::mend(headers);
        }
    }
    Some(FRAME_HEADER + length)
}

impl<S: AsyncRead + Unpin> AsyncRead for Mended<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.ready == 0 {
            if this.reads == Reads::Anything {
                return Pin::new(&mut this.connection).poll_read(context, into);
            }
            this.held.reserve(READ);
            if ready!(poll_read_buf(Pin::new(&mut this.connection), context, &mut this.held))? == 0 {
                // There is no more to a frame that has begun.
                this.reads = Reads::Anything;
                this.ready = this.held.len();
                break;
            }
            this.scan();
        }
        let step = this.ready.min(into.remaining());
        into.put_slice(&this.held[..step]);
        this.held.advance(step);
        this.ready -= step;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Mended<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What comes out if a client sends these pieces, one after another.
    async fn through(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut client, server) = tokio::io::duplex(64 << 10);
        let mut mended = Mended::new(server);
        let mut out = Vec::new();
        for piece in pieces {
            client.write_all(piece).await.unwrap();
            // Whatever can be read of it is read before the next piece comes.
            while let Some(read) = mended.read_buf(&mut out).now_or_never() {
                read.unwrap();
            }
        }
        drop(client);
        mended.read_to_end(&mut out).await.unwrap();
        out
    }

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    const URL: &[u8] = b"\x41\x0chttp://a:123";
    const MENDED: &[u8] = b"\x41\x0chttpB--a:123";

    #[tokio::test]
    async fn frames_of_headers_are_mended_and_others_left_as_they_are() {
        let settings = frame(4, 0, &[0; 6]);
        let padded = [&[2][..], &[0; 5], URL, &[0, 0]].concat();
        let padded_mended = [&[2][..], &[0; 5], MENDED, &[0, 0]].concat();
        let sent = [PREFACE, &settings, &frame(1, 4, URL), &frame(0, 1, URL), &frame(1, 0x2c, &padded)].concat();
        let received =
            [PREFACE, &settings, &frame(1, 4, MENDED), &frame(0, 1, URL), &frame(1, 0x2c, &padded_mended)].concat();
        assert_eq!(through(&[&sent]).await, received);
        let bytes: Vec<&[u8]> = sent.chunks(1).collect();
        assert_eq!(through(&bytes).await, received, "byte by byte");
    }

    #[tokio::test]
    async fn what_is_not_http_2_is_left_as_it_is() {
        for sent in [&b"GET /T HTTP/1.1\r\nHost: http://a\r\n\r\n"[..], b"P", b"PRI * HTTP/1.1", b"", PREFACE] {
            assert_eq!(through(&[sent]).await, sent);
        }
        assert_eq!(through(&[b"PR", b"OPFIND"]).await, b"PROPFIND");
    }

    #[tokio::test]
    async fn a_frame_that_ends_before_its_end_comes_as_far_as_it_goes() {
        let whole = [PREFACE, &frame(1, 4, URL)].concat();
        let cut = &whole[..whole.len() - 3];
        assert_eq!(through(&[cut]).await, cut);
    }
}
