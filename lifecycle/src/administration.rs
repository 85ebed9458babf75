use std::time::Duration;

use thiserror::Error;

use crate::{
    Action, Cluster, ClusterName, ClusterSize, Discovery, EventKind, MemberKey, Policy, Protocol, SizeIsFixed,
    Strategy, Token, Transition, UnixMillis, cluster_draft::ClusterDraft,
};

/// What an administrator sets about a cluster; what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// How many voters it is to have.
    pub size: Option<ClusterSize>,
    /// What it is called; the inner `None` takes the name away.
    pub name: Option<Option<ClusterName>>,
    /// [`Policy::strategy`].
    pub strategy: Option<Strategy>,
    /// [`Policy::dead_after`].
    pub dead_after: Option<Duration>,
    /// [`Policy::learner`].
    pub learner: Option<bool>,
    /// [`Policy::check_in_every`].
    pub check_in_every: Option<Duration>,
    /// [`Policy::paused`].
    pub paused: Option<bool>,
}

/// Why an administrator's wish can't be granted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AdministrationError {
    /// Stock etcds that form a cluster have read its size already, or will, and each has to read the same.
    #[error(
        "stock etcds form this cluster by {by}, and {fixed}; once a node has shown by a check-in that the etcd \
         cluster exists, the size can be changed"
    )]
    SizeIsFixed {
        /// How they form it.
        by: Discovery,
        /// At what.
        fixed: SizeIsFixed,
    },
    /// There is no such member, not even a removed one.
    #[error(
        "there is no member {0}, and there never was; members are named by their IDs, which the list of them shows"
    )]
    NoSuchMember(MemberKey),
    /// Nobody is a member of an etcd cluster that does not exist yet.
    #[error(
        "the cluster has not formed yet, so there is nothing to remove member {0} from; stop its node's client, and \
         another node can take its place"
    )]
    StillForming(MemberKey),
    /// The member is not one any more.
    #[error("member {0} was removed")]
    Removed(MemberKey),
}

/// What an administrator wishes for one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberRequest {
    /// It is to be removed, as soon as that is safe.
    Evict,
    /// It is not to be removed after all; if it was, then its node may come back.
    WithdrawEviction,
    /// It may be down until then without counting as dead.
    AnnounceDowntime(UnixMillis),
    /// Its downtime is over.
    EndDowntime,
}

impl Cluster {
    /// A new cluster with settings of its own.
    pub fn create_with(token: Token, settings: &Settings, at: UnixMillis) -> Transition {
        let size = settings.size.unwrap_or(ClusterSize::DEFAULT);
        let mut created = Self::create(token, size, Action::Create, at);
        if let Some(cluster) = &mut created.after {
            cluster.name = settings.name.clone().flatten();
            cluster.policy = settings.apply_to(cluster.policy);
        }
        created
    }

    /// Changes settings; `Ok(None)` if they are so already.
    pub fn set(&self, settings: &Settings, at: UnixMillis) -> Result<Option<Transition>, AdministrationError> {
        let mut draft = ClusterDraft::new(self, at);
        if let Some(size) = settings.size.filter(|size| *size != self.size) {
            if let Some(by) = self.protocol.and_then(Protocol::discovery).filter(|_| self.bootstrapped.is_none()) {
                return Err(AdministrationError::SizeIsFixed { by, fixed: SizeIsFixed(self.size) });
            }
            draft.resize(size, format!("the size is {size} from now on, after {}", self.size));
        }
        let policy = settings.apply_to(self.policy);
        if policy.paused != self.policy.paused {
            let (kind, message) = match policy.paused {
                true => (EventKind::Paused, "changes of membership are paused"),
                false => (EventKind::Resumed, "changes of membership are made again"),
            };
            draft.change(kind, message, |cluster| cluster.policy.paused = policy.paused);
        }
        let name = settings.name.clone().unwrap_or_else(|| self.name.clone());
        if policy != draft.policy || name != self.name {
            let message = format!("policy: {}", describe(&policy));
            draft.change(EventKind::PolicySet, message, |cluster| {
                cluster.policy = policy;
                cluster.name = name;
            });
        }
        Ok(draft.finish())
    }

    /// Does what an administrator wishes for a member; `Ok(None)` if it is so already.
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
                let message = format!("{name} ({key}) is to be removed");
                draft.update(key, EventKind::EvictionRequested, message, |member| member.eviction = Some(at));
            }
            MemberRequest::WithdrawEviction if member.eviction.is_some() => {
                let message = format!("the eviction of {name} ({key}) is withdrawn");
                draft.update(key, EventKind::EvictionWithdrawn, message, |member| member.eviction = None);
            }
            MemberRequest::AnnounceDowntime(until) if member.downtime_until != Some(until) => {
                let message = format!("{name} ({key}) may be down for a while");
                draft.update(key, EventKind::DowntimeAnnounced, message, |member| member.downtime_until = Some(until));
            }
            MemberRequest::EndDowntime if member.downtime_until.is_some() => {
                let message = format!("the downtime of {name} ({key}) is over");
                draft.update(key, EventKind::DowntimeEnded, message, |member| member.downtime_until = None);
            }
            _ => {}
        }
        Ok(draft.finish())
    }

    /// Begins a new epoch: whatever the cluster was, its nodes form it anew, and set their data aside.
    pub fn reset(&self, at: UnixMillis) -> Option<Transition> {
        let mut draft = ClusterDraft::new(self, at);
        draft.begin_epoch("an administrator has reset the cluster");
        draft.finish()
    }
}

impl Settings {
    fn apply_to(&self, policy: Policy) -> Policy {
        Policy {
            strategy: self.strategy.unwrap_or(policy.strategy),
            dead_after: self.dead_after.unwrap_or(policy.dead_after),
            learner: self.learner.unwrap_or(policy.learner),
            check_in_every: self.check_in_every.unwrap_or(policy.check_in_every),
            paused: self.paused.unwrap_or(policy.paused),
        }
    }
}

fn describe(policy: &Policy) -> String {
    let Policy { strategy, dead_after, learner, check_in_every, .. } = policy;
    let joins = if *learner { "learner" } else { "voter" };
    format!("{strategy}, dead after {dead_after:?}, joins as {joins}, checks in every {check_in_every:?}")
}
