use tokio::sync::Mutex;
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use crate::{EtcdError, User, classify::PREFIX, wire};

/// A user's session with an etcd whose authentication is on.
///
/// Nobody logs in before etcd asks for it: logging in takes a quorum, and nothing else says whether it is
/// needed.
pub(crate) struct Login {
    user: User,
    token: Mutex<Option<Token>>,
}

/// What etcd knows a session by. It ends five minutes after its last use, when the member restarts, and when
/// users or roles change.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(MetadataValue<Ascii>);

impl Login {
    pub fn new(user: User) -> Self {
        Self { user, token: Mutex::new(None) }
    }

    /// Asks as far as it has logged in, and once more if etcd wants it to log in, which it says before it does
    /// anything.
    pub async fn ask<T, F>(&self, channel: Channel, send: impl Fn(Option<&Token>) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let token = self.token.lock().await.clone();
        match send(token.as_ref()).await {
            Err(refusal) if login_helps(&refusal, token.as_ref()) => {
                let token = self.renew(channel, token).await?;
                send(token.as_ref()).await
            }
            answer => answer,
        }
    }

    /// Another token than the one that was refused, or none if authentication is off.
    async fn renew(&self, channel: Channel, refused: Option<Token>) -> Result<Option<Token>, Status> {
        let mut token = self.token.lock().await;
        // Else somebody else has renewed it meanwhile.
        if *token == refused {
            *token = self.authenticate(channel).await?;
        }
        Ok(token.clone())
    }

    async fn authenticate(&self, channel: Channel) -> Result<Option<Token>, Status> {
        let User { name, password } = self.user.clone();
        let request = wire::AuthenticateRequest { name, password };
        let answer = match wire::auth_client::AuthClient::new(channel).authenticate(request).await {
            Ok(answer) => answer.into_inner(),
            // Somebody has switched it off just now.
            Err(status) if status.message().strip_prefix(PREFIX) == Some("authentication is not enabled") => {
                return Ok(None);
            }
            Err(status) => return Err(status),
        };
        let mut token = MetadataValue::try_from(answer.token)
            .map_err(|_| Status::new(Code::Internal, "the token that it gave is not printable"))?;
        token.set_sensitive(true);
        Ok(Some(Token(token)))
    }
}

impl Token {
    pub fn show<M>(&self, request: &mut Request<M>) {
        request.metadata_mut().insert("token", self.0.clone());
    }
}

/// Whether what etcd refuses may be granted after logging in. Nothing was done then.
fn login_helps(refusal: &Status, shown: Option<&Token>) -> bool {
    match (EtcdError::from_status("", refusal), shown) {
        (EtcdError::NotAllowed { .. }, None) => true,
        // The user's rights don't change by logging in again, but what etcd knows of the session does.
        (EtcdError::NotAllowed { .. }, Some(_)) => refusal.code() != Code::PermissionDenied,
        _ => false,
    }
}
