//! One connection, from its first byte to its end.

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;
use tower::util::MapRequest;

use super::{
    accept::{Connections, KEEPALIVE},
    client::{ClientAddress, ClientCertificate},
};

/// How long a client may take to send a request's head, the wait for the next request included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a client may take for the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The most requests that one HTTP/2 connection may have open. gRPC clients keep one connection, and each of their
/// watch streams is one request.
const MAX_STREAMS: u32 = 2048;

/// How many requests a client may reset on one connection before the server accepts them. A client that exceeds the
/// limit is disconnected. It is high enough for a client that ends many watches at once.
const MAX_RESET_STREAMS: usize = 1024;

/// The flow-control windows of an HTTP/2 request and of an HTTP/2 connection, in bytes. The HTTP/2 library closes a
/// connection with about 2,000 unread small frames (`h2/src/proto/streams/counts.rs:record_data_frame`). One request must not
/// reach that limit: the smallest useful message, the end of a watch, has nine bytes.
const STREAM_WINDOW: u32 = 16 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// How many bytes of a response are buffered for a client that does not read.
const SEND_BUFFER: usize = 64 << 10;

/// How many bytes the headers of an HTTP/2 request may have.
const MAX_HEADERS: u32 = 16 << 10;

/// Serves a connection until its end. A failure concerns its client only, who sees it.
pub async fn serve(stream: TcpStream, peer: SocketAddr, shared: Arc<Connections>) {
    let client = Client { address: ClientAddress::of_peer(peer), certificate: None };
    let Some(tls) = &shared.tls else { return serve_http(stream, client, &shared).await };
    let secured = async {
        if !begins_like_tls(&stream).await? {
            return refuse_plain_http(stream).await.map(|()| None);
        }
        TlsAcceptor::from(tls.config()).accept(stream).await.map(Some)
    };
    let secured = tokio::select! {
        () = shared.stopping.cancelled() => return,
        secured = tokio::time::timeout(HANDSHAKE_TIMEOUT, secured) => secured,
    };
    match secured {
        Ok(Ok(Some(stream))) => {
            let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let certificate = shown.and_then(ClientCertificate::parse);
            serve_http(stream, Client { certificate, ..client }, &shared).await;
        }
        Ok(Ok(None)) => {}
        Ok(Err(error)) => tracing::debug!(%peer, %error, "the TLS handshake failed"),
        Err(_) => tracing::debug!(%peer, "the TLS handshake took too long"),
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
struct Client {
    address: ClientAddress,
    certificate: Option<ClientCertificate>,
}

impl Client {
    fn introduce(&self, request: &mut Request<Incoming>) {
        let extensions = request.extensions_mut();
        extensions.insert(self.address);
        if let Some(certificate) = &self.certificate {
            extensions.insert(certificate.clone());
        }
    }
}

/// The first byte of TLS is the type of a handshake record; that of plain HTTP is a letter.
async fn begins_like_tls(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let length = stream.peek(&mut first).await?;
    Ok(length == 0 || !first[0].is_ascii_alphabetic())
}

async fn refuse_plain_http(mut stream: TcpStream) -> io::Result<()> {
    const SENTENCE: &str = "this port speaks TLS: use https://\n";
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{SENTENCE}",
        SENTENCE.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    // The kernel resets a connection that is closed with unread bytes, and the client would lose the answer.
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map(drop)
}

async fn serve_http<S>(stream: S, client: Client, shared: &Connections)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let first = Arc::new(FirstRequest::default());
    let service = {
        let first = first.clone();
        let introduce = move |mut request: Request<Incoming>| {
            first.came();
            client.introduce(&mut request);
            request
        };
        TowerToHyperService::new(MapRequest::new(shared.router.clone(), introduce))
    };
    let builder = builder();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut is_stopping = false;
    loop {
        tokio::select! {
            // The connection's client sees how it ends.
            _ = connection.as_mut() => return,
            () = shared.cut.cancelled() => return,
            () = first.is_missing() => return,
            () = shared.stopping.cancelled(), if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // Title case like etcd and discovery.etcd.io, which are Go programs.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).title_case_headers(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(HEAD_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(MAX_HEADERS);
    builder
}

/// Whether a connection has brought a request. One that never does must not stay: before the first request, no time-out
/// of the HTTP library covers all cases.
#[derive(Debug, Default)]
struct FirstRequest {
    has_come: AtomicBool,
    came: Notify,
}

impl FirstRequest {
    fn came(&self) {
        if !self.has_come.swap(true, Ordering::Relaxed) {
            self.came.notify_one();
        }
    }

    /// Returns if there is none in time, and never otherwise.
    async fn is_missing(&self) {
        if self.has_come.load(Ordering::Relaxed)
            || tokio::time::timeout(HEAD_TIMEOUT, self.came.notified()).await.is_ok()
        {
            std::future::pending::<()>().await;
        }
    }
}
