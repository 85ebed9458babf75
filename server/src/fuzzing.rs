//! What the fuzz targets in fuzz/ call: each takes any bytes, and must neither panic nor hang.
//!
//! The requests go through the whole router to a registry on a file in memory, so a defect behind the parser shows as well.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header, request::Builder},
};
use http_body_util::BodyExt;
use tempfile::TempDir;
use tokio::{
    runtime::Runtime,
    time::{error::Elapsed, timeout},
};
use tower::ServiceExt;

use crate::{
    app::{App, testing},
    connection::{
        ClientAddress, forwarded,
        proxy_protocol::{self, Beginning},
    },
    router::router,
};

/// How long a request may take. Long polls end after a second.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// How long a watch is read. It has no end, like etcd's.
const WATCHED: Duration = Duration::from_millis(20);

const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// The gRPC methods that a client may call, and that answer once.
const GRPC_METHODS: [&str; 6] = [
    "/etcdserverpb.KV/Range",
    "/etcdserverpb.KV/Put",
    "/etcdserverpb.KV/DeleteRange",
    "/etcdserverpb.KV/Txn",
    "/etcdserverpb.Auth/Authenticate",
    "/etcdserverpb.Maintenance/Alarm",
];

/// A server without sockets that serves one cluster, with the token `one`.
pub struct Target {
    router: Router,
    _app: Arc<App>,
    // Dropped after the app: the runtime waits for the committer, which ends with the app.
    runtime: Runtime,
    _folder: TempDir,
}

impl Default for Target {
    fn default() -> Self {
        let runtime = Runtime::new().expect("the system has threads");
        let (folder, app, _) = runtime.block_on(testing::app());
        Self { router: router(app.clone()), _app: app, runtime, _folder: folder }
    }
}

impl Target {
    /// Sends a request that is written as in HTTP/1: a method and a path, lines of headers, an empty line, the body. Returns the
    /// status of the answer; `None` if it is no request.
    pub fn http(&self, bytes: &[u8]) -> Option<StatusCode> {
        let (head, body) = split_once(bytes, b"\n\n");
        let head = std::str::from_utf8(head).ok()?;
        let mut lines = head.lines();
        let (method, path) = lines.next()?.split_once(' ')?;
        let (method, uri) = (method.parse::<Method>().ok()?, path.parse::<Uri>().ok()?);
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .filter_map(|(name, value)| Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?)));
        let request = headers
            .fold(Request::builder().method(method).uri(uri), |request, (name, value)| request.header(name, value));
        self.send(request, body)
    }

    /// Checks a node in with this body.
    pub fn check_in(&self, body: &[u8]) -> Option<StatusCode> {
        let request = Request::post("/v1/clusters/one/check-in").header(header::CONTENT_TYPE, "application/json");
        self.send(request, body)
    }

    /// Calls the gRPC method that the first byte selects. The rest is what the client sends, the frames' heads included.
    pub fn grpc(&self, bytes: &[u8]) -> Option<StatusCode> {
        let (method, frames) = bytes.split_first()?;
        let call =
            |path: &str| Request::post(path).version(Version::HTTP_2).header(header::CONTENT_TYPE, "application/grpc");
        match GRPC_METHODS.get(usize::from(*method) % (GRPC_METHODS.len() + 1)) {
            Some(path) => self.send(call(path), frames),
            None => self.answer(call(WATCH), frames, WATCHED).ok()?,
        }
    }

    fn send(&self, request: Builder, body: &[u8]) -> Option<StatusCode> {
        let ended = self.answer(request, body, TIME_LIMIT);
        ended.unwrap_or_else(|_| panic!("the request took longer than {TIME_LIMIT:?}"))
    }

    /// Reads the whole answer to a request, but not for longer than the limit.
    fn answer(&self, request: Builder, body: &[u8], limit: Duration) -> Result<Option<StatusCode>, Elapsed> {
        let Ok(mut request) = request.body(Body::from(body.to_vec())) else { return Ok(None) };
        // Without it, and with a foreign one, nothing behind the check for web pages is reached.
        let host = HeaderValue::from_static(testing::ADDRESS);
        request.headers_mut().entry(header::HOST).or_insert(host);
        request.extensions_mut().insert(ClientAddress::of_peer(SocketAddr::from(([127, 0, 0, 1], 1))));
        let answer = async {
            let response = self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
            let status = response.status();
            let _ = response.into_body().collect().await;
            Some(status)
        };
        self.runtime.block_on(async { timeout(limit, answer).await })
    }
}

/// Reads what a proxy sends: the header of the PROXY protocol, and lines of the headers that name clients.
pub fn proxies(bytes: &[u8]) {
    if let Ok(Beginning::Header { length, .. }) = proxy_protocol::parse(bytes) {
        assert!(length <= bytes.len(), "a header is not longer than what was sent");
    }
    let lines = || bytes.split(|byte| *byte == b'\n');
    let hops = [forwarded::x_forwarded_for(lines()), forwarded::forwarded(lines())];
    assert!(hops.iter().all(|hops| hops.len() <= forwarded::MOST_HOPS), "a client can't make the list long");
}

fn split_once<'a>(bytes: &'a [u8], separator: &[u8]) -> (&'a [u8], &'a [u8]) {
    match bytes.windows(separator.len()).position(|window| window == separator) {
        Some(at) => (&bytes[..at], &bytes[at + separator.len()..]),
        None => (bytes, &[]),
    }
}

#[cfg(test)]
mod tests {
    use convene_harness::fuzz_seeds;

    use super::*;

    /// The statuses of the answers to the seeds of a target.
    fn statuses(name: &str, run: fn(&Target, &[u8]) -> Option<StatusCode>) -> Vec<u16> {
        let target = Target::default();
        let statuses: Option<Vec<u16>> =
            fuzz_seeds(name).iter().map(|seed| run(&target, seed).map(|status| status.as_u16())).collect();
        statuses.expect("each seed is a request")
    }

    /// An input that is refused on the way to its parser tests nothing.
    #[test]
    fn the_seeds_of_the_fuzz_targets_reach_their_handlers() {
        let http = statuses("http", Target::http);
        assert!(http.iter().all(|status| ![401, 405, 415, 421].contains(status)), "{http:?}");
        assert!(http.iter().filter(|status| (200..300).contains(*status)).count() > http.len() / 3, "{http:?}");
        let check_in = statuses("check_in", Target::check_in);
        let valid = check_in.iter().filter(|status| **status == 200).count();
        assert_eq!(valid, check_in.len() - 1, "all but one are valid: {check_in:?}");
        assert!(check_in.contains(&400), "{check_in:?}");
    }

    #[test]
    fn every_seed_of_grpc_and_of_the_proxies_is_answered() {
        let target = Target::default();
        for seed in fuzz_seeds("grpc") {
            target.grpc(&seed);
        }
        fuzz_seeds("proxies").iter().for_each(|seed| proxies(seed));
    }
}
