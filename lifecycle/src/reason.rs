use crate::described_names::described_names;

/// Declares the reasons: each with its name, the tasks that it comes with, and its description.
macro_rules! reasons {
    ($($variant:ident $name:literal [$($task:literal),+] $description:literal;)+) => {
        described_names! {
            /// Why a node gets an instruction. The names are part of the API and stay.
            #[derive(PartialOrd, Ord)]
            pub enum Reason {
                $($variant $name $description;)+
            }
        }

        impl Reason {
            /// The names of the tasks that it comes with.
            pub fn tasks(self) -> &'static [&'static str] {
                match self {
                    $(Self::$variant => &[$($task),+],)+
                }
            }
        }
    };
}

// scripts/generate writes them to docs/reference/lifecycle.md and openapi/convene.yaml.
reasons! {
    Forming "forming" ["wait"] "Founders are missing.";
    RosterComplete "roster_complete" ["bootstrap"] "All founders are known. They bootstrap together.";
    FoundersMissing "founders_missing" ["wait"]
        "This node was already instructed once to bootstrap, and has no data now, or data on which etcd has never had a leader. The other founders must check in or answer to show whether the cluster exists. The message names founders whose etcd must be restarted first, if there are any.";
    Held "held" ["wait"]
        "Another etcd cluster may exist under this token, so no new one may form. The message names what was seen, and by which node. An administrator adopts that cluster, or resets this one.";
    Paused "paused" ["wait"] "An administrator has paused all membership changes.";
    LookNeeded "look_needed" ["observe"] "The decision needs a view of the cluster, or a newer one.";
    NoQuorum "no_quorum" ["wait", "refuse"]
        "The view was not read through a quorum, or shows no leader. The message names the members that do not answer. With `refuse`: the node wants to leave (its report has `leaving`), and the quorum needs its etcd, which is stopped.";
    AllAddressesChanged "all_addresses_changed" ["wait"]
        "No quorum: no other member answers at its address in etcd's list, and this node's own address is not in the list either. etcd updates addresses through the quorum only.";
    MemberMismatch "member_mismatch" ["wait"]
        "The view lacks members on record, and too few of the voters on record answer to confirm that. Or the view has members that `convene cluster adopt` has excluded, or only this node shows a change of other members. The view may come from a copy of the cluster, from old data, or from a false report, so no decision is based on it.";
    TicketHeld "ticket_held" ["wait"] "Another node is changing the membership.";
    LastInLine "last_in_line" ["wait"]
        "This node lost its last ticket because etcd's list showed no progress. Other nodes go first: each has 15 seconds and two check-ins to take the ticket. If there are none, the node tries again after 10 seconds. The time doubles with each setback, up to 5 minutes.";
    NotDeadYet "not_dead_yet" ["wait"]
        "A member does not answer, but it has not been silent for `dead_after`, or its downtime was announced.";
    Partition "partition" ["wait"]
        "A member does not answer, but it checks in, it leads the cluster, the leader receives messages from it, or the node of another voter reaches it. It is partitioned, not dead.";
    NoWitness "no_witness" ["wait"]
        "A voter does not answer, but no evidence from the voters' side shows whether it is dead. The message names the metrics that can't be read.";
    PeerUrlUnreachable "peer_url_unreachable" ["wait"]
        "No voter has reached a learner, this node's or another's, at its peer URLs, so the learner is not promoted.";
    VersionMismatch "version_mismatch" ["refuse"]
        "The node's etcd can't join: it must have the lowest minor version among the voters, or the next one.";
    QuorumAtRisk "quorum_at_risk" ["wait"] "Too few members answer: the change would put the quorum at risk.";
    Strategy "strategy" ["wait"] "The strategy, the cluster's or the node's, does not allow the change.";
    LearnerPresent "learner_present" ["wait"]
        "Another learner must be promoted or removed first. etcd takes one learner at a time.";
    CatchingUp "catching_up" ["wait"]
        "A learner, this node's or another's, is more than 1000 log entries behind, or nothing shows how far it is.";
    Healthy "healthy" ["wait"] "This member runs, and nothing needs to change.";
    Loading "loading" ["wait"] "This node's etcd is loading its data and does not answer yet. It does not count as silent.";
    BeingRemoved "being_removed" ["wait"]
        "Another node is removing this node's member. This node waits for the outcome.";
    OwnData "own_data" ["start"] "The data belongs to a member of this cluster.";
    Uncertain "uncertain" ["start"]
        "No evidence shows whether the data belongs to a present member. etcd checks that itself when it starts.";
    RunsElsewhere "runs_elsewhere" ["refuse", "wait"]
        "This node's data is a copy: its member runs at another address. With `wait`: another node checks in as that member, or another `convene` process was instructed, less than 30 s ago, to join with this node's peer URLs.";
    ForeignData "foreign_data" ["archive_data"]
        "The data belongs to another cluster, and this node sees a quorum of the registry's cluster.";
    EarlierEpoch "earlier_epoch" ["archive_data", "refuse"]
        "The data belongs to an earlier epoch, from before a reset. It is archived if it never had a leader, if this node sees a quorum of the current epoch's cluster, or if the node's administrator consents (`accept_reset`).";
    RemovedMember "removed_member" ["archive_data"]
        "The data belongs to a removed member: this node has read its cluster's member list through the quorum, and the list lacks the member.";
    GivenUp "given_up" ["wait"]
        "An administrator has adopted a cluster whose list lacks this node's member. If this node sees no quorum of that cluster, etcd does not start, because old members could form a second cluster.";
    UnreadableData "unreadable_data" ["archive_data", "refuse"]
        "The data can't be read. It is archived only if the cluster has a quorum without it, and the node is not `leaving`.";
    DataRolledBack "data_rolled_back" ["remove_member", "refuse"]
        "This node's data is older than what its member had applied before. With `remove_member`: the cluster has a quorum without the member, so the node joins again.";
    LostDisk "lost_disk" ["remove_member"]
        "This node has lost the data of its former member. The member is removed at once, and the node joins again.";
    Dead "dead" ["remove_member", "wait"]
        "A member is dead. With `wait`: a spare replaces it when one checks in, if the strategy allows that.";
    Evicted "evicted" ["remove_member", "leave", "stand_by"]
        "An administrator has evicted the member. With `stand_by`: it was this node's member, and the node waits until the eviction is withdrawn.";
    Shrink "shrink" ["remove_member", "leave"] "The cluster has more voters than its size.";
    AbandonedLearner "abandoned_learner" ["remove_member"] "A learner is dead, or its node has lost the ticket because the change made no progress, or no voter reaches the learner at the learner's peer URLs.";
    Leaving "leaving" ["remove_member", "leave"] "The node is leaving.";
    BelowSize "below_size" ["add_member"] "The cluster has fewer voters than its size.";
    AddressChanged "address_changed" ["update_member", "remove_member", "leave"]
        "The node's peer URLs are not those in etcd's list. Those of a learner can't be updated safely, so its node joins again.";
    Added "added" ["join"] "The node is in etcd's list and has to start.";
    CaughtUp "caught_up" ["promote"] "A learner, this node's or another's, has caught up.";
    Full "full" ["stand_by", "refuse", "remove_member", "leave"]
        "The cluster has all its voters. With `refuse`: the node sent `once`. With `remove_member` or `leave`: the member is a surplus learner.";
    Left "left" ["stand_by"] "The node was `leaving`, and has no member any more.";
    NameTaken "name_taken" ["refuse"]
        "Another member has the name. If the node is `leaving` and has no data: that member may be the one that should leave, so nothing was removed.";
    PeerUrlTaken "peer_url_taken" ["refuse", "wait"]
        "Another member has one of the peer URLs. With `wait`: etcd still lists that member there, but the member has moved. If the node is `leaving` and has no data: as for `name_taken`.";
    FormsByDiscovery "forms_by_discovery" ["refuse"]
        "Stock etcd nodes form this cluster by v2 or v3 discovery. Nodes with `convene` can join when the cluster runs.";
    ForeignCluster "foreign_cluster" ["refuse", "wait"]
        "The etcd of the node belongs to another etcd cluster. Or the node is `leaving`, and its data belongs to another etcd cluster. With `wait`: another etcd cluster answers at the members' addresses.";
    LastMember "last_member" ["refuse"] "The member is the last voter. Removing it would lose all data.";
    TooManyMembers "too_many_members" ["refuse"] "The record of this cluster is full. Create another cluster.";
    Overtaken "overtaken" ["wait"] "The server has already answered a later check-in of the same run (`sequence`).";
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
