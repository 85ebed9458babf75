use convene_lifecycle::{ClientUrl, ClusterId, MemberId, PeerUrl};

use crate::{EtcdError, wire};

/// The member list of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberList {
    /// The ID of the cluster.
    pub cluster: ClusterId,
    /// The members, in the order of etcd.
    pub members: Vec<ListedMember>,
}

/// A member of [`MemberList`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedMember {
    /// The ID.
    pub id: MemberId,
    /// The name. Empty if the member was added and has never started.
    pub name: String,
    /// All peer URLs. If Convene can't use one of them, the whole list is an [`EtcdError::UnusablePeerUrl`].
    pub peer_urls: Vec<PeerUrl>,
    /// The client URLs that Convene can use. Others, such as `unix://` sockets, are omitted.
    pub client_urls: Vec<ClientUrl>,
    /// Whether it is a learner: it receives the log, but neither votes nor counts towards the quorum.
    pub learner: bool,
}

/// The status that an etcd reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The ID of the member that answered.
    pub member: MemberId,
    /// The ID of its cluster.
    pub cluster: ClusterId,
    /// The leader that it follows, or itself; `None` without a leader.
    pub leader: Option<MemberId>,
    /// The Raft term, which grows with every election.
    pub raft_term: u64,
    /// The index of the last applied Raft entry. The difference to the leader's is the lag of a member.
    pub applied_index: u64,
    /// Whether it is a learner: it receives the log, but neither votes nor counts towards the quorum.
    pub learner: bool,
    /// The version of etcd, such as `3.5.30`.
    pub version: String,
    /// The size of its database in bytes.
    pub database_bytes: u64,
    /// The bytes of its database that are in use. The rest comes back by defragmentation.
    pub database_bytes_in_use: u64,
    /// The quota of its database in bytes. `None` if it does not say, as before etcd 3.6.
    pub quota_bytes: Option<u64>,
    /// Its alarms, and the lack of a leader, in etcd's words.
    pub errors: Vec<String>,
}

impl MemberList {
    /// Converts the list that `endpoint` returned.
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
    fn an_unusable_client_url_is_omitted() {
        let read = list(&["http://a:2380"], &["unix://a.sock:1", "http://a:2379"]).unwrap();
        assert_eq!(read.members[0].client_urls, ["http://a:2379".parse::<ClientUrl>().unwrap()]);
    }

    #[test]
    fn an_unusable_peer_url_fails_the_list_and_is_named() {
        let message = list(&["http://a:0"], &[]).unwrap_err().to_string();
        for part in ["http://b:2379", "a1", "http://a:0"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
