/// Why a node gets an instruction. The words are part of the API and stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Nodes are still missing that are to bootstrap the cluster.
    Forming,
    /// The roster is complete.
    RosterComplete,
    /// Whether the cluster exists can only be said when its other founders are back.
    FoundersMissing,
    /// An administrator has paused all changes of membership.
    Paused,
    /// A look at the cluster is needed, or a fresher one.
    LookNeeded,
    /// There is no quorum.
    NoQuorum,
    /// Another node is changing membership.
    TicketHeld,
    /// A member can't be reached, but has not been silent for long enough to be dead.
    NotDeadYet,
    /// A member checks in but can't be reached, or the reverse.
    Partition,
    /// It would cost the cluster its quorum.
    QuorumAtRisk,
    /// The cluster's strategy does not allow it.
    Strategy,
    /// Another learner has to be promoted or removed first.
    LearnerPresent,
    /// The learner has not caught up yet.
    CatchingUp,
    /// Everything is as it should be.
    Healthy,
    /// The member whose data this is is being removed.
    BeingRemoved,
    /// The data is this cluster's and this member's.
    OwnData,
    /// Whose data it is can't be told for sure; etcd guards itself.
    Uncertain,
    /// The data is of another cluster.
    ForeignData,
    /// The data is of an earlier attempt to form the cluster.
    EarlierEpoch,
    /// The data is of a member that was removed.
    RemovedMember,
    /// The data can't be read.
    UnreadableData,
    /// The node's own former member has lost its data.
    LostDisk,
    /// A member is dead.
    Dead,
    /// The removal was asked for.
    Evicted,
    /// The cluster has more voters than its size.
    Shrink,
    /// A learner was given up by the node that added it.
    AbandonedLearner,
    /// The node wants to leave.
    Leaving,
    /// The cluster has fewer voters than its size.
    BelowSize,
    /// The node's peer URLs are not those that etcd knows.
    AddressChanged,
    /// The node was added, and has to start.
    Added,
    /// The learner has caught up.
    CaughtUp,
    /// The cluster has all the voters that it needs.
    Full,
    /// The node has left.
    Left,
    /// Another member has the name.
    NameTaken,
    /// Another member has the peer URL.
    PeerUrlTaken,
    /// Stock etcds form the cluster by v2 or v3 discovery.
    FormsByDiscovery,
    /// The node's etcd belongs to another cluster.
    ForeignCluster,
    /// It is the last voter.
    LastMember,
    /// As many members as a cluster may have are on record.
    TooManyMembers,
    /// A later check-in of the same run came first.
    Overtaken,
}

impl Reason {
    /// Every reason, with its word.
    pub const ALL: [(Self, &'static str); 40] = [
        (Self::Forming, "forming"),
        (Self::RosterComplete, "roster_complete"),
        (Self::FoundersMissing, "founders_missing"),
        (Self::Paused, "paused"),
        (Self::LookNeeded, "look_needed"),
        (Self::NoQuorum, "no_quorum"),
        (Self::TicketHeld, "ticket_held"),
        (Self::NotDeadYet, "not_dead_yet"),
        (Self::Partition, "partition"),
        (Self::QuorumAtRisk, "quorum_at_risk"),
        (Self::Strategy, "strategy"),
        (Self::LearnerPresent, "learner_present"),
        (Self::CatchingUp, "catching_up"),
        (Self::Healthy, "healthy"),
        (Self::BeingRemoved, "being_removed"),
        (Self::OwnData, "own_data"),
        (Self::Uncertain, "uncertain"),
        (Self::ForeignData, "foreign_data"),
        (Self::EarlierEpoch, "earlier_epoch"),
        (Self::RemovedMember, "removed_member"),
        (Self::UnreadableData, "unreadable_data"),
        (Self::LostDisk, "lost_disk"),
        (Self::Dead, "dead"),
        (Self::Evicted, "evicted"),
        (Self::Shrink, "shrink"),
        (Self::AbandonedLearner, "abandoned_learner"),
        (Self::Leaving, "leaving"),
        (Self::BelowSize, "below_size"),
        (Self::AddressChanged, "address_changed"),
        (Self::Added, "added"),
        (Self::CaughtUp, "caught_up"),
        (Self::Full, "full"),
        (Self::Left, "left"),
        (Self::NameTaken, "name_taken"),
        (Self::PeerUrlTaken, "peer_url_taken"),
        (Self::FormsByDiscovery, "forms_by_discovery"),
        (Self::ForeignCluster, "foreign_cluster"),
        (Self::LastMember, "last_member"),
        (Self::TooManyMembers, "too_many_members"),
        (Self::Overtaken, "overtaken"),
    ];

    /// The reason's word.
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_word_in_its_own_place() {
        for (at, (reason, _)) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
        }
    }
}
