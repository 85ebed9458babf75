mod check_in;
mod dissent;
mod inside;
mod reachability;
mod set_back;
mod starts;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use crate::{
    Cluster, Instruction, Member, MemberId, MemberKey, MemberName, NodeState, PeerUrl, Policy, Report, Strategy, Task,
    UnixMillis, View,
};

pub use check_in::{LastCheckIn, ReportedState};
pub(crate) use dissent::is_vouched_for;
pub use dissent::{Dissent, ListDigest};
pub use inside::ReceivedBytes;
use inside::Witnesses;
pub use starts::Starts;

/// The most spares of one cluster whose check-ins are kept: the latest ones.
const MAX_SPARES: usize = 200;

/// How long the last check-in of a spare is kept, at least. A machine that is gone for good never checks in again.
const SPARE_KEPT: Duration = Duration::from_secs(3_600);

/// About how many bytes the check-ins of one cluster may take. A client that knows the token can check in with any name
/// and any number of peer URLs.
const MAX_BYTES: usize = 1 << 17;

/// The failure detector of one cluster: when each node last checked in, when each member last answered, and which probes
/// failed.
///
/// It changes with every check-in, so it is kept apart from the [`Cluster`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Liveness {
    /// Since when check-ins are received. Silence before that proves nothing.
    pub since: UnixMillis,
    /// The last check-in of each node, spares included.
    pub nodes: BTreeMap<MemberName, LastCheckIn>,
    /// The liveness of each present member that has checked in or was probed.
    pub members: BTreeMap<MemberKey, MemberLiveness>,
}

/// The liveness of one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MemberLiveness {
    /// The last check-in of the node that has its data or, before it has data, of the node with its name and peer URLs.
    pub checked_in: Option<UnixMillis>,
    /// When its etcd last answered: a probe, or its own node.
    pub answered: Option<UnixMillis>,
    /// The first and the last failed probe since then. [`Policy::max_probe_gap`] starts a new series. `None` if it answered
    /// the last probe.
    pub failing: Option<(UnixMillis, UnixMillis)>,
    /// The highest index up to which its etcd has applied the Raft log, as it reported itself. `None` if it has not.
    pub applied: Option<u64>,
    /// The highest index that the node of one other voter alone has shown, and that voter.
    pub shown_applied: Option<(MemberId, u64)>,
    /// How often its node was instructed to start its etcd since the etcd last answered: how often it was started in vain.
    pub failed_starts: u32,
    /// The starts of its etcd since it last stayed up. `None` if it has stayed up.
    pub starts: Option<Starts>,
    /// When the voters' side last showed that it is alive: the leader had received more from it, it led itself, or the agent
    /// beside a voter reached it.
    pub heard: Option<UnixMillis>,
    /// What the leader has received from it. `None` if that was never read.
    pub received: Option<ReceivedBytes>,
    /// The first and the last probe by a running voter, or by the agent beside one, that failed, as in `failing`. Of a learner:
    /// the views in which the leader has never reached its peer URLs.
    pub unreached_by_voters: Option<(UnixMillis, UnixMillis)>,
}

impl Liveness {
    /// A failure detector that receives check-ins from now on.
    pub fn new(since: UnixMillis) -> Self {
        Self { since, nodes: BTreeMap::new(), members: BTreeMap::new() }
    }

    /// Continues after an interruption. If no node at all has checked in for [`Policy::max_check_in_gap`], the registry
    /// was unreachable. That proves nothing about any member, so silence counts from now on. So it does if the clock was set
    /// back; see [`Self::replace_future_times`].
    pub fn resume(&mut self, policy: &Policy, now: UnixMillis) {
        self.replace_future_times(now);
        let last = self.nodes.values().map(|node| node.at).max().unwrap_or(now);
        if last.age(now) > policy.max_check_in_gap() {
            self.since = now;
        }
    }

    /// Records a check-in and its view. `cluster` is the cluster after the plan for this check-in. Members that it does not
    /// have are ignored. So is the check-in of a copy of a member that runs elsewhere: it must not pass for the member.
    pub fn record_check_in(&mut self, cluster: &Cluster, report: &Report, now: UnixMillis) {
        if self.is_overtaken(report) || self.running_elsewhere(&cluster.policy, report, now).is_some() {
            return;
        }
        let starts = !self.is_new_start(report);
        let state = ReportedState::of(&report.state);
        let (run, sequence) = (report.run.clone(), report.sequence);
        let (never_led, without_entries) = (report.has_never_led_data(), report.has_data_without_entries());
        let (peer_urls, leftover) = (report.peer_urls.clone(), report.leftover);
        let empty_since = (state == ReportedState::Nothing)
            .then(|| self.nodes.get(&report.name).and_then(|node| node.empty_since).unwrap_or(now));
        let data_disk = match report.identity().zip(report.disk.clone()) {
            Some((identity, disk)) => Some((identity.member, disk)),
            None => self.nodes.get(&report.name).and_then(|node| node.data_disk.clone()),
        };
        let check_in = LastCheckIn {
            at: now,
            run,
            sequence,
            peer_urls,
            state,
            never_led,
            without_entries,
            leftover,
            disk: report.disk.clone(),
            data_disk,
            starts,
            may_start: false,
            empty_since,
            before: self.view_taken_after(report, now),
            dissent: self.dissent_of(cluster, report, now),
            status: report.status.clone(),
        };
        self.nodes.insert(report.name.clone(), check_in);
        self.forget_nodes(cluster, now);
        self.members.retain(|key, _| cluster.member(key).is_some());
        // A joiner that has lost its ticket got nowhere, so its check-ins are no sign of life of the member that was added for it.
        let gets_nowhere = cluster.setbacks.get(&report.name).is_some_and(|setback| !setback.is_over(now));
        let joins_as =
            |member: &Member| !gets_nowhere && *member.name() == report.name && member.has_peer_urls(&report.peer_urls);
        let is_reporter = |member: &&Arc<Member>| match report.identity() {
            Some(identity) => member.key == identity.member.into(),
            None => !member.started && joins_as(member),
        };
        for member in cluster.members().filter(is_reporter) {
            let known = self.members.entry(member.key.clone()).or_default();
            known.checked_in = Some(now);
            match ReportedState::of(&report.state) {
                ReportedState::Etcd(_) => known.record_answer(now),
                ReportedState::Loading(_) => known.record_loading(now),
                _ => {}
            }
        }
        self.record_view(cluster, report, now);
        self.record_reachability(cluster, report, now);
    }

    /// Records the instruction for a check-in that was recorded. Only a start counts as one: a run that waited, was refused or
    /// timed out has started nothing.
    pub fn record_instruction(&mut self, cluster: &Cluster, report: &Report, instruction: &Instruction) {
        if matches!(instruction.task, Task::Bootstrap(_) | Task::Join(_))
            && let Some(node) = self.nodes.get_mut(&report.name).filter(|node| node.run == report.run)
        {
            // Its etcd has data from now on. An answer of that etcd does not show that the data is elsewhere.
            node.empty_since = None;
        }
        let NodeState::Stopped(identity) = report.state else { return };
        if let Some(node) = self.nodes.get_mut(&report.name).filter(|node| node.run == report.run) {
            node.may_start = matches!(instruction.task, Task::Start(_) | Task::UpdateMember { .. });
        }
        if !matches!(instruction.task, Task::Start(_)) || !self.is_new_start(report) {
            return;
        }
        let Some(node) = self.nodes.get_mut(&report.name).filter(|node| node.run == report.run) else { return };
        node.starts = true;
        let now = node.at;
        if let Some(member) = cluster.member(&identity.member.into()) {
            let known = self.members.entry(member.key.clone()).or_default();
            known.record_start(&cluster.policy, now);
        }
    }

    /// The failure detector with what a report shows of other members, for decisions that rest on that. `None` if it shows nothing
    /// that matters to them.
    pub fn with_sight(&self, cluster: &Cluster, report: &Report, now: UnixMillis) -> Option<Self> {
        if report.view.is_none() && !self.is_reachability_news(cluster, report, now) {
            return None;
        }
        let mut after = self.clone();
        after.record_view(cluster, report, now);
        after.record_reachability(cluster, report, now);
        Some(after)
    }

    /// When each member last checked in, answered or was heard. Members that never did are missing.
    pub fn last_seen(&self) -> impl Iterator<Item = (&MemberKey, UnixMillis)> {
        let last = |known: &MemberLiveness| known.checked_in.max(known.answered).max(known.heard);
        self.members.iter().filter_map(move |(member, known)| Some((member, last(known)?)))
    }

    /// Whether a later check-in of the same run was received before this one, which is outdated then.
    pub fn is_overtaken(&self, report: &Report) -> bool {
        let node = self.nodes.get(&report.name);
        node.is_some_and(|node| node.run == report.run && node.sequence > report.sequence)
    }

    /// Whether a report's view was taken within [`View::RECENT`]. A node that waits for the network, or is suspended, sends one
    /// that was taken long ago. A node that does not number its check-ins is not checked.
    pub fn is_recent_view(&self, report: &Report, now: UnixMillis) -> bool {
        report.sequence == 0 || self.view_taken_after(report, now).is_some_and(|at| at.age(now) <= View::RECENT)
    }

    /// A time after which a report's view was taken: the time of the check-in before it. A repeated report has the same one.
    /// `None` if that check-in is not known, because the registry was interrupted.
    fn view_taken_after(&self, report: &Report, now: UnixMillis) -> Option<UnixMillis> {
        match self.nodes.get(&report.name)? {
            // A namesake has checked in since, so it is not known either. Two namesakes must not keep each other from acting.
            node if node.run != report.run => Some(now),
            node if node.sequence == report.sequence => node.before,
            node => Some(node.at),
        }
    }

    /// The check-in of another node whose etcd runs, or may be starting, as the member that this node has the data of.
    ///
    /// A node that has moved looks the same until its former check-in is older than [`Policy::max_check_in_gap`]. By then,
    /// a member that still runs at the former address has checked in again.
    pub fn running_elsewhere(&self, policy: &Policy, report: &Report, now: UnixMillis) -> Option<&LastCheckIn> {
        let own = report.identity()?;
        let is_stopped = matches!(report.state, NodeState::Stopped(_));
        let runs_as_own = |node: &&LastCheckIn| match node.state {
            ReportedState::Data(identity) => identity == own && node.may_start && is_stopped,
            state => state.identity() == Some(own),
        };
        let is_elsewhere = |node: &&LastCheckIn| {
            node.run != report.run && !node.peer_urls.iter().any(|url| report.peer_urls.contains(url))
        };
        let is_fresh = |node: &&LastCheckIn| now < Self::gone_at(policy, node);
        self.nodes.values().filter(runs_as_own).filter(is_elsewhere).find(is_fresh)
    }

    /// When a running etcd whose node does not check in any more no longer counts as running elsewhere.
    pub fn gone_at(policy: &Policy, check_in: &LastCheckIn) -> UnixMillis {
        check_in.at.after(policy.max_check_in_gap().min(policy.dead_after))
    }

    /// Whether a node without data can't be a member that has lost its disk, although it has that member's peer URLs: the
    /// member has answered since the node first checked in without data, the leader has just heard it, or another run has just
    /// started etcd on the data. The node may have a copy of the other one's configuration.
    pub fn has_data_elsewhere(&self, policy: &Policy, member: &Member, report: &Report, now: UnixMillis) -> bool {
        let Some(known) = self.members.get(&member.key).filter(|_| member.started) else { return false };
        let empty_since = self.nodes.get(&report.name).and_then(|node| node.empty_since);
        let answered = known.answered.filter(|answered| *answered <= now);
        let has_answered_since = empty_since.zip(answered).is_some_and(|(since, answered)| since < answered);
        has_answered_since || known.is_just_heard(now) || known.is_about_to_start(policy, now)
    }

    /// Whether a member's own node has checked in within `dead_after` with other peer URLs, none of them among these.
    pub fn has_moved_from(&self, policy: &Policy, member: &Member, urls: &[PeerUrl], now: UnixMillis) -> bool {
        let node = self.nodes.get(member.name());
        node.is_some_and(|node| {
            let has_its_data = node.state.identity().is_some_and(|own| MemberKey::from(own.member) == member.key);
            has_its_data && node.at.age(now) < policy.dead_after && !node.peer_urls.iter().any(|url| urls.contains(url))
        })
    }

    /// A view without a quorum shows which members are alive, but not which are dead: the observing node may be
    /// partitioned itself. A node that reaches itself proves nothing.
    fn record_view(&mut self, cluster: &Cluster, report: &Report, now: UnixMillis) {
        let Some(view) = &report.view else { return };
        self.record_applied(cluster, report, view);
        let own = report.identity();
        let by_voter = is_by_running_voter(report, view);
        for observed in &view.members {
            let Some(member) = cluster.member(&observed.id.into()) else { continue };
            let has_agent = self.is_reached_beside(cluster, view.leader, member, report, now).is_some();
            let known = self.members.entry(member.key.clone()).or_default();
            known.record_inside(&cluster.policy, view, observed, Witnesses { by_voter, has_agent }, now);
            if own.is_some_and(|own| own.member == observed.id) {
                continue;
            }
            if observed.reachable {
                known.record_answer(now);
                known.failing = None;
            } else if view.linearizable {
                known.failing = Some(inside::extend(known.failing, cluster.policy.max_probe_gap(), now));
            }
        }
    }

    /// Records how far members have applied the log. Only an etcd that gave the member's ID counts, and only if a quorum of the
    /// voters on record gave theirs: a copy with `--force-new-cluster` has the IDs of the original, and goes on without it.
    ///
    /// A forged view meets this, and would make a member that comes back replace itself although its data is good. So for members whose
    /// nodes have credentials, an index counts that their own node has shown, or the nodes of two other voters.
    fn record_applied(&mut self, cluster: &Cluster, report: &Report, view: &View) {
        if view.cluster.is_none() || view.cluster != cluster.cluster_id {
            return;
        }
        let answers = |voter: &&Arc<Member>| {
            view.members.iter().any(|observed| observed.identified && voter.key == observed.id.into())
        };
        if cluster.voters().filter(answers).count() < cluster.quorum() {
            return;
        }
        let own = report.identity().map(|own| own.member);
        let witness = own.filter(|_| self.is_voice(cluster, report));
        for observed in view.members.iter().filter(|observed| observed.identified) {
            let Some(member) = cluster.member(&observed.id.into()) else { continue };
            let is_certain = own == Some(observed.id) || !self.has_credential(cluster, member);
            let known = self.members.entry(member.key.clone()).or_default();
            match (is_certain, witness, observed.applied_index) {
                (true, _, applied) => known.applied = known.applied.max(applied),
                (false, Some(witness), Some(applied)) => known.record_shown_applied(witness, applied),
                _ => {}
            }
        }
    }

    /// Keeps the check-ins within bounds. Those of spares without the ticket are dropped: old ones, and if there are too many, the
    /// oldest before the others.
    fn forget_nodes(&mut self, cluster: &Cluster, now: UnixMillis) {
        let kept = SPARE_KEPT.max(cluster.policy.dead_after);
        let is_gone = |node: &LastCheckIn| node.state == ReportedState::Nothing && node.at.age(now) > kept;
        let mut bytes: usize = self.nodes.iter().map(|(name, check_in)| check_in.bytes(name)).sum();
        if self.nodes.len() <= MAX_SPARES && bytes <= MAX_BYTES && !self.nodes.values().any(is_gone) {
            return;
        }
        let holder = cluster.ticket.iter().map(|ticket| &ticket.holder);
        let needed: HashSet<&MemberName> = cluster.members().map(|member| member.name()).chain(holder).collect();
        self.nodes.retain(|name, node| {
            let is_kept = needed.contains(name) || !is_gone(node);
            bytes -= if is_kept { 0 } else { node.bytes(name) };
            is_kept
        });
        let mut spares = self.nodes.keys().filter(|name| !needed.contains(name)).count();
        let place = |(name, check_in): (&MemberName, &LastCheckIn)| (needed.contains(name), check_in.at, name.clone());
        let mut order: Vec<_> = self.nodes.iter().map(place).collect();
        order.sort_unstable();
        for (is_needed, _, name) in order {
            if bytes <= MAX_BYTES && (is_needed || spares <= MAX_SPARES) {
                return;
            }
            bytes -= self.nodes.remove(&name).map_or(0, |check_in| check_in.bytes(&name));
            spares -= usize::from(!is_needed);
        }
    }

    /// Whether a member that does not answer now counts as dead: for `dead_after` it has been silent, probes of it have
    /// failed, and the voters' side has seen no sign of it. One failed probe proves nothing. A member in an announced
    /// downtime is not dead.
    pub fn is_dead(&self, policy: &Policy, member: &Member, now: UnixMillis) -> bool {
        let in_downtime = member.downtime.is_some_and(|downtime| downtime.is_running(now));
        let is_long_ago = |since: UnixMillis| since.age(now) >= policy.dead_after;
        !in_downtime
            && is_long_ago(self.down_since(policy, member, now))
            && self.inside_silent_since(policy, member, now).is_some_and(is_long_ago)
    }

    /// The nodes that check in and could carry out a change of a cluster's membership now: spares, and nodes whose etcd runs.
    /// There are none while the policy allows no changes.
    pub fn who_can_change(&self, cluster: &Cluster, now: UnixMillis) -> impl Iterator<Item = &MemberName> {
        let policy = cluster.policy;
        let may_change = !policy.paused && policy.strategy != Strategy::Prepared;
        let can_act = move |node: &LastCheckIn| match node.state {
            ReportedState::Nothing => true,
            ReportedState::Etcd(identity) => cluster.member(&identity.member.into()).is_some(),
            _ => false,
        };
        let is_fresh = move |node: &LastCheckIn| node.at.age(now) < policy.max_observation_time();
        let nodes = self.nodes.iter().filter(move |(_, node)| may_change && is_fresh(node) && can_act(node));
        nodes.map(|(name, _)| name)
    }

    /// How often a member was started in vain since its etcd last answered, or since it last stayed up.
    pub fn failed_starts(&self, member: &MemberKey) -> u32 {
        self.members.get(member).map_or(0, MemberLiveness::failed_starts)
    }

    /// Whether a member is failing: it was started in vain [`Policy::max_failed_starts`] times. Its check-ins are no sign of
    /// life any more; only an answer of its etcd is.
    pub fn is_failing(&self, policy: &Policy, member: &Member) -> bool {
        self.failed_starts(&member.key) >= policy.max_failed_starts
    }

    /// Whether one more start makes a member failing that is not failing yet.
    pub fn begins_to_fail(&self, policy: &Policy, member: &Member, report: &Report, now: UnixMillis) -> bool {
        let known = self.members.get(&member.key).copied().unwrap_or_default();
        let mut after = known;
        after.record_start(policy, now);
        let (before, after) = (known.failed_starts(), after.failed_starts());
        self.is_new_start(report) && before < policy.max_failed_starts && policy.max_failed_starts <= after
    }

    /// Whether a start of etcd now is another one than the start that the node was last instructed to make: of another run, or
    /// from after etcd ran.
    fn is_new_start(&self, report: &Report) -> bool {
        self.nodes.get(&report.name).is_none_or(|node| {
            let has_run = matches!(node.state, ReportedState::Loading(_) | ReportedState::Etcd(_));
            node.run != report.run || has_run || !node.starts
        })
    }

    /// When a member that does not answer now counts as dead, if it stays silent and no downtime is announced. `None` if
    /// that takes a witness from the voters' side, and there is none.
    pub fn dead_at(&self, policy: &Policy, member: &Member, now: UnixMillis) -> Option<UnixMillis> {
        let inside = self.inside_silent_since(policy, member, now)?;
        Some(self.down_since(policy, member, now).max(inside).after(policy.dead_after))
    }

    /// Since when a member that does not answer now has been silent and probes of it have failed.
    fn down_since(&self, policy: &Policy, member: &Member, now: UnixMillis) -> UnixMillis {
        let known = self.members.get(&member.key);
        if known.is_some_and(|known| known.unstable_since(policy).is_some()) {
            // Between its failures it answers some probes.
            return self.silent_since(policy, member);
        }
        let failing_since = self.failing(policy, member, now).map_or(now, |(first, _)| first);
        self.silent_since(policy, member).max(failing_since)
    }

    /// How long a member has been silent.
    pub fn silence(&self, policy: &Policy, member: &Member, now: UnixMillis) -> Duration {
        self.silent_since(policy, member).age(now)
    }

    /// The last sign of life of a member: its node's check-in, its etcd's answer, or what the leader heard, whichever was
    /// latest. If the member is [failing](Self::is_failing), its etcd's answer: in a second between two failures etcd sends
    /// messages, too. If it answers between failures, the first of its starts that did not last.
    pub fn silent_since(&self, policy: &Policy, member: &Member) -> UnixMillis {
        let known = self.members.get(&member.key).copied().unwrap_or_default();
        let others = known.checked_in.max(known.heard).filter(|_| !self.is_failing(policy, member));
        let answered = known.unstable_since(policy).or(known.answered);
        others.max(answered).map_or(self.since, |last| last.max(self.since))
    }

    /// Whether a member that does not answer is partitioned: its node has checked in within `dead_after`, and after the
    /// first failed probe. A failing member is not.
    pub fn is_partitioned(&self, policy: &Policy, member: &Member, now: UnixMillis) -> bool {
        let checked_in = self.members.get(&member.key).and_then(|known| known.checked_in);
        let checked_in = checked_in.filter(|_| !self.is_failing(policy, member));
        let failing = self.failing(policy, member, now);
        let since = failing.zip(checked_in).filter(|((first, _), at)| first < at && *at <= now);
        since.is_some_and(|(_, checked_in)| checked_in.age(now) < policy.dead_after)
    }

    /// The first and the last failed probe of a member, unless the last was so long ago that it proves nothing now.
    fn failing(&self, policy: &Policy, member: &Member, now: UnixMillis) -> Option<(UnixMillis, UnixMillis)> {
        let failing = self.members.get(&member.key).and_then(|known| known.failing);
        failing.filter(|(_, last)| last.age(now) <= policy.max_probe_gap())
    }

    /// The highest index up to which a member has applied the log, as its etcd reported it.
    pub fn applied(&self, member: &Member) -> Option<u64> {
        self.members.get(&member.key)?.applied
    }

    /// The index that the node of one other voter alone has shown, if that node still has a say, and that voter.
    pub fn shown_applied(&self, cluster: &Cluster, member: &Member) -> Option<(MemberId, u64)> {
        let (witness, index) = self.members.get(&member.key)?.shown_applied?;
        cluster.member(&witness.into()).filter(|voter| self.has_voice(cluster, voter)).map(|_| (witness, index))
    }

    /// Whether the member's own node has reported within `dead_after` that etcd loads its data.
    pub fn is_loading(&self, policy: &Policy, member: &Member, now: UnixMillis) -> bool {
        let node = self.nodes.get(member.name());
        node.is_some_and(|node| {
            let loads = matches!(node.state, ReportedState::Loading(own) if MemberKey::from(own.member) == member.key);
            loads && node.at.age(now) < policy.dead_after
        })
    }

    /// Whether the member's own node has reported a running etcd within `dead_after`.
    pub fn reports_running(&self, policy: &Policy, member: &Member, now: UnixMillis) -> bool {
        let node = self.nodes.get(member.name());
        node.is_some_and(|node| {
            let has_its_data =
                matches!(node.state, ReportedState::Etcd(identity) if MemberKey::from(identity.member) == member.key);
            has_its_data && node.at.age(now) < policy.dead_after
        })
    }
}

impl MemberLiveness {
    /// Records an index that the node of another voter has shown. What two of them have shown counts.
    fn record_shown_applied(&mut self, witness: MemberId, index: u64) {
        match self.shown_applied {
            Some((other, shown)) if other != witness => {
                self.applied = self.applied.max(Some(shown.min(index)));
                if shown < index {
                    self.shown_applied = Some((witness, index));
                }
            }
            shown => self.shown_applied = Some((witness, shown.map_or(index, |(_, shown)| shown.max(index)))),
        }
    }

    /// Since when probes of the member have failed. `None` if its etcd has answered since the last one.
    pub fn unreachable_since(&self) -> Option<UnixMillis> {
        let (first, last) = self.failing?;
        self.answered.is_none_or(|answered| answered <= last).then_some(first)
    }
}

/// Whether a view was taken by a node whose etcd runs as a voter.
fn is_by_running_voter(report: &Report, view: &View) -> bool {
    let own = report.identity().filter(|_| report.is_running());
    own.is_some_and(|own| view.members.iter().any(|observed| observed.id == own.member && !observed.learner))
}
