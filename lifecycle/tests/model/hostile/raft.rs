use convene_lifecycle::{ClusterId, Identity, ListedMember, MemberId, MemberList, PeerUrl};

use super::{
    rules::Broken,
    world::{Disk, World, name, peer_url, respelled},
};
use crate::etcd::quorum;

/// One etcd cluster: what its quorum has committed, and its leader.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Etcd {
    pub id: ClusterId,
    /// `--initial-cluster-token` of those that bootstrapped it.
    pub token: String,
    pub members: Vec<Entry>,
    /// The founders that have bootstrapped it.
    pub booted: Vec<MemberId>,
    /// The index of the last committed entry.
    pub index: u64,
    pub leader: Option<MemberId>,
    pub term: u64,
    /// Whether it ever had a leader, so that clients may have written to it.
    pub led: bool,
    /// Whether nodes of this token founded it. A restore drill is not real, although it has the ID of the real cluster.
    pub is_real: bool,
    /// Whether an administrator has given it up.
    pub given_up: bool,
}

/// A member in etcd's list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    pub id: MemberId,
    /// The machine with its peer URL.
    pub at: usize,
    /// Whether the list has the other spelling of the URL. Of two members that exchange their addresses, one needs it.
    pub is_respelled: bool,
    /// The node that it runs on, once it has started. Founders have their names from the beginning.
    pub name: Option<usize>,
    pub learner: bool,
    /// The highest index of its log that it has acknowledged.
    pub acknowledged: u64,
    /// How many bytes the present leader has received from it.
    pub received: u64,
    /// How many round-trip times the present leader has recorded. 0 until the leader has reached its peer URL.
    pub round_trips: u64,
}

impl Entry {
    pub fn new(id: MemberId, at: usize, name: Option<usize>, learner: bool) -> Self {
        Self { id, at, is_respelled: false, name, learner, acknowledged: 0, received: 0, round_trips: 0 }
    }

    /// Its peer URL in the list.
    pub fn peer_url(&self) -> PeerUrl {
        if self.is_respelled { respelled(self.at) } else { peer_url(self.at) }
    }
}

impl Etcd {
    /// A cluster that its founders begin to bootstrap.
    pub fn founded(id: ClusterId, token: String, members: Vec<Entry>) -> Self {
        Self {
            id,
            token,
            members,
            booted: Vec::new(),
            index: 0,
            leader: None,
            term: 0,
            led: false,
            is_real: true,
            given_up: false,
        }
    }

    pub fn voters(&self) -> impl Iterator<Item = &Entry> {
        self.members.iter().filter(|entry| !entry.learner)
    }

    pub fn member(&self, id: MemberId) -> Option<&Entry> {
        self.members.iter().find(|entry| entry.id == id)
    }

    /// The list as a database has it.
    pub fn known(&self) -> Vec<(MemberId, usize)> {
        self.members.iter().map(|entry| (entry.id, entry.at)).collect()
    }

    /// The list that an administrator reads.
    pub fn list(&self) -> MemberList {
        let members = self.members.iter().map(|entry| ListedMember {
            id: entry.id,
            name: entry.name.map(name),
            peer_urls: vec![entry.peer_url()],
            client_urls: Vec::new(),
            learner: entry.learner,
        });
        MemberList { cluster: self.id, members: members.collect() }
    }

    /// The same membership in the words of the smaller model, for etcd's own checks.
    pub fn for_guard(&self) -> crate::etcd::Etcd {
        let members = self.members.iter().map(|entry| crate::etcd::Entry {
            id: entry.id,
            node: entry.at,
            learner: entry.learner,
            named: entry.name.is_some(),
            grown: false,
        });
        let (id, members) = (self.id, members.collect());
        crate::etcd::Etcd { id, token: String::new(), members, booted: Vec::new(), committed: self.led }
    }
}

impl World {
    /// The machine on which a member's etcd runs and answers.
    pub fn host(&self, etcd: usize, id: MemberId) -> Option<usize> {
        let is_host = |n: &usize| {
            let machine = &self.machines[*n];
            machine.answers()
                && machine.disk.as_ref().is_some_and(|disk| disk.etcd == etcd && disk.identity.member == id)
        };
        (0..self.machines.len()).find(is_host)
    }

    /// Whether the first member's etcd can open connections to the second one's: it is at its listed address.
    pub fn reaches(&self, etcd: usize, from: MemberId, to: MemberId) -> bool {
        let Some(entry) = self.etcds[etcd].member(to) else { return false };
        let hosts = self.host(etcd, from).zip(self.host(etcd, to));
        hosts.is_some_and(|(from, to)| entry.at == to && self.dials(from, to))
    }

    /// Whether two members exchange messages. Each side dials the other, and messages take whichever stream is open.
    fn are_connected(&self, etcd: usize, one: MemberId, other: MemberId) -> bool {
        one == other && self.host(etcd, one).is_some()
            || self.reaches(etcd, one, other)
            || self.reaches(etcd, other, one)
    }

    /// Whether the leader hears a member.
    pub fn is_heard(&self, etcd: usize, id: MemberId) -> bool {
        self.etcds[etcd].leader.is_some_and(|leader| self.are_connected(etcd, leader, id))
    }

    /// How many voters the leader hears, itself included.
    pub fn voters_heard(&self, etcd: usize) -> usize {
        self.etcds[etcd].voters().filter(|voter| self.is_heard(etcd, voter.id)).count()
    }

    pub fn can_lead(&self, etcd: usize, id: MemberId) -> bool {
        let Some(host) = self.host(etcd, id) else { return false };
        let voters = self.etcds[etcd].voters();
        let heard = voters.filter(|voter| self.are_connected(etcd, id, voter.id)).count();
        let disk = self.machines[host].disk.as_ref();
        let is_complete = disk.is_some_and(|disk| disk.index >= self.etcds[etcd].index);
        is_complete && heard >= quorum(self.etcds[etcd].voters().count())
    }

    /// Elects leaders, and replicates the logs. A leader that can stay one does.
    pub fn elect_and_replicate(&mut self) {
        for etcd in 0..self.etcds.len() {
            let voters: Vec<MemberId> = self.etcds[etcd].voters().map(|voter| voter.id).collect();
            let present = self.etcds[etcd].leader.filter(|leader| voters.contains(leader));
            let leader = present.into_iter().chain(voters.iter().copied()).find(|id| self.can_lead(etcd, *id));
            let state = &mut self.etcds[etcd];
            if leader != state.leader {
                state.leader = leader;
                state.term += u64::from(leader.is_some());
                state.members.iter_mut().for_each(|entry| (entry.received, entry.round_trips) = (0, 0));
            }
            if leader.is_some() {
                let is_founded_now = !state.led;
                state.led = true;
                state.index = state.index.max(1);
                self.replicate(etcd);
                if is_founded_now && self.has_forged_founders && self.has_quorum_of_another(etcd) {
                    self.breaks(Broken::TwoClusters);
                }
            }
        }
    }

    /// Whether a quorum of another cluster, which has had a leader, has its data.
    fn has_quorum_of_another(&self, etcd: usize) -> bool {
        let has_data = |at: usize, voter: &Entry| {
            let is_its = |disk: &Disk| disk.etcd == at && disk.identity.member == voter.id;
            self.machines.iter().any(|machine| machine.disk.as_ref().is_some_and(is_its))
        };
        self.etcds.iter().enumerate().any(|(at, other)| {
            let is_another =
                at != etcd && other.is_real && other.led && !other.given_up && other.id != self.etcds[etcd].id;
            is_another && other.voters().filter(|voter| has_data(at, voter)).count() >= quorum(other.voters().count())
        })
    }

    fn replicate(&mut self, etcd: usize) {
        let (index, known) = (self.etcds[etcd].index, self.etcds[etcd].known());
        for id in known.iter().map(|(id, _)| *id) {
            let Some(host) = self.host(etcd, id).filter(|_| self.is_heard(etcd, id)) else { continue };
            let entry = self.etcds[etcd].members.iter_mut().find(|entry| entry.id == id);
            if let Some(entry) = entry {
                entry.acknowledged = index;
            }
            if let Some(disk) = &mut self.machines[host].disk {
                (disk.index, disk.led) = (index, true);
                if disk.known != known {
                    disk.known.clone_from(&known);
                }
            }
        }
    }

    /// Clients write, and the leaders' counters grow, for so many seconds.
    pub fn work(&mut self, seconds: u64) {
        for etcd in 0..self.etcds.len() {
            let Some(leader) = self.etcds[etcd].leader else { continue };
            self.etcds[etcd].index += seconds;
            for at in 0..self.etcds[etcd].members.len() {
                let entry = &self.etcds[etcd].members[at];
                let (is_heard, is_reached) =
                    (self.is_heard(etcd, entry.id), self.reaches(etcd, leader, entry.id) || entry.round_trips > 0);
                let is_leader = entry.id == leader;
                let entry = &mut self.etcds[etcd].members[at];
                entry.received += if is_heard && !is_leader { 500 * seconds } else { 0 };
                entry.round_trips += if is_reached && !is_leader { seconds } else { 0 };
            }
            self.replicate(etcd);
        }
    }

    /// The data of a member that has just started without any.
    pub fn fresh_disk(&self, etcd: usize, member: MemberId) -> Disk {
        let state = &self.etcds[etcd];
        let identity = Identity { member, cluster: state.id };
        Disk { identity, etcd, index: 0, led: false, known: state.known() }
    }
}
