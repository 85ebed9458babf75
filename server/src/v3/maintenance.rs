use std::sync::Arc;

use convene_etcd::wire::{
    self, AlarmRequest, AlarmResponse, DowngradeInfo, StatusRequest, StatusResponse, alarm_request::AlarmAction,
    maintenance_server,
};
use tonic::{Request, Response, Status};

use super::{error::V3Error, headers::Headers};
use crate::app::App;

/// Answers what `etcdctl endpoint status` and `endpoint health` ask.
pub struct Maintenance {
    app: Arc<App>,
    headers: Headers,
}

impl Maintenance {
    /// The state of this server.
    pub fn new(app: Arc<App>, headers: Headers) -> Self {
        Self { app, headers }
    }
}

#[tonic::async_trait]
impl maintenance_server::Maintenance for Maintenance {
    /// A cluster of one, which is its own leader. Its version is Convene's. etcdctl divides by the size and dereferences
    /// the downgrade information, so both must be set.
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let size = self.app.registry.database_size().await.map_err(V3Error::from)?;
        Ok(Response::new(StatusResponse {
            header: self.headers.of_none(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            db_size: size.bytes,
            db_size_in_use: size.bytes_in_use,
            downgrade_info: Some(DowngradeInfo {}),
            leader: self.headers.id(),
            raft_term: 1,
            ..StatusResponse::default()
        }))
    }

    /// There are no alarms: a request that the database fails returns the error itself.
    async fn alarm(&self, request: Request<AlarmRequest>) -> Result<Response<AlarmResponse>, Status> {
        match request.into_inner().action() {
            AlarmAction::Get => Ok(Response::new(AlarmResponse { header: self.headers.of_none() })),
            AlarmAction::Activate | AlarmAction::Deactivate => Err(V3Error::Unsupported("setting alarms").into()),
        }
    }

    async fn move_leader(
        &self,
        _: Request<wire::MoveLeaderRequest>,
    ) -> Result<Response<wire::MoveLeaderResponse>, Status> {
        Err(V3Error::Unsupported("moving the leader").into())
    }
}
