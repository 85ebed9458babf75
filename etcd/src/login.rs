use std::sync::{Arc, Mutex, PoisonError};

use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use crate::{EtcdError, User, access::MaySendSecrets, classify::PREFIX, wire};

/// A user's session with a cluster whose auth is on. A token of one member is valid for all members.
///
/// The login is deferred until etcd requires it: it takes a quorum, and only a denied request shows that auth is on.
pub(crate) struct Session {
    user: User,
    token: Mutex<Option<Token>>,
}

/// The session of a client for one member.
pub(crate) struct Login {
    session: Arc<Session>,
    /// Held during a login at this member, so that concurrent calls log in once. The clients of other members don't wait for
    /// it, because this member may never answer.
    logging_in: tokio::sync::Mutex<()>,
    _permission: MaySendSecrets,
}

/// etcd's token of a session. It expires five minutes after its last use, when the member restarts, and when users or
/// roles change.
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
    /// Only an etcd that may be sent the password gets it, or the token of a session.
    pub fn new(session: Arc<Session>, permission: MaySendSecrets) -> Self {
        Self { session, logging_in: tokio::sync::Mutex::default(), _permission: permission }
    }

    /// Sends a request with the present token. If etcd requires another login, logs in and sends the request again: etcd has
    /// not executed it then.
    pub async fn send<M: Clone, T, F>(
        &self,
        channel: Channel,
        message: M,
        call: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let send = |token: Option<&Token>| {
            let mut request = Request::new(message.clone());
            token.inspect(|token| token.attach(&mut request));
            call(channel.clone(), request)
        };
        let mut token = self.session.token();
        // The first attempt may pick up the token of another client. The second one logs in, if this member rejects that too.
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

    /// Another token than the refused one; `None` if auth is off.
    async fn renew(&self, channel: Channel, refused: Option<Token>) -> Result<Option<Token>, Status> {
        let _logging_in = self.logging_in.lock().await;
        let token = self.session.token();
        if token != refused {
            return Ok(token);
        }
        let renewed = self.authenticate(channel).await;
        match &renewed {
            Ok(renewed) => self.session.lock().clone_from(renewed),
            // Learners accept no logins. The next call to a voter logs in there, and its token is valid for this learner.
            Err(failure) if is_of_learner(failure) => {
                self.session.lock().take_if(|token| Some(&*token) == refused.as_ref());
            }
            Err(_) => {}
        }
        renewed
    }

    async fn authenticate(&self, channel: Channel) -> Result<Option<Token>, Status> {
        let User { name, password } = self.session.user.clone();
        let request = wire::AuthenticateRequest { name, password };
        let response = match wire::auth_client::AuthClient::new(channel).authenticate(request).await {
            Ok(response) => response.into_inner(),
            // Auth was turned off in the meantime.
            Err(status) if status.message().strip_prefix(PREFIX) == Some("authentication is not enabled") => {
                return Ok(None);
            }
            Err(status) => return Err(status),
        };
        let mut token = MetadataValue::try_from(response.token)
            .map_err(|_| Status::new(Code::Internal, "the token of the login is not printable"))?;
        token.set_sensitive(true);
        Ok(Some(Token(token)))
    }
}

impl Token {
    fn attach<M>(&self, request: &mut Request<M>) {
        request.metadata_mut().insert("token", self.0.clone());
    }
}

/// Whether a login would help that was not made.
pub(crate) fn requires_login(refusal: &Status) -> bool {
    login_helps(refusal, None)
}

/// Whether a login may help after this refusal. etcd has not executed the request then.
fn login_helps(refusal: &Status, sent: Option<&Token>) -> bool {
    match (EtcdError::from_status("", refusal), sent) {
        (EtcdError::NotAllowed { .. }, None) => true,
        // A new login does not change the permissions of the user, but replaces an expired token.
        (EtcdError::NotAllowed { .. }, Some(_)) => refusal.code() != Code::PermissionDenied,
        _ => false,
    }
}

fn is_of_learner(refusal: &Status) -> bool {
    matches!(EtcdError::from_status("", refusal), EtcdError::LearnerCannotServe { .. })
}
