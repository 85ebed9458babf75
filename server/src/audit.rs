//! The audit log: one line for each change and each refusal, in the tracing target `audit`.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use convene_lifecycle::{Actor, Event, PublicId};
use tracing::field::display;

/// Logs a change that is committed.
pub fn log_changes<'a>(cluster: PublicId, events: impl Iterator<Item = &'a Event>) {
    for event in events {
        let by = event.actor.as_ref().map(|actor| &*actor.by);
        let from = event.actor.as_ref().and_then(|actor| actor.from).map(display);
        let (what, revision) = (event.kind.as_str(), event.revision.0);
        tracing::info!(target: "audit", by, from, what, %cluster, revision, outcome = "done", "changed");
    }
}

/// Logs a change of something that is no cluster, such as an API token.
pub fn log_change(actor: &Actor, what: &str, subject: &str) {
    let from = actor.from.map(display);
    tracing::info!(target: "audit", by = &*actor.by, from, what, subject, outcome = "done", "changed");
}

/// How many refusals a second are logged. A flood of them must not drown the rest of the log.
const REFUSALS_A_SECOND: u32 = 10;

/// Logs an attempt that was refused.
pub fn log_refusal(actor: &Actor, what: &str, reason: &str) {
    static LIMIT: Mutex<Option<(Instant, u32)>> = Mutex::new(None);
    let left_out = {
        let mut limit = LIMIT.lock().expect("no holder panics");
        match &mut *limit {
            Some((since, count)) if since.elapsed() < Duration::from_secs(1) => {
                *count += 1;
                if *count > REFUSALS_A_SECOND {
                    return;
                }
                0
            }
            limit => limit.replace((Instant::now(), 1)).map_or(0, |(_, count)| count.saturating_sub(REFUSALS_A_SECOND)),
        }
    };
    if left_out > 0 {
        tracing::warn!(target: "audit", left_out, "too many refusals in a second; the others are not logged");
    }
    let from = actor.from.map(display);
    tracing::warn!(target: "audit", by = &*actor.by, from, what, outcome = "refused", reason, "refused");
}
