use std::{io, pin::pin};

use hyper::server::conn::http2::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    accept::{Connections, KEEPALIVE},
    rewound::Rewound,
    serve::{HEAD_TIMEOUT, MAX_HEAD},
    service::Answerer,
    stream::Streams,
};

/// How many requests a client may reset on one connection before the server accepts them. A client that exceeds the
/// limit is disconnected. It is high enough for a client that ends many watches at once.
const MAX_RESET_STREAMS: usize = 1024;

/// The flow-control windows of an HTTP/2 request and of an HTTP/2 connection, in bytes: so much may wait until a handler reads
/// it. The HTTP/2 library closes a connection with many unread small frames
/// (`h2/src/proto/streams/counts.rs:record_data_frame`). One request must not reach that limit: the smallest useful
/// message, the end of a watch, has nine bytes.
const STREAM_WINDOW: u32 = 16 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;

/// How many bytes of an HTTP/2 response are buffered for a client that does not read.
const SEND_BUFFER: usize = 16 << 10;

/// What each HTTP/2 connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether a client speaks HTTP/2. Fails if it disconnects before that shows.
pub async fn begins<S: AsyncRead + Unpin>(stream: &mut Rewound<S>) -> io::Result<bool> {
    let mut seen = 0;
    while seen < PREFACE.len() {
        seen += stream.read_ahead(PREFACE.len() - seen).await?;
        if !PREFACE.starts_with(stream.unread()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Serves an HTTP/2 connection until its end, which its client sees.
pub async fn serve<S>(stream: Rewound<S>, answerer: Answerer, shared: &Connections)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (account, first, resets) = (answerer.account.clone(), answerer.first.clone(), answerer.resets.clone());
    let limits = &shared.limits;
    let builder = builder(Streams::new(account.clone(), limits.write_timeout), answerer.may_stay(), limits.streams);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), answerer));
    // A stream that stalls is reset. A connection on which nothing at all moves comes to its end later.
    let mut stalls = pin!(account.stalls(&account.progress, 2 * limits.write_timeout));
    let mut has_no_request = pin!(first.is_missing(HEAD_TIMEOUT));
    let mut is_stopping = false;
    loop {
        tokio::select! {
            _ = connection.as_mut() => return,
            () = &mut has_no_request => return,
            () = &mut stalls => return,
            () = resets.too_many.cancelled() => return,
            () = shared.stopping.cancelled(), if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn builder(streams: Streams, may_stay: bool, max_streams: u32) -> Builder<Streams> {
    let mut builder = Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(HEAD_TIMEOUT)
        .max_concurrent_streams(if may_stay { max_streams } else { 1 })
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(MAX_HEAD);
    builder
}
