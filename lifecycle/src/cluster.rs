use std::{borrow::Cow, fmt, sync::Arc};

use crate::{
    Action, ClusterId, ClusterName, ClusterSize, Epoch, Event, EventKind, Member, MemberKey, NewClusterToken, Policy,
    Previous, Removal, Revision, Subject, Ticket, Token, UnixMillis,
};

/// How many members, removed ones included, one cluster's record may hold: far more than any etcd
/// cluster has, and few enough that whoever knows a token can't fill the server's memory with it.
pub const MAX_MEMBERS: usize = 1_000;

/// For how many of a cluster's changes a removed member stays on record, once the cluster has formed.
pub const RETAINED_REVISIONS: u64 = 1_000;

/// What the registry knows of one etcd cluster, as of one revision.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cluster {
    /// Names it.
    pub token: Token,
    /// How many voters it is to have.
    pub size: ClusterSize,
    /// Since which revision the size has been there.
    pub size_created: Revision,
    /// When the size was last set.
    pub size_modified: Revision,
    /// How often the size was set since it has been there, the first time included.
    pub size_version: u64,
    /// Counts its changes.
    pub revision: Revision,
    /// When it was created.
    pub created_at: UnixMillis,
    /// When a member first registered; `None` means that nobody ever has.
    pub first_registered_at: Option<UnixMillis>,
    /// The revision at which the members were complete that bootstrap it, so that etcds may have begun to;
    /// `None` means that it is still forming. Only a new epoch takes it back to `None`.
    pub formed: Option<Revision>,
    /// When discovery made its members complete; `None` means that it did not, or long ago.
    pub formed_at: Option<UnixMillis>,
    /// What administrators call it; `None` means that they gave it no name.
    pub name: Option<ClusterName>,
    /// How it is looked after.
    pub policy: Policy,
    /// Which attempt to form this is.
    pub epoch: Epoch,
    /// How the members of this epoch find each other; `None` means that nobody has registered in it.
    pub protocol: Option<Protocol>,
    /// The etcd cluster's ID in this epoch; `None` means that it is not known.
    pub cluster_id: Option<ClusterId>,
    /// The revision at which it was known that the etcd cluster exists; `None` means that nobody has shown it
    /// yet. Only a new epoch takes it back to `None`.
    pub bootstrapped: Option<Revision>,
    /// The IDs of etcd clusters of earlier epochs.
    pub earlier_cluster_ids: Vec<ClusterId>,
    /// The membership change under way; `None` means that there is none.
    pub ticket: Option<Ticket>,
    /// How many tickets were ever granted, which is the number of the last.
    pub tickets: u64,
    /// Everyone who ever registered, in the order of [`Member::created`].
    pub record: Vec<Arc<Member>>,
}

/// How nodes that form a cluster find each other. They can't mix: etcds that discover each other decide by
/// themselves when they are complete, and compute other IDs for themselves and the cluster with each protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Stock etcds that discover each other.
    Discovery(Discovery),
    /// Nodes that check in.
    CheckIn,
}

/// A protocol by which stock etcds discover each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Discovery {
    /// By HTTP: etcd 2.x to 3.6 with `--discovery`.
    V2,
    /// By gRPC: etcd 3.6 and later with `--discovery-endpoints`.
    V3,
}

impl Protocol {
    /// The face's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discovery(Discovery::V2) => "v2",
            Self::Discovery(Discovery::V3) => "v3",
            Self::CheckIn => "check_in",
        }
    }

    /// The protocol of stock etcds; `None` if the nodes check in.
    pub fn discovery(self) -> Option<Discovery> {
        match self {
            Self::Discovery(discovery) => Some(discovery),
            Self::CheckIn => None,
        }
    }
}

impl fmt::Display for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2 => "v2 discovery",
            Self::V3 => "v3 discovery",
        })
    }
}

/// What was decided: the cluster afterwards, and the events that tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The cluster from now on; `None` means that it is deleted.
    pub after: Option<Cluster>,
    /// What happened, one revision each; at least one.
    pub events: Vec<Event>,
}

impl Cluster {
    /// Creates a cluster.
    pub fn create(token: NewClusterToken, size: ClusterSize, action: Action, at: UnixMillis) -> Transition {
        let cluster = Self {
            token: token.into(),
            size,
            size_created: Revision::FIRST,
            size_modified: Revision::FIRST,
            size_version: 1,
            revision: Revision::FIRST,
            created_at: at,
            first_registered_at: None,
            formed: None,
            formed_at: None,
            name: None,
            policy: Policy::default(),
            epoch: Epoch::FIRST,
            protocol: None,
            cluster_id: None,
            bootstrapped: None,
            earlier_cluster_ids: Vec::new(),
            ticket: None,
            tickets: 0,
            record: Vec::new(),
        };
        let event = Event {
            token: cluster.token.clone(),
            revision: Revision::FIRST,
            at,
            action,
            subject: Subject::Size,
            value: Some(size.to_string()),
            created: Revision::FIRST,
            version: 1,
            previous: None,
            also_deleted: Vec::new(),
            while_forming: true,
            kind: EventKind::ClusterCreated,
            message: format!("a cluster of {size} was made").into(),
        };
        Transition { after: Some(cluster), events: vec![event] }
    }

    /// The present members, in the order in which they take the cluster's places.
    pub fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.record.iter().filter(|member| member.removed.is_none())
    }

    /// The present members that vote.
    pub fn voters(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.members().filter(|member| member.is_voter())
    }

    /// The present member with this key.
    pub fn member(&self, key: &MemberKey) -> Option<&Arc<Member>> {
        self.members().find(|member| member.key == *key)
    }

    /// Whether nodes that check in are forming the cluster or bootstrapping it, so that nobody else may touch the
    /// roster.
    pub fn is_forming_by_check_in(&self) -> bool {
        self.protocol == Some(Protocol::CheckIn) && self.bootstrapped.is_none()
    }

    /// How many voters a quorum of the present voters has.
    pub fn quorum(&self) -> usize {
        quorum_of(self.voters().count())
    }

    /// Deletes the cluster with all that is known of it.
    pub fn delete(&self, at: UnixMillis) -> Transition {
        let previous = Previous { value: None, created: Revision::FIRST, modified: Revision::FIRST, version: 1 };
        let kind_and_message = (EventKind::ClusterDeleted, "the cluster was deleted".into());
        let gone = NewValue::gone(Revision::FIRST);
        let event = self.event(at, Action::Delete, Subject::Cluster, gone, Some(previous), kind_and_message);
        let members = self.members().map(|member| (Subject::Member(member.key.clone()), previous_member(member)));
        let also_deleted = std::iter::once((Subject::Size, self.previous_size())).chain(members).collect();
        Transition { after: None, events: vec![Event { also_deleted, ..event }] }
    }

    /// The record with this member's entry replaced or added, in order, and without those of whom nobody needs to
    /// know any more.
    pub(crate) fn record_with(&self, member: Member) -> Vec<Arc<Member>> {
        let mut record = Vec::with_capacity(self.record.len() + 1);
        let kept = |other: &&Arc<Member>| other.key != member.key && !self.is_past_retention(other);
        record.extend(self.record.iter().filter(kept).cloned());
        let place = record.partition_point(|other| other.created < member.created);
        record.insert(place, Arc::new(member));
        record
    }

    /// Whether a member was removed so long ago that its node is told to look at etcd's own list if it comes back.
    fn is_past_retention(&self, member: &Member) -> bool {
        let forgets = |removal: Removal| removal.at.0.saturating_add(RETAINED_REVISIONS) < self.revision.0;
        self.formed.is_some() && member.removed.is_some_and(forgets)
    }

    /// Everything but the record, for changes that bring their own and would clone it in vain.
    pub(crate) fn without_record(&self) -> Self {
        Self {
            token: self.token.clone(),
            name: self.name.clone(),
            earlier_cluster_ids: self.earlier_cluster_ids.clone(),
            ticket: self.ticket.clone(),
            record: Vec::new(),
            ..*self
        }
    }

    pub(crate) fn previous_size(&self) -> Previous {
        Previous {
            value: Some(self.size.to_string()),
            created: self.size_created,
            modified: self.size_modified,
            version: self.size_version,
        }
    }

    pub(crate) fn event(
        &self,
        at: UnixMillis,
        action: Action,
        subject: Subject,
        NewValue { value, created, version }: NewValue,
        previous: Option<Previous>,
        (kind, message): (EventKind, Cow<'static, str>),
    ) -> Event {
        Event {
            token: self.token.clone(),
            revision: self.revision.next(),
            at,
            action,
            subject,
            value,
            created,
            version,
            previous,
            also_deleted: Vec::new(),
            while_forming: self.formed.is_none(),
            kind,
            message,
        }
    }
}

/// How many of this many voters are a quorum: more than half (Raft).
pub(crate) fn quorum_of(voters: usize) -> usize {
    voters / 2 + 1
}

/// What an event says of its subject from now on.
pub(crate) struct NewValue {
    pub value: Option<String>,
    pub created: Revision,
    pub version: u64,
}

impl NewValue {
    /// The value that a member's key has now.
    pub fn member(member: &Member) -> Self {
        Self { value: Some(member.registration.to_string()), created: member.created, version: member.version }
    }

    /// That what has been there since a revision is gone.
    pub fn gone(created: Revision) -> Self {
        Self { value: None, created, version: 0 }
    }
}

/// What a member's key has held so far.
pub(crate) fn previous_member(member: &Member) -> Previous {
    Previous {
        value: Some(member.registration.to_string()),
        created: member.created,
        modified: member.registered,
        version: member.version,
    }
}
