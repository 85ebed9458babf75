use std::time::Duration;

use convene_lifecycle::{ClientUrl, MemberId, PeerUrl};

use crate::{Access, EtcdError, MemberList, Status};

/// Asks one etcd at its client URL.
///
/// Clones share the connection and the login.
#[derive(Clone, Debug)]
pub struct Client {
    url: ClientUrl,
}

impl Client {
    /// Makes a client that connects when it is first asked something. Must be called within a Tokio runtime.
    pub fn new(_url: &ClientUrl, _access: &Access) -> Result<Self, EtcdError> {
        todo!()
    }

    /// Whom it asks.
    pub fn url(&self) -> &ClientUrl {
        &self.url
    }

    /// Who is in the cluster, as its quorum knows it.
    pub async fn members(&self, _within: Duration) -> Result<MemberList, EtcdError> {
        todo!()
    }

    /// How this etcd sees itself and its cluster. Needs no quorum, and learners answer too.
    pub async fn status(&self, _within: Duration) -> Result<Status, EtcdError> {
        todo!()
    }

    /// Adds a member that is yet to start, and returns the ID that etcd gave it.
    pub async fn add_member(
        &self,
        _peer_urls: &[PeerUrl],
        _learner: bool,
        _within: Duration,
    ) -> Result<MemberId, EtcdError> {
        todo!()
    }

    /// Removes a member.
    pub async fn remove_member(&self, _member: MemberId, _within: Duration) -> Result<(), EtcdError> {
        todo!()
    }

    /// Gives a member other peer URLs. Must not be done to learners: several versions of etcd then list them as
    /// voters.
    pub async fn update_member(
        &self,
        _member: MemberId,
        _peer_urls: &[PeerUrl],
        _within: Duration,
    ) -> Result<(), EtcdError> {
        todo!()
    }

    /// Makes a learner a voter.
    pub async fn promote_member(&self, _member: MemberId, _within: Duration) -> Result<(), EtcdError> {
        todo!()
    }

    /// Makes another member the leader; only the leader does it.
    pub async fn move_leader(&self, _to: MemberId, _within: Duration) -> Result<(), EtcdError> {
        todo!()
    }
}
