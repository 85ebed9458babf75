use convene_etcd::wire::{self, Member, MemberListRequest, MemberListResponse, cluster_server};
use tonic::{Request, Response, Status};

use super::{error::V3Error, headers::Headers};
use crate::app::App;

/// Tells clients where they reach the registry. It shows one member, whose client URL is `--public-url`.
pub struct Cluster {
    headers: Headers,
    client_url: String,
}

impl Cluster {
    /// The cluster that clients see in this server.
    pub fn new(app: &App, headers: Headers) -> Self {
        Self { headers, client_url: app.endpoint.clone() }
    }
}

#[tonic::async_trait]
impl cluster_server::Cluster for Cluster {
    async fn member_list(&self, _: Request<MemberListRequest>) -> Result<Response<MemberListResponse>, Status> {
        let member = Member {
            id: self.headers.id(),
            name: "convene".to_owned(),
            peer_urls: Vec::new(),
            client_urls: vec![self.client_url.clone()],
            is_learner: false,
        };
        Ok(Response::new(MemberListResponse { header: self.headers.of_none(), members: vec![member] }))
    }

    async fn member_add(
        &self,
        _: Request<wire::MemberAddRequest>,
    ) -> Result<Response<wire::MemberAddResponse>, Status> {
        Err(unsupported())
    }

    async fn member_remove(
        &self,
        _: Request<wire::MemberRemoveRequest>,
    ) -> Result<Response<wire::MemberRemoveResponse>, Status> {
        Err(unsupported())
    }

    async fn member_update(
        &self,
        _: Request<wire::MemberUpdateRequest>,
    ) -> Result<Response<wire::MemberUpdateResponse>, Status> {
        Err(unsupported())
    }

    async fn member_promote(
        &self,
        _: Request<wire::MemberPromoteRequest>,
    ) -> Result<Response<wire::MemberPromoteResponse>, Status> {
        Err(unsupported())
    }
}

fn unsupported() -> Status {
    V3Error::Unsupported("changes of its own member list; to change an etcd cluster, connect to one of its members")
        .into()
}
