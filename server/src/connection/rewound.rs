use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// How much is read ahead at once.
const AHEAD: usize = 32;

/// A stream that can be read ahead: what was read too early is read again.
pub struct Rewound<S> {
    stream: S,
    unread: Bytes,
    unflushed: Unflushed,
}

/// Whether something may have been written to a stream and not flushed.
#[derive(Clone, Debug, Default)]
pub struct Unflushed(Arc<AtomicBool>);

impl<S> Rewound<S> {
    /// A stream from which nothing was read.
    pub fn new(stream: S) -> Self {
        Self { stream, unread: Bytes::new(), unflushed: Unflushed::default() }
    }

    /// What was read and will be read again.
    pub fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// Takes back bytes that were read from the stream, and that come before those that are not read.
    pub fn rewind(&mut self, read: &[u8]) {
        self.unread = [read, &self.unread].concat().into();
    }

    /// Shows whether all that is written to the stream has been flushed.
    pub fn unflushed(&self) -> Unflushed {
        self.unflushed.clone()
    }
}

impl<S: AsyncRead + Unpin> Rewound<S> {
    /// Reads ahead some bytes, at most this many, and returns how many there were. Fails at the end of the stream.
    pub async fn read_ahead(&mut self, most: usize) -> io::Result<usize> {
        let mut ahead = [0; AHEAD];
        let read = self.stream.read(&mut ahead[..most.min(AHEAD)]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.unread = [&self.unread, &ahead[..read]].concat().into();
        Ok(read)
    }
}

impl Unflushed {
    /// Whether something may not be flushed.
    pub fn is_some(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let length = self.unread.len().min(buffer.remaining());
        buffer.put_slice(&self.unread[..length]);
        self.unread.advance(length);
        if self.unread.is_empty() {
            self.unread = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.unflushed.0.store(true, Relaxed);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unflushed.0.store(true, Relaxed);
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.unflushed.0.store(false, Relaxed);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn what_was_read_ahead_is_read_again() {
        let (ours, mut theirs) = tokio::io::duplex(100);
        theirs.write_all(b"one two").await.unwrap();
        let mut ours = Rewound::new(ours);
        assert_eq!((ours.read_ahead(2).await.unwrap(), ours.read_ahead(1).await.unwrap()), (2, 1));
        ours.rewind(b"zero ");
        drop(theirs);
        let mut read = String::new();
        ours.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "zero one two");
        assert_eq!(ours.read_ahead(1).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_stream_knows_what_is_not_flushed() {
        let (ours, _theirs) = tokio::io::duplex(100);
        let mut ours = Rewound::new(ours);
        let unflushed = ours.unflushed();
        assert!(!unflushed.is_some());
        ours.write_all(b"one").await.unwrap();
        assert!(unflushed.is_some());
        ours.flush().await.unwrap();
        assert!(!unflushed.is_some());
    }
}
