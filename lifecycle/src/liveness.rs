use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    Cluster, Identity, Member, MemberKey, MemberName, NodeState, PeerUrl, Policy, Report, RunId, UnixMillis, View,
};

/// The most nodes of one cluster that are remembered without being members; those that were heard of last stay.
const MAX_SPARES: usize = 200;

/// About how many bytes the nodes of one cluster may take: whoever knows a token can check in under any name and with
/// any number of peer URLs.
const MAX_BYTES: usize = 1 << 20;

/// Who was heard of when: what changes with every check-in and so is kept apart from the [`Cluster`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Liveness {
    /// Since when check-ins are listened to: silence before that says nothing.
    pub since: UnixMillis,
    /// The last check-in of each node, spares included.
    pub nodes: BTreeMap<MemberName, LastCheckIn>,
    /// What is known of each present member's life.
    pub members: BTreeMap<MemberKey, MemberLiveness>,
}

/// A node's last check-in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LastCheckIn {
    /// When it was.
    pub at: UnixMillis,
    /// Which run of the node's client it came from.
    pub run: RunId,
    /// Its number in that run.
    pub sequence: u64,
    /// Where other members would reach the node.
    pub peer_urls: Vec<PeerUrl>,
    /// What the node state.
    pub state: ReportedState,
}

/// What a node state when it checked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportedState {
    /// No data.
    Nothing,
    /// Data that can't be read.
    Unreadable,
    /// Data of a member, and no etcd on it.
    Data(Identity),
    /// An etcd that ran.
    Etcd(Identity),
}

/// What is known of a member's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MemberLiveness {
    /// When the node that has its data last checked in, or, if it has none yet, the node of its name and URLs; `None`
    /// means that it never has.
    pub checked_in: Option<UnixMillis>,
    /// When its etcd last answered somebody; `None` means that it never has.
    pub answered: Option<UnixMillis>,
    /// The first and the last failure since then, if failures follow each other closely; `None` means that the last
    /// try was answered.
    pub failing: Option<(UnixMillis, UnixMillis)>,
}

impl Liveness {
    /// Knows of nobody, and listens from now on.
    pub fn new(since: UnixMillis) -> Self {
        Self { since, nodes: BTreeMap::new(), members: BTreeMap::new() }
    }

    /// Takes up listening again. If nobody at all was heard of for long, then that says something about the listeners, and
    /// nothing about any member: silence counts from now on.
    pub fn resume(&mut self, policy: &Policy, now: UnixMillis) {
        let last = self.nodes.values().map(|node| node.at).max().unwrap_or(now);
        if last.age(now) > policy.max_check_in_gap() {
            self.since = now;
        }
    }

    /// Takes note of a check-in and of what it saw, with the cluster as the plan for it has left it. Members that the
    /// cluster doesn't have are none of its business.
    pub fn record_check_in(&mut self, cluster: &Cluster, report: &Report, now: UnixMillis) {
        if self.is_overtaken(report) {
            return;
        }
        let state = ReportedState::of(&report.state);
        let (run, sequence) = (report.run.clone(), report.sequence);
        let check_in = LastCheckIn { at: now, run, sequence, peer_urls: report.peer_urls.clone(), state };
        self.nodes.insert(report.name.clone(), check_in);
        self.forget_nodes(cluster);
        self.members.retain(|key, _| cluster.member(key).is_some());
        let is_reporter = |member: &&Arc<Member>| match report.identity() {
            Some(identity) => member.key == identity.member.into(),
            None => !member.started && *member.name() == report.name && member.has_peer_urls(&report.peer_urls),
        };
        for member in cluster.members().filter(is_reporter) {
            self.members.entry(member.key.clone()).or_default().checked_in = Some(now);
        }
        if let Some(view) = &report.view {
            self.record_view(cluster, view, report.identity(), now);
        }
    }

    /// When present members were last heard of; those that are missing never were.
    pub fn last_seen(&self) -> impl Iterator<Item = (&MemberKey, UnixMillis)> {
        self.members.iter().filter_map(|(member, contact)| Some((member, contact.checked_in.max(contact.answered)?)))
    }

    /// Whether a later check-in of the same run was heard before this one, which then says what is not true any more.
    pub fn is_overtaken(&self, report: &Report) -> bool {
        let node = self.nodes.get(&report.name);
        node.is_some_and(|node| node.run == report.run && node.sequence > report.sequence)
    }

    /// A view without a quorum shows who is alive, but not who is dead: the one that looks may be cut off itself.
    /// And that the one that looks can reach itself shows nothing at all.
    fn record_view(&mut self, cluster: &Cluster, view: &View, own: Option<Identity>, now: UnixMillis) {
        for seen in view.members.iter().filter(|seen| own.is_none_or(|own| own.member != seen.id)) {
            let Some(member) = cluster.member(&seen.id.into()) else { continue };
            let contact = self.members.entry(member.key.clone()).or_default();
            if seen.reachable {
                contact.answered = Some(now);
                contact.failing = None;
            } else if view.linearizable {
                let gap = cluster.policy.max_probe_gap();
                let before = contact.failing.filter(|(_, last)| last.age(now) <= gap);
                contact.failing = Some((before.map_or(now, |(first, _)| first), now));
            }
        }
    }

    /// Keeps the nodes within bounds: those that are no members and hold no ticket go first, and of them those that
    /// have been silent for longest.
    fn forget_nodes(&mut self, cluster: &Cluster) {
        let mut bytes: usize = self.nodes.iter().map(|(name, check_in)| check_in.bytes(name)).sum();
        if self.nodes.len() <= MAX_SPARES && bytes <= MAX_BYTES {
            return;
        }
        let holder = cluster.ticket.iter().map(|ticket| &ticket.holder);
        let needed: HashSet<&MemberName> = cluster.members().map(|member| member.name()).chain(holder).collect();
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

    /// Whether a member that does not answer now counts as dead: for `dead_after` it has been silent, and probes of it
    /// have failed. One failed probe proves nothing. A member in an announced downtime is not dead.
    pub fn is_dead(&self, policy: &Policy, member: &Member, now: UnixMillis) -> bool {
        let in_downtime = member.downtime_until.is_some_and(|until| now < until);
        !in_downtime && self.down_since(policy, member, now).age(now) >= policy.dead_after
    }

    /// When a member that does not answer now counts as dead, if it stays silent and no downtime is announced.
    pub fn dead_at(&self, policy: &Policy, member: &Member, now: UnixMillis) -> UnixMillis {
        self.down_since(policy, member, now).after(policy.dead_after)
    }

    /// Since when a member that does not answer now has been silent and probes of it have failed.
    fn down_since(&self, policy: &Policy, member: &Member, now: UnixMillis) -> UnixMillis {
        let failing_since = self.failing(policy, member, now).map_or(now, |(first, _)| first);
        self.silent_since(member).max(failing_since)
    }

    /// How long a member has been silent.
    pub fn silence(&self, member: &Member, now: UnixMillis) -> Duration {
        self.silent_since(member).age(now)
    }

    /// When a member's node last checked in, or its etcd last answered; whichever was later.
    pub fn silent_since(&self, member: &Member) -> UnixMillis {
        let known = self.members.get(&member.key).copied().unwrap_or_default();
        known.checked_in.max(known.answered).map_or(self.since, |last| last.max(self.since))
    }

    /// Whether a member that does not answer is cut off: its node has checked in since it stopped to answer, and of late.
    pub fn is_partitioned(&self, policy: &Policy, member: &Member, now: UnixMillis) -> bool {
        let checked_in = self.members.get(&member.key).and_then(|contact| contact.checked_in);
        let failing = self.failing(policy, member, now);
        let since = failing.zip(checked_in).filter(|((first, _), at)| first < at && *at <= now);
        since.is_some_and(|(_, checked_in)| checked_in.age(now) < policy.dead_after)
    }

    /// The first and the last failure to reach a member, unless the last was so long ago that it says nothing about now.
    fn failing(&self, policy: &Policy, member: &Member, now: UnixMillis) -> Option<(UnixMillis, UnixMillis)> {
        let failing = self.members.get(&member.key).and_then(|contact| contact.failing);
        failing.filter(|(_, last)| last.age(now) <= policy.max_probe_gap())
    }

    /// Whether the node that has a member's data checked in with a running etcd of late.
    pub fn reports_running(&self, policy: &Policy, member: &Member, now: UnixMillis) -> bool {
        let node = self.nodes.get(member.name());
        node.is_some_and(|node| {
            let its_own =
                matches!(node.state, ReportedState::Etcd(identity) if MemberKey::from(identity.member) == member.key);
            its_own && node.at.age(now) < policy.dead_after
        })
    }
}

impl LastCheckIn {
    /// About how much memory it takes to remember it under a name.
    fn bytes(&self, name: &MemberName) -> usize {
        const EACH: usize = 32;
        let urls: usize = self.peer_urls.iter().map(|url| url.as_str().len() + EACH).sum();
        size_of::<Self>() + name.as_str().len() + self.run.as_str().len() + urls + 2 * EACH
    }
}

impl ReportedState {
    /// What a state amounts to.
    pub fn of(state: &NodeState) -> Self {
        match state {
            NodeState::Empty => Self::Nothing,
            NodeState::Unreadable { .. } => Self::Unreadable,
            NodeState::Stopped(identity) => Self::Data(*identity),
            NodeState::Running(identity) => Self::Etcd(*identity),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, ClusterSize, Discovery, Registration, Revision};

    /// A cluster with one member, `a`.
    fn cluster() -> Cluster {
        let token = "one".parse().unwrap();
        let created = Cluster::create(token, ClusterSize::DEFAULT, Action::Create, UnixMillis(0)).after.unwrap();
        let registration = Registration::parse("a=http://10.0.0.1:2380").unwrap();
        created
            .register("1".parse().unwrap(), registration, Discovery::V2, Action::Create, UnixMillis(0))
            .unwrap()
            .after
            .unwrap()
    }

    fn report(name: &str, peer_urls: usize) -> Report {
        let url = |n: usize| PeerUrl::parse(&format!("http://{}{n}:2380", "x".repeat(50))).unwrap();
        Report {
            name: name.parse().unwrap(),
            run: RunId::unnamed(),
            sequence: 0,
            peer_urls: (0..peer_urls).map(url).collect(),
            client_urls: Vec::new(),
            state: NodeState::Empty,
            leftover: false,
            view: None,
            leaving: false,
            once: false,
            strategy: None,
            size: None,
        }
    }

    #[test]
    fn of_many_nodes_the_members_stay_and_those_that_were_heard_of_last() {
        let (cluster, mut liveness) = (cluster(), Liveness::new(UnixMillis(0)));
        liveness.record_check_in(&cluster, &report("a", 1), UnixMillis(1));
        for n in 0..300 {
            liveness.record_check_in(&cluster, &report(&format!("spare{n}"), 1), UnixMillis(2 + n));
        }
        assert_eq!(liveness.nodes.len(), 1 + MAX_SPARES);
        for (name, is_there) in [("a", true), ("spare99", false), ("spare100", true), ("spare299", true)] {
            assert_eq!(liveness.nodes.contains_key(&name.parse().unwrap()), is_there, "{name}");
        }
    }

    #[test]
    fn nodes_with_long_lists_of_urls_do_not_fill_the_memory() {
        let (cluster, mut liveness) = (cluster(), Liveness::new(UnixMillis(0)));
        liveness.record_check_in(&cluster, &report("a", 1_000), UnixMillis(1));
        for n in 0..100 {
            liveness.record_check_in(&cluster, &report(&format!("spare{n}"), 1_000), UnixMillis(2 + n));
        }
        let bytes: usize = liveness.nodes.iter().map(|(name, check_in)| check_in.bytes(name)).sum();
        assert!(bytes <= MAX_BYTES && liveness.nodes.len() > 5, "{bytes}");
        assert!(liveness.nodes.contains_key(&"a".parse().unwrap()));
    }

    #[test]
    fn when_nobody_at_all_was_heard_of_silence_counts_from_the_next_check_in_on() {
        let (cluster, mut liveness) = (cluster(), Liveness::new(UnixMillis(0)));
        let member = cluster.members().next().unwrap();
        let silence_after = |liveness: &mut Liveness, quiet: i64| {
            liveness.resume(&cluster.policy, UnixMillis(1_000 + quiet));
            liveness.silence(member, UnixMillis(1_000 + quiet)).as_millis()
        };
        liveness.record_check_in(&cluster, &report("spare", 1), UnixMillis(1_000));
        assert_eq!(silence_after(&mut liveness, 30_000), 31_000);
        assert_eq!(silence_after(&mut liveness, 30_001), 0);
    }

    #[test]
    fn failed_probes_of_yesterday_are_no_evidence_today() {
        let key: MemberKey = "1".parse().unwrap();
        let registration = Registration::parse("a=http://10.0.0.1:2380").unwrap();
        let member = Member::registered(key.clone(), registration, Revision::FIRST);
        let (now, policy) = (UnixMillis(1_000_000_000), Policy::default());
        let is_dead = |first: i64, last: i64| {
            let failing = Some((UnixMillis(now.0 - first), UnixMillis(now.0 - last)));
            let mut liveness = Liveness::new(UnixMillis(0));
            liveness.members.insert(key.clone(), MemberLiveness { failing, ..MemberLiveness::default() });
            liveness.is_dead(&policy, &member, now)
        };
        assert!(is_dead(70_000, 2_000));
        assert!(!is_dead(30_000, 2_000));
        assert!(!is_dead(86_400_000, 86_340_000));
    }
}
