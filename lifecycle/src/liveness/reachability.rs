//! Which members the agents beside running voters reach.
//!
//! An agent looks at the ports of the other members with each check-in. So it sees a death, and a learner that can be reached, without
//! being asked.

use std::sync::Arc;

use super::{Liveness, inside};
use crate::{Cluster, Member, MemberId, MemberKey, Reachability, Report, ReportedState, UnixMillis};

impl Liveness {
    /// Records which members the agent beside a running voter reaches. It is a witness from inside, as a view of that voter is.
    ///
    /// An agent that does not reach a quorum of the voters may be cut off itself, so it shows only which members are alive.
    pub(super) fn record_reachability(&mut self, cluster: &Cluster, report: &Report, now: UnixMillis) {
        let (Some(own), Some(status)) = (report.identity().filter(|_| report.is_running()), &report.status) else {
            return;
        };
        let voter = cluster.member(&own.member.into()).filter(|member| member.is_voter());
        let is_its_node = |voter: &Arc<Member>| *voter.name() == report.name && self.may_witness(cluster, voter);
        if cluster.cluster_id != Some(own.cluster) || !voter.is_some_and(is_its_node) {
            return;
        }
        let is_reached = |key: &MemberKey| {
            let look = status.reachability.iter().find(|look| MemberKey::from(look.member) == *key);
            look.is_some_and(answers)
        };
        let own_key = MemberKey::from(own.member);
        let up = cluster.voters().filter(|voter| voter.key == own_key || is_reached(&voter.key)).count();
        let sees_quorum = up >= cluster.quorum();
        for look in status.reachability.iter().filter(|look| look.member != own.member) {
            let Some(member) = cluster.member(&look.member.into()) else { continue };
            let known = self.members.entry(member.key.clone()).or_default();
            if answers(look) {
                known.heard = Some(now);
                // Whether a learner is reached at its peer URLs is another question.
                known.unreached_by_voters = known.unreached_by_voters.filter(|_| !member.is_voter());
            } else if sees_quorum && member.is_voter() && look.peer == Some(false) {
                let max_gap = cluster.policy.max_probe_gap();
                known.failing = Some(inside::extend(known.failing, max_gap, now));
                known.unreached_by_voters = Some(inside::extend(known.unreached_by_voters, max_gap, now));
            }
        }
    }

    /// Whether whom an agent reaches may matter now. While all members show signs of life themselves, it does not.
    pub(super) fn is_reachability_news(&self, cluster: &Cluster, report: &Report, now: UnixMillis) -> bool {
        let looks = report.status.iter().flat_map(|status| &status.reachability);
        looks.into_iter().any(|look| {
            let member = cluster.member(&look.member.into());
            member.is_some_and(|member| {
                !answers(look) || self.silence(&cluster.policy, member, now) >= cluster.policy.dead_after
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
        let look = status.reachability.iter().find(|look| MemberKey::from(look.member) == member.key)?;
        look.peer.filter(|_| runs_it && is_recent)
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

/// Whether a member answers an agent at any of its URLs.
fn answers(look: &Reachability) -> bool {
    look.peer == Some(true) || look.client == Some(true)
}
