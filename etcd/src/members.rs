use convene_lifecycle::{ClientUrl, ClusterId, MemberId, PeerUrl};

use crate::{EtcdError, wire};

/// Who is in the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberList {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Its members, in etcd's order.
    pub members: Vec<ListedMember>,
}

/// A member of [`MemberList`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedMember {
    /// What etcd calls it.
    pub id: MemberId,
    /// What its configuration calls it. Empty: it was added and has never started.
    pub name: String,
    /// All of them: a list with a peer URL that Convene can't work with is an [`EtcdError::UnusablePeerUrl`].
    pub peer_urls: Vec<PeerUrl>,
    /// Those that Convene can use. Others, such as `unix://` sockets, are left out: the list only says where
    /// somebody may be asked.
    pub client_urls: Vec<ClientUrl>,
    /// It gets the log, but neither votes nor counts for the quorum.
    pub learner: bool,
}

/// How one etcd sees itself and its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Who answered.
    pub member: MemberId,
    /// In which cluster it is.
    pub cluster: ClusterId,
    /// Whom it follows, or itself.
    pub leader: Option<MemberId>,
    /// Grows with every election.
    pub raft_term: u64,
    /// How much of the log it has applied: compared with the leader's it tells how far behind a member is.
    pub applied_index: u64,
    /// It gets the log, but neither votes nor counts for the quorum.
    pub learner: bool,
    /// Of its etcd, such as `3.5.30`.
    pub version: String,
}

impl MemberList {
    /// Reads what `endpoint` sent.
    pub(crate) fn read(endpoint: &str, cluster: ClusterId, members: Vec<wire::Member>) -> Result<Self, EtcdError> {
        let members =
            members.into_iter().map(|member| ListedMember::read(endpoint, member)).collect::<Result<_, _>>()?;
        Ok(Self { cluster, members })
    }
}

impl ListedMember {
    fn read(endpoint: &str, member: wire::Member) -> Result<Self, EtcdError> {
        let wire::Member { id, name, peer_urls, client_urls, is_learner } = member;
        let id = MemberId(id);
        let peer_url = |text: String| {
            PeerUrl::parse(&text).map_err(|error| EtcdError::UnusablePeerUrl {
                endpoint: endpoint.to_owned(),
                member: id,
                reason: error.to_string(),
            })
        };
        let peer_urls = peer_urls.into_iter().map(peer_url).collect::<Result<_, _>>()?;
        let client_urls = client_urls.iter().filter_map(|text| text.parse().ok()).collect();
        Ok(Self { id, name, peer_urls, client_urls, learner: is_learner })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(peer_urls: &[&str], client_urls: &[&str]) -> Result<MemberList, EtcdError> {
        let owned = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect();
        let (peer_urls, client_urls) = (owned(peer_urls), owned(client_urls));
        let member = wire::Member { id: 0xa1, name: "a".to_owned(), peer_urls, client_urls, is_learner: false };
        MemberList::read("http://b:2379", ClusterId(1), vec![member])
    }

    #[test]
    fn a_client_url_that_convene_cannot_use_is_left_out() {
        let read = list(&["http://a:2380"], &["unix://a.sock:1", "http://a:2379"]).unwrap();
        assert_eq!(read.members[0].client_urls, ["http://a:2379".parse::<ClientUrl>().unwrap()]);
    }

    #[test]
    fn a_peer_url_that_convene_cannot_use_fails_the_list_and_is_named() {
        let message = list(&["unix://a.sock:1"], &[]).unwrap_err().to_string();
        for part in ["http://b:2379", "a1", "unix://a.sock:1"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
