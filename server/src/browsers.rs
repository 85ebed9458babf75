//! What protects the server from web pages: the rules for the Host of a request, and for requests that a page of another
//! origin makes a browser send.
//!
//! A page can make a browser send requests to any server that the browser reaches. By DNS rebinding, it can also give its own
//! name the address of this server, and read the answers. Both show in the headers that the browser adds.

mod hosts;
mod origin;

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header, request::Parts, uri::Authority},
    response::{IntoResponse, Response},
};
use thiserror::Error;
use tonic::Status;

use crate::{
    api::{Kind, Problem},
    app::App,
    v3::is_grpc,
};

pub use hosts::{Host, Hosts};
pub use origin::Origin;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// From where browsers may use this server.
#[derive(Clone, Debug, Default)]
pub struct Browsers {
    /// The names and addresses by which the server may be asked.
    pub hosts: Hosts,
    /// The origin of `--public-url`, if it is set.
    pub public_origin: Option<Origin>,
    /// The origins whose pages may use v2 discovery.
    pub v2_cors: Vec<Origin>,
}

/// Why a request is refused before it is routed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
enum Refused {
    #[error("the request has more than one Host, or a Host that differs from the host of its URL; send one")]
    TwoHosts,
    #[error("the request has no valid Host; send one, such as discovery.example.com:8087")]
    NoHost,
    #[error(
        "this server does not answer to the host name {0:?}; start convene-server with --allowed-hosts {0}, or set \
         --public-url to the URL at which clients reach the server"
    )]
    OtherHost(String),
    #[error("a web page of another origin ({0}) sent this request; only pages of this server may")]
    OtherOrigin(String),
    #[error("a web page of another site sent this request; only pages of this server may")]
    OtherSite,
    #[error(
        "a browser sent this request over plain HTTP, so the server can't know which page sent it; create the cluster \
         with curl, or open this URL with https"
    )]
    UnknownSite,
}

/// A group of URLs with the same rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Face {
    /// Reveals and changes nothing.
    Probe,
    /// `/v1`.
    Api,
    /// What people look at, and `/metrics`.
    Page,
    /// `/new`, which creates a cluster by GET.
    New,
    /// v2 discovery.
    V2,
    /// v3 discovery, by gRPC and by JSON.
    V3,
}

/// What concerns browsers in a request.
pub struct Guard {
    face: Face,
    is_browser: bool,
    cors: Option<Origin>,
}

impl Guard {
    /// What concerns browsers in this request.
    pub fn of(app: &App, request: &Parts) -> Self {
        let face = Face::of(&request.uri, &request.headers);
        let cors = app.browsers.cors(face, &request.headers).cloned();
        Self { face, is_browser: is_browser(&request.headers), cors }
    }

    /// The response to what a web page has made a browser send, or to a request by a foreign name; `None` if it is neither.
    pub fn refuse(&self, app: &App, request: &Parts) -> Option<Response> {
        let refused = app.browsers.check(self.face, request).err()?;
        Some(refused.into_response_for(is_grpc(&request.headers)))
    }

    /// Tells browsers how to treat the response of the handler.
    pub fn protect(&self, response: &mut Response) {
        if self.is_browser || matches!(self.face, Face::Api | Face::Page) {
            protect(response.headers_mut());
        }
        if let Some(origin) = &self.cors {
            allow(origin, response.headers_mut());
        }
    }
}

impl Browsers {
    fn check(&self, face: Face, request: &Parts) -> Result<(), Refused> {
        let (uri, headers) = (&request.uri, &request.headers);
        let host = host(uri, headers)?;
        if face == Face::Probe {
            return Ok(());
        }
        if matches!(face, Face::Api | Face::Page) || is_browser(headers) {
            let host = host.as_ref().ok_or(Refused::NoHost)?;
            if !self.hosts.contains(host) {
                return Err(Refused::OtherHost(host.host().to_owned()));
            }
        }
        self.check_origin(face, &request.method, headers, host.as_ref())
    }

    fn check_origin(
        &self,
        face: Face,
        method: &Method,
        headers: &HeaderMap,
        host: Option<&Authority>,
    ) -> Result<(), Refused> {
        if self.cors(face, headers).is_some() {
            return Ok(());
        }
        let is_own = |origin: &Origin| {
            Some(origin) == self.public_origin.as_ref() || host.is_some_and(|host| origin.is_at(host))
        };
        let origin = headers.get(header::ORIGIN);
        if let Some(origin) = origin
            && !Origin::of(origin).as_ref().is_some_and(is_own)
        {
            return Err(Refused::OtherOrigin(String::from_utf8_lossy(origin.as_bytes()).into_owned()));
        }
        let text = |name| headers.get(name).map(HeaderValue::as_bytes);
        // Somebody follows a link to this server. The page that has the link sees nothing of the answer.
        let follows_link = matches!(face, Face::Page | Face::V2)
            && matches!(*method, Method::GET | Method::HEAD)
            && text(SEC_FETCH_MODE) == Some(b"navigate")
            && text(SEC_FETCH_DEST) == Some(b"document");
        match text(SEC_FETCH_SITE) {
            Some(b"same-origin" | b"none") => Ok(()),
            Some(_) if follows_link => Ok(()),
            Some(_) => Err(Refused::OtherSite),
            // Browsers add the header only to requests by https, or to loopback addresses.
            None if face == Face::New && origin.is_none() && is_browser(headers) => Err(Refused::UnknownSite),
            None => Ok(()),
        }
    }

    /// The origin of the page that sent a request, if it may use v2 discovery.
    fn cors(&self, face: Face, headers: &HeaderMap) -> Option<&Origin> {
        let origin = Origin::of(headers.get(header::ORIGIN)?).filter(|_| face == Face::V2)?;
        self.v2_cors.iter().find(|allowed| **allowed == origin)
    }
}

impl Face {
    /// Looks at the path as the router does: without decoding it.
    fn of(uri: &Uri, headers: &HeaderMap) -> Self {
        let path = uri.path();
        let is_below =
            |first: &str| path.strip_prefix(first).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        match path {
            _ if is_grpc(headers) => Self::V3,
            "/livez" | "/readyz" | "/health" | "/robots.txt" => Self::Probe,
            "/" | "/metrics" | "/openapi.yaml" => Self::Page,
            "/new" => Self::New,
            _ if is_below("/v1") => Self::Api,
            _ if is_below("/docs") => Self::Page,
            _ if ["/v3", "/v3alpha", "/v3beta"].into_iter().any(is_below) => Self::V3,
            _ => Self::V2,
        }
    }
}

impl Refused {
    fn kind(&self) -> Kind {
        match self {
            Self::TwoHosts | Self::NoHost => Kind::InvalidRequest,
            Self::OtherHost(_) => Kind::Misdirected,
            Self::OtherOrigin(_) | Self::OtherSite | Self::UnknownSite => Kind::OtherSite,
        }
    }

    fn into_response_for(self, is_grpc: bool) -> Response {
        match (is_grpc, self.kind()) {
            (true, Kind::InvalidRequest) => {
                Status::invalid_argument(self.to_string()).into_http::<axum::body::Body>().into_response()
            }
            (true, _) => Status::permission_denied(self.to_string()).into_http::<axum::body::Body>().into_response(),
            (false, kind) => {
                let mut response = Problem::new(kind, self).into_response();
                protect(response.headers_mut());
                response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                response
            }
        }
    }
}

/// The one host that a request names; HTTP/1.0 needs none.
fn host(uri: &Uri, headers: &HeaderMap) -> Result<Option<Authority>, Refused> {
    let mut named = headers.get_all(header::HOST).iter();
    let first = named.next();
    if named.next().is_some() {
        return Err(Refused::TwoHosts);
    }
    let Some(first) = first else { return Ok(uri.authority().cloned()) };
    let host = Authority::try_from(first.as_bytes()).ok().filter(|host| !host.as_str().contains('@'));
    let host = host.ok_or(Refused::NoHost)?;
    match uri.authority() {
        Some(other) if !other.as_str().eq_ignore_ascii_case(host.as_str()) => Err(Refused::TwoHosts),
        _ => Ok(Some(host)),
    }
}

/// Whether a browser sent the request, by what a page can't keep it from sending. etcd, etcdctl, curl and `convene` send none of
/// these headers.
fn is_browser(headers: &HeaderMap) -> bool {
    let named = |name: &HeaderName| {
        *name == header::ORIGIN
            || *name == header::REFERER
            || *name == header::ACCEPT_LANGUAGE
            || name.as_str().starts_with("sec-fetch-")
    };
    let agent = headers.get(header::USER_AGENT).map_or(&b""[..], HeaderValue::as_bytes);
    headers.keys().any(named) || agent.starts_with(b"Mozilla/")
}

/// Keeps browsers from showing an answer in a frame, from guessing its type, and from passing on the URL, which may have a token
/// in it.
fn protect(headers: &mut HeaderMap) {
    const POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (RESOURCE_POLICY, "same-origin"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// Lets pages of an origin read the answer (`embed/serve.go:corsHandler`).
fn allow(origin: &Origin, headers: &mut HeaderMap) {
    headers.remove(RESOURCE_POLICY);
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.to_header()),
        (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET, OPTIONS, PUT, DELETE")),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("accept, content-type, authorization")),
        (header::VARY, HeaderValue::from_static("origin")),
    ] {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests;
