use std::time::Duration;

use super::{Clock, Overview};
use crate::registry::Member;

/// How long after its last sign of life a member counts as healthy, if nobody has looked since.
const FRESH: Duration = Duration::from_secs(30);

/// How a member is, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Its etcd answers, or its node has just reported a running etcd.
    Healthy,
    /// It is alive, and has no vote yet.
    Learner,
    /// Something answers at its URLs, but did not show that it is this member. It may be another one: see the notes.
    Answers,
    /// Its etcd's process runs, but does not answer yet.
    Starting,
    /// Its etcd was started again and again without an answer.
    Failing,
    /// It does not answer.
    Silent,
    /// It is not in etcd's list.
    Unlisted,
    /// Nobody has looked.
    Unknown,
}

impl Health {
    /// The health of a member.
    pub fn of(overview: &Overview, member: &Member, clock: Clock) -> Self {
        let policy = &overview.cluster.value.policy;
        let is_learner = member.role == "learner";
        let alive = if is_learner { Self::Learner } else { Self::Healthy };
        let observed = overview.observed(member);
        if observed.is_some_and(|observed| observed.identified) {
            return alive;
        }
        if policy.max_failed_starts.is_some_and(|bound| member.failed_starts >= bound) {
            return Self::Failing;
        }
        let is_fresh = |time: &str| clock.since(time).is_some_and(|age| age <= FRESH);
        let node = overview.node_of(member).filter(|node| is_fresh(&node.checked_in_at));
        if node.is_some_and(|node| node.state == "starting") {
            return Self::Starting;
        }
        if let Some(observed) = observed {
            return if observed.reachable { Self::Answers } else { Self::Silent };
        }
        if overview.view.as_ref().is_some_and(|view| view.linearizable) {
            return Self::Unlisted;
        }
        let runs = node.is_some_and(|node| node.state == "running");
        match overview.nobody_answers() {
            // This machine may be the one that reaches nobody.
            true if runs => return Self::Unknown,
            true => return Self::Silent,
            false if member.unreachable_since.is_some() => return Self::Silent,
            false => {}
        }
        let has_answered = member.answered_at.as_deref().is_some_and(is_fresh);
        if has_answered || runs { alive } else { Self::Unknown }
    }

    /// The word in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Learner => "learner",
            Self::Answers => "answers",
            Self::Starting => "starting",
            Self::Failing => "failing",
            Self::Silent => "silent",
            Self::Unlisted => "unlisted",
            Self::Unknown => "unknown",
        }
    }
}

/// How long ago the member's last sign of life was. `None` if there never was any.
pub fn age(overview: &Overview, member: &Member, clock: Clock) -> Option<Duration> {
    if overview.observed(member).is_some_and(|observed| observed.reachable && observed.instead.is_none()) {
        return Some(Duration::ZERO);
    }
    // A failing member's check-ins are no sign of life.
    let is_failing = Health::of(overview, member, clock) == Health::Failing;
    let last_seen = if is_failing { &member.answered_at } else { &member.last_seen_at };
    last_seen.as_deref().and_then(|time| clock.since(time))
}
