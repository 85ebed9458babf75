use convene_lifecycle::{Cluster, Epoch, StockWrites, UnixMillis};

/// Clusters that nobody uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    /// No member has ever registered.
    Unregistered,
    /// Members have registered, and the cluster has not formed. One that was reset had formed before, and one that is held waits for an
    /// administrator.
    Forming,
    /// Nodes have formed the cluster at least once, none has shown that it exists, and nothing has changed since. A policy that lets v2
    /// and v3 clients write belongs to a cluster that uses the registry without showing it.
    Unseen,
}

impl Abandoned {
    /// Whether a cluster is one, and has been since before a time as far as its value shows: not when it last changed.
    pub fn includes(self, cluster: &Cluster, before: UnixMillis) -> bool {
        let Some(at) = cluster.first_registered_at else {
            return self == Self::Unregistered && cluster.created_at < before;
        };
        let is_unseen = at < before && cluster.bootstrapped.is_none() && cluster.held.is_none();
        let has_formed = cluster.formed.is_some() || cluster.epoch != Epoch::FIRST;
        match self {
            Self::Unregistered => false,
            Self::Forming => is_unseen && !has_formed,
            Self::Unseen => is_unseen && cluster.formed.is_some() && cluster.policy.stock_writes == StockWrites::Refuse,
        }
    }

    /// What they are, for the log.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Unregistered => "without registrations",
            Self::Forming => "that have not formed",
            Self::Unseen => "that no convene has seen since they formed",
        }
    }

    /// Selects at most $2 of their tokens with their revisions, since before $1, which is 0 or more.
    pub(super) fn select(self) -> &'static str {
        match self {
            // The ID begins with the time of the creation; see [`draw_public_id`](super::draw_public_id). This reads the old part of the
            // index `cluster_forming`.
            Self::Unregistered => {
                "select token, revision from cluster where formed_revision is null and id < $1 * 1048576 \
                 and first_registered_at is null and created_at < $1 limit $2"
            }
            Self::Forming => {
                "select token, revision from cluster where first_registered_at < $1 and formed_revision is null \
                 and bootstrapped_revision is null and held_since is null and epoch = 1 limit $2"
            }
            Self::Unseen => {
                "select token, revision from cluster where first_registered_at < $1 \
                 and formed_revision is not null and bootstrapped_revision is null and held_since is null \
                 and stock_writes = 'refuse' and exists (select 1 from event where event.cluster = cluster.id \
                 and event.revision = cluster.revision and event.at < $1) limit $2"
            }
        }
    }
}
