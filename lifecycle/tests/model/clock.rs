use convene_lifecycle::UnixMillis;

/// When everything happens. What happened before is either fresh or [`OLD`]: nothing in the planner asks for more.
pub const NOW: UnixMillis = UnixMillis(1_000_000_000_000);

/// A moment ago, which is when all happened that is not [`OLD`]: so that what happens now is later.
pub const FRESH: UnixMillis = UnixMillis(NOW.0 - 1_000);

/// So long ago that silence since then means death, and two failed probes since then still are of one outage.
pub const OLD: UnixMillis = UnixMillis(NOW.0 - 70_000);

/// Before everything else.
pub const LONG_AGO: UnixMillis = UnixMillis(0);

/// Whether this was less than the time ago after which a member counts as dead and a ticket as lost.
pub fn is_fresh(at: UnixMillis) -> bool {
    at > OLD
}
