//! HTTP/1 answers whose body comes much later.
//!
//! The HTTP library keeps buffers of 16 KiB for each connection, and its own state. A long poll needs none of that while it waits, and
//! there may be tens of thousands. So the connection is taken out of the library until the answer is complete.

use std::{
    io,
    pin::pin,
    sync::{Mutex, MutexGuard},
    time::SystemTime,
};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, Method, Version, header},
    response::Response,
};
use bytes::Buf;
use futures_util::FutureExt;
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::{Notify, oneshot},
};

use super::{accept::Connections, body::CountedBody, rewound::Rewound};

/// Marks a response whose body comes when something happens.
#[derive(Clone, Copy, Debug)]
pub struct Rests;

/// Where a request of an HTTP/1 connection leaves its answer, if it rests.
#[derive(Default)]
pub struct RestingPlace {
    left: Mutex<Option<Left>>,
    came: Notify,
}

/// An answer that may rest.
pub struct Left {
    resting: Resting,
    declined: oneshot::Sender<Response<CountedBody>>,
}

/// An answer that rests.
pub struct Resting {
    response: Response<CountedBody>,
    /// Whether the client wants the connection to end with the answer.
    is_last: bool,
}

impl RestingPlace {
    /// Leaves an answer. Returns it if it can't rest, and never returns if it does.
    pub async fn leave(&self, response: Response<CountedBody>, is_last: bool) -> Response<CountedBody> {
        let (declined, answer) = oneshot::channel();
        *self.lock() = Some(Left { resting: Resting { response, is_last }, declined });
        self.came.notify_one();
        match answer.await {
            Ok(response) => response,
            Err(_) => std::future::pending().await,
        }
    }

    /// The next answer that was left.
    pub async fn left(&self) -> Left {
        loop {
            self.came.notified().await;
            let left = self.lock().take();
            if let Some(left) = left {
                return left;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Left>> {
        self.left.lock().expect("no holder panics")
    }
}

impl Left {
    /// Takes the answer out of the HTTP library.
    pub fn accept(self) -> Resting {
        self.resting
    }

    /// Gives the answer back to its request.
    pub fn decline(self) {
        let _ = self.declined.send(self.resting.response);
    }
}

/// Whether the answer to a request may rest: the client must understand a body of pieces, and all of the request must have come.
pub fn may_rest(request: &Request<Incoming>) -> bool {
    request.version() == Version::HTTP_11 && request.method() == Method::GET && request.body().is_end_stream()
}

/// Whether a client wants the connection to end with the answer.
pub fn is_last(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|option| option.trim().eq_ignore_ascii_case("close"))
}

impl Resting {
    /// Sends the head of the answer at once, and its body when it comes. Returns the stream for the next request; `None` if the connection
    /// has ended.
    pub async fn answer<S>(self, mut stream: Rewound<S>, shared: &Connections) -> Option<Rewound<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Self { response, is_last } = self;
        let is_last = is_last || shared.stopping.is_cancelled();
        let (head, body) = split(response, is_last);
        // What the client sees of an answer that breaks off is the end of the connection.
        send(head, body, &mut stream).await.ok()?;
        if is_last || shared.stopping.is_cancelled() {
            let _ = stream.shutdown().await;
            return None;
        }
        Some(stream)
    }
}

/// Sends a head, and a body in pieces.
async fn send<S>(head: Vec<u8>, body: CountedBody, stream: &mut Rewound<S>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut body = pin!(body);
    let mut unsent = head;
    // They count until they are written.
    let mut pieces = Vec::new();
    loop {
        let frame = match body.frame().now_or_never() {
            Some(frame) => frame,
            None => {
                stream.write_all(&unsent).await?;
                stream.flush().await?;
                (unsent, pieces) = (Vec::new(), Vec::new());
                tokio::select! {
                    frame = body.frame() => frame,
                    gone = gone(stream) => return Err(gone),
                }
            }
        };
        match frame {
            Some(Ok(frame)) => {
                let Ok(mut piece) = frame.into_data() else { continue };
                // An empty piece would end the body.
                if !piece.has_remaining() {
                    continue;
                }
                unsent.extend_from_slice(format!("{:X}\r\n", piece.remaining()).as_bytes());
                while piece.has_remaining() {
                    unsent.extend_from_slice(piece.chunk());
                    piece.advance(piece.chunk().len());
                }
                unsent.extend_from_slice(b"\r\n");
                pieces.push(piece);
            }
            Some(Err(error)) => return Err(io::Error::other(error)),
            None => {
                unsent.extend_from_slice(b"0\r\n\r\n");
                stream.write_all(&unsent).await?;
                return stream.flush().await;
            }
        }
    }
}

/// Returns once the client has gone. A client that sends its next request already is there.
async fn gone<S: AsyncRead + Unpin>(stream: &mut Rewound<S>) -> io::Error {
    if stream.unread().is_empty()
        && let Err(error) = stream.read_ahead(1).await
    {
        return error;
    }
    std::future::pending().await
}

/// The head of an answer, as the HTTP library writes it, and its body.
fn split(response: Response<CountedBody>, is_last: bool) -> (Vec<u8>, CountedBody) {
    let (parts, body) = response.into_parts();
    let mut head = format!("HTTP/1.1 {}\r\n", parts.status).into_bytes();
    let mut line = |name: &HeaderName, value: &[u8]| {
        head.extend_from_slice(title_case(name).as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    };
    for (name, value) in &parts.headers {
        line(name, value.as_bytes());
    }
    if is_last {
        line(&header::CONNECTION, b"close");
    }
    line(&header::TRANSFER_ENCODING, b"chunked");
    line(&header::DATE, httpdate::fmt_http_date(SystemTime::now()).as_bytes());
    head.extend_from_slice(b"\r\n");
    (head, body)
}

/// `Content-Type` for `content-type`.
fn title_case(name: &HeaderName) -> String {
    let mut is_first = true;
    let title = |letter: char| {
        let shown = if is_first { letter.to_ascii_uppercase() } else { letter };
        is_first = letter == '-';
        shown
    };
    name.as_str().chars().map(title).collect()
}
