use std::sync::{Arc, LazyLock};

use convene_lifecycle::{Cluster, ClusterId, Identity, Liveness, MemberId, MemberName, PeerUrl, View};

use crate::{
    etcd::{Entry, Etcd, quorum},
    steps::Rules,
};

/// How many nodes a configuration may have.
const MOST_NODES: usize = 5;

/// Everything that a step can depend on: the registry, the nodes, etcd, what is under way, and which faults are left.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub cluster: Arc<Cluster>,
    pub liveness: Liveness,
    pub nodes: Vec<Node>,
    pub etcds: Vec<Etcd>,
    /// A check-in that is under way for long, whose sender does not wait for the answer any more.
    pub letter: Option<Letter>,
    pub budget: Budget,
    /// The first property that does not hold; nothing happens any more in a world that is broken.
    pub broken: Option<Broken>,
}

/// A machine with the client and perhaps an etcd.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Node {
    /// Whether the machine is down.
    pub down: bool,
    /// Counts the client's runs.
    pub run: u8,
    pub disk: Option<Identity>,
    /// Whether its etcd runs.
    pub running: bool,
    /// Whether it is cut off from the other nodes; the registry still hears it.
    pub cut: bool,
    pub desk: Desk,
}

/// What a client is about to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Desk {
    /// To check in.
    #[default]
    Idle,
    /// To check in with what it saw.
    Looked(Arc<View>),
    /// To do as it was told.
    Told(Order),
    /// To do as it was told; it has found the member list to be as expected.
    Verified(Order),
}

/// An instruction, without what is for people only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    Start,
    Archive,
    /// With which token, to which cluster, and who is in the roster.
    Bootstrap {
        token: String,
        cluster: ClusterId,
        roster: Vec<(usize, MemberId)>,
    },
    /// The nodes that `--initial-cluster` names.
    Join {
        roster: Vec<usize>,
    },
    /// A change of membership; `expect` says who has to be in the list, and whether as learner.
    Change {
        change: Change,
        expect: Vec<(MemberId, bool)>,
    },
}

/// A change of membership.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    Add {
        learner: bool,
    },
    Remove {
        id: MemberId,
        /// Whether somebody had asked for it when the order was given.
        asked: bool,
    },
    Promote {
        id: MemberId,
    },
}

/// A check-in: what the node was like when it sent it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Letter {
    pub node: usize,
    pub run: u8,
    pub disk: Option<Identity>,
    pub running: bool,
    pub view: Option<Arc<View>>,
}

/// How often each fault may still happen, and each wish be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    pub crashes: u8,
    pub disks: u8,
    pub cuts: u8,
    pub letters: u8,
    pub evictions: u8,
    /// How many of the configuration's sizes have not been set yet.
    pub resizes: u8,
}

/// A property that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Broken {
    /// One token and epoch has yielded two etcd clusters, or a founder that forgot what it had promised.
    TwoClusters,
    /// A new epoch has begun although somebody has data of the last one.
    EpochOverData,
    /// A cluster with quorum lost it, and no machine had failed.
    QuorumLost,
    /// A member that is alive was removed, and nobody had asked for it.
    AliveRemoved,
    /// Data of a present member was set aside.
    DataSetAside,
    /// The same report again led to another instruction or to another change.
    NotSettled,
}

impl Broken {
    /// What does not hold.
    pub fn property(self) -> &'static str {
        match self {
            Self::TwoClusters => "one token and epoch yields one etcd cluster",
            Self::EpochOverData => "no epoch begins over data",
            Self::QuorumLost => "no instruction costs the quorum",
            Self::AliveRemoved => "nobody alive is removed unasked",
            Self::DataSetAside => "no member's data is set aside",
            Self::NotSettled => "asking again changes nothing",
        }
    }
}

impl World {
    /// Whether a member answers the others.
    pub fn is_up(&self, etcd: &Etcd, entry: &Entry) -> bool {
        let node = &self.nodes[entry.node];
        node.running && !node.cut && node.disk == Some(Identity { member: entry.id, cluster: etcd.id })
    }

    pub fn voters_up(&self, etcd: &Etcd) -> usize {
        etcd.voters().filter(|voter| self.is_up(etcd, voter)).count()
    }

    pub fn has_quorum(&self, etcd: &Etcd) -> bool {
        self.voters_up(etcd) >= quorum(etcd.voters().count())
    }

    pub fn etcd(&self, id: ClusterId) -> Option<&Etcd> {
        self.etcds.iter().find(|etcd| etcd.id == id)
    }

    /// The etcd cluster that the registry looks after.
    pub fn current(&self) -> Option<&Etcd> {
        self.cluster.cluster_id.and_then(|id| self.etcd(id))
    }

    /// Whether the cluster is as it should be: of its size, and every member a voter and up.
    pub fn is_whole(&self) -> bool {
        let size = self.cluster.size.get() as usize;
        self.current().is_some_and(|etcd| {
            etcd.members.len() == size && etcd.members.iter().all(|entry| !entry.learner && self.is_up(etcd, entry))
        })
    }

    /// Whether the cluster has all that it takes to become whole: nodes that may be members, and a quorum, unless it
    /// has yet to form. If clients end, then one node more has to be there, which promotes the last one that joins.
    pub fn can_be_whole(&self, rules: &Rules) -> bool {
        let evicted = |name: &MemberName| {
            self.cluster.record.iter().any(|member| member.name() == name && member.eviction.is_some())
        };
        let fit = |(n, node): (usize, &Node)| !node.down && !node.cut && !evicted(&name(n));
        let fit = self.nodes.iter().enumerate().filter(|(n, node)| fit((*n, node))).count();
        let has_quorum = self.current().is_some_and(|etcd| self.has_quorum(etcd));
        let needed = self.cluster.size.get() as usize + usize::from(rules.clients_end);
        fit >= needed && (has_quorum || self.cluster.formed.is_none())
    }
}

impl Node {
    /// Whether somebody checks in for it.
    pub fn has_client(&self, rules: &Rules) -> bool {
        !(self.down || rules.clients_end && self.running)
    }
}

impl Desk {
    pub fn order(&self) -> Option<&Order> {
        match self {
            Self::Told(order) | Self::Verified(order) => Some(order),
            Self::Idle | Self::Looked(_) => None,
        }
    }

    pub fn view(&self) -> Option<&Arc<View>> {
        match self {
            Self::Looked(view) => Some(view),
            _ => None,
        }
    }
}

pub fn name(node: usize) -> MemberName {
    static NAMES: LazyLock<Vec<MemberName>> =
        LazyLock::new(|| (0..MOST_NODES).map(|n| format!("n{n}").parse().expect("a name")).collect());
    NAMES[node].clone()
}

pub fn peer_url(node: usize) -> PeerUrl {
    static PEER_URLS: LazyLock<Vec<PeerUrl>> = LazyLock::new(|| {
        let urls = (0..MOST_NODES).map(|n| PeerUrl::parse(&format!("http://10.0.0.{n}:2380")));
        urls.collect::<Result<_, _>>().expect("URLs")
    });
    PEER_URLS[node].clone()
}

/// The node whose peer URL this is.
pub fn node_at(url: &str) -> usize {
    let octet = url.strip_prefix("http://10.0.0.").and_then(|rest| rest.strip_suffix(":2380"));
    octet.and_then(|octet| octet.parse().ok()).expect("a peer URL of the model")
}
