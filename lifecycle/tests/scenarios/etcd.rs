use std::collections::BTreeMap;

use convene_lifecycle::{
    ClusterId, EtcdFlags, Identity, ListedMember, MemberId, MemberList, MemberName, ObservedMember, PeerUrl,
    Registration, Revision, Task, Terms, View,
};

use crate::{
    words::Words,
    world::{Data, Node},
};

/// The membership of an etcd cluster, without its data.
pub struct Etcd {
    pub id: ClusterId,
    pub seats: Vec<Seat>,
    /// The leader, if it is up. If not, the first voter that is up leads.
    pub leader: MemberId,
    /// How many members were added since the bootstrap. No ID is used twice.
    added: u64,
}

/// A member in etcd's own list.
pub struct Seat {
    pub id: MemberId,
    /// The node for which it was added.
    pub node: String,
    /// Its name. `None` until it starts.
    pub name: Option<MemberName>,
    peer_urls: Vec<PeerUrl>,
    pub learner: bool,
    pub applied: Option<u64>,
}

impl Etcd {
    /// A cluster of these nodes with IDs that the registry can't compute.
    pub fn elsewhere<'a>(nodes: impl Iterator<Item = &'a Node>) -> Self {
        let seats = nodes.enumerate().map(|(at, node)| Seat::new(MemberId(0xe0 + at as u64), node, false));
        Self { id: ClusterId(0xc1), seats: seats.collect(), leader: MemberId(0xe0), added: 0 }
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
        });
        let seats: Vec<Seat> = seats.collect();
        let id = ClusterId::of_founders(seats.iter().map(|seat| seat.id));
        Self { id, leader: seats[0].id, seats, added: 0 }
    }

    /// The view that a node has now.
    pub fn seen_by(&self, observer: &Node, nodes: &BTreeMap<String, Node>, since: Revision) -> View {
        let up = |seat: &Seat| {
            let node = &nodes[&seat.node];
            let runs = node.running && node.data == Data::Of(self.identity(seat.id));
            let reaches = node.machine == observer.machine || !(node.hidden || observer.blind);
            runs && reaches
        };
        let voters: Vec<&Seat> = self.seats.iter().filter(|seat| !seat.learner).collect();
        let voters_up: Vec<MemberId> = voters.iter().filter(|seat| up(seat)).map(|seat| seat.id).collect();
        let has_quorum = voters_up.len() > voters.len() / 2;
        let leader = voters_up.iter().find(|id| **id == self.leader).or(voters_up.first()).copied();
        let answered = self.seats.iter().any(up);
        let members = self.seats.iter().map(|seat| ObservedMember {
            id: seat.id,
            name: seat.name.clone(),
            peer_urls: seat.peer_urls.clone(),
            client_urls: Vec::new(),
            learner: seat.learner,
            reachable: up(seat),
            identified: up(seat),
            received_bytes: None,
            round_trips: None,
            version: None,
            applied_index: seat.applied.filter(|_| up(seat)),
        });
        View {
            since,
            cluster: answered.then_some(self.id),
            linearizable: has_quorum,
            leader: leader.filter(|_| has_quorum),
            term: None,
            members: if answered { members.collect() } else { Vec::new() },
        }
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
                etcd.seat(member.id()).peer_urls.clone_from(peer_urls);
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

    fn start(&mut self, node: &mut Node) {
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
        Self { id, node: node.machine.clone(), name: None, peer_urls, learner, applied: Some(50_000) }
    }
}
