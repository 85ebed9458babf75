//! One connection, from its first byte to its end.

use std::{io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use convene_lifecycle::Actor;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    accept::Connections,
    client::{ClientAddress, ClientCertificate},
    http1, http2,
    proxy_protocol::{self, Beginning, InvalidHeader},
    resets::ConnectionResets,
    rewound::Rewound,
    service::Answerer,
    tally::{Excess, Place},
    timed_io::TimedIo,
    tls::CurrentTls,
};
use crate::audit;

/// How long a client may take to send a request's head, the wait for the next request included.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a client may take for the TLS handshake, and a proxy for its header.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many bytes the head of an HTTP/1 request and the headers of an HTTP/2 request may have. HTTP/1 answers 431 beyond that.
pub const MAX_HEAD: u32 = 16 << 10;

/// Serves a connection until its end. A failure concerns its client only, who sees it.
pub async fn serve(mut stream: TcpStream, peer: SocketAddr, shared: Arc<Connections>, place: Result<Place, Excess>) {
    let connection = async {
        let client = Client { address: ClientAddress::of_peer(peer), certificate: None };
        if !shared.limits.proxies.contain(client.address.ip()) {
            return secure(stream, client, &shared, place).await;
        }
        let named = timeout(HANDSHAKE_TIMEOUT, read_proxy_header(&mut stream)).await;
        let named = match named.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(named) => named,
            Err(error) => return tracing::debug!(%peer, %error, "no request came from the proxy"),
        };
        let Some(source) = named else { return secure(stream, client, &shared, place).await };
        let client = Client { address: ClientAddress::of_peer(source), ..client };
        // So far it counted as the proxy's, which has no limit of its own.
        let network = shared.limits.limited_network(client.address.ip());
        if network.is_some_and(|network| shared.limits.resets.refuse(network)) {
            return;
        }
        let place = place.and_then(|proxys| {
            drop(proxys);
            shared.limits.connections.take(network)
        });
        secure(stream, client, &shared, place).await;
    };
    tokio::select! {
        () = connection => {}
        () = shared.cut.cancelled() => {}
    }
}

/// Who is at the other end of a connection.
struct Client {
    address: ClientAddress,
    certificate: Option<ClientCertificate>,
}

/// Reads the header of the PROXY protocol, if the connection begins with one, and returns the client that it names.
async fn read_proxy_header(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    /// How often to look whether the rest has come: the socket is readable all the time, by what is left unread.
    const AGAIN: Duration = Duration::from_millis(10);
    let mut bytes = vec![0; proxy_protocol::MOST];
    loop {
        let length = stream.peek(&mut bytes).await?;
        match proxy_protocol::parse(&bytes[..length]) {
            Ok(Beginning::NoHeader) => return Ok(None),
            Ok(Beginning::Header { length, source }) => {
                stream.read_exact(&mut bytes[..length]).await?;
                return Ok(source);
            }
            Ok(Beginning::Incomplete) if length == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Beginning::Incomplete) => sleep(AGAIN).await,
            Err(invalid @ InvalidHeader) => return Err(io::Error::new(io::ErrorKind::InvalidData, invalid)),
        }
    }
}

/// Serves a connection, by TLS if the port speaks that. Boxed by kind, so that a connection takes the memory of what it is, and not of the
/// largest that it could be.
fn secure(
    stream: TcpStream,
    client: Client,
    shared: &Connections,
    place: Result<Place, Excess>,
) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
    match &shared.tls {
        None => Box::pin(serve_http(bounded(stream, shared), client, shared, place)),
        Some(tls) => Box::pin(serve_tls(stream, tls, client, shared, place)),
    }
}

async fn serve_tls(
    stream: TcpStream,
    tls: &CurrentTls,
    client: Client,
    shared: &Connections,
    place: Result<Place, Excess>,
) {
    let secured = Box::pin(async {
        if !begins_like_tls(&stream).await? {
            return refuse_plain_http(stream).await.map(|()| None);
        }
        TlsAcceptor::from(tls.config()).accept(bounded(stream, shared)).await.map(Some)
    });
    let secured = tokio::select! {
        () = shared.stopping.cancelled() => return,
        secured = timeout(HANDSHAKE_TIMEOUT, secured) => secured,
    };
    let address = client.address;
    match secured {
        Ok(Ok(Some(stream))) => {
            let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let certificate = shown.and_then(ClientCertificate::parse);
            Box::pin(serve_http(stream, Client { certificate, ..client }, shared, place)).await;
        }
        Ok(Ok(None)) => {}
        Ok(Err(error)) => {
            if is_about_certificate(&error) {
                let actor = Actor { by: "nobody".into(), from: Some(address.ip()) };
                audit::log_refusal(&actor, "TLS handshake", &error.to_string());
            }
            tracing::debug!(client = %address, %error, "the TLS handshake failed");
        }
        Err(_) => tracing::debug!(client = %address, "the TLS handshake took too long"),
    }
}

/// Whether a handshake has failed because one side rejects the certificate of the other. Others fail for many reasons that tell
/// nothing, such as a health check that only connects.
fn is_about_certificate(error: &io::Error) -> bool {
    use rustls::{AlertDescription as Alert, Error};
    match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(Error::InvalidCertificate(_)) => true,
        Some(Error::AlertReceived(alert)) => matches!(
            alert,
            Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
        ),
        _ => false,
    }
}

fn bounded(stream: TcpStream, shared: &Connections) -> TimedIo<TcpStream> {
    TimedIo::new(stream, shared.limits.write_timeout)
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

async fn serve_http<S>(stream: S, client: Client, shared: &Connections, place: Result<Place, Excess>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &shared.limits;
    let network = limits.limited_network(client.address.ip());
    let account = Arc::new(limits.account(network));
    let answerer = Answerer {
        router: shared.router.clone(),
        limits: limits.clone(),
        account,
        peer: client.address,
        certificate: client.certificate,
        first: Arc::default(),
        resets: Arc::new(ConnectionResets::new(limits.clone(), network)),
        resting: Arc::default(),
        overload: place.as_ref().err().copied(),
    };
    let mut stream = Rewound::new(stream);
    let begins = tokio::select! {
        begins = timeout(HEAD_TIMEOUT, http2::begins(&mut stream)) => begins,
        () = shared.stopping.cancelled() => return,
    };
    match begins {
        Ok(Ok(true)) => Box::pin(http2::serve(stream, answerer, shared)).await,
        Ok(Ok(false)) => Box::pin(http1::serve(stream, answerer, shared)).await,
        // The client sends nothing, or has gone.
        Ok(Err(_)) | Err(_) => {}
    }
}
