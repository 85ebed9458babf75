use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

/// How many requests a client may reset on one connection before it is answered, at once and each second. A client that
/// ends many watches does so after their answers have begun; one that exceeds this uses the server without waiting for it.
const BURST: f64 = 512.0;
const EACH_SECOND: f64 = 64.0;

/// Requests that the client of a connection has reset before they were answered.
#[derive(Debug)]
pub struct Resets {
    allowed: Mutex<Allowed>,
    /// Cancelled when there are too many.
    pub too_many: CancellationToken,
}

#[derive(Debug)]
struct Allowed {
    left: f64,
    at: Instant,
}

/// A request that is being answered. It counts as reset if this is dropped before [`Unanswered::end`].
pub struct Unanswered(Option<Arc<Resets>>);

impl Resets {
    /// None yet, of a connection that is closed by this.
    pub fn new() -> Self {
        Self { allowed: Mutex::new(Allowed { left: BURST, at: Instant::now() }), too_many: CancellationToken::new() }
    }

    /// A request that begins.
    pub fn unanswered(self: &Arc<Self>) -> Unanswered {
        Unanswered(Some(self.clone()))
    }

    fn count(&self) {
        if !self.allowed.lock().expect("no holder panics").take(Instant::now()) {
            self.too_many.cancel();
        }
    }
}

impl Allowed {
    fn take(&mut self, now: Instant) -> bool {
        let passed: Duration = now.saturating_duration_since(self.at);
        self.left = (self.left + passed.as_secs_f64() * EACH_SECOND).min(BURST) - 1.0;
        self.at = now;
        self.left >= 0.0
    }
}

impl Unanswered {
    /// The request is answered.
    pub fn end(mut self) {
        self.0 = None;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(resets) = &self.0 {
            resets.count();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_reset_many_requests_at_once_and_few_each_second() {
        let begun = Instant::now();
        let mut allowed = Allowed { left: BURST, at: begun };
        assert!((0..512).all(|_| allowed.take(begun)) && !allowed.take(begun));
        let mut allowed = Allowed { left: 0.0, at: begun };
        assert!((1..1_000).all(|n| allowed.take(begun + Duration::from_millis(16 * n))));
    }

    #[test]
    fn an_answered_request_counts_for_nothing() {
        let resets = Arc::new(Resets::new());
        (0..1_000).for_each(|_| resets.unanswered().end());
        assert!(!resets.too_many.is_cancelled());
        (0..1_000).for_each(|_| drop(resets.unanswered()));
        assert!(resets.too_many.is_cancelled());
    }
}
