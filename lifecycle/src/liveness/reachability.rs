//! Which members the agents beside running voters reach.
//!
//! An agent looks at the ports of the other members with each check-in. So it sees a death, and a learner that can be reached, without
//! being asked.

use std::sync::Arc;

use super::{Liveness, MemberLiveness, inside};
use crate::{Cluster, Member, MemberId, MemberKey, NodeStatus, Reachability, Report, ReportedState, UnixMillis};

impl Liveness {
    /// Records which members the agent beside a running voter reaches, and how far that voter has applied the log.
    ///
    /// It is a witness from inside, as a view of that voter is. A view in the same report is newer, and shows the same.
    pub(super) fn record_reachability(&mut self, cluster: &Cluster, report: &Report, now: UnixMillis) {
        let own = report.identity().filter(|_| report.is_running() && report.view.is_none());
        let (Some(own), Some(status)) = (own, &report.status) else { return };
        let voter = cluster.member(&own.member.into()).filter(|member| member.is_voter());
        let is_its_node = |voter: &Arc<Member>| *voter.name() == report.name && self.may_witness(cluster, voter);
        if cluster.cluster_id != Some(own.cluster) || !voter.is_some_and(is_its_node) {
            return;
        }
        let leads = status.etcd.as_ref().is_some_and(|etcd| etcd.leader == Some(own.member));
        let sees_quorum = sees_quorum(cluster, own.member, status);
        if let Some(applied) = status.etcd.as_ref().and_then(|etcd| etcd.raft_applied_index).filter(|_| sees_quorum) {
            let known = self.members.entry(own.member.into()).or_default();
            known.applied = known.applied.max(Some(applied));
        }
        for look in status.reachability.iter().filter(|look| look.member != own.member) {
            let Some(member) = cluster.member(&look.member.into()) else { continue };
            let known = self.members.entry(member.key.clone()).or_default();
            if answers(look) {
                known.heard = Some(now);
            }
            match member.is_voter() {
                true if answers(look) => known.unreached_by_voters = None,
                true if sees_quorum => known.record_unreached(cluster, now),
                // The leader must reach a learner at its peer URLs.
                false if leads && sees_quorum => known.record_look_at_learner(cluster, look, now),
                _ => {}
            }
        }
    }

    /// Whether whom an agent reaches may matter now. While all members show signs of life themselves, it does not.
    pub(super) fn is_reachability_news(&self, cluster: &Cluster, report: &Report, now: UnixMillis) -> bool {
        let looks = report.status.iter().flat_map(|status| &status.reachability);
        looks.into_iter().any(|look| {
            let member = cluster.member(&look.member.into());
            member.is_some_and(|member| {
                look.peer == Some(false) || self.silence(&cluster.policy, member, now) >= cluster.policy.dead_after
            })
        })
    }

    /// Whether the agent beside the leader reaches a member at one of its peer URLs. `None` if no such agent has lately looked.
    /// `report` replaces the last one of its node.
    pub(crate) fn is_reached_beside(
        &self,
        cluster: &Cluster,
        leader: Option<MemberId>,
        member: &Member,
        report: &Report,
        now: UnixMillis,
    ) -> Option<bool> {
        let leader = cluster.member(&leader?.into()).filter(|leader| self.may_witness(cluster, leader))?;
        let (state, status, at) = match self.nodes.get(leader.name()) {
            _ if *leader.name() == report.name => (ReportedState::of(&report.state), report.status.as_ref()?, now),
            node => node.and_then(|node| Some((node.state, node.status.as_ref()?, node.at)))?,
        };
        let runs_it = matches!(state, ReportedState::Etcd(own) if MemberKey::from(own.member) == leader.key);
        let is_recent = at.age(now) <= cluster.policy.max_observation_time();
        status.look_at(&member.key)?.peer.filter(|_| runs_it && is_recent)
    }

    /// Whether somebody has lately failed to reach another member. Then all nodes look more often.
    pub(crate) fn is_somebody_unreached(&self, cluster: &Cluster, but: Option<MemberId>, now: UnixMillis) -> bool {
        let others = cluster.members().filter(|member| member.key.id() != but);
        others
            .filter_map(|member| self.members.get(&member.key)?.failing)
            .any(|(_, last)| last.age(now) <= cluster.policy.max_observation_time())
    }

    /// Whether the agent beside a voter is believed. Where nodes have credentials, its node must have a say.
    fn may_witness(&self, cluster: &Cluster, voter: &Member) -> bool {
        !self.has_credential(cluster, voter) || self.has_voice(cluster, voter)
    }
}

impl MemberLiveness {
    fn record_unreached(&mut self, cluster: &Cluster, now: UnixMillis) {
        let max_gap = cluster.policy.max_probe_gap();
        self.failing = Some(inside::extend(self.failing, max_gap, now));
        self.unreached_by_voters = Some(inside::extend(self.unreached_by_voters, max_gap, now));
    }

    fn record_look_at_learner(&mut self, cluster: &Cluster, look: &Reachability, now: UnixMillis) {
        let is_unreached = look.peer == Some(false);
        self.unreached_by_voters =
            is_unreached.then(|| inside::extend(self.unreached_by_voters, cluster.policy.max_probe_gap(), now));
    }
}

/// Whether an agent reaches a quorum of the voters, its own included. If not, it may be cut off itself, so it shows only which members
/// are alive.
fn sees_quorum(cluster: &Cluster, own: MemberId, status: &NodeStatus) -> bool {
    let is_up = |voter: &&Arc<Member>| voter.key == own.into() || status.look_at(&voter.key).is_some_and(answers);
    cluster.voters().filter(is_up).count() >= cluster.quorum()
}

/// Whether a member answers an agent at any of its URLs.
fn answers(look: &Reachability) -> bool {
    look.peer == Some(true) || look.client == Some(true)
}
