//! `/leader`, `/voter`, `/learner` and `/spare`: what the node is, by status code, for load balancers.

use super::Answer;
use crate::agent::{
    state::State,
    status::{EtcdStatus, Status},
};

/// What a node can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A voter that is the leader.
    Leader,
    /// A voter, the leader included.
    Voter,
    /// A member that receives the data and does not vote.
    Learner,
    /// A node that waits for a place.
    Spare,
}

impl Role {
    /// Whether the node has this role and is there for clients: the agent does not hang, etcd answers, and the node neither leaves
    /// nor stops.
    pub fn answer(self, status: &Status) -> Answer {
        match status.hangs_for() {
            None => Answer::ok_if(self.is_of(status), &format!("{}\n", status.to_line())),
            Some(elapsed) => {
                let body = format!("the agent hangs for {} s; last: {}\n", elapsed.as_secs(), status.to_line());
                Answer::ok_if(false, &body)
            }
        }
    }

    fn is_of(self, status: &Status) -> bool {
        let serving = match status.state {
            State::Learner | State::Voter => status.etcd.as_ref().filter(|etcd| !etcd.version.is_empty()),
            _ => None,
        };
        match self {
            Self::Leader => serving.is_some_and(EtcdStatus::is_leader),
            Self::Voter => serving.is_some_and(|etcd| !etcd.learner),
            Self::Learner => serving.is_some_and(|etcd| etcd.learner),
            Self::Spare => status.state == State::Spare,
        }
    }
}
