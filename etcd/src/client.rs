use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use convene_lifecycle::{ClientUrl, ClusterId, MemberId, PeerUrl};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::time::timeout;
use tonic::{
    Request, Response,
    transport::{Channel, Endpoint},
};

use crate::{
    Access, EtcdError, MemberList, Status,
    login::{Login, Session, requires_login},
    loopback::LoopbackResolver,
    wire::{self, cluster_client::ClusterClient, kv_client::KvClient, maintenance_client::MaintenanceClient},
};

/// How long connecting may take. This is shorter than most calls, so that they fail with "cannot connect" and not with a
/// timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long the kernel tries to deliver what was sent. Without a limit, it delivers a membership change up to a quarter of
/// an hour after the call has timed out, for example when a firewall lets packets through again.
pub(crate) const TCP_USER_TIMEOUT: Duration = Duration::from_secs(5);

/// How much later than the caller etcd gives up. With the same deadline, the caller's timeout might be mistaken for an error
/// of the connection.
const SERVER_GRACE: Duration = Duration::from_millis(200);

/// The largest response. tonic's default of 4 MiB is less than etcd allows.
const MAX_RESPONSE_BYTES: usize = 16 << 20;

/// Creates clients for the members of one cluster. The clients share a login.
///
/// A token of one member is valid for all members. So a learner, which accepts no logins, can be called once a voter has
/// been called.
#[derive(Clone)]
pub struct Connector {
    access: Access,
    session: Option<Arc<Session>>,
}

impl Connector {
    /// A connector without connections and without a login.
    pub fn new(access: Access) -> Self {
        let session = access.user.clone().map(|user| Arc::new(Session::new(user)));
        Self { access, session }
    }

    /// Creates a client, which connects with the first call. Must be called within a Tokio runtime.
    ///
    /// A URL with `http://` is called in clear text, unless [`Tls::clear_text`](crate::Tls) refuses that. The password is sent only to
    /// etcds that [`Access::send_password`] allows.
    pub fn client(&self, url: &ClientUrl) -> Result<Client, EtcdError> {
        let bad_url = |error: tonic::transport::Error| EtcdError::Unreachable {
            endpoint: url.to_string(),
            reason: crate::classify::describe(&error),
        };
        self.access.tls.check_scheme(url.as_str())?;
        let mut endpoint = Endpoint::from_shared(url.to_string()).map_err(bad_url)?;
        if endpoint.uri().scheme_str() == Some("https") {
            endpoint = self.access.tls.secure(endpoint)?;
        }
        let permission = self.access.may_send_secrets(url);
        let login = match (self.session.clone(), permission) {
            (None, _) => LoginAt::None,
            (Some(_), None) => LoginAt::Withheld,
            (Some(session), Some(permission)) => LoginAt::Allowed(Arc::new(Login::new(session, permission))),
        };
        let loopback_only = permission.is_some_and(|permission| permission.loopback_only);
        let channel = Arc::new(Mutex::new(connect_lazily(&endpoint, loopback_only)));
        Ok(Client { url: url.clone(), endpoint, loopback_only, channel, login })
    }
}

/// Calls one etcd at its client URL. Clones share the connection and the login.
#[derive(Clone)]
pub struct Client {
    url: ClientUrl,
    endpoint: Endpoint,
    /// Whether the host must be this machine, because it is sent secrets in clear text.
    loopback_only: bool,
    channel: Arc<Mutex<Channel>>,
    login: LoginAt,
}

/// A size on the wire, which is never negative.
fn bytes(size: i64) -> u64 {
    size.try_into().unwrap_or(0)
}

/// How a client logs in if etcd requires that.
#[derive(Clone)]
enum LoginAt {
    /// There is no user.
    None,
    /// There is a user, whose password this etcd must not be sent.
    Withheld,
    /// As the user.
    Allowed(Arc<Login>),
}

impl Client {
    /// Creates a client with a login of its own. [`Connector::client`] creates clients that share one.
    pub fn new(url: &ClientUrl, access: &Access) -> Result<Self, EtcdError> {
        Connector::new(access.clone()).client(url)
    }

    /// The member list, read through the quorum (linearizable).
    pub async fn members(&self, within: Duration) -> Result<MemberList, EtcdError> {
        self.with_timeout(within, async {
            self.catch_up(within).await?;
            let request = wire::MemberListRequest { linearizable: true };
            let list = self.send(within, request, |c, r| async move { cluster(c).member_list(r).await }).await?;
            let cluster = ClusterId(self.header(list.header)?.cluster_id);
            MemberList::read(self.url.as_str(), cluster, list.members)
        })
        .await
    }

    /// Waits until the member has applied all entries that the quorum has committed now.
    ///
    /// etcd 3.4 ignores `linearizable` and lists the members of its applied state; after this call that is recent enough.
    /// etcd confirms the read with the quorum before it checks permissions (`v3_server.go:Range`), so a denied read
    /// serves as well.
    async fn catch_up(&self, within: Duration) -> Result<(), EtcdError> {
        let request = wire::RangeRequest { key: b"convene".to_vec(), count_only: true, ..Default::default() };
        match self.send(within, request, |c, r| async move { kv(c).range(r).await }).await {
            Ok(wire::RangeResponse { .. }) | Err(EtcdError::NotAllowed { .. } | EtcdError::PasswordWithheld { .. }) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The status of this etcd.
    ///
    /// The call needs no quorum, and learners answer it. If etcd's auth is on, it needs a login, which takes a quorum and a
    /// voter.
    pub async fn status(&self, within: Duration) -> Result<Status, EtcdError> {
        self.with_timeout(within, async {
            let status =
                self.send(within, wire::StatusRequest {}, |c, r| async move { maintenance(c).status(r).await }).await?;
            let header = self.header(status.header)?;
            Ok(Status {
                member: MemberId(header.member_id),
                cluster: ClusterId(header.cluster_id),
                leader: (status.leader != 0).then_some(MemberId(status.leader)),
                raft_term: status.raft_term,
                applied_index: status.raft_applied_index,
                learner: status.is_learner,
                version: status.version,
                database_bytes: bytes(status.db_size),
                database_bytes_in_use: bytes(status.db_size_in_use),
                quota_bytes: (status.db_size_quota > 0).then(|| bytes(status.db_size_quota)),
                errors: status.errors,
            })
        })
        .await
    }

    /// Adds a member, and returns the ID that etcd assigned.
    pub async fn add_member(
        &self,
        peer_urls: &[PeerUrl],
        learner: bool,
        within: Duration,
    ) -> Result<MemberId, EtcdError> {
        let request = wire::MemberAddRequest { peer_urls: texts(peer_urls), is_learner: learner };
        self.with_timeout(within, async {
            let added = self.send(within, request, |c, r| async move { cluster(c).member_add(r).await }).await?;
            added.member.map(|member| MemberId(member.id)).ok_or_else(|| self.bad_answer("no member"))
        })
        .await
    }

    /// Removes a member.
    pub async fn remove_member(&self, member: MemberId, within: Duration) -> Result<(), EtcdError> {
        let request = wire::MemberRemoveRequest { id: member.0 };
        let done = self.send(within, request, |c, r| async move { cluster(c).member_remove(r).await });
        self.with_timeout(within, done).await.map(drop)
    }

    /// Changes the peer URLs of a member.
    ///
    /// Must not be called for learners: several versions of etcd then list the learner as a voter, although it does not vote.
    pub async fn update_member(
        &self,
        member: MemberId,
        peer_urls: &[PeerUrl],
        within: Duration,
    ) -> Result<(), EtcdError> {
        let request = wire::MemberUpdateRequest { id: member.0, peer_urls: texts(peer_urls) };
        let done = self.send(within, request, |c, r| async move { cluster(c).member_update(r).await });
        self.with_timeout(within, done).await.map(drop)
    }

    /// Promotes a learner to a voter.
    ///
    /// A follower forwards the request to the leader, and retries if it gets no answer. So [`EtcdError::NotLearner`] may
    /// mean that the first attempt has succeeded.
    pub async fn promote_member(&self, member: MemberId, within: Duration) -> Result<(), EtcdError> {
        let request = wire::MemberPromoteRequest { id: member.0 };
        let done = self.send(within, request, |c, r| async move { cluster(c).member_promote(r).await });
        self.with_timeout(within, done).await.map(drop)
    }

    /// Moves the leadership to another voter. Only the leader accepts this.
    pub async fn move_leader(&self, to: MemberId, within: Duration) -> Result<(), EtcdError> {
        let request = wire::MoveLeaderRequest { target_id: to.0 };
        let done = self.send(within, request, |c, r| async move { maintenance(c).move_leader(r).await });
        self.with_timeout(within, done).await.map(drop)
    }

    /// Ends a call with [`EtcdError::TimedOut`] after this time.
    async fn with_timeout<T>(
        &self,
        within: Duration,
        call: impl Future<Output = Result<T, EtcdError>>,
    ) -> Result<T, EtcdError> {
        timeout(within, call).await.unwrap_or_else(|_| {
            // The peer may have vanished, and TCP takes a quarter of an hour to notice that.
            *self.lock() = connect_lazily(&self.endpoint, self.loopback_only);
            let reason = format!("no answer within {within:?}");
            Err(EtcdError::TimedOut { endpoint: self.url.to_string(), reason })
        })
    }

    /// Sends a request, with the time after which etcd gives it up. If etcd requires a login, logs in and sends it again:
    /// etcd has not executed it then.
    async fn send<M: Clone, R, F>(
        &self,
        within: Duration,
        message: M,
        call: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<R, EtcdError>
    where
        F: Future<Output = Result<Response<R>, tonic::Status>>,
    {
        let channel = self.lock().clone();
        let call = |channel, mut request: Request<M>| {
            request.set_timeout(within.saturating_add(SERVER_GRACE));
            call(channel, request)
        };
        let response = match &self.login {
            LoginAt::None => call(channel, Request::new(message)).await,
            LoginAt::Withheld => match call(channel, Request::new(message)).await {
                Err(refusal) if requires_login(&refusal) => {
                    return Err(EtcdError::PasswordWithheld { endpoint: self.url.to_string() });
                }
                response => response,
            },
            LoginAt::Allowed(login) => login.send(channel, message, call).await,
        };
        response.map(Response::into_inner).map_err(|status| EtcdError::from_status(self.url.as_str(), &status))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Channel> {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn header(&self, header: Option<wire::ResponseHeader>) -> Result<wire::ResponseHeader, EtcdError> {
        header.ok_or_else(|| self.bad_answer("no header"))
    }

    fn bad_answer(&self, missing: &str) -> EtcdError {
        EtcdError::BadAnswer { endpoint: self.url.to_string(), reason: format!("the response has {missing}") }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A channel that connects with the first request.
fn connect_lazily(endpoint: &Endpoint, loopback_only: bool) -> Channel {
    match loopback_only {
        true => endpoint.connect_with_connector_lazy(configured(HttpConnector::new_with_resolver(LoopbackResolver))),
        false => endpoint.connect_with_connector_lazy(configured(HttpConnector::new())),
    }
}

/// As `Endpoint::connect_lazy`, which has no setting for the last option.
fn configured<R>(mut tcp: HttpConnector<R>) -> HttpConnector<R> {
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
    tcp
}

fn cluster(channel: Channel) -> ClusterClient<Channel> {
    ClusterClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES)
}

fn maintenance(channel: Channel) -> MaintenanceClient<Channel> {
    MaintenanceClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES)
}

fn kv(channel: Channel) -> KvClient<Channel> {
    KvClient::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES)
}

fn texts(urls: &[PeerUrl]) -> Vec<String> {
    urls.iter().map(PeerUrl::to_string).collect()
}
