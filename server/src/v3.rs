//! The v3 discovery protocol: the part of etcd's gRPC API that etcd 3.6 and later speak to discover each other, and
//! etcdctl to prepare it. The keys are a view of the registry:
//!
//! - `/_etcd/registry/TOKEN/_config/size`: the cluster's size;
//! - `/_etcd/registry/TOKEN/members/ID`: a member's name and peer URLs.
//!
//! Nothing else can be written or read, and no request sees more than one cluster, because a token is a secret. Each
//! cluster counts its own revisions. [`KeyRange`](key::KeyRange) is the target of a request, [`view`] renders the keys,
//! [`range`] reads them, [`change`] and [`txn`] write them, and [`watch`] streams their changes.

mod auth;
mod change;
mod cluster;
mod error;
mod gateway;
mod headers;
mod key;
mod kv;
mod maintenance;
mod range;
mod txn;
mod view;
mod watch;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Version, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use convene_etcd::wire::{
    auth_server::AuthServer, cluster_server::ClusterServer, kv_server::KvServer, maintenance_server::MaintenanceServer,
    watch_server::WatchServer,
};
use tonic::Status;
use tower::ServiceExt;

use crate::{app::App, operation::plain_error};
use headers::Headers;

pub use error::V3Error;
pub use gateway::{denied, router as gateway};

/// The largest message that is read: a transaction of a few keys. etcd takes twelve times as much.
const MAX_MESSAGE: usize = 128 << 10;

/// The largest message of a watch: a key and the end of a range. While a message arrives, it takes this much, for each stream.
const MAX_WATCH_MESSAGE: usize = 8 << 10;

/// How long a request that is no watch may take, its arrival included.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// The gRPC methods.
pub fn router(app: &Arc<App>) -> Router {
    let headers = Headers::new(app.registry.id());
    let kv = KvServer::new(kv::Kv::new(app.clone(), headers)).max_decoding_message_size(MAX_MESSAGE);
    let auth = AuthServer::new(auth::Auth::new(app.clone())).max_decoding_message_size(MAX_MESSAGE);
    let maintenance = MaintenanceServer::new(maintenance::Maintenance::new(app.clone(), headers))
        .max_decoding_message_size(MAX_MESSAGE);
    let cluster = ClusterServer::new(cluster::Cluster::new(app, headers)).max_decoding_message_size(MAX_MESSAGE);
    let watch = WatchServer::new(watch::Watch::new(app.clone(), headers)).max_decoding_message_size(MAX_WATCH_MESSAGE);
    Router::new()
        .route_service("/etcdserverpb.KV/Range", kv.clone())
        .route_service("/etcdserverpb.KV/Put", kv.clone())
        .route_service("/etcdserverpb.KV/DeleteRange", kv.clone())
        .route_service("/etcdserverpb.KV/Txn", kv)
        .route_service("/etcdserverpb.Auth/Authenticate", auth)
        .route_service("/etcdserverpb.Maintenance/Status", maintenance.clone())
        .route_service("/etcdserverpb.Maintenance/Alarm", maintenance.clone())
        .route_service("/etcdserverpb.Maintenance/MoveLeader", maintenance)
        .route_service("/etcdserverpb.Cluster/MemberList", cluster.clone())
        .route_service("/etcdserverpb.Cluster/MemberAdd", cluster.clone())
        .route_service("/etcdserverpb.Cluster/MemberRemove", cluster.clone())
        .route_service("/etcdserverpb.Cluster/MemberUpdate", cluster.clone())
        .route_service("/etcdserverpb.Cluster/MemberPromote", cluster)
        .layer(middleware::from_fn(limit_time))
        .route_service("/etcdserverpb.Watch/Watch", watch)
        .fallback(unimplemented)
        .layer(middleware::from_fn(require_http2))
}

/// Passes gRPC requests to the gRPC router and all others on. Looks at the content type, as etcd does
/// (`server/embed/serve.go:grpcHandlerFunc`), so that a method is never taken for a token.
pub async fn answer_grpc(State(grpc): State<Router>, request: Request, next: Next) -> Response {
    if is_grpc(request.headers()) {
        return grpc.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {});
    }
    next.run(request).await
}

/// Whether the headers are those of a gRPC request or response.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = content_type.and_then(|content_type| content_type.strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Refuses gRPC over HTTP/1, which no client sends: a proxy has translated the request.
async fn require_http2(request: Request, next: Next) -> Response {
    if request.version() == Version::HTTP_2 {
        return next.run(request).await;
    }
    let sentence = "gRPC needs HTTP/2 from end to end, but this request arrived over HTTP/1; configure the proxy in front of \
                    this server, for example with grpc_pass in nginx or proto h2 in HAProxy\n";
    plain_error(StatusCode::HTTP_VERSION_NOT_SUPPORTED, sentence).into_response()
}

async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(TIME_LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Status::unavailable("etcdserver: request timed out").into_http::<axum::body::Body>().into_response(),
    }
}

/// Answers for the methods of etcd's API that Convene does not support.
async fn unimplemented(request: Request) -> Response {
    let method = request.uri().path().trim_start_matches('/');
    let message = format!("Convene does not support {method}; {}", error::SUPPORTED_KEYS);
    Status::unimplemented(message).into_http::<axum::body::Body>().into_response()
}
