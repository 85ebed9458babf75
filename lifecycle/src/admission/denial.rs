use thiserror::Error;

use super::{Cidr, DenialCode};
use crate::{MemberName, UnixMillis};

/// Why a check-in may not speak for its node.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NodeDenial {
    /// It has no credential, and the cluster or the name needs one.
    #[error("the check-in has no credential of node {0}")]
    CredentialRequired(MemberName),
    /// The credential is not known, and there is no join token.
    #[error("node {0} has no credential of this cluster, and sent no join token")]
    JoinTokenRequired(MemberName),
    /// The name is that of a member which stock etcds have registered, and nobody has claimed it by a join token.
    #[error(
        "{0} is a member that stock etcd nodes have registered; the discovery token alone does not prove that this \
         node runs it"
    )]
    StockMember(MemberName),
    /// The credential was revoked.
    #[error("the credential of node {0} was revoked")]
    CredentialRevoked(MemberName),
    /// The credential is bound to another node.
    #[error("the credential belongs to node {holder}, not to node {node}")]
    CredentialOfOther {
        /// The node that the check-in is for.
        node: MemberName,
        /// The node that it is bound to.
        holder: MemberName,
    },
    /// The node reports data of a member that another node speaks for.
    #[error("node {node} has the data of member {holder}, but has not proven that it is node {holder}")]
    DataOfOther {
        /// The node that the check-in is for.
        node: MemberName,
        /// The node that the member belongs to.
        holder: MemberName,
    },
    /// The name has another credential. Its holder is a member, or is not silent.
    #[error("node {node} has another credential")]
    NameBound {
        /// The node.
        node: MemberName,
        /// Whether the check-in is admitted once the holder has been silent for `dead_after`.
        waits: bool,
    },
    /// The cluster has no such join token.
    #[error("this cluster has no such join token")]
    JoinTokenUnknown,
    /// The join token was revoked.
    #[error("join token {0} was revoked")]
    JoinTokenRevoked(String),
    /// The join token has expired.
    #[error("join token {id} expired at {at}")]
    JoinTokenExpired {
        /// The join token's ID.
        id: String,
        /// When it expired, for people.
        at: String,
    },
    /// The join token is for another node.
    #[error("join token {id} is for node {node} only")]
    JoinTokenOfOther {
        /// The join token's ID.
        id: String,
        /// The node that it is for.
        node: MemberName,
    },
    /// The join token is for other addresses.
    #[error("join token {id} is for addresses in {cidr} only")]
    JoinTokenElsewhere {
        /// The join token's ID.
        id: String,
        /// The addresses.
        cidr: Cidr,
    },
    /// The node has used the join token before, for another credential.
    #[error("node {node} has used join token {id} before, for another credential")]
    JoinTokenUsed {
        /// The join token's ID.
        id: String,
        /// The node.
        node: MemberName,
    },
    /// The join token has let in as many nodes as it may.
    #[error("join token {id} is used up: it has let in {uses} {}", if *.uses == 1 { "node" } else { "nodes" })]
    JoinTokenUsedUp {
        /// The join token's ID.
        id: String,
        /// How many nodes it may let in.
        uses: u32,
    },
    /// There is no verified client certificate.
    #[error("the check-in for node {0} came without a client certificate")]
    CertificateRequired(MemberName),
    /// The client certificate is for another name.
    #[error(
        "the client certificate is for another node than {0}: neither its common name nor one of its DNS names is {0}"
    )]
    CertificateOfOther(MemberName),
    /// The cluster has as many credentials as it may.
    #[error("this cluster has {} nodes with a credential, the maximum", super::Admission::MAX_CREDENTIALS)]
    TooManyNodes,
}

impl NodeDenial {
    /// Its name in the API.
    pub fn code(&self) -> DenialCode {
        match self {
            Self::CredentialRequired(_) => DenialCode::CredentialRequired,
            Self::JoinTokenRequired(_) | Self::StockMember(_) => DenialCode::JoinTokenRequired,
            Self::CredentialRevoked(_) => DenialCode::CredentialRevoked,
            Self::CredentialOfOther { .. } => DenialCode::CredentialOfOtherNode,
            Self::DataOfOther { .. } => DenialCode::DataOfOtherNode,
            Self::NameBound { .. } => DenialCode::NodeBound,
            Self::JoinTokenUnknown => DenialCode::JoinTokenUnknown,
            Self::JoinTokenRevoked(_) => DenialCode::JoinTokenRevoked,
            Self::JoinTokenExpired { .. } => DenialCode::JoinTokenExpired,
            Self::JoinTokenOfOther { .. } => DenialCode::JoinTokenOfOtherNode,
            Self::JoinTokenElsewhere { .. } => DenialCode::JoinTokenOfOtherAddress,
            Self::JoinTokenUsed { .. } | Self::JoinTokenUsedUp { .. } => DenialCode::JoinTokenUsed,
            Self::CertificateRequired(_) => DenialCode::CertificateRequired,
            Self::CertificateOfOther(_) => DenialCode::CertificateOfOtherNode,
            Self::TooManyNodes => DenialCode::TooManyNodes,
        }
    }

    /// What a person can do about it, as the rest of a sentence.
    pub fn remedy(&self) -> String {
        let new_token = |node: &str| {
            format!(
                "create a join token with `convene cluster join-token create{node} CLUSTER`, and give it to the node with \
                 --join-token-file"
            )
        };
        match self {
            Self::CredentialRequired(_) => {
                "update `convene` on the node, and give it a join token with --join-token-file if the cluster \
                 demands one"
                    .to_owned()
            }
            Self::CredentialRevoked(node) | Self::JoinTokenUsed { node, .. } => {
                format!("if the node may come back, {}", new_token(&format!(" --node {node}")))
            }
            Self::CredentialOfOther { .. } => {
                "use the state directory or --credential-file of this node, and don't copy those of another one"
                    .to_owned()
            }
            Self::DataOfOther { holder, .. } => format!(
                "start the node under the name {holder}; if it has a new name, revoke the former one with \
                 `convene member revoke {holder}`; if the data is a copy, move it away"
            ),
            Self::NameBound { node, waits } => {
                let wait = if *waits {
                    "; without one, it is admitted once the holder of the name has been silent for `dead_after`"
                } else {
                    ""
                };
                format!(
                    "if the node has lost its credential with its disk, {}{wait}",
                    new_token(&format!(" --node {node}"))
                )
            }
            Self::JoinTokenRequired(_)
            | Self::StockMember(_)
            | Self::JoinTokenUnknown
            | Self::JoinTokenRevoked(_)
            | Self::JoinTokenExpired { .. }
            | Self::JoinTokenOfOther { .. }
            | Self::JoinTokenElsewhere { .. }
            | Self::JoinTokenUsedUp { .. } => new_token(""),
            Self::CertificateRequired(_) | Self::CertificateOfOther(_) => {
                "give the node a client certificate with its name by --discovery-cert and --discovery-key".to_owned()
            }
            Self::TooManyNodes => "revoke the credentials of nodes that are gone".to_owned(),
        }
    }

    /// Whether the check-in showed nothing that the server knows (HTTP 401), unlike something that does not suffice (403).
    pub fn is_unauthenticated(&self) -> bool {
        matches!(
            self,
            Self::CredentialRequired(_)
                | Self::JoinTokenRequired(_)
                | Self::StockMember(_)
                | Self::JoinTokenUnknown
                | Self::CertificateRequired(_)
        )
    }

    /// Whether the same check-in may be admitted later.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::NameBound { waits: true, .. })
    }

    pub(super) fn expired(id: String, at: UnixMillis, now: UnixMillis) -> Self {
        Self::JoinTokenExpired { id, at: at.clock_time(now) }
    }
}
