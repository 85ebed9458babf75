use std::fmt;

/// How the nodes that form a cluster find each other.
///
/// The protocols can't mix in one epoch: etcds that discover each other decide themselves when they are complete, and
/// etcd computes other member and cluster IDs with each protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Stock etcds discover each other.
    Discovery(Discovery),
    /// Nodes check in.
    CheckIn,
}

/// A discovery protocol of stock etcds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Discovery {
    /// HTTP: etcd 2.x to 3.6 with `--discovery`.
    V2,
    /// gRPC: etcd 3.6 and later with `--discovery-endpoints`.
    V3,
}

impl Protocol {
    /// Its name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discovery(Discovery::V2) => "v2",
            Self::Discovery(Discovery::V3) => "v3",
            Self::CheckIn => "check_in",
        }
    }

    /// The discovery protocol. `None` if the nodes check in.
    pub fn discovery(self) -> Option<Discovery> {
        match self {
            Self::Discovery(discovery) => Some(discovery),
            Self::CheckIn => None,
        }
    }
}

impl fmt::Display for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2 => "v2 discovery",
            Self::V3 => "v3 discovery",
        })
    }
}
