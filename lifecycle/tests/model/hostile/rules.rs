//! The properties of a world, and the rules that its clients and its server follow.

use std::time::Duration;

use convene_lifecycle::{Member, MemberId, Reason, ReportedState};

use super::{
    raft::{Entry, Etcd},
    world::{Disk, Flaw, Machine, Process, World, name, peer_url},
};
use crate::{etcd::Guard, registry::Planner};

/// How long a client waits for the answer to a membership change before it takes back the request.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A property that is violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Broken {
    /// A second cluster was founded while a machine had data of the first one.
    TwoClusters,
    /// A member started without the data that it had.
    StartedWithoutData,
    /// A cluster with quorum lost it, and no machine had failed.
    QuorumLost,
    /// A live member was removed without a request.
    AliveRemoved,
    /// Data was set aside although its member is in its cluster's list, and no quorum made up for it.
    DataSetAside,
    /// A node started as a member, or took over its address, while another one ran as that member in plain sight.
    TwoProcesses,
    /// A learner that no voter reaches was made a voter.
    UnreachablePromoted,
    /// A repeated report led to another instruction or to another change.
    NotSettled,
    /// In the end nothing fails any more, and the cluster does not become whole.
    NeverWhole,
}

impl Broken {
    pub fn property(self) -> &'static str {
        match self {
            Self::TwoClusters => "nobody founds a cluster next to one that exists",
            Self::StartedWithoutData => "no member starts without the data that it had",
            Self::QuorumLost => "no instruction costs the quorum",
            Self::AliveRemoved => "no live member is removed without a request",
            Self::DataSetAside => "no data of a listed member is set aside",
            Self::TwoProcesses => "no two processes run as one member",
            Self::UnreachablePromoted => "no voter is out of the voters' reach from its promotion on",
            Self::NotSettled => "a repeated check-in changes nothing",
            Self::NeverWhole => "the cluster becomes whole once nothing fails any more",
        }
    }
}

/// What the steps depend on besides the world.
#[derive(Clone, Copy)]
pub struct Rules {
    pub planner: Planner,
    pub client: ClientRules,
    pub guard: Guard,
    /// Whether the server decides by what it knows. What it knows and a node does not see binds an honest server only.
    pub is_honest: bool,
    /// Whether a repeated check-in must change nothing.
    pub settles: bool,
    /// Whether each node has a credential of its own. Who makes up reports has that of the first node, and nothing else.
    pub has_credentials: bool,
    /// The properties that are not checked.
    pub off: &'static [Broken],
}

/// What a client verifies itself, whatever the server has instructed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientRules {
    /// Before it archives data: that a quorum has just shown that the data is not needed.
    pub verifies_archive: bool,
    /// And that members at addresses which its own data knows are among those that show it.
    pub asks_known_members: bool,
    /// Before it bootstraps: that it has not archived data of the founder that it would be.
    pub looks_for_archives: bool,
    /// And that no founder runs another cluster.
    pub looks_at_founders: bool,
    /// Before it starts etcd or changes its address: that nobody answers as its member elsewhere.
    pub looks_for_twin: bool,
    /// Before it removes a member that nobody asked to remove: that the leader does not hear it and that it does not answer.
    pub looks_again: bool,
    /// Whether its clock counts the time for which it was suspended.
    pub counts_suspension: bool,
    /// Whether it takes back a request for a membership change that takes too long.
    pub takes_back_requests: bool,
}

impl ClientRules {
    /// The rules of evidence.
    pub const CAREFUL: Self = Self {
        verifies_archive: true,
        asks_known_members: true,
        looks_for_archives: true,
        looks_at_founders: true,
        looks_for_twin: true,
        looks_again: true,
        counts_suspension: true,
        takes_back_requests: true,
    };

    /// A client that does what the server instructs. It still drops what is too old.
    pub const OBEDIENT: Self = Self {
        verifies_archive: false,
        asks_known_members: false,
        looks_for_archives: false,
        looks_at_founders: false,
        looks_for_twin: false,
        looks_again: false,
        counts_suspension: true,
        takes_back_requests: true,
    };
}

impl Rules {
    /// The real planner and careful clients.
    pub const REAL: Self = Self {
        planner: convene_lifecycle::plan,
        client: ClientRules::CAREFUL,
        guard: Guard::Newer,
        is_honest: true,
        settles: true,
        has_credentials: false,
        off: &[],
    };
}

/// Whether an administrator or the node itself asked for a removal with this reason, or the learner is one too many.
pub fn is_requested(reason: Reason) -> bool {
    matches!(reason, Reason::Evicted | Reason::Shrink | Reason::Leaving | Reason::AddressChanged | Reason::Full)
}

impl World {
    pub fn breaks(&mut self, broken: Broken) {
        if !self.off.contains(&broken) {
            self.broken = self.broken.or(Some(broken));
        }
    }

    /// Whether the cluster has its size, and the leader hears every member, all of which vote. Only a smaller size
    /// asks for removals, and only of voters that are older than it.
    pub fn is_whole(&self) -> bool {
        let size = self.cluster.size.get() as usize;
        let asks = self.cluster.surplus_voters() > 0;
        let sizes = size..=if asks { size } else { self.cluster.voters().count().max(size) };
        self.real().is_some_and(|real| {
            let etcd = &self.etcds[real];
            sizes.contains(&etcd.members.len())
                && etcd.members.iter().all(|entry| !entry.learner && self.is_heard(real, entry.id))
        })
    }

    /// Whether the cluster can become whole without a person: enough machines are fit, and those of them that have data are
    /// a quorum, or the cluster has not formed.
    pub fn can_be_whole(&self) -> bool {
        let size = self.cluster.size.get() as usize;
        let fit: Vec<usize> = (0..self.machines.len()).filter(|n| self.is_fit(*n)).collect();
        // Somebody has to check in: a node whose client goes on, or one without data that knows a member's address.
        let knows_member = |n: usize| {
            let is_member = |at: &usize| fit.contains(at) && self.machines[*at].disk.is_some();
            self.real().is_none() || self.addresses(n).iter().any(is_member)
        };
        let acts = |n: &usize| match self.machines[*n].disk {
            None => knows_member(*n),
            Some(_) => !self.machines[*n].joins_only,
        };
        if fit.len() < size || !fit.iter().any(acts) || self.addresses_conflict() {
            return false;
        }
        let Some(real) = self.real() else { return self.can_be_founded(&fit) };
        let etcd = &self.etcds[real];
        // A disk that went back may lack what its member has acknowledged. It does not count. Nor does one that seems to have gone
        // back, because somebody made up how far its member was.
        let data = |voter: &Entry| {
            let reported = self.liveness.members.get(&voter.id.into()).and_then(|known| known.applied);
            let furthest = voter.acknowledged.max(reported.unwrap_or(0));
            let of_voter = fit
                .iter()
                .filter_map(|n| Some((*n, self.machines[*n].disk.as_ref()?)))
                .filter(|(_, disk)| disk.etcd == real && disk.identity.member == voter.id && disk.index >= furthest);
            of_voter.map(|(n, disk)| Data { index: disk.index, is_in_place: n == voter.at }).max()
        };
        let voters: Vec<Data> = etcd.voters().filter_map(data).collect();
        let quorum = crate::etcd::quorum(etcd.voters().count());
        voters.iter().enumerate().any(|(at, leader)| {
            let is_connected =
                |(other, voter): &(usize, &Data)| *other == at || leader.is_in_place || voter.is_in_place;
            leader.index >= etcd.index && voters.iter().enumerate().filter(is_connected).count() >= quorum
        })
    }

    /// Whether a machine is at the address that etcd lists for a member elsewhere, which a person has to resolve: of two
    /// members that swapped their addresses, etcd accepts neither new address. Or whether the client of a member that has
    /// moved has ended, so that nobody updates the address.
    fn addresses_conflict(&self) -> bool {
        let Some(real) = self.real() else { return false };
        self.etcds[real].members.iter().any(|entry| {
            let has_data = |machine: &Machine| machine.identity().is_some_and(|own| own.member == entry.id);
            let of_member = self.machines.iter().position(|machine| machine.on && has_data(machine));
            let has_moved = of_member.is_some_and(|n| n != entry.at);
            let is_taken = self.machines.get(entry.at).is_some_and(|machine| machine.on);
            let takes_another = self.etcds[real].members.iter().any(|other| Some(other.at) == of_member);
            let is_listed_twice =
                self.etcds[real].members.iter().any(|other| other.at == entry.at && other.id != entry.id);
            is_listed_twice
                || has_moved && (is_taken || takes_another || of_member.is_some_and(|n| self.machines[n].joins_only))
        })
    }

    /// Whether the cluster can be founded: no data has ever had a leader, and all founders are fit. A person restarts the
    /// etcd of a founder that waits for one that has lost its data, and resets a cluster with a founder that was made up or is
    /// gone, or one that is held because of data that has never had a leader.
    fn can_be_founded(&self, fit: &[usize]) -> bool {
        let has_led = |machine: &Machine| machine.disk.as_ref().is_some_and(|disk| disk.led);
        // A person mounts the disk of a founder that has written data to it.
        if self.machines.iter().any(|machine| machine.other_disk.data.is_some()) {
            return false;
        }
        let of_name = |member: &Member| fit.iter().copied().find(|n| name(self.machines[*n].name) == *member.name());
        let founders: Option<Vec<(&Member, usize)>> =
            self.cluster.members().map(|member| Some((&**member, of_name(member)?))).collect();
        let Some(founders) = founders else { return false };
        let is_made_up = |member: &Member| {
            member.started
                && !self.machines.iter().any(|machine| machine.identity().map(|own| own.member) == member.key.id())
        };
        // A node that moves before the last one registers is a founder at its former address.
        let has_moved = |(member, n): &(&Member, usize)| !member.has_peer_urls(&[peer_url(*n)]);
        // A person resets a cluster of which somebody made up that it has had a leader.
        let seems_led =
            |member: &Member| member.started && member.founder.as_ref().is_some_and(|founder| founder.issued.is_none());
        let is_unused = self.machines.iter().all(|machine| machine.disk.is_none());
        // A person also restarts an etcd without a leader whose attempt was given up in made-up reports.
        let is_given_up = |machine: &Machine| {
            machine.process != Process::Off && machine.identity().map(|own| own.cluster) != self.cluster.cluster_id
        };
        let awaits_restart = self.has_forged_founders && self.machines.iter().any(is_given_up);
        // A founder whose etcd ends after each start waits for a person. Such a node may become one after a reset.
        let fails = |machine: &Machine| machine.is_up() && machine.flaw == Some(Flaw::CrashLoop);
        !awaits_restart
            && !self.machines.iter().any(fails)
            && !self.machines.iter().any(has_led)
            && (self.cluster.held.is_none() || is_unused)
            && !founders.iter().any(|(member, _)| is_made_up(member) || seems_led(member))
            && match self.cluster.formed {
                None => !founders.iter().any(has_moved),
                Some(_) => self.can_bootstrap(&founders) && self.has_founders_on_record(),
            }
    }

    /// Whether each founder has its data, or can bootstrap. One that has been instructed to bootstrap and has no data may have lost
    /// it, which needs a new epoch. A new epoch begins without a person only if all founders are like that.
    fn can_bootstrap(&self, founders: &[(&Member, usize)]) -> bool {
        let runs = self.machines.iter().any(|machine| machine.process != Process::Off);
        let has_data = |n: usize| self.machines[n].disk.is_some();
        let is_lost = |(member, n): &(&Member, usize)| {
            let issued = member.bootstrap_issued();
            !has_data(*n) && issued.is_some_and(|issued| issued.run != self.machines[*n].run_id(*n))
        };
        // One that starts while another has moved runs without it, until a person restarts it.
        let has_moved = |(member, n): &(&Member, usize)| !member.has_peer_urls(&[peer_url(*n)]);
        let starts = |founder: &(&Member, usize)| !has_moved(founder) && !is_lost(founder);
        let misses = founders.iter().any(has_moved) && (runs || founders.iter().any(starts));
        // Nor does the registry know of one that has started without it: the next epoch may begin meanwhile.
        let reports_etcd = |state| matches!(state, ReportedState::Loading(_) | ReportedState::Etcd(_));
        let is_unseen = |machine: &Machine| {
            let node = self.liveness.nodes.get(&name(machine.name));
            machine.process != Process::Off && !node.is_some_and(|node| reports_etcd(node.state))
        };
        // A person resets a cluster that has formed only in a made-up report.
        !founders.is_empty()
            && !misses
            && !self.machines.iter().any(is_unseen)
            && (founders.iter().all(|(_, n)| has_data(*n))
                || !runs && (founders.iter().all(is_lost) || !founders.iter().any(is_lost)))
    }

    /// Whether nobody has made up the removal of a founder.
    fn has_founders_on_record(&self) -> bool {
        let is_on_record = |entry: &Entry| self.cluster.member(&entry.id.into()).is_some();
        let of_epoch = |etcd: &&Etcd| self.cluster.cluster_id == Some(etcd.id);
        // No etcd may have started in this epoch.
        let was_removed_since = |formed| {
            self.cluster
                .record
                .iter()
                .any(|member| member.founder.is_some() && member.removed.is_some_and(|removal| removal.at > formed))
        };
        self.etcds.iter().filter(of_epoch).flat_map(|etcd| &etcd.members).all(is_on_record)
            && !self.cluster.formed.is_some_and(was_removed_since)
    }

    /// Whether a machine can be a member without a person. A copy can't.
    fn is_fit(&self, n: usize) -> bool {
        let machine = &self.machines[n];
        let own_name = name(machine.name);
        let is_evicted =
            self.cluster.record.iter().any(|member| *member.name() == own_name && member.eviction.is_some());
        // Data of a removed member stays until a person moves it, once no member is left that the data knows.
        let is_in_place = |(id, at): &(MemberId, usize)| {
            self.machines.get(*at).and_then(Machine::identity).is_some_and(|own| own.member == *id)
        };
        let is_known = |disk: &Disk| {
            let present = self.etcds[disk.etcd].known();
            disk.known.iter().any(|known| present.contains(known) && is_in_place(known))
        };
        let is_own = machine
            .disk
            .as_ref()
            .is_none_or(|disk| self.real().is_none() || Some(disk.etcd) == self.real() && is_known(disk));
        machine.is_up()
            && !machine.offline
            && !machine.is_copy
            && machine.flaw.is_none()
            && !is_evicted
            && is_own
            && !(0..self.machines.len()).any(|other| self.cuts[n][other] || self.cuts[other][n])
    }
}

/// The data of a voter. Of two voters, one has to be at its listed address for them to find each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Data {
    index: u64,
    is_in_place: bool,
}
