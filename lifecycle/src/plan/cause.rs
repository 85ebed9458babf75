use std::fmt;

use crate::{ClusterId, ClusterSize, Epoch, MemberKey, Reason};

/// Why a node gets an instruction that is not [blocked](super::blocked::Blocked), as a reason and a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A member runs, and nothing needs to change.
    Healthy { voters: usize, size: ClusterSize },
    /// The node's etcd loads its data.
    Loading,
    /// The roster is complete.
    RosterComplete { founders: usize },
    /// The data belongs to a member of this cluster. `obstacle` is why the node sees no quorum.
    OwnData { member: MemberKey, obstacle: Option<String> },
    /// The registry does not know the member of the data, and the cluster has not formed.
    UnknownMember,
    /// No quorum shows whether the member of the data is still one.
    MembershipNotVisible,
    /// The data is of another cluster than the registry's, and it is not certain which of the two is the right one.
    ForeignDataInDoubt { found: ClusterId, own: ClusterId },
    /// The data is of an earlier epoch, and nothing is lost with it.
    EarlierEpoch { current: Epoch },
    /// The data is of another cluster, and the registry's cluster has a quorum.
    ForeignData { found: ClusterId, own: ClusterId },
    /// The member of the data was removed.
    RemovedMember { member: MemberKey },
    /// The data can't be read, and the cluster does not need it.
    UnreadableData { found: String },
    /// The node has left: its member was removed.
    LeftAsMember { member: MemberKey },
    /// The node has left: its data is from an earlier epoch.
    LeftInEarlierEpoch,
    /// The node has left: it has neither a member nor data.
    LeftWithoutMember,
    /// The node is in etcd's list and has to start.
    Added { member: MemberKey },
    /// The data is older than what its member had applied, so the node replaces itself.
    DataRolledBack { member: String, last: u64, applied: u64 },
    /// The node's own former member makes room for it.
    LostDisk { member: String },
    /// A dead member makes room for the node.
    ReplacesDead { member: String },
    /// The node takes a free place.
    BelowSize { learner: bool },
    /// The node's peer URLs have changed.
    AddressChanged,
    /// The node's peer URLs have changed, and etcd still lists other members at them.
    AddressStillListed { holders: String },
    /// A learner's peer URLs have changed, so it joins again.
    LearnerAddressChanged,
    /// The learner has caught up.
    CaughtUp { learner: String },
    /// The cluster is full without this learner.
    SurplusLearner { learner: String },
    /// The node leaves.
    Leaving,
    /// The node leaves, and has no data.
    LeavingWithoutData,
    /// An administrator has evicted the member.
    Evicted { member: String },
    /// The cluster has more voters than its size.
    Shrink { member: String, size: ClusterSize },
    /// A member is dead, and the strategy is `prune`.
    Dead { member: String },
    /// A learner is dead.
    AbandonedLearner { learner: String },
    /// No voter reaches a learner, so it can't become a voter.
    LearnerOutOfReach { learner: String },
}

impl Cause {
    /// Its reason.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Healthy { .. } => Reason::Healthy,
            Self::Loading => Reason::Loading,
            Self::RosterComplete { .. } => Reason::RosterComplete,
            Self::OwnData { .. } => Reason::OwnData,
            Self::UnknownMember | Self::MembershipNotVisible | Self::ForeignDataInDoubt { .. } => Reason::Uncertain,
            Self::EarlierEpoch { .. } => Reason::EarlierEpoch,
            Self::ForeignData { .. } => Reason::ForeignData,
            Self::RemovedMember { .. } => Reason::RemovedMember,
            Self::UnreadableData { .. } => Reason::UnreadableData,
            Self::LeftAsMember { .. } | Self::LeftInEarlierEpoch | Self::LeftWithoutMember => Reason::Left,
            Self::Added { .. } => Reason::Added,
            Self::DataRolledBack { .. } => Reason::DataRolledBack,
            Self::LostDisk { .. } => Reason::LostDisk,
            Self::ReplacesDead { .. } | Self::Dead { .. } => Reason::Dead,
            Self::BelowSize { .. } => Reason::BelowSize,
            Self::AddressChanged | Self::AddressStillListed { .. } | Self::LearnerAddressChanged => {
                Reason::AddressChanged
            }
            Self::CaughtUp { .. } => Reason::CaughtUp,
            Self::SurplusLearner { .. } => Reason::Full,
            Self::Leaving | Self::LeavingWithoutData => Reason::Leaving,
            Self::Evicted { .. } => Reason::Evicted,
            Self::Shrink { .. } => Reason::Shrink,
            Self::AbandonedLearner { .. } | Self::LearnerOutOfReach { .. } => Reason::AbandonedLearner,
        }
    }
}

/// The message.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy { voters, size } if *voters < size.get() as usize => {
                write!(f, "the cluster has {voters} of {size} voters; nodes with `convene` can join")
            }
            Self::Healthy { .. } => f.write_str("nothing to do"),
            Self::Loading => f.write_str("this node's etcd is loading its data and does not answer yet; it does not \
                                          count as silent"),
            Self::RosterComplete { founders: 1 } => f.write_str("this node is the only founder; bootstrap alone"),
            Self::RosterComplete { founders } => {
                write!(f, "all {founders} founders are known; bootstrap together with them")
            }
            Self::OwnData { member, obstacle: None } => write!(f, "the data belongs to member {member} of this cluster"),
            Self::OwnData { member, obstacle: Some(obstacle) } => {
                write!(f, "the data belongs to member {member} of this cluster; {obstacle}")
            }
            Self::UnknownMember => {
                f.write_str("the registry does not know the member that this data belongs to; etcd will check the membership when it starts")
            }
            Self::MembershipNotVisible => f.write_str(
                "this node can't reach a quorum to check whether it is still a member; etcd will check that when it starts",
            ),
            Self::ForeignDataInDoubt { found, own } => write!(
                f,
                "the data belongs to etcd cluster {found}, but the registry has cluster {own} on record, and this \
                 node sees no quorum of cluster {own}; etcd starts on the existing data. If {found} is the right \
                 cluster, for example a restored one, run `convene cluster adopt`",
            ),
            Self::EarlierEpoch { current } => {
                write!(f, "the data is from an earlier epoch; the current epoch is {current}")
            }
            Self::ForeignData { found, own } => {
                write!(f, "the data belongs to etcd cluster {found}, but this cluster is {own}")
            }
            Self::RemovedMember { member } => {
                write!(f, "the data belongs to member {member}, which was removed from the cluster")
            }
            Self::UnreadableData { found } => write!(
                f,
                "the data can't be read ({found}), and the cluster has a quorum without it; this node archives the data \
                 and joins again"
            ),
            Self::LeftAsMember { member } => write!(f, "this node has left: member {member} was removed"),
            Self::LeftInEarlierEpoch => {
                f.write_str("this node has left: its data is from an earlier epoch, so there is nothing to remove")
            }
            Self::LeftWithoutMember => f.write_str("this node has left: it has no member and no data"),
            Self::Added { member } => {
                write!(f, "etcd's list has this node as member {member}; start etcd as that member")
            }
            Self::LostDisk { member } => {
                write!(f, "this node has lost the data of {member}; that member will be removed, and this node will join again")
            }
            Self::DataRolledBack { member, last, applied } => write!(
                f,
                "the data of {member} ends at index {last}, but this member had applied index {applied}: the data was \
                 rolled back; the member will be removed, and this node will join again"
            ),
            Self::ReplacesDead { member } => write!(f, "{member} is dead; it will be removed, and this node will take its place"),
            Self::BelowSize { learner: true } => f.write_str("add this node as a learner"),
            Self::BelowSize { learner: false } => f.write_str("add this node as a voter"),
            Self::AddressChanged => f.write_str("this node's peer URLs have changed"),
            Self::AddressStillListed { holders } => write!(
                f,
                "this node's peer URLs have changed, and etcd still lists them for {holders}; until that member is \
                 updated, this node advertises another spelling of the same URLs"
            ),
            Self::LearnerAddressChanged => f.write_str(
                "this node's peer URLs have changed; those of a learner can't be updated safely, so the node joins \
                 again",
            ),
            Self::CaughtUp { learner } => write!(f, "learner {learner} has caught up"),
            Self::SurplusLearner { learner } => write!(f, "the cluster has all its voters, so learner {learner} is not needed"),
            Self::Leaving => f.write_str("this node is leaving"),
            Self::LeavingWithoutData => f.write_str("this node is leaving, and has no data"),
            Self::Evicted { member } => write!(f, "an administrator has evicted {member}"),
            Self::Shrink { member, size } => write!(f, "the size is {size}, so {member} will be removed"),
            Self::Dead { member } => write!(f, "{member} is dead"),
            Self::LearnerOutOfReach { learner } => {
                write!(f, "no voter reaches learner {learner} at its peer URLs; it will be removed, and this node will join")
            }
            Self::AbandonedLearner { learner } => write!(f, "learner {learner} is dead; it will be removed"),
        }
    }
}
