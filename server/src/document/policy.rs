use std::time::Duration;

use convene_lifecycle::{Policy, Strategy};
use serde::{Deserialize, Serialize};

use super::problems::Place;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyDocument {
    strategy: String,
    dead_after_ms: u64,
    learner: bool,
    check_in_every_ms: u64,
    paused: bool,
}

impl From<&Policy> for PolicyDocument {
    fn from(policy: &Policy) -> Self {
        let Policy { strategy, dead_after, learner, check_in_every, paused } = *policy;
        Self {
            strategy: strategy.to_string(),
            dead_after_ms: milliseconds(dead_after),
            learner,
            check_in_every_ms: milliseconds(check_in_every),
            paused,
        }
    }
}

impl PolicyDocument {
    pub fn read(&self, mut place: Place<'_>) -> Option<Policy> {
        let strategy = place.field("strategy", self.strategy.parse::<Strategy>());
        let dead_after = place.field("dead_after_ms", duration(self.dead_after_ms, Policy::DEAD_AFTER));
        let check_in_every = place.field("check_in_every_ms", duration(self.check_in_every_ms, Policy::CHECK_IN_EVERY));
        Some(Policy {
            strategy: strategy?,
            dead_after: dead_after?,
            learner: self.learner,
            check_in_every: check_in_every?,
            paused: self.paused,
        })
    }
}

/// No member may count as dead as soon as it is silent, whoever wrote the document.
fn duration(millis: u64, (shortest, longest): (Duration, Duration)) -> Result<Duration, String> {
    let duration = Duration::from_millis(millis);
    if (shortest..=longest).contains(&duration) {
        Ok(duration)
    } else {
        let (shortest, longest) = (shortest.as_millis(), longest.as_millis());
        Err(format!("is {millis} and must be from {shortest} to {longest}"))
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
