use std::borrow::Cow;

use thiserror::Error;

use crate::{Actor, MemberKey, Revision, Token, UnixMillis, described_names::described_names};

/// One change of one cluster. Watches, long polls and event streams get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The cluster that changed.
    pub token: Token,
    /// The cluster's revision from this change on.
    pub revision: Revision,
    /// When it happened, by the clock of the server that decided it.
    pub at: UnixMillis,
    /// The v2 action that made the change, or would have.
    pub action: Action,
    /// What the change is about.
    pub subject: Subject,
    /// The value after the change. `None` if the subject was deleted or has no value.
    pub value: Option<String>,
    /// The revision that created the subject.
    pub created: Revision,
    /// How often the subject was written since then, this change included. 0 if it was deleted or has no value.
    pub version: u64,
    /// The subject before the change. `None` if it did not exist.
    pub previous: Option<Previous>,
    /// What was deleted together with the subject: with a cluster, its size and its members. It is not stored, because
    /// the history of a cluster is deleted with the cluster.
    pub also_deleted: Vec<(Subject, Previous)>,
    /// Whether the cluster was forming before the change. A stock etcd counts every event that it sees then as one more
    /// member, so v2 discovery must leave out some events.
    pub while_forming: bool,
    /// The kind of change.
    pub kind: EventKind,
    /// What happened and why, for people. The text may change.
    pub message: Cow<'static, str>,
    /// Who asked for the change. `None` if it is not known: a server of an earlier version made the change.
    pub actor: Option<Actor>,
}

// scripts/generate writes them to docs/reference/lifecycle.md.
described_names! {
    /// What kind of change an [`Event`] is. The names are part of the API and stay.
    pub enum EventKind {
        ClusterCreated "cluster_created" "The cluster was created.";
        ClusterDeleted "cluster_deleted" "The cluster was deleted.";
        SizeSet "size_set" "The size was set.";
        PolicySet "policy_set" "The name or the policy of the cluster was changed.";
        Paused "paused" "Membership changes were paused.";
        Resumed "resumed" "Membership changes were resumed.";
        MemberRegistered "member_registered" "A member registered to bootstrap the cluster, or changed its registration.";
        MemberAdded "member_added" "A member appeared in etcd's list.";
        MemberUpdated "member_updated" "The name, the URLs or the state of a member changed.";
        MemberPromoted "member_promoted" "A learner became a voter.";
        MemberRemoved "member_removed" "A member was removed.";
        MemberFailing "member_failing"
            "A member's etcd was started `max_failed_starts` times, and each time did not answer, or ended within 10 s. A spare may replace the member once its etcd has not answered for `dead_after`.";
        EvictionRequested "eviction_requested" "The removal of a member was requested.";
        EvictionWithdrawn "eviction_withdrawn"
            "The eviction of a member was withdrawn. If the member was removed already, its node may join again.";
        DowntimeAnnounced "downtime_announced" "A downtime of a member was announced.";
        DowntimeEnded "downtime_ended" "An announced downtime has ended: its time is over, somebody ended it, or the node that announced it is back.";
        Formed "formed" "The founders were complete, or a running cluster was adopted.";
        BootstrapTold "bootstrap_told" "A founder was instructed to bootstrap.";
        Bootstrapped "bootstrapped" "The etcd cluster was seen to exist.";
        ClusterIdCorrected "cluster_id_corrected"
            "The ID of the etcd cluster on record was wrong: a quorum of the members has another one.";
        TicketGranted "ticket_granted" "A node got the ticket for a membership change.";
        TicketReleased "ticket_released" "A membership change was done or given up.";
        NodeRefused "node_refused"
            "A node refused an instruction, because its own check contradicted it.";
        JoinTokenCreated "join_token_created" "A join token was created.";
        JoinTokenRevoked "join_token_revoked" "A join token was revoked.";
        NodeAdmitted "node_admitted" "A node's credential was bound to its name.";
        NodeTurnedAway "node_turned_away" "A check-in was refused, because its sender may not check in for the node.";
        CredentialRenewed "credential_renewed" "A node has renewed its credential.";
        CredentialRevoked "credential_revoked" "The credential of a node was revoked.";
        EpochBegun "epoch_begun" "A new attempt to form the cluster began.";
        FoundingHeld "founding_held" "The forming of the cluster was held, because another etcd cluster may exist.";
        FoundingReleased "founding_released"
            "The hold ended: the etcd cluster was seen to exist, or an administrator decided.";
    }
}

/// Why a text is not an [`EventKind`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not a kind of event")]
pub struct UnknownEventKind(String);

impl std::str::FromStr for EventKind {
    type Err = UnknownEventKind;

    fn from_str(text: &str) -> Result<Self, UnknownEventKind> {
        let found = Self::ALL.iter().find(|kind| kind.as_str() == text);
        found.copied().ok_or_else(|| UnknownEventKind(text.to_owned()))
    }
}

/// What an [`Event`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The cluster as a whole.
    Cluster,
    /// Its size.
    Size,
    /// One member's registration.
    Member(MemberKey),
    /// Something without a key in v2 and v3 discovery: the policy, the ticket, or the state of this member beyond its
    /// registration. The event's kind shows what.
    Lifecycle(Option<MemberKey>),
}

/// A subject before an [`Event`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Its value. `None` for the cluster as a whole, which has no value.
    pub value: Option<String>,
    /// The revision that created it.
    pub created: Revision,
    /// The revision that last wrote it.
    pub modified: Revision,
    /// How often it was written since it was created.
    pub version: u64,
}

/// An action of etcd's v2 API (`etcdserver/api/v2store/event.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Creates a key that does not exist.
    Create,
    /// Creates or replaces a key.
    Set,
    /// Changes a key that exists.
    Update,
    /// Changes a key if it is as expected.
    CompareAndSwap,
    /// Deletes a key.
    Delete,
    /// Deletes a key if it is as expected.
    CompareAndDelete,
}

/// Why a text is not an [`Action`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not an action")]
pub struct UnknownAction(String);

impl Action {
    const ALL: [Self; 6] =
        [Self::Create, Self::Set, Self::Update, Self::CompareAndSwap, Self::Delete, Self::CompareAndDelete];

    /// Its name in etcd's v2 API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Set => "set",
            Self::Update => "update",
            Self::CompareAndSwap => "compareAndSwap",
            Self::Delete => "delete",
            Self::CompareAndDelete => "compareAndDelete",
        }
    }
}

impl std::str::FromStr for Action {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        let found = Self::ALL.into_iter().find(|action| action.as_str() == text);
        found.ok_or_else(|| UnknownAction(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_by_its_own_name() {
        for kind in EventKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
    }
}
