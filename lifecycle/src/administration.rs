use thiserror::Error;

use crate::{
    Action, Announcer, Cluster, ClusterName, ClusterSize, Discovery, Downtime, EventKind, MemberKey, NewClusterToken,
    Policy, PolicyChange, Protocol, SizeIsFixed, Transition, UnixMillis, cluster_draft::ClusterDraft,
};

/// An administrator's changes of a cluster's settings. A field that is `None` keeps its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The number of voters that the cluster should have.
    pub size: Option<ClusterSize>,
    /// The cluster's name; the inner `None` removes the name.
    pub name: Option<Option<ClusterName>>,
    /// The changes of its policy.
    pub policy: PolicyChange,
}

/// Why an administrator's request is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AdministrationError {
    /// Stock etcds form this cluster. All of them must read the same size, and some may have read it.
    #[error(
        "stock etcd nodes form this cluster by {by}, and {fixed}; the size can be changed after a check-in has shown \
         that the etcd cluster exists"
    )]
    SizeIsFixed {
        /// The protocol by which they form it.
        by: Discovery,
        /// The size.
        fixed: SizeIsFixed,
    },
    /// The cluster has no such member, not even a removed one.
    #[error("this cluster has never had a member {0}; use the ID that the member list shows")]
    NoSuchMember(MemberKey),
    /// The etcd cluster does not exist yet, so it has no members.
    #[error(
        "the cluster has not formed yet, so member {0} can't be evicted; stop `convene` on its node, and another node \
         takes the place"
    )]
    StillForming(MemberKey),
    /// The member was removed.
    #[error("member {0} was removed")]
    Removed(MemberKey),
}

/// A request of an administrator, or of the member's own node, for one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberRequest {
    /// Remove the member as soon as the quorum allows it.
    Evict,
    /// Don't remove the member. If it was removed already, its node may join again.
    WithdrawEviction,
    /// The member does not count as dead while it is down. Does nothing if its node asks for it during a downtime that an
    /// administrator announced.
    AnnounceDowntime(Downtime),
    /// The downtime is over. Does nothing if the member's node asks for it, but an administrator announced the downtime.
    EndDowntime(Announcer),
}

impl Cluster {
    /// Creates a cluster with these settings.
    pub fn create_with(token: NewClusterToken, settings: &Settings, action: Action, at: UnixMillis) -> Transition {
        let size = settings.size.unwrap_or(ClusterSize::DEFAULT);
        let mut created = Self::create(token, size, action, at);
        if let Some(cluster) = &mut created.after {
            cluster.name = settings.name.clone().flatten();
            cluster.policy = settings.policy.apply_to(Policy::default());
        }
        created
    }

    /// Changes settings. `Ok(None)` if nothing changes.
    pub fn set(&self, settings: &Settings, at: UnixMillis) -> Result<Option<Transition>, AdministrationError> {
        let mut draft = ClusterDraft::new(self, at);
        if let Some(size) = settings.size.filter(|size| *size != self.size) {
            if let Some(by) = self.protocol.and_then(Protocol::discovery).filter(|_| self.bootstrapped.is_none()) {
                return Err(AdministrationError::SizeIsFixed { by, fixed: SizeIsFixed(self.size) });
            }
            draft.resize(size, format!("size changed from {} to {size}", self.size));
        }
        let policy = settings.policy.apply_to(self.policy);
        if policy.paused != self.policy.paused {
            let (kind, message) = match policy.paused {
                true => (EventKind::Paused, "membership changes paused"),
                false => (EventKind::Resumed, "membership changes resumed"),
            };
            draft.change(kind, message, |cluster| cluster.policy.paused = policy.paused);
        }
        let name = settings.name.clone().unwrap_or_else(|| self.name.clone());
        if policy != draft.policy || name != self.name {
            let mut changes: Vec<String> = policy_differences(&draft.policy, &policy).collect();
            if name != self.name {
                changes.push(name.as_ref().map_or("name removed".to_owned(), |name| format!("name {name}")));
            }
            draft.change(EventKind::PolicySet, format!("settings changed: {}", changes.join(", ")), |cluster| {
                cluster.policy = policy;
                cluster.name = name;
            });
        }
        Ok(draft.finish())
    }

    /// Carries out a request for a member. `Ok(None)` if nothing changes.
    pub fn apply_request(
        &self,
        key: &MemberKey,
        request: MemberRequest,
        at: UnixMillis,
    ) -> Result<Option<Transition>, AdministrationError> {
        let member = self.record.iter().find(|member| member.key == *key);
        let member = member.ok_or_else(|| AdministrationError::NoSuchMember(key.clone()))?;
        let mut draft = ClusterDraft::new(self, at);
        if member.removed.is_some() && request != MemberRequest::WithdrawEviction {
            return Err(AdministrationError::Removed(key.clone()));
        }
        if request == MemberRequest::Evict && self.formed.is_none() {
            return Err(AdministrationError::StillForming(key.clone()));
        }
        let name = member.name();
        match request {
            MemberRequest::Evict if member.eviction.is_none() => {
                let message = format!("eviction of {name} requested");
                draft.update(key, EventKind::EvictionRequested, message, |member| member.eviction = Some(at));
            }
            MemberRequest::WithdrawEviction if member.eviction.is_some() => {
                let message = format!("eviction of {name} withdrawn");
                draft.update(key, EventKind::EvictionWithdrawn, message, |member| member.eviction = None);
            }
            MemberRequest::AnnounceDowntime(downtime)
                if member.downtime != Some(downtime)
                    && member.downtime.is_none_or(|running| running.gives_way_to(downtime.by, at)) =>
            {
                let (who, until) = (downtime.by.subject(), downtime.until.clock_time(at));
                let message = format!("{who} announced a downtime for {name} until {until}");
                draft.update(key, EventKind::DowntimeAnnounced, message, |member| member.downtime = Some(downtime));
            }
            MemberRequest::EndDowntime(by) if member.downtime.is_some_and(|running| running.gives_way_to(by, at)) => {
                let message = format!("{} ended the downtime for {name}", by.subject());
                draft.update(key, EventKind::DowntimeEnded, message, |member| member.downtime = None);
            }
            _ => {}
        }
        Ok(draft.finish())
    }

    /// Starts a new epoch, in which the nodes form the cluster again. This also ends a hold. Data from before stays until it is
    /// given up on its own node, or the new cluster has a quorum.
    pub fn reset(&self, at: UnixMillis) -> Option<Transition> {
        let mut draft = ClusterDraft::new(self, at);
        draft.begin_epoch("reset by an administrator");
        draft.release_hold("an administrator has reset the cluster");
        draft.finish()
    }
}

/// The fields that differ from those before, as `name value`.
fn policy_differences(before: &Policy, after: &Policy) -> impl Iterator<Item = String> {
    let changed = Policy::FIELDS.iter().filter(|field| field.get(before) != field.get(after));
    changed.map(|field| format!("{} {}", field.name, field.get(after)))
}
