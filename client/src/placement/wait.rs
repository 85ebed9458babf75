use std::time::Duration;

/// When a node that has nothing to do checks in again, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextCheckIn {
    /// How long the node pauses before.
    pub pause: Duration,
    /// For how long the registry may hold its response then.
    pub wait: Duration,
}

impl NextCheckIn {
    /// The next check-in after a response that asks for one after `check_in_after`, and offers to hold the response to it for `offered`.
    /// The registry was allowed to hold the present one for `waited`; it came after `took`.
    pub fn new(check_in_after: Duration, offered: Option<Duration>, waited: Duration, took: Duration) -> Self {
        match offered {
            // The instruction may have changed while the registry held its response.
            Some(Duration::ZERO) if !waited.is_zero() => Self { pause: Duration::ZERO, wait: Duration::ZERO },
            // A registry that does not hold the response must not be asked in a busy loop.
            Some(wait) if !wait.is_zero() => {
                Self { pause: waited.min(check_in_after).saturating_sub(took), wait: wait.min(check_in_after) }
            }
            _ => Self { pause: check_in_after, wait: Duration::ZERO },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_waits_at_the_registry_if_that_offers_it_and_pauses_otherwise() {
        let seconds = Duration::from_secs;
        for (name, check_in_after, offered, waited, took, pause, wait) in [
            ("an older registry offers nothing", 10, None, 0, 0, 10, 0),
            ("the first offer", 10, Some(10), 0, 0, 0, 10),
            ("it was held for the whole time", 10, Some(10), 10, 10, 0, 10),
            ("it was answered early, without a change", 10, None, 10, 3, 10, 0),
            ("something has changed", 10, Some(0), 10, 3, 0, 0),
            ("a change without a wait", 10, Some(0), 0, 0, 10, 0),
            ("a registry that offers to hold and does not", 10, Some(10), 10, 0, 10, 10),
            ("the instruction is to come again sooner now", 2, Some(2), 10, 2, 0, 2),
        ] {
            let offered = offered.map(seconds);
            let next = NextCheckIn::new(seconds(check_in_after), offered, seconds(waited), seconds(took));
            assert_eq!(next, NextCheckIn { pause: seconds(pause), wait: seconds(wait) }, "{name}");
        }
    }
}
