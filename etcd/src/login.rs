use std::sync::{Arc, Mutex, PoisonError};

use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use crate::{EtcdError, User, classify::PREFIX, wire};

/// A user's session with a cluster of etcds whose authentication is on: every member knows the tokens that any of
/// them gives.
///
/// Nobody logs in before etcd asks for it: logging in takes a quorum, and nothing else says whether it is
/// needed.
pub(crate) struct Session {
    user: User,
    token: Mutex<Option<Token>>,
}

/// The part that one member has in a session.
pub(crate) struct Login {
    session: Arc<Session>,
    /// Held while this member is asked for a token, so that it is asked once. The others don't wait for it: it may
    /// be one that never answers.
    asking: tokio::sync::Mutex<()>,
}

/// What etcd knows a session by. It ends five minutes after its last use, when the member restarts, and when
/// users or roles change.
#[derive(Clone, PartialEq, Eq)]
struct Token(MetadataValue<Ascii>);

impl Session {
    pub fn new(user: User) -> Self {
        Self { user, token: Mutex::new(None) }
    }

    fn token(&self) -> Option<Token> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Token>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Login {
    pub fn new(session: Arc<Session>) -> Self {
        Self { session, asking: tokio::sync::Mutex::default() }
    }

    /// Asks as far as somebody has logged in, and again if etcd wants another login, which it says before it does
    /// anything.
    pub async fn ask<M: Clone, T, F>(
        &self,
        channel: Channel,
        message: M,
        send: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let send = |token: Option<&Token>| {
            let mut request = Request::new(message.clone());
            token.inspect(|token| token.show(&mut request));
            send(channel.clone(), request)
        };
        let mut token = self.session.token();
        // The first time to hear of another's login, the second time to log in if that is not known here either.
        for _ in 0..2 {
            match send(token.as_ref()).await {
                Err(refusal) if login_helps(&refusal, token.as_ref()) => {
                    token = self.renew(channel.clone(), token).await?;
                }
                answer => return answer,
            }
        }
        send(token.as_ref()).await
    }

    /// Another token than the one that was refused, or none if authentication is off.
    async fn renew(&self, channel: Channel, refused: Option<Token>) -> Result<Option<Token>, Status> {
        let _asking = self.asking.lock().await;
        let token = self.session.token();
        if token != refused {
            return Ok(token);
        }
        let renewed = self.authenticate(channel).await;
        match &renewed {
            Ok(renewed) => self.session.lock().clone_from(renewed),
            // Learners let nobody log in. Whoever asks a voter next does it there, and with that token this
            // learner can be asked again.
            Err(failure) if is_learners(failure) => {
                self.session.lock().take_if(|token| Some(&*token) == refused.as_ref());
            }
            Err(_) => {}
        }
        renewed
    }

    async fn authenticate(&self, channel: Channel) -> Result<Option<Token>, Status> {
        let User { name, password } = self.session.user.clone();
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
    fn show<M>(&self, request: &mut Request<M>) {
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

fn is_learners(refusal: &Status) -> bool {
    matches!(EtcdError::from_status("", refusal), EtcdError::LearnerCannotServe { .. })
}
