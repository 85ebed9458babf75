//! What somebody does who knows the token, and nothing else: reports that are made up, and writes by v2 discovery.

use std::{sync::Arc, time::Duration};

use convene_lifecycle::{
    Action, ClusterId, DataEvidence, Discovery, Identity, Member, MemberId, NodeState, ObservedMember, Registration,
    Report, Revision, RunId, View,
};

use super::{
    registry::blank_report,
    rules::Rules,
    world::{Machine, NOWHERE, World, name},
};

/// A forgery about a node, or about the whole cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forgery {
    /// A quorum's list with one member that nobody knows.
    ListOfAStranger,
    /// A quorum's list without the node's member.
    ListWithout(usize),
    /// The node runs, and sees all others down, also by the leader's counters.
    SeesOthersDown(usize),
    /// The node has data of its member, of another cluster.
    OtherCluster(usize),
    /// The node's member runs at an address at which nothing runs.
    RunsElsewhere(usize),
    /// The node has data, and etcd does not run.
    Stopped(usize),
    /// The node's etcd loads its data.
    Starts(usize),
    /// The node has no data, and sees its own member down.
    Empty(usize),
    /// All nodes have no data, in runs that were not instructed.
    FoundersEmpty,
    /// All nodes have data without an entry of a leader.
    FoundersNeverLed,
    /// A view of a later state than the registry's.
    LaterView,
    /// The node's key is deleted by v2 discovery.
    DeleteKey(usize),
    /// All names are rotated by v2 discovery.
    RotateNames,
}

const OTHER: ClusterId = ClusterId(0xbad);

/// The machine whose credential was stolen, if nodes have credentials.
const THIEF: usize = 0;

impl World {
    pub fn forge(&mut self, forgery: Forgery, rules: &Rules) {
        match forgery {
            // Once a cluster has formed, the discovery token changes nothing. Founders check in themselves.
            Forgery::DeleteKey(_) | Forgery::RotateNames | Forgery::FoundersEmpty | Forgery::FoundersNeverLed
                if rules.has_credentials => {}
            Forgery::DeleteKey(node) => self.delete_key(node),
            Forgery::RotateNames => self.rotate_names(),
            Forgery::FoundersEmpty | Forgery::FoundersNeverLed => self.forge_founders(forgery, rules),
            _ => {
                if let Some(mut report) = self.forged_report(forgery) {
                    if rules.has_credentials {
                        report.name = name(THIEF);
                    }
                    self.handle_forged(&report, rules);
                }
            }
        }
    }

    fn handle_forged(&mut self, report: &Report, rules: &Rules) {
        if !self.is_admitted(report) {
            return;
        }
        self.handle(report, rules);
        // The registry keeps one check-in a node, so a forged one hides the real one.
        let is_hidden = |machine: &&mut Machine| name(machine.name) == report.name;
        self.machines.iter_mut().filter(is_hidden).for_each(|machine| machine.hidden_at = Some(self.now));
    }

    /// Two reports about each node, by which the attempt to form the cluster may be given up. No member answers the forger.
    fn forge_founders(&mut self, forgery: Forgery, rules: &Rules) {
        self.has_forged_founders = true;
        for _ in 0..2 {
            self.now = self.now.after(Duration::from_secs(1));
            for node in 0..self.machines.len() {
                let Some(identity) = self.member_of(node).and_then(|id| self.identity_of(id)) else { continue };
                let (since, cluster) = (self.cluster.revision, None);
                let view = View { since, cluster, linearizable: false, leader: None, term: None, members: Vec::new() };
                let blank = blank_report(node, node, "forged".parse().expect("a run"));
                let blank = Report { view: Some(view), ..blank };
                let report = match forgery {
                    Forgery::FoundersEmpty => blank,
                    _ => {
                        let data = DataEvidence { last_index: Some(0), never_led: true };
                        Report { state: NodeState::Stopped(identity), data, ..blank }
                    }
                };
                self.handle_forged(&report, rules);
            }
        }
    }

    fn forged_report(&self, forgery: Forgery) -> Option<Report> {
        let run: RunId = "forged".parse().expect("a run");
        let of_spare = blank_report(NOWHERE, NOWHERE, run.clone());
        let of_node = |node: usize| blank_report(node, node, run.clone());
        let identity = |node: usize| self.identity_of(self.member_of(node)?);
        Some(match forgery {
            Forgery::ListOfAStranger => {
                let stranger = observed(MemberId(0x666), NOWHERE, true);
                let view = View { leader: Some(stranger.id), members: vec![stranger], ..self.listed_view(true) };
                Report { view: Some(view), ..of_spare }
            }
            Forgery::ListWithout(node) => {
                let mut view = self.listed_view(true);
                let id = self.member_of(node)?;
                view.members.retain(|member| member.id != id);
                view.leader = view.members.first().map(|member| member.id);
                Report { view: Some(view), ..of_spare }
            }
            Forgery::SeesOthersDown(node) => {
                let own = identity(node)?;
                let mut view = self.listed_view(false);
                view.leader = Some(own.member);
                Report { state: NodeState::Running(own), view: Some(view), ..of_node(node) }
            }
            Forgery::OtherCluster(node) => {
                let member = self.member_of(node)?;
                Report { state: NodeState::Stopped(Identity { member, cluster: OTHER }), ..of_node(node) }
            }
            Forgery::RunsElsewhere(node) => {
                let of_copy = blank_report(node, NOWHERE, run.clone());
                Report { state: NodeState::Running(identity(node)?), ..of_copy }
            }
            Forgery::Stopped(node) => Report { state: NodeState::Stopped(identity(node)?), ..of_node(node) },
            Forgery::Starts(node) => Report { state: NodeState::Starting(identity(node)?), ..of_node(node) },
            Forgery::Empty(node) => {
                let mut view = self.listed_view(true);
                let id = self.member_of(node)?;
                view.members.iter_mut().filter(|member| member.id == id).for_each(|member| {
                    (member.reachable, member.identified, member.applied_index) = (false, false, None);
                });
                view.leader = view.members.iter().find(|member| member.id != id).map(|member| member.id);
                Report { view: Some(view), ..of_node(node) }
            }
            Forgery::LaterView => {
                let since = Revision(self.cluster.revision.0 + 1_000);
                Report { view: Some(View { since, ..self.listed_view(true) }), ..of_spare }
            }
            Forgery::DeleteKey(_) | Forgery::RotateNames | Forgery::FoundersEmpty | Forgery::FoundersNeverLed => {
                return None;
            }
        })
    }

    /// A view with the members on record, all up or all down.
    fn listed_view(&self, up: bool) -> View {
        let members = self.cluster.members().filter_map(|member| {
            let id = member.key.id()?;
            Some(ObservedMember {
                peer_urls: member.registration.peer_urls.clone(),
                name: Some(member.name().clone()),
                learner: !member.is_voter(),
                ..observed(id, NOWHERE, up)
            })
        });
        let members: Vec<ObservedMember> = members.collect();
        View {
            since: self.cluster.revision,
            cluster: self.cluster.cluster_id,
            linearizable: true,
            leader: members.first().map(|member| member.id),
            term: Some(1),
            members,
        }
    }

    /// Without a voter on record, nobody would find the cluster unless one of its nodes checks in.
    fn delete_key(&mut self, node: usize) {
        if self.cluster.voters().count() < 2 || self.cluster.voters().count() > self.cluster.size.get() as usize {
            return;
        }
        let Some(key) = self.member_of(node).map(Into::into) else { return };
        let change = self.cluster.remove(&key, Discovery::V2, Action::Delete, self.now);
        if let Some(after) = change.and_then(|change| change.after) {
            self.cluster = Arc::new(after);
        }
    }

    fn rotate_names(&mut self) {
        let members: Vec<Arc<Member>> = self.cluster.members().cloned().collect();
        for (at, member) in members.iter().enumerate() {
            let next = &members[(at + 1) % members.len()];
            let registration = Registration { name: next.name().clone(), ..member.registration.clone() };
            let key = member.key.clone();
            let Some(removed) = self.cluster.remove(&key, Discovery::V2, Action::Delete, self.now) else { continue };
            let Some(without) = removed.after else { continue };
            let put = without.register(key, registration, Discovery::V2, Action::Set, self.now);
            if let Some(after) = put.ok().and_then(|put| put.after) {
                self.cluster = Arc::new(after);
            }
        }
    }
}

fn observed(id: MemberId, at: usize, up: bool) -> ObservedMember {
    ObservedMember {
        id,
        name: Some(name(at)),
        peer_urls: vec![super::world::peer_url(at)],
        client_urls: Vec::new(),
        learner: false,
        reachable: up,
        identified: up,
        received_bytes: Some(1),
        round_trips: Some(1),
        version: None,
        applied_index: up.then_some(1),
        matched_index: None,
    }
}
