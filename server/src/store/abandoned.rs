use convene_lifecycle::{Cluster, Epoch, UnixMillis};

/// Clusters that nobody uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    /// No member has ever registered.
    Unregistered,
    /// Members have registered, and the cluster has not formed. One that was reset had formed before, and one that is held waits for an
    /// administrator.
    Forming,
}

impl Abandoned {
    /// Whether a cluster has been one since before a time.
    pub fn includes(self, cluster: &Cluster, before: UnixMillis) -> bool {
        match (self, cluster.first_registered_at) {
            (Self::Unregistered, None) => cluster.created_at < before,
            (Self::Forming, Some(at)) => {
                let is_first = cluster.epoch == Epoch::FIRST && cluster.bootstrapped.is_none();
                at < before && is_first && cluster.formed.is_none() && cluster.held.is_none()
            }
            _ => false,
        }
    }

    /// What they are, for the log.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Unregistered => "without registrations",
            Self::Forming => "that have not formed",
        }
    }

    /// Selects at most $2 of their tokens, since before $1.
    pub(super) fn select(self) -> &'static str {
        match self {
            Self::Unregistered => {
                "select token from cluster where first_registered_at is null and created_at < $1 limit $2"
            }
            Self::Forming => {
                "select token from cluster where first_registered_at < $1 and formed_revision is null \
                 and bootstrapped_revision is null and held_since is null and epoch = 1 limit $2"
            }
        }
    }
}
