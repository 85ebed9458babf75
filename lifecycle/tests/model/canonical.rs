//! Reduces states that no decision can distinguish to one canonical state, so that the state space is finite: revisions,
//! times and runs are replaced by their order, and data that no decision uses is dropped.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use convene_lifecycle::{
    Founder, Member, MemberId, MemberKey, MemberName, ObservedMember, ReceivedBytes, Removal, ReportedState, Revision,
    Role, RunId, Setback, StartIssued, UnixMillis, View,
};

use crate::{
    clock::{FRESH, LONG_AGO, NOW, OLD, is_fresh},
    state::{Change, ClientState, Node, NodeTask, State, name},
    steps::Rules,
};

/// The distance between the canonical revisions of two views, which leaves room for the changes of a cluster in between.
const STRIDE: u64 = 100;

impl State {
    /// The canonical state: without everything that makes no difference.
    pub fn canonical(mut self) -> Self {
        self.forget_removed();
        self.reduce_counters();
        self.reduce_times();
        self.reduce_runs();
        self.reduce_revisions();
        self
    }

    /// An unused member ID.
    pub fn fresh_id(&self, node: usize) -> MemberId {
        let used = self.ids();
        let on_record = |id| self.cluster.record.iter().any(|member| member.key.id() == Some(id));
        let base = 0x1000 * (node as u64 + 1);
        let mut ids = (base..).map(MemberId);
        ids.find(|id| !used.contains(id) && !on_record(*id)).expect("numbers don't run out")
    }

    /// The members that are referred to outside the registry's record.
    fn ids(&self) -> BTreeSet<MemberId> {
        let mut ids: BTreeSet<MemberId> =
            self.nodes.iter().filter_map(|node| node.disk).map(|disk| disk.member).collect();
        ids.extend(self.etcds.iter().flat_map(|etcd| etcd.members.iter().map(|entry| entry.id)));
        ids.extend(self.etcds.iter().flat_map(|etcd| etcd.booted.iter().copied()));
        ids.extend(self.views().flat_map(|view| view.members.iter().map(|seen| seen.id)));
        ids.extend(self.delayed_check_in.iter().filter_map(|check_in| check_in.disk).map(|disk| disk.member));
        for task in self.nodes.iter().filter_map(|node| node.client.task()) {
            match task {
                NodeTask::Bootstrap { roster, .. } => ids.extend(roster.iter().map(|(_, id)| *id)),
                NodeTask::Change { change, expect } => {
                    ids.extend(expect.iter().map(|(id, _)| *id));
                    if let Change::Remove { id, .. } | Change::Promote { id } = change {
                        ids.insert(*id);
                    }
                }
                NodeTask::Start | NodeTask::Archive | NodeTask::Join { .. } => {}
            }
        }
        ids
    }

    fn views(&self) -> impl Iterator<Item = &Arc<View>> {
        let of_clients = self.nodes.iter().filter_map(|node| node.client.view());
        of_clients.chain(self.delayed_check_in.iter().filter_map(|check_in| check_in.view.as_ref()))
    }

    /// Drops removed members, unless something still refers to them, or an eviction keeps their nodes out.
    fn forget_removed(&mut self) {
        let ids = self.ids();
        let mut last: BTreeMap<MemberName, Revision> = BTreeMap::new();
        for member in &self.cluster.record {
            let at = member.removed.map_or(Revision(u64::MAX), |removal| removal.at);
            let last = last.entry(member.name().clone()).or_insert(at);
            *last = at.max(*last);
        }
        let is_needed = |member: &Member| {
            let Some(removal) = member.removed else { return true };
            let is_referred_to = member.key.id().is_some_and(|id| ids.contains(&id));
            let is_issued = member.join_issued.as_ref().is_some_and(|issued| !member.started && is_fresh(issued.at));
            is_referred_to || is_issued || (member.eviction.is_some() && last.get(member.name()) == Some(&removal.at))
        };
        let cluster = Arc::make_mut(&mut self.cluster);
        cluster.record.retain(|member| is_needed(member));
        cluster.earlier_cluster_ids.sort_unstable();
        let is_current = |id| cluster.cluster_id == Some(id);
        let nodes = &self.nodes;
        self.etcds.retain(|etcd| {
            is_current(etcd.id)
                || nodes.iter().any(|node| {
                    let ordered =
                        matches!(node.client.task(), Some(NodeTask::Bootstrap { token, .. }) if *token == etcd.token);
                    ordered || node.disk.is_some_and(|disk| disk.cluster == etcd.id)
                })
        });
        self.etcds.sort_by_key(|etcd| etcd.id);
    }

    /// Counts what the leader has received from each member from the recorded reading on. Views that were not recorded yet
    /// have the present numbers, because these change only while time passes.
    fn reduce_counters(&mut self) {
        let Some(cluster) = self.cluster.cluster_id else { return };
        let Some(etcd) = self.etcds.iter_mut().find(|etcd| etcd.id == cluster) else { return };
        let mut numbers = BTreeMap::new();
        for entry in &mut etcd.members {
            let received =
                self.liveness.members.get_mut(&entry.id.into()).and_then(|contact| contact.received.as_mut());
            entry.grown &= received.as_ref().is_some_and(|received| received.bytes < entry.received_bytes());
            if let Some(received) = received {
                received.bytes = 1;
            }
            numbers.insert(entry.id, entry.received_bytes());
        }
        for view in self.views_mut() {
            let is_outdated = |seen: &ObservedMember| {
                seen.received_bytes.is_some() && seen.received_bytes != numbers.get(&seen.id).copied()
            };
            if view.members.iter().any(is_outdated) {
                for seen in &mut Arc::make_mut(view).members {
                    seen.received_bytes = seen.received_bytes.and(numbers.get(&seen.id).copied());
                }
            }
        }
    }

    /// There is another leader, or another term. Its counters start at zero.
    pub fn forget_counters(&mut self) {
        self.liveness.members.values_mut().for_each(|contact| contact.received = None);
        self.etcds.iter_mut().flat_map(|etcd| &mut etcd.members).for_each(|entry| entry.grown = false);
        for view in self.views_mut() {
            Arc::make_mut(view).members.iter_mut().for_each(|seen| seen.received_bytes = None);
        }
    }

    fn views_mut(&mut self) -> impl Iterator<Item = &mut Arc<View>> {
        let of_clients = self.nodes.iter_mut().filter_map(|node| match &mut node.client {
            ClientState::Observed(view) => Some(view),
            _ => None,
        });
        of_clients.chain(self.delayed_check_in.iter_mut().filter_map(|check_in| check_in.view.as_mut()))
    }

    fn reduce_times(&mut self) {
        let cluster = Arc::make_mut(&mut self.cluster);
        let liveness = &mut self.liveness;
        cluster.created_at = LONG_AGO;
        cluster.first_registered_at = cluster.first_registered_at.map(|_| LONG_AGO);
        cluster.tickets = 1;
        if let Some(ticket) = &mut cluster.ticket {
            // The lease of a ticket runs from the last check-in of its holder, not from the grant.
            ticket.number = 1;
            ticket.granted_at = LONG_AGO;
            ticket.progress_at = reduced_to_fresh(ticket.progress_at);
        }
        cluster.setbacks.retain(|_, setback| is_fresh(setback.at));
        for setback in cluster.setbacks.values_mut() {
            *setback = Setback { count: 1, at: FRESH };
        }
        for member in &mut cluster.record {
            let checked_in_since = |at: UnixMillis| liveness.nodes.get(member.name()).is_some_and(|node| node.at > at);
            let founder = member.founder.clone().filter(|_| member.removed.is_none() && !member.started);
            let founder = founder.map(|founder| Founder {
                issued: founder.issued.map(|issued| StartIssued {
                    at: if checked_in_since(issued.at) { LONG_AGO } else { FRESH },
                    ..issued
                }),
                disk: founder.disk,
            });
            // The record of an instruction to join counts by its age, whether its member is present or not.
            let join_issued = member
                .join_issued
                .clone()
                .filter(|issued| !member.started && (member.removed.is_none() || is_fresh(issued.at)));
            let join_issued = join_issued.map(|issued| StartIssued { at: reduced_to_fresh(issued.at), ..issued });
            let eviction = member.eviction.map(|_| LONG_AGO);
            // Members are shared by many states, and most stay as they are.
            if (&member.founder, &member.join_issued, member.eviction) != (&founder, &join_issued, eviction) {
                let member = Arc::make_mut(member);
                (member.founder, member.join_issued, member.eviction) = (founder, join_issued, eviction);
            }
        }
        liveness.since = LONG_AGO;
        liveness.nodes.retain(|_, node| is_fresh(node.at));
        for node in liveness.nodes.values_mut() {
            (node.at, node.empty_since, node.before) = (FRESH, None, None);
            // Decisions depend only on whether it had no data before the cluster existed or while a node is last in line, and on
            // whether it runs etcd afterwards.
            node.state = match node.state {
                ReportedState::Etcd(identity) if cluster.member(&identity.member.into()).is_some() => node.state,
                ReportedState::Nothing if cluster.bootstrapped.is_none() || !cluster.setbacks.is_empty() => {
                    ReportedState::Nothing
                }
                _ => ReportedState::Unreadable,
            };
            if node.state != ReportedState::Nothing || cluster.bootstrapped.is_some() {
                node.run = RunId::unnamed();
            }
        }
        liveness.members.retain(|key, _| cluster.member(key).is_some());
        for (key, contact) in &mut liveness.members {
            let contacted = [contact.checked_in, contact.answered, contact.heard].into_iter().flatten().any(is_fresh);
            (contact.checked_in, contact.heard) = (contacted.then_some(FRESH), None);
            // Only of learners does it matter whether they answered.
            let is_learner = cluster.member(key).is_some_and(|member| !member.is_voter());
            contact.answered = contact.answered.filter(|at| is_learner && is_fresh(*at)).map(|_| FRESH);
            (contact.failed_starts, contact.starts) = (0, None);
            // Disks of the model never go back to an older copy.
            contact.applied = None;
            contact.failing = contact.failing.map(|(first, last)| (reduced(first), reduced(last)));
            let unreached = contact.unreached_by_voters.filter(|(_, last)| *last != LONG_AGO);
            contact.unreached_by_voters = unreached.map(|(first, last)| (reduced(first), reduced(last)));
            contact.received = contact.received.filter(|received| received.last != LONG_AGO).map(|received| {
                ReceivedBytes { since: reduced(received.since), last: reduced(received.last), ..received }
            });
        }
        liveness.members.retain(|_, contact| {
            let is_probed = contact.failing.is_some() || contact.unreached_by_voters.is_some();
            is_probed || contact.checked_in.is_some() || contact.received.is_some()
        });
        debug_assert!(is_fresh(NOW) && is_fresh(FRESH) && !is_fresh(OLD));
    }

    fn reduce_runs(&mut self) {
        let cluster = Arc::make_mut(&mut self.cluster);
        for (n, node) in self.nodes.iter_mut().enumerate() {
            let own_name = name(n);
            let issued = cluster.record.iter().filter(|member| *member.name() == own_name);
            let issued = issued.filter_map(|member| run_issued(member)).collect::<Vec<u8>>();
            let check_in = self.delayed_check_in.as_mut().filter(|check_in| check_in.node == n);
            let mut runs: BTreeSet<u8> = issued.into_iter().chain([node.run]).collect();
            runs.extend(check_in.as_ref().map(|check_in| check_in.run));
            let last_check_in = self.liveness.nodes.get_mut(&own_name);
            runs.extend(last_check_in.as_ref().and_then(|node| run_number(&node.run)));
            let rank = |run: u8| runs.iter().position(|other| *other == run).unwrap_or_default() as u8;
            node.run = rank(node.run);
            if let Some(node) = last_check_in
                && let Some(run) = run_number(&node.run)
            {
                node.run = format!("r{}", rank(run)).parse().expect("a run");
            }
            if let Some(check_in) = check_in {
                check_in.run = rank(check_in.run);
            }
            for member in cluster.record.iter_mut().filter(|member| *member.name() == own_name) {
                let Some(run) = run_issued(member) else { continue };
                let member = Arc::make_mut(member);
                let issued =
                    member.founder.as_mut().map_or(member.join_issued.as_mut(), |founder| founder.issued.as_mut());
                if let Some(issued) = issued {
                    issued.run = format!("r{}", rank(run)).parse().expect("a run");
                }
            }
        }
    }

    /// A revision matters only by its position relative to the pending views, and by the order of members.
    fn reduce_revisions(&mut self) {
        let views: Vec<Revision> = self.views().map(|view| view.since).collect::<BTreeSet<_>>().into_iter().collect();
        let class = |revision: Revision| views.partition_point(|view| *view < revision) as u64 * STRIDE;
        let of_view = |since: Revision| Revision(class(since) + STRIDE - 1);
        let cluster = Arc::make_mut(&mut self.cluster);
        let mut removals: Vec<Revision> =
            cluster.record.iter().filter_map(|member| member.removed).map(|gone| gone.at).collect();
        removals.sort_unstable();
        cluster.revision = of_view(cluster.revision);
        let is_older = |member: &Arc<Member>| cluster.size_lowered.is_some_and(|lowered| member.created <= lowered);
        let older_than_size = cluster.record.partition_point(is_older);
        (cluster.size_created, cluster.size_modified, cluster.size_version) = (Revision::FIRST, Revision::FIRST, 1);
        cluster.formed = cluster.formed.map(|_| Revision::FIRST);
        cluster.formed_at = None;
        cluster.bootstrapped = cluster.bootstrapped.map(|_| Revision::FIRST);
        for (place, member) in cluster.record.iter_mut().enumerate() {
            let mut reduced = Reduced {
                created: Revision(class(member.created) + 1 + place as u64),
                modified: Revision(class(member.modified)),
                removed: member.removed,
                role: member.role,
                started: member.started,
            };
            if let Some(removal) = member.removed {
                let place = removals.partition_point(|other| *other < removal.at) as u64;
                reduced = Reduced {
                    modified: Revision::FIRST,
                    removed: Some(Removal { at: Revision(class(removal.at) + place), ..removal }),
                    role: Role::Voter,
                    started: true,
                    ..reduced
                };
            }
            reduced.put_into(member);
        }
        let last_older = older_than_size.checked_sub(1).map(|place| cluster.record[place].created);
        cluster.size_lowered = last_older;
        for node in &mut self.nodes {
            if let ClientState::Observed(view) = &mut node.client {
                let since = of_view(view.since);
                Arc::make_mut(view).since = since;
            }
        }
        if let Some(view) = self.delayed_check_in.as_mut().and_then(|check_in| check_in.view.as_mut()) {
            let since = of_view(view.since);
            Arc::make_mut(view).since = since;
        }
    }

    /// More than `dead_after` passes: nodes that are down, are busy or have no client do not check in meanwhile, and tasks with a
    /// shorter deadline expire.
    pub fn pass(&mut self, rules: &Rules) {
        let is_idle = |node: &Node| node.has_client(rules) && (node.client == ClientState::Idle || node.cut);
        let idle: Vec<bool> = self.nodes.iter().map(is_idle).collect();
        let idle_names: BTreeSet<MemberName> = (0..idle.len()).filter(|n| idle[*n]).map(name).collect();
        let with_idle_node: BTreeSet<MemberKey> = (0..idle.len())
            .filter(|n| idle[*n])
            .filter_map(|n| self.nodes[n].disk)
            .map(|disk| disk.member.into())
            .collect();
        self.liveness.nodes.retain(|name, _| idle_names.contains(name));
        let cluster = Arc::make_mut(&mut self.cluster);
        cluster.setbacks.clear();
        if let Some(ticket) = &mut cluster.ticket {
            ticket.progress_at = LONG_AGO;
        }
        for member in cluster.record.iter_mut().filter(|member| member.join_issued.is_some()) {
            let issued = Arc::make_mut(member).join_issued.as_mut();
            issued.into_iter().for_each(|issued| issued.at = LONG_AGO);
        }
        for (key, contact) in &mut self.liveness.members {
            if !with_idle_node.contains(key) {
                (contact.checked_in, contact.answered) = (None, None);
            }
            let aged = |last: UnixMillis| if is_fresh(last) { OLD } else { LONG_AGO };
            contact.failing = contact.failing.map(|(_, last)| (aged(last), aged(last)));
            contact.unreached_by_voters = contact.unreached_by_voters.map(|(_, last)| (aged(last), aged(last)));
            let received = contact.received;
            contact.received = received.map(|of| ReceivedBytes { since: aged(of.last), last: aged(of.last), ..of });
        }
        let up: BTreeSet<MemberId> = self
            .current()
            .into_iter()
            .flat_map(|etcd| {
                etcd.members
                    .iter()
                    .filter(|entry| self.has_quorum(etcd) && self.is_up(etcd, entry))
                    .map(|entry| entry.id)
            })
            .collect();
        for entry in self.etcds.iter_mut().flat_map(|etcd| &mut etcd.members) {
            entry.grown |= up.contains(&entry.id);
        }
        // The client does not wait that long for an answer, so a check-in with a view expires.
        self.delayed_check_in.take_if(|check_in| check_in.view.is_some());
        for node in &mut self.nodes {
            let goes_on =
                matches!(node.client, ClientState::Instructed(NodeTask::Bootstrap { .. } | NodeTask::Archive));
            if !goes_on {
                node.client = ClientState::Idle;
            }
        }
    }
}

/// The fields of a member whose revisions are replaced by their order.
struct Reduced {
    created: Revision,
    modified: Revision,
    removed: Option<Removal>,
    role: Role,
    started: bool,
}

impl Reduced {
    fn put_into(self, member: &mut Arc<Member>) {
        let Self { created, modified, removed, role, started } = self;
        let after = (created, modified, removed, role, started, Revision::FIRST, 1);
        let Member { created, modified, removed, role, started, registered, version, .. } = **member;
        if after != (created, modified, removed, role, started, registered, version) {
            let member = Arc::make_mut(member);
            (
                member.created,
                member.modified,
                member.removed,
                member.role,
                member.started,
                member.registered,
                member.version,
            ) = after;
        }
    }
}

fn reduced_to_fresh(at: UnixMillis) -> UnixMillis {
    if is_fresh(at) { FRESH } else { LONG_AGO }
}

fn reduced(at: UnixMillis) -> UnixMillis {
    if is_fresh(at) { FRESH } else { at }
}

fn run_issued(member: &Member) -> Option<u8> {
    let issued = member.founder.as_ref().map_or(member.join_issued.as_ref(), |founder| founder.issued.as_ref())?;
    run_number(&issued.run)
}

fn run_number(run: &RunId) -> Option<u8> {
    run.as_str().strip_prefix('r')?.parse().ok()
}
