//! The states of the agent, and how it gets from one to another.

use std::fmt;

/// Declares the states: each with its name, its description, the tasks of the registry that lead to it, and the states that may
/// follow it.
macro_rules! states {
    ($($variant:ident $name:literal [$($task:literal),*] => [$($next:ident),*] $description:literal;)+) => {
        convene_lifecycle::described_names! {
            /// What the agent is doing, in the order of a node's life. The names are part of the interface and stay.
            #[derive(PartialOrd, Ord)]
            pub enum State {
                $($variant $name $description;)+
            }
        }

        impl State {
            /// The names of the registry's tasks that lead to it.
            pub fn tasks(self) -> &'static [&'static str] {
                match self {
                    $(Self::$variant => &[$($task),*],)+
                }
            }

            /// The states that may follow it.
            pub fn next(self) -> &'static [Self] {
                match self {
                    $(Self::$variant => &[$(Self::$next),*],)+
                }
            }
        }
    };
}

// `convene explain states` prints them.
states! {
    Checking "checking" [] => [Waiting, Spare, Refused, Changing, Archiving, Loading, Stopping]
        "The agent reads the data directory and asks the registry what to do. etcd does not run.";
    Waiting "waiting" ["wait", "observe"] => [Checking]
        "The node waits without etcd: for other founders, for a quorum, or for the registry.";
    Spare "spare" ["stand_by"] => [Checking]
        "The cluster has all its voters. The node waits for a place.";
    Refused "refused" ["refuse"] => [Checking]
        "etcd can't start here until a person has acted. The agent keeps asking.";
    Changing "changing" ["remove_member", "add_member", "update_member"] => [Checking]
        "The node changes the cluster's membership to get its place.";
    Archiving "archiving" ["archive_data"] => [Checking]
        "The node renames its data directory, which belongs to no member of the cluster any more.";
    Loading "loading" ["bootstrap", "start", "join"] => [Learner, Voter, Silent, BackingOff, Stopping]
        "etcd's process runs, but does not answer yet.";
    Learner "learner" ["promote"] => [Voter, Leaving, Silent, BackingOff, Stopping]
        "etcd runs as a learner, and is promoted once it has caught up.";
    // Until it has applied its own membership, an etcd that joins lists itself as a voter at its peer URL: `--initial-cluster` has no learners
    // (`etcdserver/api/membership/cluster.go:NewClusterFromURLsMap`).
    Voter "voter" [] => [Learner, Leaving, Silent, BackingOff, Stopping]
        "etcd runs as a voter.";
    Silent "silent" [] => [Learner, Voter, Leaving, BackingOff, Stopping]
        "etcd's process runs, but etcd no longer answers, or has not answered for an hour after its start.";
    Leaving "leaving" ["leave"] => [Learner, Voter, Silent, BackingOff, Stopping]
        "The node removes its own member, because the cluster has no place for it any more.";
    BackingOff "backing_off" [] => [Checking]
        "etcd has exited. After a pause the agent asks the registry what to do.";
    Stopping "stopping" [] => [Stopped]
        "The agent has been asked to stop. It announces a downtime, moves the leadership away, and ends etcd.";
    Stopped "stopped" [] => []
        "etcd has ended, and the agent exits.";
}

impl State {
    /// The state in which an agent starts.
    pub const FIRST: Self = Self::Checking;

    /// The state to which a task of the registry leads; `None` for other words.
    pub fn of_task(task: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.tasks().contains(&task))
    }

    /// Whether this state may follow another one, directly or by way of [`State::Checking`], which takes no time worth showing.
    pub fn may_follow(self, before: Self) -> bool {
        let goes_on_from = |state: Self| state.next().contains(&self);
        // A signal may come at any time.
        self == before
            || self == Self::Stopping
            || goes_on_from(before)
            || (before.next().contains(&Self::Checking) && goes_on_from(Self::Checking))
    }

    /// Whether etcd's process runs in this state.
    pub fn has_etcd(self) -> bool {
        matches!(self, Self::Loading | Self::Learner | Self::Voter | Self::Silent | Self::Leaving)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use convene_lifecycle::Reason;

    use super::*;

    #[test]
    fn each_task_of_the_registry_leads_to_one_state() {
        let tasks: BTreeSet<&str> = Reason::ALL.iter().flat_map(|reason| reason.tasks()).copied().collect();
        let known: Vec<&str> = State::ALL.iter().flat_map(|state| state.tasks()).copied().collect();
        assert_eq!(known.iter().copied().collect::<BTreeSet<_>>(), tasks);
        assert_eq!(known.len(), tasks.len());
    }

    #[test]
    fn each_state_can_be_reached_and_left() {
        let mut reached = vec![State::FIRST];
        let mut next = 0;
        while let Some(state) = reached.get(next).copied() {
            reached.extend(
                State::ALL
                    .iter()
                    .filter(|after| state.next().contains(after) && !reached.contains(after))
                    .collect::<Vec<_>>(),
            );
            next += 1;
        }
        assert_eq!(reached.len(), State::ALL.len(), "{reached:?}");
        let final_states: Vec<_> = State::ALL.iter().filter(|state| state.next().is_empty()).collect();
        assert_eq!(final_states, [&State::Stopped]);
    }
}
