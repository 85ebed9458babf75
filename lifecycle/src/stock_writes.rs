use thiserror::Error;

use crate::{Cluster, Epoch};

/// Whether clients of v2 and v3 discovery may change a cluster after it has formed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StockWrites {
    /// They may not: whoever knows the token can only read.
    #[default]
    Refuse,
    /// They may, as elastic-etcd does.
    Allow,
}

impl StockWrites {
    /// Every value.
    pub const ALL: [Self; 2] = [Self::Refuse, Self::Allow];

    /// Its name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Allow => "allow",
        }
    }
}

crate::text::as_word!(StockWrites, StockWritesError, "refuse or allow", "must be refuse or allow");

/// The cluster has formed, and its policy lets v2 and v3 clients only read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "{}, and v2 and v3 clients can't change it any more; to add or replace a member, start its node with convene, or run \
     etcdctl member add; an administrator can allow changes by the policy stock_writes: \
     PATCH /v1/clusters/TOKEN with {{\"policy\": {{\"stock_writes\": \"allow\"}}}}",
    if *.is_newcomer { "the cluster is full: it has formed" } else { "this cluster has formed" }
)]
pub struct StockWriteRefused {
    /// Whether the client wants to be a further member.
    pub is_newcomer: bool,
}

impl StockWriteRefused {
    pub(crate) fn of_newcomer(self) -> Self {
        Self { is_newcomer: true }
    }
}

impl Cluster {
    /// Fails if v2 and v3 clients may not change the cluster any more. A cluster that was reset had formed before.
    pub fn check_stock_write(&self) -> Result<(), StockWriteRefused> {
        let refused = StockWriteRefused { is_newcomer: false };
        let has_formed = self.formed.is_some() || self.epoch != Epoch::FIRST;
        if has_formed && self.policy.stock_writes == StockWrites::Refuse { Err(refused) } else { Ok(()) }
    }
}
