//! What axum alone can do: each `GET` of one segment gets the same bytes, with the headers of a read of a cluster, and no log.
//! `bench/run` measures the server's reads beside it.
//!
//! usage: bare IP:PORT FILE-WITH-THE-BODY

use std::{env, error::Error, fs};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderName, header},
    routing::get,
};

// The server's own allocator, or a difference would show that and not axum.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, file] = arguments.as_slice() else { return Err("usage: bare IP:PORT FILE-WITH-THE-BODY".into()) };
    let body = Bytes::from(fs::read(file)?);
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (HeaderName::from_static("x-etcd-index"), "4"),
        (HeaderName::from_static("x-raft-index"), "4"),
        (HeaderName::from_static("x-raft-term"), "1"),
        (HeaderName::from_static("x-etcd-cluster-id"), "7e27652122e8b2ae"),
        (HeaderName::from_static("x-request-id"), "019ac2f34cd97a11a1f6e4b7b11ae3d0"),
    ];
    let answer = async move |body: Bytes| (headers, body);
    let router = Router::new().route("/{token}", get(move || answer.clone()(body.clone())));
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        axum::serve(listener, router).await.map_err(Into::into)
    })
}
