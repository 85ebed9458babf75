//! What one machine sees: the etcds that it reaches and that answer.

use std::collections::BTreeSet;

use convene_lifecycle::{Identity, MemberId, ObservedMember, View};

use super::world::{World, machine_at, name};

/// The member list that a machine reads now.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// The number of the etcd cluster.
    pub etcd: usize,
    /// Whether the list was read through the quorum.
    pub linearizable: bool,
}

impl World {
    /// The machines whose addresses a machine's client knows: its own, those on record, and those in its own database.
    pub fn addresses(&self, n: usize) -> BTreeSet<usize> {
        let on_record = self.cluster.members().flat_map(|member| &member.registration.peer_urls);
        let in_database = self.machines[n].disk.iter().flat_map(|disk| &disk.known);
        let mut machines: BTreeSet<usize> = on_record.map(|url| machine_at(url.as_str())).collect();
        machines.extend(in_database.map(|(_, at)| *at));
        machines.insert(n);
        machines.retain(|at| *at < self.machines.len());
        machines
    }

    /// The list that a machine reads now: through a quorum if possible, from its own etcd if possible.
    pub fn read(&self, n: usize) -> Option<Reading> {
        let mut answering: Vec<usize> = self.addresses(n).into_iter().filter(|at| self.gets_answer(n, *at)).collect();
        answering.sort_by_key(|at| *at != n);
        let reading = |at: usize| {
            let disk = self.machines[at].disk.as_ref()?;
            let is_voter = self.etcds[disk.etcd].member(disk.identity.member).is_some_and(|entry| !entry.learner);
            let linearizable = is_voter && self.is_heard(disk.etcd, disk.identity.member);
            Some(Reading { etcd: disk.etcd, linearizable })
        };
        let readings: Vec<Reading> = answering.into_iter().filter_map(reading).collect();
        readings.iter().find(|reading| reading.linearizable).or(readings.first()).copied()
    }

    /// Whether the etcd at an address answers this machine.
    pub fn gets_answer(&self, from: usize, to: usize) -> bool {
        to < self.machines.len() && self.machines[to].answers() && self.dials(from, to)
    }

    /// The identity with which the etcd at an address answers this machine.
    pub fn answer(&self, from: usize, to: usize) -> Option<Identity> {
        self.gets_answer(from, to).then(|| self.machines[to].identity()).flatten()
    }

    /// Another machine, at an address that this one knows, that answers as this machine's own member.
    pub fn visible_twin(&self, n: usize) -> Option<usize> {
        let own = self.machines[n].identity()?;
        let mut addresses = self.addresses(n);
        if let Some(reading) = self.read(n) {
            addresses.extend(self.etcds[reading.etcd].members.iter().map(|entry| entry.at));
        }
        addresses.into_iter().find(|at| *at != n && self.answer(n, *at) == Some(own))
    }

    /// Observes the cluster, right after an answer with the present revision.
    pub fn observe(&self, n: usize) -> View {
        let since = self.cluster.revision;
        let nothing = View { since, cluster: None, linearizable: false, leader: None, term: None, members: Vec::new() };
        let Some(reading) = self.read(n) else { return nothing };
        let etcd = &self.etcds[reading.etcd];
        let leader = etcd.leader.filter(|leader| self.can_ask_for_leader(n, reading.etcd, *leader));
        let leader_host = leader.and_then(|leader| self.host(reading.etcd, leader));
        let reads_counters = leader_host.is_some_and(|host| self.gets_answer(n, host));
        let members = etcd.members.iter().map(|entry| {
            let answer = self.answer(n, entry.at);
            let identified = answer == Some(Identity { member: entry.id, cluster: etcd.id });
            let counts = reads_counters && leader != Some(entry.id);
            let host = self.host(reading.etcd, entry.id).filter(|_| identified);
            let index = host.and_then(|host| self.machines[host].disk.as_ref()).map(|disk| disk.index);
            ObservedMember {
                id: entry.id,
                name: entry.name.map(name),
                peer_urls: vec![entry.peer_url()],
                client_urls: Vec::new(),
                learner: entry.learner,
                reachable: answer.is_some_and(|identity| identity.cluster == etcd.id),
                identified,
                received_bytes: counts.then_some(entry.received),
                round_trips: counts.then_some(entry.round_trips),
                version: None,
                applied_index: index,
                matched_index: None,
            }
        });
        View {
            since,
            cluster: Some(etcd.id),
            linearizable: reading.linearizable,
            leader,
            term: leader.map(|_| etcd.term),
            members: members.collect(),
        }
    }

    /// Whether a machine learns who leads: a member that the leader hears answers it.
    fn can_ask_for_leader(&self, n: usize, etcd: usize, leader: MemberId) -> bool {
        let answers = |id: MemberId| {
            let host = self.host(etcd, id);
            host.is_some_and(|host| self.gets_answer(n, host)) && self.is_heard(etcd, id)
        };
        answers(leader) || self.etcds[etcd].members.iter().any(|entry| answers(entry.id))
    }
}
