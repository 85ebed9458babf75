use std::time::Duration;

use convene_lifecycle::PeerUrl;

use crate::{EtcdError, MemberList, Tls};

/// Asks etcds where their peers do: `GET PEER_URL/members`.
///
/// That needs neither a quorum nor a user, and learners answer too. So what it says may be old.
#[derive(Clone, Debug)]
pub struct PeerClient {}

impl PeerClient {
    /// Makes a client for any number of peer URLs.
    pub fn new(_tls: &Tls) -> Result<Self, EtcdError> {
        todo!()
    }

    /// Who is in the cluster as far as this member knows.
    pub async fn members(&self, _url: &PeerUrl, _within: Duration) -> Result<MemberList, EtcdError> {
        todo!()
    }
}
