//! Times of a clock that was ahead and has been set back.
//!
//! A time in the future has no age. A member that was last seen then would not count as silent before that time, which may be
//! hours away. So such a time becomes the present one: silence counts from now on, and no member dies because of it.

use super::{LastCheckIn, Liveness, MemberLiveness, ReceivedBytes, Starts};
use crate::UnixMillis;

impl Liveness {
    /// Replaces times in the future by the present one.
    pub fn replace_future_times(&mut self, now: UnixMillis) {
        let Self { since, nodes, members } = self;
        limit(since, now);
        for LastCheckIn { at, empty_since, before, dissent, .. } in nodes.values_mut() {
            // A view that was taken after a time in the future need not be recent.
            *before = before.filter(|before| *before <= now);
            limit(at, now);
            limit_all(empty_since, now);
            limit_all(dissent.as_mut().map(|dissent| &mut dissent.at), now);
        }
        for member in members.values_mut() {
            let MemberLiveness { checked_in, answered, failing, starts, heard, received, unreached_by_voters, .. } =
                member;
            limit_all([checked_in, answered, heard].into_iter().flatten(), now);
            for (first, last) in [failing, unreached_by_voters].into_iter().flatten() {
                limit_all([first, last], now);
            }
            if let Some(Starts { first, last, .. }) = starts {
                limit_all([first, last], now);
            }
            if let Some(ReceivedBytes { since, last, .. }) = received {
                limit_all([since, last], now);
            }
        }
    }
}

fn limit_all<'a>(times: impl IntoIterator<Item = &'a mut UnixMillis>, now: UnixMillis) {
    times.into_iter().for_each(|time| limit(time, now));
}

fn limit(time: &mut UnixMillis, now: UnixMillis) {
    *time = now.min(*time);
}
