use std::sync::Arc;

use super::Dissent;
use crate::{DiskId, Identity, MemberId, MemberName, NodeState, NodeStatus, PeerUrl, RunId, UnixMillis};

/// A node's last check-in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LastCheckIn {
    /// The time of the check-in.
    pub at: UnixMillis,
    /// The run of the node's client that sent it.
    pub run: RunId,
    /// Its number in that run.
    pub sequence: u64,
    /// The node's peer URLs.
    pub peer_urls: Vec<PeerUrl>,
    /// The state that the node reported.
    pub state: ReportedState,
    /// Whether the node reported data that has never had a leader.
    pub never_led: bool,
    /// Whether the node reported data without entries.
    pub without_entries: bool,
    /// Whether the node reported a database without a WAL.
    pub leftover: bool,
    /// The disk that the node reported.
    pub disk: Option<DiskId>,
    /// The member of which the node had data last, and the disk that the data was on. `None` if the node has reported no such data.
    pub data_disk: Option<(MemberId, DiskId)>,
    /// Whether the node was instructed to start its etcd since it last reported that etcd ran, in this run of its client.
    pub starts: bool,
    /// Whether its last instruction was to start etcd on the data that it has, or to take that member's address over first.
    pub may_start: bool,
    /// Since when each check-in with the node's name was without data. `None` if the last one was with data, or was answered with
    /// an instruction to start etcd without any.
    pub empty_since: Option<UnixMillis>,
    /// The time of the check-in before it. The node took the view that it sent with this one after that. `None` if that check-in
    /// is not known.
    pub before: Option<UnixMillis>,
    /// The list that this node saw last, if it is not the record's. `None` for a node that does not speak for a member.
    pub dissent: Option<Dissent>,
    /// What the node reported besides its state.
    pub status: Option<Arc<NodeStatus>>,
}

/// The state that a node reported: a [`NodeState`] without its details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReportedState {
    /// No data.
    Nothing,
    /// Data that can't be read.
    Unreadable,
    /// Data of a member; etcd did not run.
    Data(Identity),
    /// Data of a member; etcd's process ran, but did not answer yet.
    Loading(Identity),
    /// etcd ran and answered.
    Etcd(Identity),
}

impl LastCheckIn {
    /// About how many bytes it takes in memory.
    pub(super) fn bytes(&self, name: &MemberName) -> usize {
        const EACH: usize = 32;
        let urls: usize = self.peer_urls.iter().map(|url| url.as_str().len() + EACH).sum();
        let disks = self.disk.iter().chain(self.data_disk.iter().map(|(_, disk)| disk));
        let disks: usize = disks.map(|disk| disk.as_str().len() + EACH).sum();
        let status = self.status.as_ref().map_or(0, |status| status.bytes());
        size_of::<Self>() + name.as_str().len() + self.run.as_str().len() + urls + disks + status + 2 * EACH
    }
}

impl ReportedState {
    /// The member and the cluster of the data. `None` if there is no readable data.
    pub fn identity(&self) -> Option<Identity> {
        match *self {
            Self::Data(identity) | Self::Loading(identity) | Self::Etcd(identity) => Some(identity),
            Self::Nothing | Self::Unreadable => None,
        }
    }

    /// The state without its details.
    pub fn of(state: &NodeState) -> Self {
        match state {
            NodeState::Empty => Self::Nothing,
            NodeState::Unreadable { .. } => Self::Unreadable,
            NodeState::Stopped(identity) => Self::Data(*identity),
            NodeState::Starting(identity) => Self::Loading(*identity),
            NodeState::Running(identity) => Self::Etcd(*identity),
        }
    }
}
