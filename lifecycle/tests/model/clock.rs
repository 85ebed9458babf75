use convene_lifecycle::UnixMillis;

/// The time of every step. Earlier times are either fresh or [`OLD`]: the planner distinguishes nothing else.
pub const NOW: UnixMillis = UnixMillis(1_000_000_000_000);

/// The time of everything recent that happened before the present step.
pub const FRESH: UnixMillis = UnixMillis(NOW.0 - 1_000);

/// So long ago that a member that is silent since then is dead, while two failed probes since then count as one outage.
pub const OLD: UnixMillis = UnixMillis(NOW.0 - 70_000);

/// Before everything else.
pub const LONG_AGO: UnixMillis = UnixMillis(0);

/// Whether this time is so recent that a member is not dead since then, and a ticket not expired.
pub fn is_fresh(at: UnixMillis) -> bool {
    at > OLD
}
