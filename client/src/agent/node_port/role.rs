//! `/leader`, `/voter`, `/learner` and `/spare`: what the node is, by status code, for load balancers.

use super::Answer;
use crate::{
    agent::{
        state::State,
        status::{EtcdStatus, Status},
    },
    one_line::one_line,
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
        let hangs = status.hangs_for().map(|elapsed| format!("the agent hangs for {} s; before: ", elapsed.as_secs()));
        let is_so = hangs.is_none() && self.is_of(status);
        // The reason of the state may be another one.
        let error = status.etcd.as_ref().and_then(EtcdStatus::client_port_error);
        let error = error.map(|error| format!("; not for clients: {}", one_line(error))).unwrap_or_default();
        Answer::ok_if(is_so, format!("{}{}{error}\n", hangs.unwrap_or_default(), status.to_line()))
    }

    fn is_of(self, status: &Status) -> bool {
        let serving = match status.state {
            State::Learner | State::Voter => status.etcd.as_ref().filter(|etcd| etcd.client_port_error().is_none()),
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
