use thiserror::Error;

use crate::{ClusterSize, Discovery, DiscoveryUrl, MAX_MEMBERS, MemberKey, MemberName, PeerUrl, StockWriteRefused};

/// Why a discovery client can't register a member.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RegisterRefusal {
    /// Another member has the name. etcd would fail with "duplicate name".
    #[error("name {name} is already taken by member {holder}")]
    NameTaken {
        /// The name.
        name: MemberName,
        /// The member that has it.
        holder: MemberKey,
    },
    /// Another member has the peer URL.
    #[error("peer URL {url} is already taken by member {holder} ({name})")]
    PeerUrlTaken {
        /// The URL.
        url: PeerUrl,
        /// The member that has it.
        holder: MemberKey,
        /// The name of its node.
        name: MemberName,
    },
    /// Another v3 client has written this key before, with another name. An etcd computes its key from its peer URLs and the
    /// token, so both advertise the same peer URLs, or it is one node with two names.
    #[error(
        "peer URL {url} is already taken by member {holder} ({name}); give each node its own \
         --initial-advertise-peer-urls, or, if this node has registered as {name} before, start it with --name {name}"
    )]
    SharesPeerUrl {
        /// The URL.
        url: PeerUrl,
        /// The key, which both have.
        holder: MemberKey,
        /// The name that came first.
        name: MemberName,
    },
    /// A member has another spelling of the discovery URL. The etcds would log `cluster ID mismatch` for ever.
    #[error(
        "this node was given --discovery {own}, and the first node of this cluster {first}; etcd computes the cluster \
         ID from the text of the URL, so give all nodes the same URL"
    )]
    OtherUrl {
        /// The spelling that came first.
        first: DiscoveryUrl,
        /// This node's spelling.
        own: DiscoveryUrl,
    },
    /// A member that was removed while the cluster is forming had the name or a peer URL.
    #[error(
        "removed member {holder} had this name or one of these peer URLs, and the waiting etcd nodes still expect it; \
         start that member again with the same name and peer URLs, or create a new token for all nodes"
    )]
    WasCounted {
        /// The removed member.
        holder: MemberKey,
    },
    /// Other etcds may have read the member's former name.
    #[error(
        "this member registered as {name} before, and the waiting etcd nodes use that name; start it with --name \
         {name}, or create a new token for all nodes"
    )]
    CountedAs {
        /// The former name.
        name: MemberName,
    },
    /// A new member would get a place in a cluster whose members may have bootstrapped without it.
    #[error(
        "all places of this cluster have been registered, counting removed members, so the etcd nodes may have \
         bootstrapped; if they run, add this member with etcdctl member add, otherwise create another token"
    )]
    Formed,
    /// Nodes that check in form the cluster.
    #[error(
        "the nodes of this cluster use convene, so stock discovery can't register a node; start this node with \
         convene, or create another token for discovery"
    )]
    FormsByCheckIn,
    /// etcds form the cluster by the other discovery protocol. They would wait for each other forever.
    #[error(
        "the nodes of this cluster use {0} ({flags}), and etcd computes other IDs with another protocol; start this \
         node with {flags}, or create another token",
        flags = flags(*.0)
    )]
    FormsByOther(Discovery),
    /// The etcd would bootstrap with the ID of an existing member, and vote again on entries that it has forgotten.
    #[error(
        "this etcd cluster exists and has this node as a member; if its etcd runs, leave it as it is; if the node has \
         lost its data, remove the member and add it again (etcdctl member remove, etcdctl member add), or start the node \
         with convene, which does that"
    )]
    HasLostItsData,
    /// The cluster is in a later epoch. Discovery has no epochs.
    #[error(
        "this cluster was reset, and discovery has no epochs; start this node with convene, or create another token"
    )]
    WasReset,
    /// Another etcd cluster may exist under this token.
    #[error(
        "the forming of this cluster is held: {0}; an administrator can take that cluster over with convene cluster \
         adopt, or reset this one with convene cluster reset"
    )]
    Held(String),
    /// The cluster has formed, and its policy lets v2 and v3 clients only read.
    #[error(transparent)]
    StockWrites(#[from] StockWriteRefused),
    /// The record is full.
    #[error(
        "{MAX_MEMBERS} members have registered with this token, the most that a cluster may have; create another token"
    )]
    TooManyMembers,
}

/// The flags with which etcd uses a discovery protocol.
fn flags(discovery: Discovery) -> &'static str {
    match discovery {
        Discovery::V2 => "etcd --discovery",
        Discovery::V3 => "etcd --discovery-endpoints --discovery-token",
    }
}

/// The size can't change any more. Members have read it, and with two sizes they would form two clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the size has been fixed at {0} since the first member registered; create another token for another size")]
pub struct SizeIsFixed(pub ClusterSize);
