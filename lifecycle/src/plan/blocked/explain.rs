//! What a blocked node and its administrator read.

use std::borrow::Cow;

use super::{Blocked, Explanation, LeaderMetrics, Outcome, ViewNeeded};
use crate::{ClusterId, ClusterSize, HoldReason, MAX_MEMBERS, Reason, plan::membership::MAX_LAG};

/// etcd's default for `--initial-advertise-peer-urls`, and the client's.
const DEFAULT_PEER_URL: &str = "http://localhost:2380";

/// What a node can't see that reaches the members, but can't read their list through the quorum, or learns of no leader.
const LEADER_NOT_CONFIRMED: &str = "this node can't confirm a leader. If an election is in progress, this ends within \
                                    seconds. Otherwise the members do not reach each other at their peer URLs, or they \
                                    refuse this node (check `--user`, `--cacert` and the client URLs); see the errors";

const LEAVE_THERE: &str = "run `convene leave` on that node with its own name, data directory and peer URLs, or run \
                           `convene member evict NAME`";

impl Blocked {
    /// The reason, the message and the remedy.
    pub fn explain(&self) -> Explanation {
        match self {
            Self::Overtaken => wait(Reason::Overtaken, "the server has already answered a later check-in of this node"),
            Self::Paused => wait(
                Reason::Paused,
                "membership changes are paused until an administrator resumes them (convene cluster resume)",
            ),
            Self::Held { held, .. } if held.reason == HoldReason::DisksMissing => wait(
                Reason::Held,
                format!(
                    "the etcd cluster may already exist, so no new one may form: {}. Mount the missing disks, and \
                     start the nodes with the former --data-dir and --wal-dir. If there is no data, or the data is \
                     gone for good, form a new cluster: `convene cluster reset`",
                    held.what_was_seen()
                ),
            ),
            Self::Held { held, refused } => wait(
                Reason::Held,
                format!(
                    "another etcd cluster may exist, so no new one may form: {}; {}take that cluster over with \
                     `convene cluster adopt`, or form a new one with `convene cluster reset`",
                    held.what_was_seen(),
                    refused.as_ref().map_or_else(String::new, |node| {
                        format!(
                            "admit {node}, which is refused now (`convene cluster join-token create --node {node}`), "
                        )
                    })
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
            Self::NoQuorum { silent } | Self::NoLeader { silent } if silent.is_empty() => wait(
                Reason::NoQuorum,
                format!("this node sees no quorum: the members answer, but {LEADER_NOT_CONFIRMED}"),
            ),
            Self::NoLeader { silent } => wait(
                Reason::NoQuorum,
                format!(
                    "this node sees no quorum: no answer from {}; enough voters answer, but {LEADER_NOT_CONFIRMED}",
                    silent.join(", ")
                ),
            ),
            Self::NoQuorum { silent } => wait(
                Reason::NoQuorum,
                format!(
                    "this node sees no quorum: no answer from {}; start etcd on these nodes. If more than half of the voters \
                     are lost for good, start a new cluster from the data of a member (--force-new-cluster) or from a \
                     snapshot, as docs/runbooks/lost-quorum-and-restore.md describes",
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
                    "the member list that this node sees lacks {}. Too few of the voters on record answer to confirm \
                     this, or no node of a second voter shows the same list. So no decision is based on the list: it \
                     may come from a copy of the cluster (--force-new-cluster). If the member was removed on purpose, \
                     run `convene member revoke NAME`. If the list is right, run `convene cluster adopt` with the \
                     client URL of one of its members",
                    missing.join(", ")
                ),
            ),
            Self::Unconfirmed { shown } => wait(
                Reason::MemberMismatch,
                format!(
                    "only this node shows {}, so the record stays as it is until the node of a second voter shows the \
                     same list, or the node of the changed member checks in. If the change is right and no other node \
                     checks in, run `convene cluster adopt` with the client URL of a member",
                    shown.join(", ")
                ),
            ),
            Self::NobodyVouches { found } => wait(
                Reason::ForeignCluster,
                format!(
                    "etcd cluster {found} answers at the members' addresses, but only this node reports this, and \
                     nothing proves the report: stock etcd nodes have formed this cluster, and this node was admitted \
                     without a join token. Give this node a join token (convene cluster join-token create), or start \
                     convene with a join token on a member's node"
                ),
            ),
            Self::GivenUpListed { listed } => wait(
                Reason::MemberMismatch,
                format!(
                    "the member list that this node sees has {}, which `convene cluster adopt` has excluded, and too \
                     few of the present voters answer to confirm the list. It may come from old data, so no decision \
                     is based on it. If the list is right, run `convene cluster adopt` again",
                    listed.join(", ")
                ),
            ),
            Self::GivenUp { member, present } => wait(
                Reason::GivenUp,
                format!(
                    "an administrator has adopted a cluster without member {member}, and this node sees no quorum of \
                     that cluster. So etcd does not start: old members could form a second cluster. Start {}; if they \
                     run without a leader, look at their logs. If you need the data of this node instead, first stop \
                     the members of the adopted cluster. Then start etcd without convene, and run `convene cluster adopt`",
                    present.join(", "),
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
                    "another node ({urls}) checks in as member {member}, and etcd runs or may be starting there. If \
                     you have moved this node from there, this node continues at {}. If this node's data is a copy, \
                     move the data directory away and give this node another name. The server's log has the address of \
                     each node that checks in",
                    until.clock_time(*now)
                ),
            ),
            Self::CopyOfOlderData { member, is_heard: true } => wait(
                Reason::RunsElsewhere,
                format!(
                    "{member} runs elsewhere: the leader receives messages from it, and this node's data is older. If \
                     this data is a copy, move the data directory away and give this node another name"
                ),
            ),
            Self::CopyOfOlderData { member, is_heard: false } => wait(
                Reason::RunsElsewhere,
                format!(
                    "this node's data is older than the data of {member}: checking whether the leader still receives \
                     messages from this member"
                ),
            ),
            Self::JoinsElsewhere { member, urls, since, until, now } => wait(
                Reason::RunsElsewhere,
                format!(
                    "another run with this node's peer URLs {urls} was instructed to join as member {member} {}, and may still \
                     start etcd. If that run was on this node, this node continues at {}; if it was on another machine, give \
                     each machine its own name and peer URLs",
                    since.clock_time(*now),
                    until.clock_time(*now)
                ),
            ),
            Self::EarlierEpoch { current } => refuse(
                Reason::EarlierEpoch,
                format!(
                    "this data is from an earlier epoch: since then, an administrator has reset this cluster, or \
                     adopted another etcd cluster. The current epoch is {current}, and this node sees no quorum of the \
                     cluster of this epoch"
                ),
                format!(
                    "if that cluster has members, start them. If this data is not needed, start this node with \
                     `--accept-reset {current}`, which archives the data, or move the data directory away"
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
                "etcd exited on this node before etcd had stored the member list, so etcd can't start alone on this \
                 data; waiting for the other founders, to start with one that runs, or to bootstrap again",
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
                     `convene run` or `convene join`. If no etcd has ever had a leader, all founders will bootstrap again",
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
            Self::MayBeRolledBack { member, last, applied, witness } => refuse(
                Reason::DataRolledBack,
                format!(
                    "the data of {member} ends at index {last}, but node {witness} has reported that this member had \
                     applied index {applied}. Only {witness} has reported this, and the leader has changed since then. \
                     Either this disk is an older copy, and a start could lose acknowledged writes, or the report of \
                     {witness} is false"
                ),
                "if the disk is an older copy, restore the newest data of this member, or run `convene member evict` with its name \
                 and start this node without data. If not, run `convene member revoke` with the name of the other node, and start \
                 this node again",
            ),
            Self::TicketHeld { holder, number, purpose } => {
                wait(Reason::TicketHeld, format!("{holder} {purpose} (ticket {number}); one change runs at a time"))
            }
            Self::StepOverdue { number, step } => wait(
                Reason::LastInLine,
                format!(
                    "this node holds ticket {number} to {}, but etcd's member list shows no progress; the ticket will \
                     be taken away",
                    step.as_str()
                ),
            ),
            Self::LastInLine { setback, again_at, goes_last, now } => wait(
                Reason::LastInLine,
                format!(
                    "this node has lost its ticket {}, because its change made no progress; {} at {}",
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
            Self::OnOtherDisk { member, until, now } => wait(
                Reason::NotDeadYet,
                format!(
                    "{member} had its data on another disk, and this node has no data now: if a disk is not mounted, \
                     mount it and start this node again. Otherwise this node joins without data at {}",
                    until.clock_time(*now)
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
                    "this node can't reach {member}, but this member leads the cluster, so it is alive; check the \
                     network between this node and {member}"
                ),
            ),
            Self::HeardByLeader { member } => wait(
                Reason::Partition,
                format!(
                    "this node can't reach {member}, but this member is alive: the leader receives messages from it, \
                     or the node of another voter reaches it. Check the network between this node and {member}"
                ),
            ),
            Self::NoWitness { member, silent_since, leader, now } => wait(
                Reason::NoWitness,
                format!(
                    "{member} has not answered since {}, but no voter confirms that it is dead: {}, or set the policy \
                     `witnesses` to 1",
                    silent_since.clock_time(*now),
                    leader.unreadable()
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
                    "{} has not reached learner {learner} at {peer_urls} yet, so the learner can't become a voter. \
                     This usually takes a few seconds. Otherwise check the learner's peer URLs and the firewall in \
                     front of them",
                    leader.leader
                ),
            ),
            Self::PeerUrlUnreachable { learner, peer_urls, leader, is_known: false } => wait(
                Reason::PeerUrlUnreachable,
                format!(
                    "no voter confirms that it reaches learner {learner} at {peer_urls}: {}, run `convene run` on the \
                     nodes of the voters, or set the policy `witnesses` to 1",
                    leader.unreadable()
                ),
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
                    "stock etcd nodes form this cluster by {discovery}; nodes with `convene` can join once the cluster \
                     runs"
                ),
                "start this node's etcd with the discovery flags of the others, or create another cluster for nodes \
                 with `convene`",
            ),
            Self::NameTaken { name, member } => refuse(
                Reason::NameTaken,
                format!("the name {name} is already taken by member {member}"),
                "give one of the two nodes another name",
            ),
            Self::PeerUrlTaken { url, member } => refuse(
                Reason::PeerUrlTaken,
                format!("the peer URL {url} is already taken by {member}"),
                if url.as_str() == DEFAULT_PEER_URL {
                    "give each node its own --initial-advertise-peer-urls; this URL is the default"
                } else {
                    "give one of the two nodes another peer URL"
                },
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
            Self::LeavingMemberRunsElsewhere { member, urls } => refuse(
                Reason::RunsElsewhere,
                format!(
                    "etcd runs as member {member} at {urls}, but not on this node's data, which may be a copy; `convene leave` \
                     removes no member that runs elsewhere"
                ),
                "to remove that member, run `convene leave` on the node where it runs, or `convene member evict NAME`; if this node's data \
                 is a copy, move its data directory away",
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

impl LeaderMetrics {
    /// What must be readable for a voter's side. Ways to do without may follow.
    fn unreadable(&self) -> String {
        let at = self.url.as_ref().map(|url| format!(" at {}/metrics", url.as_str())).unwrap_or_default();
        format!(
            "the metrics of {}{at} can't be read. If etcd serves them on another port, set --listen-metrics-urls for \
             convene. Otherwise make them readable",
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

fn full(size: ClusterSize, own_size: Option<ClusterSize>, voters: usize, once: bool) -> Explanation {
    let is_larger = |own: &ClusterSize| *own > size;
    let raise = match own_size.filter(is_larger) {
        Some(own) => format!("raise the size (convene cluster resize {own}), or evict a member (convene member evict)"),
        None => "raise the size (convene cluster resize), or evict a member (convene member evict)".to_owned(),
    };
    let (places, remedy) = if let Some(own) = own_size.filter(|own| *own < size) {
        let places = format!(
            "this node joins only while the cluster has fewer than {} (--cluster-size); the size of the cluster is \
             {size}",
            count_of_voters(own.get() as usize)
        );
        (places, "start this node with a larger --cluster-size".to_owned())
    } else if voters < size.get() as usize {
        (format!("all {size} places of the cluster are taken"), raise)
    } else {
        (format!("the cluster has all {}", count_of_voters(size.get() as usize)), raise)
    };
    let places = match own_size.filter(is_larger) {
        Some(own) => format!(
            "{places}. --cluster-size {own} of this node does not raise the size of a formed cluster; an administrator \
             can: `convene cluster resize {own}`"
        ),
        None => places,
    };
    let (outcome, message) = match once {
        true => (Outcome::Refuse { remedy: remedy.into() }, places),
        false => (Outcome::StandBy, format!("standing by as a spare: {places}")),
    };
    Explanation { outcome, reason: Reason::Full, message }
}

fn voters_that_answer(voters: usize, up: usize, needed: usize, unheard: &[String]) -> String {
    let verb = if up == 1 { "answers" } else { "answer" };
    let count = format!("{}, of which {up} {verb}; a quorum is {needed}", count_of_voters(voters));
    match unheard {
        [] => count,
        unheard => format!("{count}; the leader receives nothing from {}", unheard.join(", ")),
    }
}

fn count_of_voters(voters: usize) -> String {
    format!("{voters} voter{}", if voters == 1 { "" } else { "s" })
}

fn or_none(id: &Option<ClusterId>) -> String {
    id.map_or_else(|| "not known yet".to_owned(), |id| id.to_string())
}
