use convene_etcd::wire::ResponseHeader;
use convene_lifecycle::Revision;

/// Makes response headers: the registry's ID and the cluster's revision.
#[derive(Clone, Copy, Debug)]
pub struct Headers {
    id: u64,
}

impl Headers {
    /// Headers of the registry with this name, which is hexadecimal.
    pub fn new(registry_id: &str) -> Self {
        Self { id: u64::from_str_radix(registry_id, 16).unwrap_or(1) }
    }

    /// The registry's number. To clients it is a cluster with one member, however many servers it has.
    pub fn id(self) -> u64 {
        self.id
    }

    /// The header of an answer about a cluster at a revision. There is no Raft here, and its term stays 1.
    pub fn at(self, revision: Revision) -> Option<ResponseHeader> {
        let revision = signed(revision);
        Some(ResponseHeader { cluster_id: self.id, member_id: self.id, revision, raft_term: 1 })
    }

    /// The header of an answer about no cluster, or about one that does not exist: nothing has ever changed there.
    pub fn of_none(self) -> Option<ResponseHeader> {
        self.at(Revision(0))
    }
}

/// Revisions count single changes from 1, so they never come near the end of an `i64`.
pub fn signed(revision: Revision) -> i64 {
    revision.0 as i64
}
