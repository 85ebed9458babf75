mod explain;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::{
    ClientUrl, ClusterId, ClusterSize, Discovery, Epoch, EtcdVersion, Held, LastCheckIn, Liveness, MemberId, MemberKey,
    MemberName, ObservedMember, PeerUrl, Policy, Purpose, Reason, Setback, Strategy, Ticket, UnixMillis, ticket::Step,
};

/// Why a node gets no further now, with the numbers behind it.
///
/// The checks of the planner return it, and [`Blocked::explain`] is the one place that turns it into a reason, a
/// message and, if a person has to act, a remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Blocked {
    /// A later check-in of the same run has been answered.
    Overtaken,
    /// An administrator has paused all membership changes.
    Paused,
    /// Another cluster may exist, so nobody may found this one.
    Held {
        held: Held,
        /// The node that reported it, if it needs a join token before it can show the cluster.
        refused: Option<MemberName>,
    },
    /// The decision needs the node's view of the cluster.
    ViewNeeded(ViewNeeded),
    /// Another etcd cluster answers at the members' addresses.
    ForeignClusterAnswers { found: ClusterId, own: Option<ClusterId> },
    /// Too few voters answer the node.
    NoQuorum { silent: Vec<String> },
    /// A quorum of voters answers the node, but its view was not read through a quorum, or shows no leader.
    NoLeader { silent: Vec<String> },
    /// No quorum: no other member answers at its listed address, and this node is not at its own any more.
    AllAddressesChanged { silent: Vec<String>, listed: String, own: String },
    /// The node's view lacks members on record, without evidence that they were removed.
    MemberMismatch { missing: Vec<String> },
    /// The node's view has members that an administrator has given up, without evidence that it is of the present cluster.
    GivenUpListed { listed: Vec<String> },
    /// The node's view shows changes of other members that no second node has shown.
    Unconfirmed { shown: Vec<String> },
    /// An etcd cluster answers at the members' addresses, and nobody vouches for the node that shows it.
    NobodyVouches { found: ClusterId },
    /// An administrator has given up the member that this node has the data of, and the node sees no quorum.
    GivenUp { member: MemberKey, present: Vec<String> },
    /// An etcd answers as the member that this node has the data of.
    AnswersElsewhere { member: String, urls: String },
    /// Another node checks in as the member that this node has the data of, and its etcd runs.
    ChecksInElsewhere { member: MemberId, urls: String, until: UnixMillis, now: UnixMillis },
    /// Another run was instructed to join with this node's peer URLs, and may still start its etcd.
    JoinsElsewhere { member: String, urls: String, since: UnixMillis, until: UnixMillis, now: UnixMillis },
    /// The data is of an earlier epoch, and may be the only copy.
    EarlierEpoch { current: Epoch },
    /// Founders are missing.
    Forming { registered: usize, size: usize },
    /// A founder without data can't know whether the cluster exists.
    FoundersMissing,
    /// The data of a founder has never had a leader, and its address has changed.
    FoundersMoved,
    /// The data of a founder has no entries, so etcd elects no leader on it.
    FoundersWithoutEntries,
    /// No founder has data that has had a leader, but the last attempt to bootstrap was not long ago.
    NextEpochLater { again_at: UnixMillis, now: UnixMillis },
    /// So many founders have no usable data that the others can't have a quorum.
    FoundersWithoutQuorum { others: Vec<String> },
    /// The data is older than what its member had applied.
    DataRolledBack { member: String, last: u64, applied: u64, strategy: Strategy, paused: bool },
    /// The data is older than that of its member, from which the leader hears, or may hear.
    CopyOfOlderData { member: String, is_heard: bool },
    /// The data is older than what its member had applied, by the word of one other voter's node alone.
    MayBeRolledBack { member: String, last: u64, applied: u64, witness: String },
    /// Another node has the ticket.
    TicketHeld { holder: MemberName, number: u64, purpose: &'static str },
    /// The node has the ticket, but may not begin a change any more before the ticket is taken away.
    StepOverdue { number: u64, step: Step },
    /// The node lost its last ticket without progress, and waits before it takes another one.
    LastInLine { setback: Setback, again_at: UnixMillis, goes_last: bool, now: UnixMillis },
    /// Without the member, too few of the remaining voters would answer.
    RemovalRisksQuorum { member: String, remaining: usize, up: usize, needed: usize, unheard: Vec<String> },
    /// With the learner as a voter, too few voters would answer.
    PromotionRisksQuorum { learner: String, voters: usize, up: usize, needed: usize, unheard: Vec<String> },
    /// Without the member, too few voters would answer to correct a wrong address.
    UpdateRisksQuorum { member: String, up: usize, needed: usize },
    /// The learner does not answer, so it can't vote.
    LearnerDown { learner: String },
    /// The member is the only voter.
    LastVoter { member: String },
    /// The member is down, but not yet dead.
    NotDeadYet { member: String, silent_since: UnixMillis, dead_at: UnixMillis, now: UnixMillis },
    /// The member's etcd is loading its data and does not answer yet.
    MemberLoading { member: String },
    /// The member was started in vain too often, but is not yet dead.
    Failing { member: String, starts: u32, silent_since: UnixMillis, dead_at: UnixMillis, now: UnixMillis },
    /// The node has no data of its member, which was on another disk.
    OnOtherDisk { member: String, until: UnixMillis, now: UnixMillis },
    /// The member is down in a downtime that was announced.
    InDowntime { member: String, until: UnixMillis, now: UnixMillis },
    /// The member's node checks in, but its etcd does not answer.
    Partitioned { member: String },
    /// This node can't reach the leader, but the voters can.
    LeaderOutOfReach { member: String },
    /// This node can't reach the member, but the leader hears it.
    HeardByLeader { member: String },
    /// The member is down, but no voter's side shows it.
    NoWitness { member: String, silent_since: UnixMillis, leader: LeaderMetrics, now: UnixMillis },
    /// The member is dead, and no node is here to take its place.
    DeadAwaitsSpare { member: String },
    /// The member is dead, and the strategy keeps it.
    DeadStays { member: String, strategy: Strategy },
    /// The learner is dead, and the strategy keeps it.
    DeadLearnerStays { learner: String, strategy: Strategy },
    /// The strategy keeps the member that had to go first.
    StrategyRemovesNobody { member: String, strategy: Strategy },
    /// The strategy leaves it to an administrator to add this node.
    AwaitsAdministrator,
    /// Another learner comes first.
    LearnerPresent { learner: String },
    /// No voter has reached the learner at its peer URLs. `is_known`: the leader's metrics show that it has not.
    PeerUrlUnreachable { learner: String, peer_urls: String, leader: LeaderMetrics, is_known: bool },
    /// The node's etcd can't join members of these versions.
    VersionMismatch { own: EtcdVersion, lowest: EtcdVersion },
    /// The learner has not caught up, or did not report how far it is.
    CatchingUp { learner: String, behind: Option<u64> },
    /// Another node is removing this node's member.
    BeingRemoved { member: String },
    /// The cluster needs no further node. `own_size`: the node's own size, if it has one.
    Full { size: ClusterSize, own_size: Option<ClusterSize>, voters: usize, once: bool },
    /// The node's member was evicted.
    Evicted,
    /// Stock etcds form the cluster.
    FormsByDiscovery(Discovery),
    /// Another member has the node's name.
    NameTaken { name: MemberName, member: MemberKey },
    /// Another member has one of the node's peer URLs.
    PeerUrlTaken { url: PeerUrl, member: String },
    /// etcd's list has one of the node's peer URLs for another member, which has moved.
    PeerUrlStillListed { url: PeerUrl, member: String },
    /// The data can't be read, and a member of the node's name or peer URLs answers.
    UnreadableDataInUse { member: String },
    /// The data can't be read, and the cluster has not formed.
    UnreadableWhileForming { found: String },
    /// The data can't be read, so the member that should leave is not known.
    UnreadableWhileLeaving { found: String },
    /// The node leaves with a stopped etcd, without which there is no quorum.
    LeavingNeedsOwnEtcd { voters: usize, up: usize, needed: usize },
    /// The node leaves, but its member runs, and not on this node's data.
    LeavingMemberRunsElsewhere { member: String, urls: String },
    /// The node leaves without data, but its member answers.
    LeavingMemberAnswers { member: MemberKey },
    /// The node leaves, and a member of its name has other peer URLs.
    LeavingNameElsewhere { name: MemberName, member: MemberKey },
    /// The node leaves, and a member of another name has one of its peer URLs.
    LeavingPeerUrlElsewhere { url: PeerUrl, member: String },
    /// The node leaves, and its data is of another cluster.
    LeavingForeignCluster { found: ClusterId, own: ClusterId },
    /// The node's etcd is of another cluster.
    RunsForeignCluster { found: ClusterId, own: Option<ClusterId> },
    /// The cluster's record is full.
    TooManyMembers,
}

/// The leader, and the client URL where its metrics are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeaderMetrics {
    pub leader: String,
    pub url: Option<ClientUrl>,
}

/// What the node's view is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ViewNeeded {
    /// For a decision about the members.
    Decision,
    /// Again: the registry has learned of a change since the node observed the cluster.
    Newer,
    /// To see that the member is still in etcd's list.
    BeforeStart,
    /// To see whether other founders run, because this one may have bootstrapped.
    BeforeBootstrap,
    /// To see whether the member that the node may mean is still in etcd's list.
    BeforeLeaving,
}

/// A [`Blocked`] for the node, and for people.
pub(super) struct Explanation {
    pub outcome: Outcome,
    pub reason: Reason,
    pub message: String,
}

/// What a blocked node does.
pub(super) enum Outcome {
    Wait,
    Observe,
    StandBy,
    Refuse { remedy: Cow<'static, str> },
}

impl Blocked {
    /// The ticket that blocks all nodes but its holder.
    pub fn by_ticket(ticket: &Ticket) -> Self {
        let Ticket { holder, number, purpose, .. } = ticket;
        Self::TicketHeld { holder: holder.clone(), number: *number, purpose: action(purpose) }
    }

    /// An etcd that answered this node's probe as the member of its data.
    pub fn answers_elsewhere(observed: &ObservedMember) -> Self {
        let (member, urls) = describe(observed);
        Self::AnswersElsewhere { member, urls }
    }

    /// The same, for a node that leaves.
    pub fn leaving_member_runs_elsewhere(observed: &ObservedMember) -> Self {
        let (member, urls) = describe(observed);
        Self::LeavingMemberRunsElsewhere { member, urls }
    }

    /// Another node's check-in as the member of this node's data.
    pub fn checks_in_elsewhere(member: MemberId, other: &LastCheckIn, policy: &Policy, now: UnixMillis) -> Self {
        let until = Liveness::gone_at(policy, other);
        Self::ChecksInElsewhere { member, urls: urls_of(&other.peer_urls), until, now }
    }

    /// Whether the node can get further by observing the cluster.
    pub fn needs_view(&self) -> bool {
        matches!(self, Self::ViewNeeded(_))
    }
}

/// A member, and the URLs at which it may have answered.
fn describe(observed: &ObservedMember) -> (String, String) {
    let urls = match observed.client_urls.is_empty() {
        true => urls_of(&observed.peer_urls),
        false => urls_of(&observed.client_urls),
    };
    (label_of(observed), urls)
}

/// A member in etcd's list, as messages name it.
pub(super) fn label_of(observed: &ObservedMember) -> String {
    let id = observed.id;
    observed.name.as_ref().map_or_else(|| id.to_string(), |name| format!("{name} ({id})"))
}

/// What the holder of a ticket does.
fn action(purpose: &Purpose) -> &'static str {
    match purpose {
        Purpose::Join { .. } => "is joining",
        Purpose::Remove { .. } => "is removing a member",
        Purpose::Update { .. } => "is updating a member's peer URLs",
        Purpose::Promote { .. } => "is promoting a learner",
    }
}

/// URLs as a message has them.
pub(super) fn urls_of<T: ToString>(urls: &[T]) -> String {
    urls.iter().map(T::to_string).collect::<Vec<_>>().join(" ")
}
