use std::pin::pin;

use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    accept::Connections,
    resting::Resting,
    rewound::Rewound,
    serve::{HEAD_TIMEOUT, MAX_HEAD},
    service::Answerer,
};

/// Serves an HTTP/1 connection until its end, which its client sees.
pub async fn serve<S>(mut stream: Rewound<S>, answerer: Answerer, shared: &Connections)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Boxed, so that a connection whose answer rests does not keep the memory of the HTTP library.
    while let Some((resting, of_resting)) = Box::pin(serve_until_one_rests(stream, &answerer, shared)).await {
        match Box::pin(resting.answer(of_resting, shared)).await {
            Some(next) => stream = next,
            None => return,
        }
    }
}

/// Serves a connection until an answer rests. `None` if the connection ends before.
async fn serve_until_one_rests<S>(
    stream: Rewound<S>,
    answerer: &Answerer,
    shared: &Connections,
) -> Option<(Resting, Rewound<S>)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Answerer { account, first, resting, .. } = answerer;
    let unflushed = stream.unflushed();
    let builder = builder(answerer.may_stay());
    let mut connection = builder.serve_connection(TokioIo::new(stream), answerer.clone());
    // A connection on which nothing moves comes to its end.
    let mut stalls = pin!(account.stalls(&account.progress, 2 * shared.limits.write_timeout));
    let mut has_no_request = pin!(first.is_missing(HEAD_TIMEOUT));
    let mut is_stopping = false;
    loop {
        tokio::select! {
            _ = &mut connection => return None,
            () = &mut has_no_request => return None,
            () = &mut stalls => return None,
            // The HTTP library has tried to flush everything before it waits for the answer to this request.
            left = resting.left() => match unflushed.is_some() {
                true => left.decline(),
                false => {
                    let parts = connection.into_parts();
                    let mut stream = parts.io.into_inner();
                    stream.rewind(&parts.read_buf);
                    return Some((left.accept(), stream));
                }
            },
            () = shared.stopping.cancelled(), if !is_stopping => {
                is_stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    }
}

fn builder(may_stay: bool) -> Builder {
    let mut builder = Builder::new();
    // Title case like etcd and discovery.etcd.io, which are Go programs.
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .title_case_headers(true)
        .max_buf_size(MAX_HEAD as usize)
        .keep_alive(may_stay);
    builder
}
