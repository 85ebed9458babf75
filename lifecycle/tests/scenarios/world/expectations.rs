//! What an answer, an event or the record must be.

use std::time::Duration;

use convene_lifecycle::Task;

use super::World;

impl World {
    /// The last answer's message contains this.
    #[track_caller]
    pub fn with_message(&mut self, part: &str) -> &mut Self {
        let message = &self.last.as_ref().unwrap().message;
        assert!(message.contains(part), "{message:?} does not contain {part:?}");
        self
    }

    /// The last answer's message.
    pub fn last_message(&self) -> &str {
        &self.last.as_ref().unwrap().message
    }

    /// The last answer asks the node to check in again after this many seconds.
    #[track_caller]
    pub fn again_after(&mut self, seconds: u64) -> &mut Self {
        assert_eq!(self.last.as_ref().unwrap().check_in_after, Duration::from_secs(seconds));
        self
    }

    /// The last answer refuses, and its remedy contains this.
    #[track_caller]
    pub fn with_remedy(&mut self, part: &str) -> &mut Self {
        let Task::Refuse { remedy } = &self.last.as_ref().unwrap().task else { panic!("{:?}", self.last) };
        assert!(remedy.contains(part), "{remedy:?} does not contain {part:?}");
        self
    }

    /// The refusals on record, oldest first, and how many there ever were.
    #[track_caller]
    pub fn refusals(&mut self, expected: &str, count: u64) -> &mut Self {
        let recorded = self.cluster.refusals.iter();
        let recorded: Vec<String> =
            recorded.map(|recorded| format!("{}: {}", recorded.node, recorded.refusal.found)).collect();
        assert_eq!((recorded.join(", ").as_str(), self.cluster.refusal_count), (expected, count));
        self
    }

    /// The cluster has this size.
    #[track_caller]
    pub fn size_is(&mut self, expected: u32) -> &mut Self {
        assert_eq!(self.cluster.size.get(), expected);
        self
    }

    /// A node observes the cluster and checks in, which leaves an event with this message.
    #[track_caller]
    pub fn leaves_event(&mut self, name: &str, expected: &str) -> &mut Self {
        let planned = self.take_view(name).check_in(name);
        let mut events = planned.change.iter().flat_map(|change| &change.events);
        assert!(events.any(|event| event.message == expected), "{:?}", planned.change);
        self
    }

    /// A node that may not speak for itself checks in, and leaves these events.
    #[track_caller]
    pub fn is_refused(&mut self, name: &str, expected: &str) -> &mut Self {
        let report = self.report_of(name);
        let change = self.cluster.hold_on_refused_report(&report, self.now);
        let events = change.iter().flat_map(|change| &change.events).map(|event| event.kind.as_str());
        assert_eq!(events.collect::<Vec<_>>().join(" "), expected);
        self.apply(change)
    }

    /// A node with older data than its member's looks, until it is clear that the leader does not hear from the member.
    #[track_caller]
    pub fn looks_for_its_member(&mut self, name: &str) -> &mut Self {
        self.observe(name, "wait: runs_elsewhere").pass(3).observe(name, "wait: runs_elsewhere").pass(3)
    }

    /// The registry's present members, learners with a `~` before their name.
    #[track_caller]
    pub fn members(&mut self, expected: &str) -> &mut Self {
        assert_eq!(self.words.members(&self.cluster), expected);
        self
    }
}
