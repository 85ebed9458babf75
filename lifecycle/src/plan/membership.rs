//! Membership changes. Each needs the ticket, and none may cost the quorum.

use super::{
    Decision, Planner,
    blocked::{Blocked, LeaderMetrics, urls_of},
    cause::Cause,
    quorum_view::QuorumView,
};
use crate::{Member, MemberKey, PeerUrl, Purpose, Strategy, Task, cluster::quorum_of};

/// How many log entries a learner may be behind the leader and still count as caught up.
///
/// It is an absolute number: etcd's own check is a ratio (`server/etcdserver/server.go:isLearnerReady`), and accepts
/// learners that still have hours of log to fetch.
pub(super) const MAX_LAG: u64 = 1_000;

impl Planner<'_> {
    /// Whether the policy allows membership changes without a request.
    pub(super) fn may_change_members(&self) -> bool {
        !self.draft.policy.paused && self.draft.policy.strategy != Strategy::Prepared
    }

    /// Removes a member: this node's own or another.
    pub(super) fn remove_member(&mut self, member: &Member, view: &QuorumView<'_>, cause: Cause) -> Decision {
        let is_own = self.report.identity().is_some_and(|own| MemberKey::from(own.member) == member.key);
        self.check_may_take_ticket(is_own)?;
        self.check_quorum_without(member, view)?;
        let ticket = self.take_ticket(Purpose::Remove { member: member.key.clone() }, &cause.to_string());
        let (terms, key) = (self.terms(&ticket)?, member.key.clone());
        let task = match is_own && self.report.is_running() {
            true => Task::Leave { member: key, terms },
            false => Task::RemoveMember { member: key, terms },
        };
        Ok(self.instruct(task, cause))
    }

    /// Fails if the member can't be removed now. Of the voters that remain, a quorum must be connected to the leader.
    pub(super) fn check_quorum_without(&self, member: &Member, view: &QuorumView<'_>) -> Result<(), Blocked> {
        if !member.is_voter() {
            return Ok(());
        }
        let remaining = self.draft.voters().count() - 1;
        if remaining == 0 {
            return Err(Blocked::LastVoter { member: member.label() });
        }
        let (up, needed) = (self.other_voters_up(member, view), quorum_of(remaining));
        if up < needed {
            let unheard = self.unheard(view);
            return Err(Blocked::RemovalRisksQuorum { member: member.label(), remaining, up, needed, unheard });
        }
        Ok(())
    }

    /// Whether a dead voter may be removed although no node replaces it. The remaining voters that answer must also be a
    /// quorum of the size, so that one removal after another can't lower the bar.
    pub(super) fn may_prune(&self, member: &Member, view: &QuorumView<'_>) -> bool {
        self.other_voters_up(member, view) >= quorum_of(self.draft.size.get() as usize)
            && self.check_quorum_without(member, view).is_ok()
    }

    fn other_voters_up(&self, member: &Member, view: &QuorumView<'_>) -> usize {
        self.draft.voters().filter(|voter| voter.key != member.key && self.is_connected(voter, view)).count()
    }

    /// Fails if a running voter's peer URLs can't be updated now. If the new ones are wrong, the others lose contact with
    /// the member. So without it, a quorum of all voters must answer. In a cluster of two that can't be, so both must answer.
    pub(super) fn check_update_is_safe(&self, own: &Member, view: &QuorumView<'_>) -> Result<(), Blocked> {
        let (voters, up) = (self.draft.voters().count(), self.other_voters_up(own, view));
        let needed = quorum_of(voters);
        match own.is_voter() && up < needed && up + 1 < voters {
            true => Err(Blocked::UpdateRisksQuorum { member: own.label(), up, needed }),
            false => Ok(()),
        }
    }

    /// Gives this node's member the peer URLs that the node has now.
    pub(super) fn update_peer_urls(&mut self, own: &Member, view: &QuorumView<'_>) -> Decision {
        self.update_peer_urls_to(self.report.peer_urls.clone(), own, view, Cause::AddressChanged)
    }

    /// Gives this node's member other spellings of those of its peer URLs that etcd still lists for other members. This frees
    /// its own old ones for members that have them now. `None` if a URL has no other spelling, or the member has these
    /// already.
    pub(super) fn respell_peer_urls(&mut self, own: &Member, view: &QuorumView<'_>) -> Option<Decision> {
        let mut holders = Vec::new();
        let urls = self.report.peer_urls.iter().map(|url| {
            let holder =
                self.draft.members().find(|other| other.key != own.key && other.registration.peer_urls.contains(url));
            let Some(holder) = holder else { return Some(url.clone()) };
            holders.push(holder.label());
            url.other_spelling()
        });
        let urls: Vec<PeerUrl> = urls.collect::<Option<_>>()?;
        if own.has_peer_urls(&urls) || !own.is_voter() {
            return None;
        }
        let cause = Cause::AddressStillListed { holders: holders.join(", ") };
        Some(self.update_peer_urls_to(urls, own, view, cause))
    }

    fn update_peer_urls_to(
        &mut self,
        peer_urls: Vec<PeerUrl>,
        own: &Member,
        view: &QuorumView<'_>,
        cause: Cause,
    ) -> Decision {
        if !own.is_voter() {
            // After an update of a learner, some of etcd's lists have it as a voter
            // (`membership/cluster.go:UpdateRaftAttributes`).
            return self.remove_member(own, view, Cause::LearnerAddressChanged);
        }
        self.check_may_take_ticket(true)?;
        let purpose = Purpose::Update { member: own.key.clone(), peer_urls: peer_urls.clone() };
        let ticket = self.take_ticket(purpose, "its peer URLs have changed");
        let terms = self.terms(&ticket)?;
        Ok(self.instruct(Task::UpdateMember { member: own.key.clone(), peer_urls, terms }, cause))
    }

    /// Makes a learner a voter after it has caught up, or removes it if the cluster is full without it.
    pub(super) fn promote(&mut self, learner: &Member, view: &QuorumView<'_>) -> Decision {
        self.check_may_take_ticket(false)?;
        let voters = self.draft.voters().count();
        if voters >= self.draft.size.get() as usize {
            return self.remove_member(learner, view, Cause::SurplusLearner { learner: learner.label() });
        }
        if !view.is_up(learner) {
            return Err(Blocked::LearnerDown { learner: learner.label() });
        }
        let (up, needed) = (self.voters_up(view) + 1, quorum_of(voters + 1));
        if up < needed {
            let unheard = self.unheard(view);
            return Err(Blocked::PromotionRisksQuorum {
                learner: learner.label(),
                voters: voters + 1,
                up,
                needed,
                unheard,
            });
        }
        self.check_peer_urls_reached(learner, view)?;
        let behind = self.lag(learner, view);
        if behind.is_none_or(|behind| behind > MAX_LAG) {
            return Err(Blocked::CatchingUp { learner: learner.label(), behind });
        }
        let cause = Cause::CaughtUp { learner: learner.label() };
        let ticket = match self.own_ticket() {
            Some(ticket) if matches!(ticket.purpose, Purpose::Join { .. }) => ticket,
            _ => self.take_ticket(Purpose::Promote { member: learner.key.clone() }, &cause.to_string()),
        };
        let terms = self.terms(&ticket)?;
        Ok(self.instruct(Task::Promote { member: learner.key.clone(), terms }, cause))
    }

    /// Fails unless a voter has reached the learner at its peer URLs. A learner that nobody reaches catches up all the same, over the
    /// connections that it makes itself (`server/etcdserver/api/rafthttp`). Two such voters can't reach each other.
    ///
    /// The agent beside the leader knows best: at once, and also if the URL leads to another member. etcd shows the first round trip
    /// after 5 s, and whoever answers it.
    fn check_peer_urls_reached(&self, learner: &Member, view: &QuorumView<'_>) -> Result<(), Blocked> {
        let beside_leader = self.liveness.is_reached_beside(&self.draft, view.leader(), learner, self.report, self.now);
        let is_reached = match (beside_leader, view.round_trips(learner)) {
            (Some(is_reached), _) => is_reached,
            (None, Some(round_trips)) => round_trips > 0,
            (None, None) => self.draft.policy.witnesses < 2 || view.is_reached_by_voter(learner),
        };
        if is_reached {
            return Ok(());
        }
        Err(Blocked::PeerUrlUnreachable {
            learner: learner.label(),
            peer_urls: urls_of(&learner.registration.peer_urls),
            leader: self.leader_of(view),
            is_known: beside_leader.is_some() || view.round_trips(learner).is_some(),
        })
    }

    /// Fails if this node's etcd can't join, because its version does not fit the voters' versions. Versions that are not known
    /// fit.
    ///
    /// etcd refuses to join if the cluster's version, which is the lowest of its members, is higher than its own
    /// (`server/etcdserver/cluster_util.go:isCompatibleWithVers`), and supports members that are one minor version apart.
    pub(super) fn check_etcd_version(&self, view: &QuorumView<'_>) -> Result<(), Blocked> {
        let lowest = self.draft.voters().filter_map(|voter| view.version(voter)).min();
        let Some((own, lowest)) = self.report.etcd_version.zip(lowest) else { return Ok(()) };
        match own.fits(lowest) {
            true => Ok(()),
            false => Err(Blocked::VersionMismatch { own, lowest }),
        }
    }

    fn voters_up(&self, view: &QuorumView<'_>) -> usize {
        self.draft.voters().filter(|voter| self.is_connected(voter, view)).count()
    }

    /// How many log entries a learner is behind the voter that has applied most.
    fn lag(&self, learner: &Member, view: &QuorumView<'_>) -> Option<u64> {
        let furthest = self.draft.voters().filter_map(|voter| view.applied(voter)).max()?;
        Some(furthest.saturating_sub(view.applied(learner)?))
    }

    /// Whether the node must be added as a learner: the policy requires it, or the voters that are up would not be a quorum
    /// of the enlarged cluster. A new voter counts towards the quorum before it starts.
    pub(super) fn joins_as_learner(&self, view: &QuorumView<'_>) -> bool {
        self.draft.policy.learner || self.voters_up(view) < quorum_of(self.draft.voters().count() + 1)
    }

    /// Whether a member that does not answer this node is dead. The leader is not.
    pub(super) fn is_dead(&self, member: &Member, view: &QuorumView<'_>) -> bool {
        !view.is_up(member) && !view.leads(member) && self.liveness.is_dead(&self.draft.policy, member, self.now)
    }

    /// Why a member that is down can't be removed yet.
    pub(super) fn not_dead_yet(&self, member: &Member, view: &QuorumView<'_>) -> Blocked {
        let (policy, now) = (&self.draft.policy, self.now);
        let label = member.label();
        if let Some(downtime) = member.downtime.filter(|downtime| downtime.is_running(now)) {
            return Blocked::InDowntime { member: label, until: downtime.until, now };
        }
        // This report replaces that of its namesake.
        let is_loading = *member.name() != self.report.name && self.liveness.is_loading(policy, member, now);
        if is_loading && !self.liveness.is_failing(policy, member) {
            return Blocked::MemberLoading { member: label };
        }
        if self.liveness.is_partitioned(policy, member, now) {
            return Blocked::Partitioned { member: label };
        }
        if view.leads(member) {
            return Blocked::LeaderOutOfReach { member: label };
        }
        if self.liveness.is_alive_inside(policy, member, now) {
            return Blocked::HeardByLeader { member: label };
        }
        let silent_since = self.liveness.silent_since(policy, member);
        match self.liveness.dead_at(policy, member, now) {
            Some(dead_at) if self.liveness.is_failing(policy, member) => {
                let starts = self.liveness.failed_starts(&member.key);
                Blocked::Failing { member: label, starts, silent_since, dead_at, now }
            }
            Some(dead_at) => Blocked::NotDeadYet { member: label, silent_since, dead_at, now },
            None => Blocked::NoWitness { member: label, silent_since, leader: self.leader_of(view), now },
        }
    }

    /// The leader, and where its metrics are.
    fn leader_of(&self, view: &QuorumView<'_>) -> LeaderMetrics {
        let leader = self.draft.members().find(|member| view.leads(member));
        LeaderMetrics {
            leader: leader.map_or_else(|| "the leader".to_owned(), |leader| format!("leader {}", leader.label())),
            url: leader.and_then(|leader| leader.client_urls.first()).cloned(),
        }
    }
}
