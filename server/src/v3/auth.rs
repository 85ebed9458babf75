use convene_etcd::wire::{AuthenticateRequest, AuthenticateResponse, auth_server};
use tonic::{Request, Response, Status};

use super::error::V3Error;

/// Refuses all logins: the cluster's token is the only credential.
///
/// An etcd without authentication answers with the same error, and clients with a user name and a password, as with
/// `--discovery-user`, then go on without (`client/v3/client.go:getToken`).
#[derive(Clone, Copy, Debug)]
pub struct Auth;

#[tonic::async_trait]
impl auth_server::Auth for Auth {
    async fn authenticate(&self, _: Request<AuthenticateRequest>) -> Result<Response<AuthenticateResponse>, Status> {
        Err(V3Error::AuthenticationNotEnabled.into())
    }
}
