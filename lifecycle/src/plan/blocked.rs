use std::borrow::Cow;

use crate::{
    ClientUrl, ClusterId, ClusterSize, Discovery, Epoch, EtcdVersion, Held, LastCheckIn, Liveness, MAX_MEMBERS,
    MemberId, MemberKey, MemberName, ObservedMember, PeerUrl, Policy, Purpose, Reason, Setback, Strategy, Ticket,
    UnixMillis, plan::membership::MAX_LAG, ticket::Step,
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
    Held(Held),
    /// The decision needs the node's view of the cluster.
    ViewNeeded(ViewNeeded),
    /// Another etcd cluster answers at the members' addresses.
    ForeignClusterAnswers { found: ClusterId, own: Option<ClusterId> },
    /// The node's view was not read through a quorum, or shows no leader.
    NoQuorum { silent: Vec<String> },
    /// No quorum: no other member answers at its listed address, and this node is not at its own any more.
    AllAddressesChanged { silent: Vec<String>, listed: String, own: String },
    /// The node's view lacks members on record, without evidence that they were removed.
    MemberMismatch { missing: Vec<String> },
    /// An etcd answers as the member that this node has the data of.
    AnswersElsewhere { member: String, urls: String },
    /// Another node checks in as the member that this node has the data of, and its etcd runs.
    ChecksInElsewhere { member: MemberId, urls: String, until: UnixMillis, now: UnixMillis },
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
    /// The cluster needs no further node.
    Full { size: ClusterSize, own_size: ClusterSize, voters: usize, once: bool },
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
        let urls = match observed.client_urls.is_empty() {
            true => urls_of(&observed.peer_urls),
            false => urls_of(&observed.client_urls),
        };
        let id = observed.id;
        let member = observed.name.as_ref().map_or_else(|| id.to_string(), |name| format!("{name} ({id})"));
        Self::AnswersElsewhere { member, urls }
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

    /// The reason, the message and the remedy.
    pub fn explain(&self) -> Explanation {
        match self {
            Self::Overtaken => wait(Reason::Overtaken, "a later check-in of this node has been answered already"),
            Self::Paused => wait(
                Reason::Paused,
                "membership changes are paused until an administrator resumes them (convene cluster resume)",
            ),
            Self::Held(held) => wait(
                Reason::Held,
                format!(
                    "another etcd cluster may exist, so no cluster is founded: {}; take that cluster over with `convene \
                     cluster adopt`, or start a new one with `convene cluster reset`",
                    held.what_was_seen()
                ),
            ),
            Self::ViewNeeded(purpose) => {
                Explanation { outcome: Outcome::Observe, reason: Reason::LookNeeded, message: purpose.message().into() }
            }
            Self::ForeignClusterAnswers { found, own } => wait(
                Reason::ForeignCluster,
                format!(
                    "etcd cluster {found} answers at the members' addresses, but the ID of this cluster is {}",
                    or_none(own)
                ),
            ),
            Self::NoQuorum { silent } if silent.is_empty() => {
                wait(Reason::NoQuorum, "this node sees no quorum: the members answer, but there is no leader")
            }
            Self::NoQuorum { silent } => wait(
                Reason::NoQuorum,
                format!(
                    "this node sees no quorum: no answer from {}; start their etcds. If more than half of the voters are lost \
                     for good, restore a snapshot (etcdutl snapshot restore), then run `convene cluster adopt`",
                    silent.join(", ")
                ),
            ),
            Self::AllAddressesChanged { silent, listed, own } => wait(
                Reason::AllAddressesChanged,
                format!(
                    "this node sees no quorum: no answer from {}, and this node's own peer URLs have changed from \
                     {listed} to {own}, so all addresses may have changed at once. etcd updates addresses through the \
                     quorum only: give the nodes their old addresses, or restore a snapshot (etcdutl snapshot \
                     restore), then run `convene cluster adopt`",
                    silent.join(", ")
                ),
            ),
            Self::MemberMismatch { missing } => wait(
                Reason::MemberMismatch,
                format!(
                    "the member list that this node sees lacks {}, and too few of the voters on record answer to \
                     confirm that; the list may come from a copy of the cluster (--force-new-cluster), so no decision \
                     is based on it. If these members are gone for good, run `convene member evict NAME` for each of \
                     them",
                    missing.join(", ")
                ),
            ),
            Self::AnswersElsewhere { member, urls } => refuse(
                Reason::RunsElsewhere,
                format!(
                    "etcd already runs as member {member} at {urls}, so this node must not start as the same member"
                ),
                "if this node's data is a copy, move its data directory away; then give this node another name and other peer \
                 URLs, and it joins as another member",
            ),
            Self::ChecksInElsewhere { member, urls, until, now } => wait(
                Reason::RunsElsewhere,
                format!(
                    "another node checks in as member {member} from {urls}, and its etcd runs. If this node has moved \
                     from that address, it will continue at {}; if its data is a copy, move its data directory away \
                     and give this node another name",
                    until.clock_time(*now)
                ),
            ),
            Self::EarlierEpoch { current } => refuse(
                Reason::EarlierEpoch,
                format!(
                    "an administrator has reset this cluster, and the data is from an earlier epoch; the current \
                     epoch is {current}, and this node sees no quorum in it"
                ),
                format!(
                    "if this data is not needed any more, run `convene join --accept-reset {current}` on this node, which \
                     archives it, or move the data directory away"
                ),
            ),
            Self::Forming { registered, size } => wait(
                Reason::Forming,
                format!(
                    "{registered} of {size} nodes have registered; waiting for {} more to bootstrap the cluster",
                    size - registered
                ),
            ),
            Self::FoundersMissing => wait(
                Reason::FoundersMissing,
                "this node was instructed to bootstrap, but has no data; waiting for the other founders, to find out \
                 whether the cluster exists",
            ),
            Self::FoundersMoved => wait(
                Reason::FoundersMissing,
                "etcd has never had a leader on this node's data, and a founder's peer URLs have changed; waiting for \
                 the other founders, to bootstrap again with the new URLs",
            ),
            Self::FoundersWithoutEntries => wait(
                Reason::FoundersMissing,
                "etcd exited on this node before it wrote the list of members, so it can't start on this data alone; waiting for \
                 the other founders, to start with one that runs, or to bootstrap again",
            ),
            Self::NextEpochLater { again_at, now } => wait(
                Reason::FoundersMissing,
                format!(
                    "etcd has never had a leader on the founders' data; they bootstrap again at {}. If etcd exits after each \
                     start, see its log",
                    again_at.clock_time(*now)
                ),
            ),
            Self::FoundersWithoutQuorum { others } => wait(
                Reason::FoundersMissing,
                format!(
                    "more than half of the founders have no usable data, so {} can't have a quorum; restart etcd there with \
                     `convene join`. If no etcd has ever had a leader, all founders will bootstrap again",
                    others.join(", ")
                ),
            ),
            Self::DataRolledBack { member, last, applied, strategy, paused } => refuse(
                Reason::DataRolledBack,
                format!(
                    "the data of {member} ends at index {last}, but this member had applied index {applied}: the data \
                     was rolled back, and starting it could lose acknowledged writes; {}",
                    match (paused, strategy.removes_dead()) {
                        (true, _) => "the cluster is paused, so the member is not replaced".to_owned(),
                        (false, false) => format!("strategy {strategy} removes no members"),
                        (false, true) => "without this member the cluster has no quorum, so the member can't be \
                                          replaced now"
                            .to_owned(),
                    }
                ),
                "restore the newest data of this member. Or, if the policy allows it, start this node again once the \
                 other members have a quorum; the node will replace its member",
            ),
            Self::TicketHeld { holder, number, purpose } => {
                wait(Reason::TicketHeld, format!("{holder} {purpose} (ticket {number}); one change runs at a time"))
            }
            Self::StepOverdue { number, step } => wait(
                Reason::LastInLine,
                format!(
                    "this node holds ticket {number} to {}, but made no progress; it will lose the ticket",
                    step.as_str()
                ),
            ),
            Self::LastInLine { setback, again_at, goes_last, now } => wait(
                Reason::LastInLine,
                format!(
                    "this node lost its ticket without progress {}; {} at {}",
                    match setback.count {
                        1 => "once".to_owned(),
                        count => format!("{count} times in a row"),
                    },
                    if *goes_last {
                        "other nodes go first, and this node tries again"
                    } else {
                        "this node tries again"
                    },
                    again_at.clock_time(*now)
                ),
            ),
            Self::RemovalRisksQuorum { member, remaining, up, needed, unheard } => wait(
                Reason::QuorumAtRisk,
                format!("removing {member} would leave {}", voters_that_answer(*remaining, *up, *needed, unheard)),
            ),
            Self::PromotionRisksQuorum { learner, voters, up, needed, unheard } => wait(
                Reason::QuorumAtRisk,
                format!("promoting {learner} would result in {}", voters_that_answer(*voters, *up, *needed, unheard)),
            ),
            Self::UpdateRisksQuorum { member, up, needed } => wait(
                Reason::QuorumAtRisk,
                format!(
                    "the peer URLs of {member} have changed, but updating etcd's list now would risk the quorum: if the new \
                     URLs are wrong, {member} is lost, and too few of the other voters answer ({up}; a quorum is {needed})"
                ),
            ),
            Self::LearnerDown { learner } => wait(
                Reason::QuorumAtRisk,
                format!("learner {learner} does not answer; promoting it now would put the quorum at risk"),
            ),
            Self::LastVoter { member } => refuse(
                Reason::LastMember,
                format!("{member} is the last voter; removing it would lose all data"),
                "stop its etcd instead, and delete the cluster from the registry if it is not needed any more",
            ),
            Self::NotDeadYet { member, silent_since, dead_at, now } => wait(
                Reason::NotDeadYet,
                format!(
                    "{member} has not answered since {}; it will count as dead at {} if it stays silent",
                    silent_since.clock_time(*now),
                    dead_at.clock_time(*now)
                ),
            ),
            Self::MemberLoading { member } => wait(
                Reason::NotDeadYet,
                format!("{member} is loading its data and does not answer yet; it does not count as silent"),
            ),
            Self::Failing { member, starts, silent_since, dead_at, now } => wait(
                Reason::NotDeadYet,
                format!(
                    "{member} is failing: its etcd was started {starts} times and has not answered since {}; it will count as \
                     dead at {} if it does not answer",
                    silent_since.clock_time(*now),
                    dead_at.clock_time(*now)
                ),
            ),
            Self::InDowntime { member, until, now } => wait(
                Reason::NotDeadYet,
                format!("{member} does not answer; its announced downtime lasts until {}", until.clock_time(*now)),
            ),
            Self::Partitioned { member } => wait(
                Reason::Partition,
                format!(
                    "{member} checks in, but its etcd does not answer, so it does not count as dead; check its etcd and the network \
                     between the nodes"
                ),
            ),
            Self::LeaderOutOfReach { member } => wait(
                Reason::Partition,
                format!(
                    "this node can't reach {member}, which leads the cluster and so does not count as dead; check the \
                     network between this node and {member}"
                ),
            ),
            Self::HeardByLeader { member } => wait(
                Reason::Partition,
                format!(
                    "this node can't reach {member}, but the leader hears from that member, so it does not count as \
                     dead; check the network between this node and {member}"
                ),
            ),
            Self::NoWitness { member, silent_since, leader, now } => wait(
                Reason::NoWitness,
                format!(
                    "{member} has not answered since {}, but no voter confirms that it is dead: {}",
                    silent_since.clock_time(*now),
                    leader.remedy()
                ),
            ),
            Self::DeadAwaitsSpare { member } => {
                wait(Reason::Dead, format!("{member} is dead; the next spare that checks in will replace it"))
            }
            Self::DeadStays { member, strategy } => {
                wait(Reason::Dead, format!("{member} is dead, but strategy {strategy} removes no members"))
            }
            // Not `dead`: programs know this reason here.
            Self::DeadLearnerStays { learner, strategy } => wait(
                Reason::NotDeadYet,
                format!("learner {learner} is dead, but strategy {strategy} removes no members"),
            ),
            Self::StrategyRemovesNobody { member, strategy } => {
                wait(Reason::Strategy, format!("{member} does not answer, but strategy {strategy} removes no members"))
            }
            Self::AwaitsAdministrator => wait(
                Reason::Strategy,
                "strategy prepared: an administrator must add this node's peer URLs to etcd (etcdctl member add)",
            ),
            Self::LearnerPresent { learner } => wait(
                Reason::LearnerPresent,
                format!("learner {learner} must be promoted or removed first; etcd takes one learner at a time"),
            ),
            Self::PeerUrlUnreachable { learner, peer_urls, leader, is_known: true } => wait(
                Reason::PeerUrlUnreachable,
                format!(
                    "{} has not reached learner {learner} at {peer_urls} yet, so the learner can't become a voter; \
                     check its peer URLs and the firewall in front of them",
                    leader.leader
                ),
            ),
            Self::PeerUrlUnreachable { learner, peer_urls, leader, is_known: false } => wait(
                Reason::PeerUrlUnreachable,
                format!("no voter confirms that it reaches learner {learner} at {peer_urls}: {}", leader.remedy()),
            ),
            Self::VersionMismatch { own, lowest } => refuse(
                Reason::VersionMismatch,
                format!(
                    "this node's etcd is {own}, but the lowest version among the voters is {lowest}; a node can join with {lowest} \
                     or {}",
                    lowest.next()
                ),
                "install an etcd of one of these versions on this node, or upgrade the members first, one minor version at \
                 a time",
            ),
            Self::CatchingUp { learner, behind: Some(behind) } => wait(
                Reason::CatchingUp,
                format!(
                    "learner {learner} is {behind} log entries behind; it will be promoted when it is at most {MAX_LAG} \
                     behind"
                ),
            ),
            Self::CatchingUp { learner, behind: None } => {
                wait(Reason::CatchingUp, format!("it is not known yet how far learner {learner} is behind"))
            }
            Self::BeingRemoved { member } => wait(
                Reason::BeingRemoved,
                format!("this node's member {member} is being removed; waiting for the outcome before etcd starts"),
            ),
            Self::Full { size, own_size, voters, once } => full(*size, *own_size, *voters, *once),
            Self::Evicted => Explanation {
                outcome: Outcome::StandBy,
                reason: Reason::Evicted,
                message: "standing by: this node's member was evicted; an administrator can withdraw the eviction \
                          (convene member evict --withdraw)"
                    .into(),
            },
            Self::FormsByDiscovery(discovery) => refuse(
                Reason::FormsByDiscovery,
                format!(
                    "this cluster is being bootstrapped with etcd's own {discovery}; nodes that check in can join \
                     once the cluster runs"
                ),
                "start this node's etcd with the discovery flags of the others, or create another cluster for nodes that \
                 check in",
            ),
            Self::NameTaken { name, member } => refuse(
                Reason::NameTaken,
                format!("the name {name} is already taken by member {member}"),
                "give one of the two nodes another name",
            ),
            Self::PeerUrlTaken { url, member } => refuse(
                Reason::PeerUrlTaken,
                format!("the peer URL {url} is already taken by {member}"),
                "give one of the two nodes another peer URL",
            ),
            Self::PeerUrlStillListed { url, member } => wait(
                Reason::PeerUrlTaken,
                format!(
                    "etcd still lists this node's peer URL {url} for {member}, which has moved; etcd accepts a peer \
                     URL once only, so {member} must be updated first. If its node does not run, start it. If the two have \
                     exchanged DNS names, give one of them a third peer URL"
                ),
            ),
            Self::UnreadableDataInUse { member } => refuse(
                Reason::NameTaken,
                format!(
                    "a running member, {member}, has this node's name or peer URL, so its etcd may be using this data"
                ),
                "stop that etcd, or give this node another name and other peer URLs",
            ),
            Self::UnreadableWhileForming { found } => refuse(
                Reason::UnreadableData,
                format!("the data directory holds data that can't be read ({found})"),
                "find out whose data it is; move it away if it is not needed",
            ),
            Self::UnreadableWhileLeaving { found } => refuse(
                Reason::UnreadableData,
                format!("the data can't be read ({found}), so the member that should leave is unknown"),
                "run `convene member evict NAME`, or repair the data and run `convene leave` again",
            ),
            Self::LeavingNeedsOwnEtcd { voters, up, needed } => refuse(
                Reason::NoQuorum,
                format!(
                    "this node's etcd is stopped, and without it no member can be removed: the cluster has {}",
                    voters_that_answer(*voters, *up, *needed, &[])
                ),
                "start etcd on this node, then run `convene leave` while it runs",
            ),
            Self::LeavingMemberAnswers { member } => refuse(
                Reason::NameTaken,
                format!(
                    "a running member, {member}, has this node's name and peer URLs, so its data is in another directory"
                ),
                "run `convene leave` on the node that has the data",
            ),
            Self::LeavingNameElsewhere { name, member } => refuse(
                Reason::NameTaken,
                format!("member {member} has the name {name} but other peer URLs, and this node has no data"),
                LEAVE_THERE,
            ),
            Self::LeavingPeerUrlElsewhere { url, member } => refuse(
                Reason::PeerUrlTaken,
                format!("{member} has the peer URL {url} but another name, and this node has no data"),
                LEAVE_THERE,
            ),
            Self::LeavingForeignCluster { found, own } => refuse(
                Reason::ForeignCluster,
                format!("the data belongs to etcd cluster {found}, but this cluster is {own}"),
                "run `convene leave` with the discovery URL of that cluster",
            ),
            Self::RunsForeignCluster { found, own } => refuse(
                Reason::ForeignCluster,
                format!(
                    "the etcd on this node belongs to cluster {found}, but the ID of this cluster is {}",
                    or_none(own)
                ),
                "if that etcd cluster is the right one, for example a restored one, run `convene cluster adopt`; \
                 otherwise stop that etcd, then give this node an empty data directory or the token of its cluster",
            ),
            Self::TooManyMembers => refuse(
                Reason::TooManyMembers,
                format!("{MAX_MEMBERS} members have registered with this token, the most that a cluster may have"),
                "create another cluster",
            ),
        }
    }
}

const LEAVE_THERE: &str = "run `convene leave` on that node with its own name, data directory and peer URLs, or run \
                           `convene member evict NAME`";

impl LeaderMetrics {
    /// What must be readable for a voter's side, and how to do without.
    fn remedy(&self) -> String {
        let at = self.url.as_ref().map(|url| format!(" at {}/metrics", url.as_str())).unwrap_or_default();
        format!(
            "the metrics of {}{at} can't be read; if they have a port of their own, give it to convene (--listen-metrics-urls). \
             Otherwise make them readable, run the convene client on a voter's node, or set the policy's `witnesses` to 1",
            self.leader
        )
    }
}

impl ViewNeeded {
    fn message(self) -> &'static str {
        match self {
            Self::Decision => "the decision needs this node's view of the cluster",
            Self::Newer => "the cluster has changed since this node observed it; a newer view is needed",
            Self::BeforeStart => "checking that this node's member is still in etcd's list before etcd starts",
            Self::BeforeBootstrap => "this node may have bootstrapped before; checking the other founders first",
            Self::BeforeLeaving => "checking whether the member that should leave is still in etcd's list",
        }
    }
}

fn wait(reason: Reason, message: impl Into<String>) -> Explanation {
    Explanation { outcome: Outcome::Wait, reason, message: message.into() }
}

fn refuse(reason: Reason, message: String, remedy: impl Into<Cow<'static, str>>) -> Explanation {
    Explanation { outcome: Outcome::Refuse { remedy: remedy.into() }, reason, message }
}

fn full(size: ClusterSize, own_size: ClusterSize, voters: usize, once: bool) -> Explanation {
    let (places, remedy) = if own_size < size {
        let places = format!(
            "this node takes no place beyond {own_size} (--cluster-size), and the cluster's size is \
                              {size}"
        );
        (places, "start this node with a larger --cluster-size")
    } else if voters < size.get() as usize {
        (
            format!("all {size} places of the cluster are taken"),
            "raise the size (convene cluster resize), or evict a member (convene member evict)",
        )
    } else {
        (
            format!("the cluster has all {}", count_of_voters(size.get() as usize)),
            "raise the size (convene cluster resize), or evict a member (convene member evict)",
        )
    };
    let (outcome, message) = match once {
        true => (Outcome::Refuse { remedy: remedy.into() }, places),
        false => (Outcome::StandBy, format!("standing by as a spare: {places}")),
    };
    Explanation { outcome, reason: Reason::Full, message }
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

fn voters_that_answer(voters: usize, up: usize, needed: usize, unheard: &[String]) -> String {
    let verb = if up == 1 { "answers" } else { "answer" };
    let count = format!("{}, of which {up} {verb}; a quorum is {needed}", count_of_voters(voters));
    match unheard {
        [] => count,
        unheard => format!("{count}; the leader does not hear {}", unheard.join(", ")),
    }
}

fn count_of_voters(voters: usize) -> String {
    format!("{voters} voter{}", if voters == 1 { "" } else { "s" })
}

/// URLs as a message has them.
pub(super) fn urls_of<T: ToString>(urls: &[T]) -> String {
    urls.iter().map(T::to_string).collect::<Vec<_>>().join(" ")
}

fn or_none(id: &Option<ClusterId>) -> String {
    id.map_or_else(|| "not known yet".to_owned(), |id| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(blocked: Blocked) -> String {
        blocked.explain().message
    }

    #[test]
    fn a_risk_for_the_quorum_is_explained_with_its_numbers() {
        let member = || "infra1 (1a)".to_owned();
        assert_eq!(
            message(Blocked::RemovalRisksQuorum {
                member: member(),
                remaining: 2,
                up: 1,
                needed: 2,
                unheard: Vec::new()
            }),
            "removing infra1 (1a) would leave 2 voters, of which 1 answers; a quorum is 2"
        );
        assert_eq!(
            message(Blocked::PromotionRisksQuorum {
                learner: member(),
                voters: 4,
                up: 2,
                needed: 3,
                unheard: vec![member()]
            }),
            "promoting infra1 (1a) would result in 4 voters, of which 2 answer; a quorum is 3; the leader does not hear \
             infra1 (1a)"
        );
    }

    #[test]
    fn a_spare_reads_why_it_has_no_place() {
        let size = |size| ClusterSize::new(size).unwrap();
        let full = |own_size, voters, once| {
            let explanation = Blocked::Full { size: size(3), own_size: size(own_size), voters, once }.explain();
            assert_eq!(matches!(explanation.outcome, Outcome::Refuse { .. }), once);
            explanation.message
        };
        assert_eq!(full(3, 3, false), "standing by as a spare: the cluster has all 3 voters");
        assert_eq!(full(3, 2, false), "standing by as a spare: all 3 places of the cluster are taken");
        assert_eq!(full(3, 3, true), "the cluster has all 3 voters");
        let own_size = "this node takes no place beyond 1 (--cluster-size), and the cluster's size is 3";
        assert_eq!(full(1, 3, true), own_size);
    }
}
