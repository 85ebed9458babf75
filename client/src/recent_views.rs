use std::{collections::VecDeque, time::Duration};

use crate::{boot_clock::BootInstant, registry::View};

/// How long a view is kept. Nothing that is older is compared with what a node sees now.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// How many views are kept. A node observes its cluster about once in a second.
const MOST: usize = 16;

/// The views that a node has taken through the quorum lately, the oldest first, each with the moment at which it was complete.
#[derive(Debug, Default)]
pub struct RecentViews(VecDeque<(BootInstant, View)>);

impl RecentViews {
    /// Adds a view that was complete at this moment.
    pub fn add(&mut self, view: &View, at: BootInstant) {
        self.0.retain(|(taken, _)| at.saturating_duration_since(*taken) < KEPT_FOR);
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        if view.linearizable {
            self.0.push_back((at, view.clone()));
        }
    }

    /// The latest view that was complete this long before a moment, or earlier.
    pub fn before(&self, moment: BootInstant, by: Duration) -> Option<&View> {
        let age = |taken: BootInstant| moment.saturating_duration_since(taken);
        let is_meant = |taken: BootInstant| (by..KEPT_FOR).contains(&age(taken));
        self.0.iter().rev().find(|(taken, _)| is_meant(*taken)).map(|(_, view)| view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(since: u64, linearizable: bool) -> View {
        View { since, cluster_id: None, linearizable, leader: None, term: None, members: Vec::new() }
    }

    #[test]
    fn the_latest_view_that_is_old_enough_is_found() {
        let (start, second) = (BootInstant::now(), Duration::from_secs(1));
        let mut views = RecentViews::default();
        for number in 0..8 {
            views.add(&view(u64::from(number), number != 5), start + number * second);
        }
        let found = |at: u32, by: u32| views.before(start + at * second, by * second).map(|view| view.since);
        assert_eq!(found(8, 2), Some(6));
        assert_eq!(found(7, 2), Some(4), "the fifth was not read through the quorum");
        assert_eq!(found(1, 2), None);
        assert_eq!(found(17, 2), None, "all are too old");
    }

    #[test]
    fn no_more_views_are_kept_than_needed() {
        let start = BootInstant::now();
        let mut views = RecentViews::default();
        for number in 0..100 {
            views.add(&view(number, true), start);
        }
        assert_eq!(views.0.len(), MOST);
        views.add(&view(100, true), start + KEPT_FOR);
        assert_eq!(views.0.len(), 1);
    }
}
