//! What the voters' side shows of a member.
//!
//! A node outside the cluster may be unable to reach a member that is alive. So a voter is dead only if the voters' side
//! shows it, too: the leader has received nothing from it, or a running voter can't reach it.

use std::time::Duration;

use super::{Liveness, MemberLiveness};
use crate::{Member, MemberId, ObservedMember, Policy, UnixMillis, View};

/// For how long a reading of the leader's counter shows whether the leader hears a member. The counter of a live member
/// grows with each heartbeat, which etcd sends every 100 ms by default.
const READING_VALID: Duration = Duration::from_secs(5);

/// How long a member that was heard counts as alive. Nodes that watch a member which they don't reach read the leader's counters every
/// few seconds, and a running etcd answers ten heartbeats in a second.
const STILL_HEARD: Duration = Duration::from_secs(10);

/// The leader's counter of the bytes that it has received from a member, as of the last reading.
///
/// It grows by about 380 to 500 bytes a second while the member is alive, and stands still from the moment on from which the
/// member is dead, frozen or partitioned from the leader (measured with etcd 3.4 to 3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReceivedBytes {
    /// The leader that counts. Each etcd counts from its own start on.
    pub leader: MemberId,
    /// The leader's term. An etcd that restarted leads in a later term only.
    pub term: Option<u64>,
    /// The number of bytes.
    pub bytes: u64,
    /// The first reading with this number.
    pub since: UnixMillis,
    /// The last reading.
    pub last: UnixMillis,
    /// Whether the number had grown within the 5 s before `since`.
    pub heard: bool,
}

impl ReceivedBytes {
    /// The counter of a member in a view. `None` if the view does not have it, or if it may be of a former leader.
    fn read(view: &View, observed: &ObservedMember, now: UnixMillis) -> Option<Self> {
        let (leader, bytes) = view.leader.filter(|_| view.linearizable).zip(observed.received_bytes)?;
        Some(Self { leader, term: view.term, bytes, since: now, last: now, heard: false })
    }

    /// Whether this reading and an earlier one are of the same counter. A smaller number is of an etcd that has restarted, or
    /// the two readings arrived out of order.
    fn continues(&self, before: &Self, max_gap: Duration) -> bool {
        (self.leader, self.term) == (before.leader, before.term)
            && self.bytes >= before.bytes
            && before.last.age(self.last) <= max_gap
    }
}

/// Who looks at a member from inside the cluster.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Witnesses {
    /// Whether a running voter took the view.
    pub by_voter: bool,
    /// Whether the agent beside the leader has lately looked at it. Then that agent's own reports tell whether it reaches a learner.
    pub has_agent: bool,
}

impl MemberLiveness {
    /// Records what the voters' side shows of the member in a view.
    pub(super) fn record_inside(
        &mut self,
        policy: &Policy,
        view: &View,
        observed: &ObservedMember,
        witnesses: Witnesses,
        now: UnixMillis,
    ) {
        let max_gap = policy.max_probe_gap();
        if let Some(reading) = ReceivedBytes::read(view, observed, now) {
            let before = self.received.filter(|before| reading.continues(before, max_gap));
            self.received = match before {
                Some(before) if before.bytes == reading.bytes => Some(ReceivedBytes { last: now, ..before }),
                Some(before) => {
                    self.heard = Some(now);
                    Some(ReceivedBytes { heard: before.last.age(now) <= READING_VALID, ..reading })
                }
                None => Some(reading),
            };
        }
        if view.linearizable && view.leader == Some(observed.id) {
            // The quorum was read through the leader, so it is alive although this node may not reach it.
            self.heard = Some(now);
        }
        let Witnesses { by_voter, has_agent } = witnesses;
        // The leader's own probes of a learner say more than an answer at the learner's client port.
        let is_reached = match observed.round_trips.filter(|_| observed.learner) {
            _ if observed.learner && has_agent => None,
            Some(round_trips) => Some(round_trips > 0),
            None if observed.reachable => Some(true),
            None => by_voter.then_some(false),
        };
        match is_reached {
            Some(true) => self.unreached_by_voters = None,
            Some(false) if view.linearizable => {
                self.unreached_by_voters = Some(extend(self.unreached_by_voters, max_gap, now));
            }
            _ => {}
        }
    }

    /// Whether the look now shows that the leader has heard the member since the look before. If the member has died in
    /// between, the next look does not show it any more.
    pub(super) fn is_just_heard(&self, now: UnixMillis) -> bool {
        self.heard == Some(now)
    }

    /// Since when the voters' side has seen no sign of the member. `None` if no voter's side is known.
    ///
    /// The time after the last reading or probe does not count, because nobody has looked since then.
    fn inside_silent_since(&self, policy: &Policy, now: UnixMillis) -> Option<UnixMillis> {
        let received = self.received.map(|received| (received.since, received.last));
        let received = received.filter(|(_, last)| last.age(now) <= policy.max_probe_gap());
        let series = received.into_iter().chain(self.unreached(policy, now));
        series.map(|(first, last)| first.after(last.age(now))).min()
    }

    /// The first and the last of the probes of running voters, which have failed.
    fn unreached(&self, policy: &Policy, now: UnixMillis) -> Option<(UnixMillis, UnixMillis)> {
        self.unreached_by_voters.filter(|(_, last)| last.age(now) <= policy.max_probe_gap())
    }
}

impl Liveness {
    /// Since when the voters' side must have been silent for a member to be dead. `None` if no voter's side is known, and the
    /// policy asks for one. Learners don't vote, so probes suffice. So they do for a failing member: its own node shows that
    /// its etcd does not stay up.
    pub(super) fn inside_silent_since(&self, policy: &Policy, member: &Member, now: UnixMillis) -> Option<UnixMillis> {
        if policy.witnesses < 2 || !member.is_voter() || self.is_failing(policy, member) {
            return Some(self.since);
        }
        self.members.get(&member.key)?.inside_silent_since(policy, now)
    }

    /// Whether the leader hears a member now. `None` if its counter was not read lately, or not twice.
    pub(crate) fn is_heard(&self, leader: Option<MemberId>, member: &Member, now: UnixMillis) -> Option<bool> {
        let received = self.members.get(&member.key)?.received?;
        if Some(received.leader) != leader || received.last.age(now) > READING_VALID {
            return None;
        }
        let is_recent = received.since.age(now) <= READING_VALID;
        if is_recent { received.heard.then_some(true) } else { Some(false) }
    }

    /// When a member's etcd last showed that it runs, whatever its node has reported since: it answered, or the leader heard it.
    pub(crate) fn last_answer(&self, member: &Member) -> UnixMillis {
        let known = self.members.get(&member.key).copied().unwrap_or_default();
        known.answered.max(known.heard).map_or(self.since, |last| last.max(self.since))
    }

    /// Since when no running voter has reached a member.
    pub(crate) fn unreached_since(&self, policy: &Policy, member: &Member, now: UnixMillis) -> Option<UnixMillis> {
        self.members.get(&member.key)?.unreached(policy, now).map(|(first, _)| first)
    }

    /// Whether the voters' side shows that a member is alive that probes don't reach: it has just shown a sign of life, and after the
    /// first failed probe.
    pub fn is_alive_inside(&self, policy: &Policy, member: &Member, now: UnixMillis) -> bool {
        let heard = self.members.get(&member.key).and_then(|known| known.heard);
        let heard = heard.filter(|_| !self.is_failing(policy, member));
        let after = self.failing(policy, member, now).zip(heard).filter(|((first, _), at)| first < at && *at <= now);
        after.is_some_and(|(_, heard)| heard.age(now) < policy.dead_after.min(STILL_HEARD))
    }
}

/// A series of failed probes, with one more. A gap that is too long starts another series.
pub(super) fn extend(
    series: Option<(UnixMillis, UnixMillis)>,
    max_gap: Duration,
    now: UnixMillis,
) -> (UnixMillis, UnixMillis) {
    let before = series.filter(|(_, last)| last.age(now) <= max_gap);
    (before.map_or(now, |(first, _)| first), now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClusterId, Revision};

    const A: MemberId = MemberId(0xa);
    const B: MemberId = MemberId(0xb);
    const C: MemberId = MemberId(0xc);

    /// A view of the leader's counter for member `c`, which does not answer.
    fn view(leader: MemberId, term: u64, bytes: u64) -> View {
        let c = ObservedMember {
            id: C,
            name: None,
            peer_urls: Vec::new(),
            client_urls: Vec::new(),
            learner: false,
            reachable: false,
            identified: false,
            received_bytes: Some(bytes),
            round_trips: None,
            version: None,
            applied_index: None,
            matched_index: None,
        };
        let cluster = Some(ClusterId(1));
        View {
            since: Revision(1),
            cluster,
            linearizable: true,
            leader: Some(leader),
            term: Some(term),
            members: vec![c],
        }
    }

    /// Since when the voters' side is silent at the end, and the last sign of life, after readings at these seconds.
    fn after(readings: &[(i64, View)]) -> (Option<i64>, Option<i64>) {
        let (mut known, policy) = (MemberLiveness::default(), Policy::default());
        let mut now = UnixMillis(0);
        for (at, view) in readings {
            now = UnixMillis(at * 1_000);
            known.record_inside(&policy, view, &view.members[0], Witnesses::default(), now);
        }
        let seconds = |at: UnixMillis| at.0 / 1_000;
        (known.inside_silent_since(&policy, now).map(seconds), known.heard.map(seconds))
    }

    #[test]
    fn a_counter_that_stands_still_shows_silence_and_one_that_grows_a_sign_of_life() {
        assert_eq!(after(&[(1, view(A, 2, 7)), (9, view(A, 2, 7))]), (Some(1), None));
        assert_eq!(after(&[(1, view(A, 2, 7)), (9, view(A, 2, 8))]), (Some(9), Some(9)));
    }

    #[test]
    fn silence_ends_with_the_last_look() {
        let (mut known, policy) = (MemberLiveness::default(), Policy::default());
        let at = |seconds: i64| UnixMillis(seconds * 1_000);
        for seconds in [1, 9] {
            let view = view(A, 2, 7);
            let witnesses = Witnesses { by_voter: true, ..Witnesses::default() };
            known.record_inside(&policy, &view, &view.members[0], witnesses, at(seconds));
        }
        assert_eq!(known.inside_silent_since(&policy, at(9)), Some(at(1)));
        assert_eq!(known.inside_silent_since(&policy, at(20)), Some(at(12)));
    }

    #[test]
    fn readings_of_different_counters_are_not_compared() {
        for other in [view(B, 2, 7), view(A, 3, 7), view(B, 3, 8), view(A, 2, 6)] {
            assert_eq!(after(&[(1, view(A, 2, 7)), (9, other)]), (Some(9), None));
        }
        assert_eq!(after(&[(1, view(A, 2, 7)), (600, view(A, 2, 7))]), (Some(600), None));
    }

    #[test]
    fn a_view_without_a_quorum_may_have_the_counters_of_a_former_leader() {
        let outdated = View { linearizable: false, ..view(A, 2, 7) };
        assert_eq!(after(&[(1, outdated.clone()), (9, outdated)]), (None, None));
    }

    #[test]
    fn the_leader_of_a_quorum_is_alive() {
        assert_eq!(after(&[(1, view(C, 2, 7))]).1, Some(1));
    }
}
