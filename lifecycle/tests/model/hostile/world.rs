use std::{
    mem,
    sync::{Arc, LazyLock},
};

use convene_lifecycle::{
    Cluster, ClusterId, Identity, Liveness, MemberId, MemberName, PeerUrl, Reason, RunId, Task, UnixMillis, View,
};

use super::{raft::Etcd, rules::Broken};

/// The most machines of a world.
pub const MOST_MACHINES: usize = 6;

/// The machine number that stands for an address at which nothing runs.
pub const NOWHERE: usize = 9;

/// The registry, the machines with their disks and processes, the etcd clusters, and the network between the machines.
#[derive(Clone, Debug, Hash)]
pub struct World {
    pub now: UnixMillis,
    pub cluster: Arc<Cluster>,
    pub liveness: Liveness,
    /// A copy of the registry's database.
    pub backup: Option<Arc<Cluster>>,
    pub machines: Vec<Machine>,
    /// Every etcd cluster that has ever existed. A disk refers to one by its number.
    pub etcds: Vec<Etcd>,
    /// Whether the first machine can't open connections to the second one.
    pub cuts: [[bool; MOST_MACHINES]; MOST_MACHINES],
    /// Whether somebody has made up reports about the founders, so that the registry may have given up an attempt to form the cluster.
    pub has_forged_founders: bool,
    /// The first property that is violated. Such a world takes no further steps.
    pub broken: Option<Broken>,
    /// The properties that are not checked.
    pub off: &'static [Broken],
    /// Whether two processes ran as one member, and neither could see the other. Raft does not survive that, so such a world
    /// takes no further steps.
    pub over: bool,
}

/// A machine with a client, and with an etcd or not. Its number is its address.
#[derive(Clone, Debug, Hash)]
pub struct Machine {
    /// The number of the node's name. A copy of a machine has the name of the original.
    pub name: usize,
    pub on: bool,
    /// Since when the whole machine has been suspended.
    pub frozen: Option<UnixMillis>,
    /// Since when its client has been suspended. Its etcd is not.
    pub client_frozen: Option<UnixMillis>,
    /// Whether its client can't reach the registry.
    pub offline: bool,
    pub flaw: Option<Flaw>,
    /// Whether its client ends once its etcd runs as a voter (`convene join`), and starts again only after etcd has ended.
    pub joins_only: bool,
    /// Whether it is a copy of another machine, in operation at its own address.
    pub is_copy: bool,
    pub run: u32,
    pub sequence: u64,
    pub disk: Option<Disk>,
    /// The members whose data its client has archived.
    pub archived: Vec<MemberId>,
    /// The number of the disk that its data directory is on.
    pub disk_number: u32,
    /// The disk that its data directory is on if a mount is missing, or if a mount that was missing is there again.
    pub other_disk: OtherDisk,
    pub process: Process,
    pub client: Client,
    /// The last answer of the registry.
    pub answer: Answer,
    /// When its client last reported to the registry that its etcd runs or starts.
    pub reported_etcd: Option<UnixMillis>,
    /// When somebody last forged a check-in of its node.
    pub hidden_at: Option<UnixMillis>,
}

/// Why a node can't be a member, until somebody corrects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// etcd ends soon after each start, such as on a full disk.
    CrashLoop,
    /// etcd can't join: its version does not fit.
    CannotJoin,
    /// The client's etcd user may not change the membership.
    NoRights,
}

/// A data directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Disk {
    pub identity: Identity,
    /// The number of its etcd cluster.
    pub etcd: usize,
    /// The index of the last entry in its log.
    pub index: u64,
    /// Whether its log has an entry of a leader.
    pub led: bool,
    /// The member list in its database, with the machine of each member.
    pub known: Vec<(MemberId, usize)>,
}

/// A disk that a machine has, and on which its data directory is not at present.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct OtherDisk {
    pub data: Option<Disk>,
    pub archived: Vec<MemberId>,
    pub number: u32,
}

/// An etcd process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Process {
    Off,
    /// It loads its data, and does not answer.
    Loading,
    Running,
}

/// The name of a task, and why the node got it. It makes no difference to what happens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer {
    pub task: &'static str,
    pub reason: &'static str,
}

impl std::hash::Hash for Answer {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

/// What a client does next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Client {
    /// Check in.
    #[default]
    Idle,
    /// Check in with its view.
    Observed(Arc<View>),
    /// Execute its order.
    Instructed(Arc<Order>),
    /// The client has verified what the membership change rests on, and etcd has not received the request yet.
    Sent(Arc<Order>, Sent),
}

/// An instruction, and what was true when it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub task: Task,
    pub reason: Reason,
    /// When it was given, by a clock that counts suspension or not.
    pub given_at: UnixMillis,
    /// The cluster of the view that it rests on.
    pub seen: Option<ClusterId>,
    /// Whether an administrator had requested the removal when the instruction was given, or the size requires it.
    pub requested: bool,
    /// Whether the member to remove was alive by its own recent check-in when the instruction was given.
    pub victim_reports: bool,
    /// Whether another machine that runs as this node's member had checked in recently when the instruction was given.
    pub twin_reports: bool,
}

/// When a request for a membership change was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sent {
    /// The number of the etcd cluster that receives it.
    pub etcd: usize,
    pub at: UnixMillis,
    /// Whether the member to remove ran although the leader did not hear it. It may be heard again by the time that etcd
    /// receives the request: that can't be prevented, only kept short.
    pub victim_ran_unheard: bool,
}

impl std::hash::Hash for Order {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let ticket = self.task.terms().map(|terms| terms.ticket);
        (self.task.as_str(), self.reason.as_str(), self.given_at, self.requested, ticket).hash(state);
    }
}

impl Machine {
    pub fn new(name: usize) -> Self {
        Self {
            name,
            on: true,
            frozen: None,
            client_frozen: None,
            offline: false,
            flaw: None,
            joins_only: false,
            is_copy: false,
            run: 1,
            sequence: 0,
            disk: None,
            archived: Vec::new(),
            disk_number: 0,
            other_disk: OtherDisk { number: 1, ..OtherDisk::default() },
            process: Process::Off,
            client: Client::Idle,
            answer: Answer::default(),
            reported_etcd: None,
            hidden_at: None,
        }
    }

    pub fn identity(&self) -> Option<Identity> {
        self.disk.as_ref().map(|disk| disk.identity)
    }

    /// Whether it is up, and its client is not suspended.
    pub fn is_up(&self) -> bool {
        self.on && self.frozen.is_none() && self.client_frozen.is_none()
    }

    /// Whether its etcd answers those who reach it.
    pub fn answers(&self) -> bool {
        self.on && self.frozen.is_none() && self.process == Process::Running
    }

    /// Ends its client and its etcd. Both can start again.
    pub fn stop(&mut self) {
        (self.process, self.client) = (Process::Off, Client::Idle);
        (self.frozen, self.client_frozen) = (None, None);
    }

    /// The name of its client's run, at this address.
    pub fn run_id(&self, n: usize) -> RunId {
        format!("m{n}-r{}", self.run).parse().expect("a run")
    }

    /// Its data directory is on the other disk from now on: a mount is missing, or there again.
    pub fn remount(&mut self) {
        let other = &mut self.other_disk;
        mem::swap(&mut self.disk, &mut other.data);
        mem::swap(&mut self.archived, &mut other.archived);
        mem::swap(&mut self.disk_number, &mut other.number);
    }

    /// Starts the next run of its client.
    pub fn start_client(&mut self) {
        (self.run, self.sequence, self.client) = (self.run + 1, 0, Client::Idle);
    }
}

impl World {
    /// Whether packets of the first machine reach the second one and the answers come back, if the first one opens the
    /// connection.
    pub fn dials(&self, from: usize, to: usize) -> bool {
        from < self.machines.len()
            && to < self.machines.len()
            && self.machines[from].on
            && self.machines[to].on
            && (from == to || !self.cuts[from][to])
    }

    /// The machine whose etcd runs or loads as this member, other than `than`.
    pub fn runner(&self, etcd: usize, member: MemberId, than: Option<usize>) -> Option<usize> {
        let is_runner = |n: &usize| {
            let machine = &self.machines[*n];
            let has_data = |disk: &Disk| disk.etcd == etcd && disk.identity.member == member;
            machine.on && machine.process != Process::Off && machine.disk.as_ref().is_some_and(has_data)
        };
        (0..self.machines.len()).filter(|n| Some(*n) != than).find(is_runner)
    }

    /// The etcd cluster that this token's nodes founded, unless an administrator has given it up.
    pub fn real(&self) -> Option<usize> {
        (0..self.etcds.len()).rev().find(|at| {
            let etcd = &self.etcds[*at];
            etcd.led && etcd.is_real && !etcd.given_up
        })
    }

    /// Whether a machine's client runs and is not suspended.
    pub fn has_client(&self, n: usize) -> bool {
        let machine = &self.machines[n];
        machine.is_up() && !(machine.joins_only && machine.process == Process::Running && self.is_voter(n))
    }

    fn is_voter(&self, n: usize) -> bool {
        let disk = self.machines[n].disk.as_ref();
        let entry = disk.and_then(|disk| self.etcds[disk.etcd].member(disk.identity.member));
        entry.is_some_and(|entry| !entry.learner)
    }

    /// The member with a node's name on record.
    pub fn member_of(&self, node: usize) -> Option<MemberId> {
        let name = name(node);
        self.cluster.members().find(|member| *member.name() == name).and_then(|member| member.key.id())
    }
}

pub fn name(node: usize) -> MemberName {
    static NAMES: LazyLock<Vec<MemberName>> =
        LazyLock::new(|| (0..=NOWHERE).map(|n| format!("n{n}").parse().expect("a name")).collect());
    NAMES[node].clone()
}

pub fn peer_url(machine: usize) -> PeerUrl {
    static PEER_URLS: LazyLock<Vec<PeerUrl>> = LazyLock::new(|| {
        let urls = (0..=NOWHERE).map(|n| PeerUrl::parse(&format!("http://10.0.0.{n}:2380")));
        urls.collect::<Result<_, _>>().expect("URLs")
    });
    PEER_URLS[machine].clone()
}

/// Another spelling of a peer URL, which etcd takes for another one.
pub fn respelled(machine: usize) -> PeerUrl {
    peer_url(machine).other_spelling().expect("an IP address")
}

/// The machine whose peer URL this is, in any spelling.
pub fn machine_at(url: &str) -> usize {
    let (_, host) = url.rsplit_once("10.0.0.").expect("a peer URL of the world");
    let octet = host.split([']', ':']).next().and_then(|octet| octet.parse().ok());
    octet.expect("a peer URL of the world")
}
