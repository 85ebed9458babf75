use std::sync::{Arc, LazyLock};

use convene_lifecycle::{Cluster, ClusterId, Identity, Liveness, MemberId, MemberName, PeerUrl, View};

use crate::{
    etcd::{Entry, Etcd, quorum},
    steps::Rules,
};

/// The largest number of nodes in a configuration.
const MOST_NODES: usize = 5;

/// Everything that a step can depend on: the registry, the nodes, etcd, a delayed check-in, and the remaining faults.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub cluster: Arc<Cluster>,
    pub liveness: Liveness,
    pub nodes: Vec<Node>,
    pub etcds: Vec<Etcd>,
    /// A check-in that the network delays. Its sender no longer waits for the answer.
    pub delayed_check_in: Option<CheckIn>,
    pub budget: Budget,
    /// The first property that is violated. Such a state has no further steps.
    pub broken: Option<Broken>,
}

/// A machine with the client, and with an etcd or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Node {
    /// Whether the machine is down.
    pub down: bool,
    /// Counts the client's runs.
    pub run: u8,
    pub disk: Option<Identity>,
    /// Whether its etcd runs.
    pub running: bool,
    /// Whether it is cut off from the other nodes. Its check-ins still reach the registry.
    pub cut: bool,
    pub client: ClientState,
}

/// What a client does next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientState {
    /// Check in.
    #[default]
    Idle,
    /// Check in with its view.
    Observed(Arc<View>),
    /// Execute its instruction.
    Instructed(NodeTask),
    /// Make the membership change of its instruction: the member list is as the terms expect it.
    Verified(NodeTask),
}

/// The task of an instruction, as far as the model needs it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NodeTask {
    Start,
    Archive,
    /// The token, the cluster that results, and the roster.
    Bootstrap {
        token: String,
        cluster: ClusterId,
        roster: Vec<(usize, MemberId)>,
    },
    /// The nodes that `--initial-cluster` names.
    Join {
        roster: Vec<usize>,
    },
    /// A membership change. `expect` is the expected member list, with whether each member is a learner.
    Change {
        change: Change,
        expect: Vec<(MemberId, bool)>,
    },
}

/// A membership change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    Add {
        learner: bool,
    },
    Remove {
        id: MemberId,
        /// Whether the removal had been requested when the instruction was given.
        requested: bool,
    },
    Promote {
        id: MemberId,
    },
}

/// A check-in: the state of the node when it sent it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckIn {
    pub node: usize,
    pub run: u8,
    pub disk: Option<Identity>,
    pub running: bool,
    pub view: Option<Arc<View>>,
}

/// How many faults and requests of each kind are still possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    pub crashes: u8,
    pub disks: u8,
    pub cuts: u8,
    pub delayed_check_ins: u8,
    pub evictions: u8,
    /// The number of the configuration's sizes that have not been set yet.
    pub resizes: u8,
}

/// A property that is violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Broken {
    /// One token and epoch has yielded two etcd clusters, or a founder bootstrapped again without its data.
    TwoClusters,
    /// A new epoch has begun although a node has data of the last one.
    EpochOverData,
    /// A cluster with quorum lost it, and no machine had failed.
    QuorumLost,
    /// A live member was removed without a request.
    AliveRemoved,
    /// Data of a present member was set aside.
    DataSetAside,
    /// A repeated report led to another instruction or to another change.
    NotSettled,
}

impl Broken {
    /// The property.
    pub fn property(self) -> &'static str {
        match self {
            Self::TwoClusters => "one token and epoch yields one etcd cluster",
            Self::EpochOverData => "no epoch begins over data",
            Self::QuorumLost => "no instruction costs the quorum",
            Self::AliveRemoved => "no live member is removed without a request",
            Self::DataSetAside => "no member's data is set aside",
            Self::NotSettled => "a repeated check-in changes nothing",
        }
    }
}

impl State {
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

    /// The leader: the first voter that is up. `None` without a quorum.
    pub fn leader(&self, etcd: &Etcd) -> Option<MemberId> {
        etcd.voters().find(|voter| self.has_quorum(etcd) && self.is_up(etcd, voter)).map(|voter| voter.id)
    }

    pub fn etcd(&self, id: ClusterId) -> Option<&Etcd> {
        self.etcds.iter().find(|etcd| etcd.id == id)
    }

    /// The etcd cluster that the registry manages.
    pub fn current(&self) -> Option<&Etcd> {
        self.cluster.cluster_id.and_then(|id| self.etcd(id))
    }

    /// Whether the cluster has its size, and every member is a voter and up.
    pub fn is_whole(&self) -> bool {
        let size = self.cluster.size.get() as usize;
        self.current().is_some_and(|etcd| {
            etcd.members.len() == size && etcd.members.iter().all(|entry| !entry.learner && self.is_up(etcd, entry))
        })
    }

    /// Whether the cluster can become whole: there are enough nodes that may be members, and it has a quorum or has not formed.
    /// If clients end, one more node is needed, which promotes the last one that joins.
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
    /// Whether its client runs.
    pub fn has_client(&self, rules: &Rules) -> bool {
        !(self.down || rules.clients_end && self.running)
    }
}

impl ClientState {
    pub fn task(&self) -> Option<&NodeTask> {
        match self {
            Self::Instructed(task) | Self::Verified(task) => Some(task),
            Self::Idle | Self::Observed(_) => None,
        }
    }

    pub fn view(&self) -> Option<&Arc<View>> {
        match self {
            Self::Observed(view) => Some(view),
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
