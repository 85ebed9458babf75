use convene_etcd::wire::{AuthenticateRequest, AuthenticateResponse, auth_server};
use tonic::{Request, Response, Status};

use super::error::V3Error;

/// Logs nobody in: the token that names a cluster is what lets a client in.
///
/// An etcd without authentication says so in these words, and clients that were given a name and a password, as with
/// `--discovery-user`, then go on without (`client/v3/client.go:getToken`).
#[derive(Clone, Copy, Debug)]
pub struct Auth;

#[tonic::async_trait]
impl auth_server::Auth for Auth {
    async fn authenticate(&self, _: Request<AuthenticateRequest>) -> Result<Response<AuthenticateResponse>, Status> {
        Err(V3Error::AuthenticationNotEnabled.into())
    }
}
