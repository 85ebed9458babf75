//! Starts of an etcd that did not last.
//!
//! An etcd on a full disk may answer for a second before it ends, and again after each restart. So an answer shows that the
//! member is alive only as long as its etcd stays up.

use std::time::Duration;

use super::MemberLiveness;
use crate::{Policy, UnixMillis};

/// How long after its start an etcd must answer for the start to have lasted.
const LASTS: Duration = Duration::from_secs(10);

/// The starts of a member's etcd since it last stayed up, each soon after the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Starts {
    /// When its node was instructed to make the first of them.
    pub first: UnixMillis,
    /// When its node was instructed to make the last of them, or last reported that etcd loads its data.
    pub last: UnixMillis,
    /// How many starts did not last. The last one still may.
    pub short: u32,
}

impl MemberLiveness {
    /// Records that the member's node was instructed to start its etcd.
    pub(super) fn record_start(&mut self, policy: &Policy, now: UnixMillis) {
        self.failed_starts = self.failed_starts.saturating_add(1);
        let before = self.starts.filter(|before| before.last.age(now) < policy.dead_after + LASTS);
        self.starts = Some(match before {
            Some(before) => Starts { last: now, short: before.short.saturating_add(1), ..before },
            None => Starts { first: now, last: now, short: 0 },
        });
    }

    /// Records an answer of the member's etcd.
    pub(super) fn record_answer(&mut self, now: UnixMillis) {
        self.answered = Some(now);
        self.failed_starts = 0;
        self.starts = self.starts.filter(|starts| starts.last.age(now) < LASTS);
    }

    /// How often the member's etcd was started in vain: without an answer, or without staying up.
    pub fn failed_starts(&self) -> u32 {
        self.failed_starts.max(self.starts.map_or(0, |starts| starts.short))
    }

    /// Since when its starts have not lasted, if there were too many of them.
    pub(super) fn unstable_since(&self, policy: &Policy) -> Option<UnixMillis> {
        self.starts.filter(|starts| starts.short >= policy.max_failed_starts).map(|starts| starts.first)
    }

    /// Records that the member's etcd loads its data: its last start goes on.
    pub(super) fn record_loading(&mut self, now: UnixMillis) {
        let before = self.starts.unwrap_or(Starts { first: now, last: now, short: 0 });
        self.starts = Some(Starts { last: now, ..before });
    }

    /// Whether its node was just instructed to start etcd on the data that it has, or has just reported that etcd loads the data, and the
    /// etcd has not answered since.
    pub(super) fn is_about_to_start(&self, policy: &Policy, now: UnixMillis) -> bool {
        self.starts.is_some_and(|starts| {
            starts.last.age(now) < policy.dead_after && self.answered.is_none_or(|answered| answered < starts.last)
        })
    }
}
