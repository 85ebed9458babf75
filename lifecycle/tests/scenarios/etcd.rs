use std::collections::BTreeMap;

use convene_lifecycle::{
    ClusterId, EtcdFlags, Identity, ListedMember, MemberId, MemberList, MemberName, ObservedMember, PeerUrl,
    Reachability, Registration, Revision, Task, Terms, View,
};

use crate::{
    words::Words,
    world::{Data, Node},
};

/// The membership of an etcd cluster, without its data.
#[derive(Clone)]
pub struct Etcd {
    pub id: ClusterId,
    pub seats: Vec<Seat>,
    /// The leader, if it is up. If not, the first voter that is up leads.
    pub leader: MemberId,
    /// The leader's term.
    term: u64,
    /// How many bytes the leader has received from each member in this term.
    received: BTreeMap<MemberId, u64>,
    /// Whether nobody can read the metrics of any member.
    pub hides_metrics: bool,
    /// How many members were added since the bootstrap. No ID is used twice.
    added: u64,
}

/// A member in etcd's own list.
#[derive(Clone)]
pub struct Seat {
    pub id: MemberId,
    /// The node for which it was added.
    pub node: String,
    /// Its name. `None` until it starts.
    pub name: Option<MemberName>,
    peer_urls: Vec<PeerUrl>,
    pub learner: bool,
    pub applied: Option<u64>,
    /// How much of its log it has confirmed to the leader. `None` if nobody can read that.
    pub matched: Option<u64>,
}

impl Etcd {
    /// A cluster of these nodes with IDs that the registry can't compute.
    pub fn elsewhere<'a>(nodes: impl Iterator<Item = &'a Node>) -> Self {
        let seats = nodes.enumerate().map(|(at, node)| Seat::new(MemberId(0xe0 + at as u64), node, false));
        Self::with(ClusterId(0xc1), seats.collect(), MemberId(0xe0))
    }

    fn bootstrapped(start: &EtcdFlags) -> Self {
        let pairs = start.initial_cluster.split(',').map(|pair| Registration::parse(pair).unwrap());
        let seats = pairs.map(|pair| Seat {
            id: MemberId::of_founder(&pair.peer_urls, &start.initial_cluster_token),
            node: pair.name.to_string(),
            // etcd knows the names of founders from `--initial-cluster`.
            name: Some(pair.name),
            peer_urls: pair.peer_urls,
            learner: false,
            applied: Some(50_000),
            matched: None,
        });
        let seats: Vec<Seat> = seats.collect();
        let id = ClusterId::of_founders(seats.iter().map(|seat| seat.id));
        let leader = seats[0].id;
        Self::with(id, seats, leader)
    }

    fn with(id: ClusterId, seats: Vec<Seat>, leader: MemberId) -> Self {
        Self { id, seats, leader, term: 2, received: BTreeMap::new(), hides_metrics: false, added: 0 }
    }

    /// A member becomes the leader.
    pub fn elect(&mut self, leader: MemberId) {
        (self.leader, self.term) = (leader, self.term + 1);
        self.received.clear();
    }

    /// The voters elect a leader, if theirs is down. After a time without a quorum, the next leader has another term.
    pub fn elect_if_leaderless(&mut self, nodes: &BTreeMap<String, Node>) {
        let connected = self.connected_voters(nodes);
        if !connected.contains(&self.leader) {
            self.elect(connected.first().copied().unwrap_or(self.leader));
        }
    }

    /// Time passes: the leader receives bytes from the members that it hears.
    pub fn pass(&mut self, nodes: &BTreeMap<String, Node>, seconds: u64) {
        self.elect_if_leaderless(nodes);
        let hears = |seat: &&Seat| seat.id != self.leader && self.hears(seat, nodes);
        let heard: Vec<MemberId> = self.seats.iter().filter(hears).map(|seat| seat.id).collect();
        for id in heard {
            *self.received.entry(id).or_default() += 450 * seconds;
        }
    }

    /// Whether the leader hears a member. The leader hears itself.
    fn hears(&self, seat: &Seat, nodes: &BTreeMap<String, Node>) -> bool {
        let Some(leader) = self.seats.iter().find(|seat| seat.id == self.leader) else { return false };
        let (node, leader) = (&nodes[&seat.node], &nodes[&leader.node]);
        let is_cut = leader.cut_from.contains(&node.machine) || node.cut_from.contains(&leader.machine);
        let is_partitioned = |node: &Node| node.hidden && node.blind;
        self.runs(seat, nodes)
            && (node.machine == leader.machine || !(is_cut || is_partitioned(node) || is_partitioned(leader)))
    }

    fn runs(&self, seat: &Seat, nodes: &BTreeMap<String, Node>) -> bool {
        nodes[&seat.node].running && nodes[&seat.node].data == Data::Of(self.identity(seat.id))
    }

    /// The voters that can elect a leader. Empty if they are no quorum.
    fn connected_voters(&self, nodes: &BTreeMap<String, Node>) -> Vec<MemberId> {
        let voters: Vec<&Seat> = self.seats.iter().filter(|seat| !seat.learner).collect();
        let is_connected = |seat: &&&Seat| {
            let node = &nodes[&seat.node];
            self.runs(seat, nodes) && (voters.len() == 1 || !(node.hidden && node.blind))
        };
        let connected: Vec<MemberId> = voters.iter().filter(is_connected).map(|seat| seat.id).collect();
        if connected.len() > voters.len() / 2 { connected } else { Vec::new() }
    }

    /// The view that a node has now.
    pub fn seen_by(&self, observer: &Node, nodes: &BTreeMap<String, Node>, since: Revision) -> View {
        let up = |seat: &Seat| self.answers(seat, observer, nodes);
        let connected = self.connected_voters(nodes);
        let has_quorum = self.seats.iter().any(|seat| connected.contains(&seat.id) && up(seat));
        let answered = self.seats.iter().any(up);
        let reads_metrics =
            has_quorum && !self.hides_metrics && self.seats.iter().any(|seat| seat.id == self.leader && up(seat));
        let of_leader = |seat: &Seat, metric: u64| (reads_metrics && seat.id != self.leader).then_some(metric);
        let members = self.seats.iter().map(|seat| ObservedMember {
            id: seat.id,
            name: seat.name.clone(),
            peer_urls: seat.peer_urls.clone(),
            client_urls: Vec::new(),
            learner: seat.learner,
            reachable: up(seat),
            identified: up(seat),
            received_bytes: of_leader(seat, self.received.get(&seat.id).copied().unwrap_or_default()),
            round_trips: of_leader(seat, Self::round_trips(&nodes[&seat.node])),
            version: nodes[&seat.node].etcd_version.filter(|_| up(seat)),
            applied_index: seat.applied.filter(|_| up(seat)),
            matched_index: seat.matched.filter(|_| of_leader(seat, 0).is_some()),
        });
        View {
            since,
            cluster: answered.then_some(self.id),
            linearizable: has_quorum,
            leader: has_quorum.then_some(self.leader),
            term: has_quorum.then_some(self.term),
            members: if answered { members.collect() } else { Vec::new() },
        }
    }

    /// Whether a member answers a node at its client URLs.
    fn answers(&self, seat: &Seat, observer: &Node, nodes: &BTreeMap<String, Node>) -> bool {
        let node = &nodes[&seat.node];
        let is_cut = node.hidden || observer.blind || observer.cut_from.contains(&node.machine);
        self.runs(seat, nodes) && (node.machine == observer.machine || !is_cut)
    }

    fn round_trips(node: &Node) -> u64 {
        if node.behind_nat || node.unprobed { 0 } else { 7 }
    }

    /// Which members the agent of a node reaches now.
    pub fn reached_by(&self, observer: &Node, nodes: &BTreeMap<String, Node>) -> Vec<Reachability> {
        let others = self.seats.iter().filter(|seat| seat.node != observer.machine);
        let look = |seat: &Seat| {
            let answers = self.answers(seat, observer, nodes);
            let peer = Some(answers && !nodes[&seat.node].behind_nat && !nodes[&seat.node].misleads);
            Reachability { member: seat.id, peer, client: Some(answers) }
        };
        others.map(look).collect()
    }

    /// Executes a node's task. A membership change is made only if its terms hold.
    pub fn execute(etcd: &mut Option<Self>, node: &mut Node, task: &Task, words: &mut Words) {
        if let Task::Bootstrap(start) = task {
            let id = Self::bootstrapped(start).id;
            let etcd = match etcd {
                Some(etcd) if etcd.id == id => etcd,
                _ => etcd.insert(Self::bootstrapped(start)),
            };
            return etcd.start(node);
        }
        let Some(etcd) = etcd else { return };
        etcd.check(task.terms());
        match task {
            Task::Join(_) => etcd.start(node),
            Task::Start(_) => node.running = true,
            Task::ArchiveData => (node.running, node.data) = (false, Data::Nothing),
            Task::RemoveMember { member, .. } => etcd.seats.retain(|seat| Some(seat.id) != member.id()),
            Task::Leave { member, .. } => {
                etcd.seats.retain(|seat| Some(seat.id) != member.id());
                node.running = false;
            }
            Task::AddMember { learner, .. } => {
                let id = etcd.add(node, *learner);
                words.name(id.into(), &node.name);
            }
            Task::UpdateMember { member, peer_urls, .. } => {
                let seat = etcd.seat(member.id());
                seat.peer_urls.clone_from(peer_urls);
                // A copy that gets the member's place runs on another machine.
                seat.node.clone_from(&node.machine);
            }
            Task::Promote { member, .. } => etcd.seat(member.id()).learner = false,
            _ => {}
        }
    }

    /// The member list as an administrator reads it.
    pub fn list(&self) -> MemberList {
        let members = self.seats.iter().map(|seat| ListedMember {
            id: seat.id,
            name: seat.name.clone(),
            peer_urls: seat.peer_urls.clone(),
            client_urls: Vec::new(),
            learner: seat.learner,
        });
        MemberList { cluster: self.id, members: members.collect() }
    }

    /// A node's etcd starts as the member that was added for the node.
    pub fn start(&mut self, node: &mut Node) {
        let id = self.id;
        let seat = self.seats.iter_mut().find(|seat| seat.peer_urls == node.peer_urls).expect("the node is a member");
        seat.name = Some(node.name.parse().unwrap());
        node.data = Data::Of(Identity { member: seat.id, cluster: id });
        node.running = true;
    }

    fn check(&self, terms: Option<&Terms>) {
        let Some(terms) = terms else { return };
        let mut present: Vec<(MemberId, bool)> = self.seats.iter().map(|seat| (seat.id, seat.learner)).collect();
        present.sort_unstable();
        let expected: Vec<(MemberId, bool)> = terms.expect.iter().map(|one| (one.id, one.learner)).collect();
        assert_eq!(present, expected, "etcd's list is not what the terms expect");
    }

    fn identity(&self, member: MemberId) -> Identity {
        Identity { member, cluster: self.id }
    }

    /// The present seat of a node.
    pub fn seat_of(&mut self, node: &str) -> &mut Seat {
        self.seats.iter_mut().rfind(|seat| seat.node == node).expect("the node is a member")
    }

    fn seat(&mut self, id: Option<MemberId>) -> &mut Seat {
        self.seats.iter_mut().find(|seat| Some(seat.id) == id).expect("the member exists")
    }

    /// Adds a member for a node.
    pub fn add(&mut self, node: &Node, learner: bool) -> MemberId {
        self.added += 1;
        let id = MemberId(0xadd0 + self.added);
        self.seats.push(Seat::new(id, node, learner));
        id
    }
}

impl Seat {
    fn new(id: MemberId, node: &Node, learner: bool) -> Self {
        let peer_urls = node.peer_urls.clone();
        Self { id, node: node.machine.clone(), name: None, peer_urls, learner, applied: Some(50_000), matched: None }
    }
}
