use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use crate::{
    Action, Admission, ClusterId, ClusterName, ClusterSize, DiscoveryUrl, Epoch, Event, EventKind, Held, JoinPolicy,
    Member, MemberKey, MemberName, NewClusterToken, Policy, Previous, Protocol, PublicId, RecordedRefusal, Removal,
    Revision, Setback, Subject, Ticket, Token, UnixMillis,
};

/// The most members on the record of one cluster, removed ones included.
///
/// It is far more than any etcd cluster has. It is few enough that a client that knows a token can't fill the server's
/// memory.
pub const MAX_MEMBERS: usize = 1_000;

/// For how many revisions a removed member stays on record after the cluster has formed.
pub const REMOVED_MEMBER_RETENTION: u64 = 1_000;

/// What the registry knows about one etcd cluster, as of one revision.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cluster {
    /// The public name of the cluster.
    pub id: PublicId,
    /// The secret name of the cluster.
    pub token: Token,
    /// The number of voters that the cluster should have.
    pub size: ClusterSize,
    /// The revision that created the size.
    pub size_created: Revision,
    /// The revision that last set the size.
    pub size_modified: Revision,
    /// The revision that last set a smaller size than the one before. `None` if none did.
    pub size_lowered: Option<Revision>,
    /// How often the size was set since it was created; 1 after its creation.
    pub size_version: u64,
    /// The number of the latest change.
    pub revision: Revision,
    /// When the cluster was created.
    pub created_at: UnixMillis,
    /// When the first member registered. `None` if none has.
    pub first_registered_at: Option<UnixMillis>,
    /// The revision at which all founders were known, so that etcds may have bootstrapped. `None` while the cluster is
    /// forming. Only a new epoch resets it to `None`.
    pub formed: Option<Revision>,
    /// When discovery completed the founders. `None` if it has not, or if that was long ago.
    pub formed_at: Option<UnixMillis>,
    /// The name that administrators gave the cluster.
    pub name: Option<ClusterName>,
    /// How Convene maintains the cluster.
    pub policy: Policy,
    /// The present attempt to form the cluster.
    pub epoch: Epoch,
    /// How the members of this epoch find each other. `None` if none has registered in it.
    pub protocol: Option<Protocol>,
    /// The discovery URL as the first node spelled it, from which etcd computes IDs. `None` if no node came by v2 discovery, or
    /// its spelling is unknown.
    pub discovery_url: Option<DiscoveryUrl>,
    /// The ID of this epoch's etcd cluster, if it is known.
    pub cluster_id: Option<ClusterId>,
    /// The revision at which the etcd cluster was known to exist. `None` if no node has shown it yet. Only a new epoch
    /// resets it to `None`.
    pub bootstrapped: Option<Revision>,
    /// The IDs of the etcd clusters of earlier epochs.
    pub earlier_cluster_ids: Vec<ClusterId>,
    /// Why nobody may found the cluster now. `None` if it may be founded, or has been.
    pub held: Option<Held>,
    /// The lease for the membership change that is under way, if there is one.
    pub ticket: Option<Ticket>,
    /// How many tickets were ever granted. It is the number of the latest one.
    pub tickets: u64,
    /// The nodes that lost their last ticket without progress.
    pub setbacks: BTreeMap<MemberName, Setback>,
    /// The last refusal of each node that has refused an instruction, oldest first. See [`RecordedRefusal::MOST`].
    pub refusals: Vec<RecordedRefusal>,
    /// How many refusals were ever recorded.
    pub refusal_count: u64,
    /// The join tokens and the credentials of nodes.
    pub admission: Arc<Admission>,
    /// Every member that ever registered, in the order of [`Member::created`]. See [`REMOVED_MEMBER_RETENTION`].
    pub record: Vec<Arc<Member>>,
}

/// A decision: the cluster afterwards, and its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The cluster afterwards. `None` if it is deleted.
    pub after: Option<Cluster>,
    /// What happened, one revision each. There is at least one event.
    pub events: Vec<Event>,
}

impl Cluster {
    /// Creates a cluster as discovery does: its nodes may join with the discovery token alone.
    pub fn create(token: NewClusterToken, size: ClusterSize, action: Action, at: UnixMillis) -> Transition {
        let cluster = Self {
            id: PublicId::UNASSIGNED,
            token: token.into(),
            size,
            size_created: Revision::FIRST,
            size_modified: Revision::FIRST,
            size_lowered: None,
            size_version: 1,
            revision: Revision::FIRST,
            created_at: at,
            first_registered_at: None,
            formed: None,
            formed_at: None,
            name: None,
            policy: Policy { join: JoinPolicy::Open, ..Policy::default() },
            epoch: Epoch::FIRST,
            protocol: None,
            discovery_url: None,
            cluster_id: None,
            bootstrapped: None,
            earlier_cluster_ids: Vec::new(),
            held: None,
            ticket: None,
            tickets: 0,
            setbacks: BTreeMap::new(),
            refusals: Vec::new(),
            refusal_count: 0,
            admission: Arc::default(),
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
            actor: None,
            while_forming: true,
            kind: EventKind::ClusterCreated,
            message: format!("cluster created with size {size}").into(),
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

    /// How many voters an administrator has requested to remove by a smaller size.
    pub fn surplus_voters(&self) -> usize {
        let older = self.voters().filter(|voter| self.is_older_than_lowered_size(voter)).count();
        older.saturating_sub(self.size.get() as usize)
    }

    /// Whether a member was on record when the size was last lowered.
    pub(crate) fn is_older_than_lowered_size(&self, member: &Member) -> bool {
        self.size_lowered.is_some_and(|lowered| member.created <= lowered)
    }

    /// [`Self::size_lowered`] after a revision that sets this size.
    pub(crate) fn lowered_by(&self, size: ClusterSize, at: Revision) -> Option<Revision> {
        if size < self.size { Some(at) } else { self.size_lowered }
    }

    /// The present member with this key.
    pub fn member(&self, key: &MemberKey) -> Option<&Arc<Member>> {
        self.members().find(|member| member.key == *key)
    }

    /// How many of the present voters are a quorum.
    pub fn quorum(&self) -> usize {
        quorum_of(self.voters().count())
    }

    /// Whether nodes that check in are forming or bootstrapping the cluster. No discovery client may change the roster
    /// then.
    pub fn is_forming_by_check_in(&self) -> bool {
        self.protocol == Some(Protocol::CheckIn) && self.bootstrapped.is_none()
    }

    /// Deletes the cluster and everything that the registry knows about it.
    pub fn delete(&self, at: UnixMillis) -> Transition {
        let change = KeyChange {
            action: Action::Delete,
            subject: Subject::Cluster,
            after: KeyState::deleted(Revision::FIRST),
            previous: Some(Previous { value: None, created: Revision::FIRST, modified: Revision::FIRST, version: 1 }),
        };
        let event = self.event(at, change, EventKind::ClusterDeleted, "cluster deleted");
        let members = self.members().map(|member| (Subject::Member(member.key.clone()), previous_member(member)));
        let also_deleted = std::iter::once((Subject::Size, self.previous_size())).chain(members).collect();
        Transition { after: None, events: vec![Event { also_deleted, ..event }] }
    }

    /// The record with this member added or replaced, in order, and without members past their retention.
    pub(crate) fn record_with(&self, member: Member) -> Vec<Arc<Member>> {
        let mut record = Vec::with_capacity(self.record.len() + 1);
        let is_kept = |other: &&Arc<Member>| other.key != member.key && !self.is_past_retention(other);
        record.extend(self.record.iter().filter(is_kept).cloned());
        let place = record.partition_point(|other| other.created < member.created);
        record.insert(place, Arc::new(member));
        record
    }

    /// Whether a member was removed so long ago that the record drops it. If its node comes back, etcd's own list shows
    /// the removal.
    fn is_past_retention(&self, member: &Member) -> bool {
        let is_past = |removal: Removal| removal.at.0.saturating_add(REMOVED_MEMBER_RETENTION) < self.revision.0;
        self.formed.is_some() && member.removed.is_some_and(is_past)
    }

    /// A copy with an empty record, for changes that set a new record anyway.
    pub(crate) fn without_record(&self) -> Self {
        Self {
            token: self.token.clone(),
            name: self.name.clone(),
            discovery_url: self.discovery_url.clone(),
            earlier_cluster_ids: self.earlier_cluster_ids.clone(),
            held: self.held.clone(),
            ticket: self.ticket.clone(),
            setbacks: self.setbacks.clone(),
            refusals: self.refusals.clone(),
            admission: self.admission.clone(),
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

    /// The event of the next revision.
    pub(crate) fn event(
        &self,
        at: UnixMillis,
        KeyChange { action, subject, after: KeyState { value, created, version }, previous }: KeyChange,
        kind: EventKind,
        message: impl Into<Cow<'static, str>>,
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
            actor: None,
            while_forming: self.formed.is_none(),
            kind,
            message: message.into(),
        }
    }
}

/// How many of this many voters are a quorum: more than half (Raft).
pub(crate) fn quorum_of(voters: usize) -> usize {
    voters / 2 + 1
}

/// What an event changes, as v2 and v3 discovery see it.
pub(crate) struct KeyChange {
    pub action: Action,
    pub subject: Subject,
    pub after: KeyState,
    pub previous: Option<Previous>,
}

/// The state of a key after an event.
pub(crate) struct KeyState {
    pub value: Option<String>,
    pub created: Revision,
    pub version: u64,
}

impl KeyChange {
    /// A change that v2 and v3 discovery don't see.
    pub fn invisible(member: Option<&Member>, next: Revision) -> Self {
        Self {
            action: Action::Set,
            subject: Subject::Lifecycle(member.map(|member| member.key.clone())),
            after: KeyState::deleted(member.map_or(next, |member| member.created)),
            previous: None,
        }
    }
}

impl KeyState {
    /// The present state of a member's key.
    pub fn of_member(member: &Member) -> Self {
        Self { value: Some(member.registration.to_string()), created: member.created, version: member.version }
    }

    /// The state of a key that was created at a revision and is deleted now.
    pub fn deleted(created: Revision) -> Self {
        Self { value: None, created, version: 0 }
    }
}

/// The state of a member's key before an event.
pub(crate) fn previous_member(member: &Member) -> Previous {
    Previous {
        value: Some(member.registration.to_string()),
        created: member.created,
        modified: member.registered,
        version: member.version,
    }
}
