use std::sync::Arc;

use convene_etcd::wire::{AuthenticateRequest, AuthenticateResponse, auth_server};
use tonic::{Request, Response, Status};

use super::error::V3Error;
use crate::{
    access::{AuthMode, Denial},
    app::App,
};

/// Logs in clients that have a user name and a password, as with etcd's `--discovery-user` and `--discovery-password`. The
/// password is an API token, whatever the user name is.
///
/// The token that the client then sends with each request is the API token itself. So there is no session to keep, and
/// a revoked API token ends it on every server.
pub struct Auth {
    app: Arc<App>,
}

impl Auth {
    /// Logs in with the app's API tokens.
    pub fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl auth_server::Auth for Auth {
    async fn authenticate(
        &self,
        request: Request<AuthenticateRequest>,
    ) -> Result<Response<AuthenticateResponse>, Status> {
        let token = log_in(&self.app, request.into_inner().password).await?;
        Ok(Response::new(AuthenticateResponse { header: None, token }))
    }
}

/// The token for further requests of who has this password.
///
/// With `--auth off` the answer is that of an etcd without authentication, and clients with a user name and a password then go on
/// without (etcd, `client/v3/client.go:getToken`).
pub async fn log_in(app: &App, password: String) -> Result<String, V3Error> {
    if app.access.mode == AuthMode::Off {
        return Err(V3Error::AuthenticationNotEnabled);
    }
    match app.access.tokens.find(&password, app.registry.now()).await {
        Ok(_) => Ok(password),
        Err(Denial::Unavailable(unavailable)) => Err(unavailable.into()),
        Err(denial) => Err(V3Error::AuthenticationFailed(denial)),
    }
}
