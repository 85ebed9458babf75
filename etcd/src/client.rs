use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use convene_lifecycle::{ClientUrl, ClusterId, MemberId, PeerUrl};
use tokio::time::timeout;
use tonic::{
    Request, Response,
    transport::{Channel, Endpoint},
};

use crate::{
    Access, EtcdError, MemberList, Status,
    login::{Login, Session},
    wire::{self, cluster_client::ClusterClient, kv_client::KvClient, maintenance_client::MaintenanceClient},
};

/// How long a connection may take to come about.
///
/// Shorter than most calls have, so that it says "cannot connect" and not that time ran out.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// The largest answer that is read. gRPC's own limit of 4 MiB is below what etcd allows.
const ANSWER_BYTES: usize = 16 << 20;

/// Makes clients for the members of one cluster, which share a login.
///
/// A member's tokens are good for all members. So a learner can be asked, at which nobody can log in, after a
/// voter has been asked.
#[derive(Clone)]
pub struct Connector {
    access: Access,
    session: Option<Arc<Session>>,
}

impl Connector {
    /// Nobody is connected to yet, and nobody logged in.
    pub fn new(access: Access) -> Self {
        let session = access.user.clone().map(|user| Arc::new(Session::new(user)));
        Self { access, session }
    }

    /// Makes a client that connects when it is first asked something. Must be called within a Tokio runtime.
    ///
    /// A URL with `http://` is asked in clear text, whatever the access holds for TLS.
    pub fn client(&self, url: &ClientUrl) -> Result<Client, EtcdError> {
        let bad_url = |error: tonic::transport::Error| EtcdError::Unreachable {
            endpoint: url.to_string(),
            reason: crate::classify::words(&error),
        };
        let mut endpoint = Endpoint::from_shared(url.to_string()).map_err(bad_url)?.connect_timeout(CONNECT_LIMIT);
        if endpoint.uri().scheme_str() == Some("https") {
            endpoint = self.access.tls.secure(endpoint)?;
        }
        let channel = Arc::new(Mutex::new(endpoint.connect_lazy()));
        let login = self.session.clone().map(|session| Arc::new(Login::new(session)));
        Ok(Client { url: url.clone(), endpoint, channel, login })
    }
}

/// Asks one etcd at its client URL.
///
/// Clones share the connection and the login.
#[derive(Clone)]
pub struct Client {
    url: ClientUrl,
    endpoint: Endpoint,
    channel: Arc<Mutex<Channel>>,
    login: Option<Arc<Login>>,
}

impl Client {
    /// Makes a client with a login of its own, as [`Connector::client`] makes those that share one.
    pub fn new(url: &ClientUrl, access: &Access) -> Result<Self, EtcdError> {
        Connector::new(access.clone()).client(url)
    }

    /// Who is in the cluster, as its quorum knows it.
    pub async fn members(&self, within: Duration) -> Result<MemberList, EtcdError> {
        self.bounded(within, async {
            self.catch_up().await?;
            let request = wire::MemberListRequest { linearizable: true };
            let list = self.ask(request, |c, r| async move { cluster(c).member_list(r).await }).await?;
            let cluster = ClusterId(self.header(list.header)?.cluster_id);
            MemberList::read(self.url.as_str(), cluster, list.members)
        })
        .await
    }

    /// Waits until the member has applied what the quorum knows now.
    ///
    /// etcd 3.4 does not know `linearizable` and lists the members as of what it happens to have applied; after
    /// this it has applied enough. etcd confirms that with the quorum before it looks who asks
    /// (`v3_server.go:Range`), so being refused is as good as reading.
    async fn catch_up(&self) -> Result<(), EtcdError> {
        let request = wire::RangeRequest { key: b"convene".to_vec(), count_only: true, ..Default::default() };
        match self.ask(request, |c, r| async move { kv(c).range(r).await }).await {
            Ok(wire::RangeResponse { .. }) | Err(EtcdError::NotAllowed { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// How this etcd sees itself and its cluster.
    ///
    /// Needs no quorum, and learners answer too. But where etcd's authentication is on, somebody must have logged
    /// in before, and that needs both a quorum and a voter.
    pub async fn status(&self, within: Duration) -> Result<Status, EtcdError> {
        self.bounded(within, async {
            let status = self.ask(wire::StatusRequest {}, |c, r| async move { maintenance(c).status(r).await }).await?;
            let header = self.header(status.header)?;
            Ok(Status {
                member: MemberId(header.member_id),
                cluster: ClusterId(header.cluster_id),
                leader: (status.leader != 0).then_some(MemberId(status.leader)),
                raft_term: status.raft_term,
                applied_index: status.raft_applied_index,
                learner: status.is_learner,
                version: status.version,
            })
        })
        .await
    }

    /// Adds a member that is yet to start, and returns the ID that etcd gave it.
    pub async fn add_member(
        &self,
        peer_urls: &[PeerUrl],
        learner: bool,
        within: Duration,
    ) -> Result<MemberId, EtcdError> {
        let request = wire::MemberAddRequest { peer_urls: texts(peer_urls), is_learner: learner };
        self.bounded(within, async {
            let added = self.ask(request, |c, r| async move { cluster(c).member_add(r).await }).await?;
            added.member.map(|member| MemberId(member.id)).ok_or_else(|| self.bad_answer("no member"))
        })
        .await
    }

    /// Removes a member.
    pub async fn remove_member(&self, member: MemberId, within: Duration) -> Result<(), EtcdError> {
        let request = wire::MemberRemoveRequest { id: member.0 };
        let done = self.ask(request, |c, r| async move { cluster(c).member_remove(r).await });
        self.bounded(within, done).await.map(drop)
    }

    /// Gives a member other peer URLs.
    ///
    /// Must not be done to learners: several versions of etcd then list them as voters, which they aren't.
    pub async fn update_member(
        &self,
        member: MemberId,
        peer_urls: &[PeerUrl],
        within: Duration,
    ) -> Result<(), EtcdError> {
        let request = wire::MemberUpdateRequest { id: member.0, peer_urls: texts(peer_urls) };
        let done = self.ask(request, |c, r| async move { cluster(c).member_update(r).await });
        self.bounded(within, done).await.map(drop)
    }

    /// Makes a learner a voter.
    ///
    /// A follower passes it on to the leader, and asks again if it gets no answer: so
    /// [`EtcdError::NotLearner`] may mean that it is a voter since a moment ago.
    pub async fn promote_member(&self, member: MemberId, within: Duration) -> Result<(), EtcdError> {
        let request = wire::MemberPromoteRequest { id: member.0 };
        let done = self.ask(request, |c, r| async move { cluster(c).member_promote(r).await });
        self.bounded(within, done).await.map(drop)
    }

    /// Makes another voter the leader; only the leader does it.
    pub async fn move_leader(&self, to: MemberId, within: Duration) -> Result<(), EtcdError> {
        let request = wire::MoveLeaderRequest { target_id: to.0 };
        let done = self.ask(request, |c, r| async move { maintenance(c).move_leader(r).await });
        self.bounded(within, done).await.map(drop)
    }

    /// Ends a call when its time is over.
    async fn bounded<T>(
        &self,
        within: Duration,
        call: impl Future<Output = Result<T, EtcdError>>,
    ) -> Result<T, EtcdError> {
        timeout(within, call).await.unwrap_or_else(|_| {
            // The other end may be gone without a word, and TCP would take a quarter of an hour to notice.
            *self.lock() = self.endpoint.connect_lazy();
            let reason = format!("no answer within {within:?}");
            Err(EtcdError::TimedOut { endpoint: self.url.to_string(), reason })
        })
    }

    /// Asks once, or again if etcd wants us to log in, in which case it has not done anything yet.
    async fn ask<M: Clone, R, F>(&self, message: M, send: impl Fn(Channel, Request<M>) -> F) -> Result<R, EtcdError>
    where
        F: Future<Output = Result<Response<R>, tonic::Status>>,
    {
        let channel = self.lock().clone();
        let answer = match &self.login {
            None => send(channel, Request::new(message)).await,
            Some(login) => login.ask(channel, message, send).await,
        };
        answer.map(Response::into_inner).map_err(|status| EtcdError::from_status(self.url.as_str(), &status))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Channel> {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn header(&self, header: Option<wire::ResponseHeader>) -> Result<wire::ResponseHeader, EtcdError> {
        header.ok_or_else(|| self.bad_answer("no header"))
    }

    fn bad_answer(&self, missing: &str) -> EtcdError {
        EtcdError::BadAnswer { endpoint: self.url.to_string(), reason: format!("there is {missing} in its answer") }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.url).finish_non_exhaustive()
    }
}

fn cluster(channel: Channel) -> ClusterClient<Channel> {
    ClusterClient::new(channel).max_decoding_message_size(ANSWER_BYTES)
}

fn maintenance(channel: Channel) -> MaintenanceClient<Channel> {
    MaintenanceClient::new(channel).max_decoding_message_size(ANSWER_BYTES)
}

fn kv(channel: Channel) -> KvClient<Channel> {
    KvClient::new(channel).max_decoding_message_size(ANSWER_BYTES)
}

fn texts(urls: &[PeerUrl]) -> Vec<String> {
    urls.iter().map(PeerUrl::to_string).collect()
}
