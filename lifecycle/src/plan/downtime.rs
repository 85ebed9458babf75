use super::Planner;
use crate::{Announcer, Downtime, EventKind, Member, MemberKey, ReportedState};

impl Planner<'_> {
    /// Ends each downtime whose time is over, and those that nodes announced whose members are back. Otherwise such a member
    /// could fail again without counting as dead until the downtime ends. One of an administrator stays: the member may restart
    /// often during a maintenance.
    pub(super) fn end_downtimes(&mut self) {
        let ended = self.draft.members().filter_map(|member| {
            let reason = self.why_over(member, member.downtime?)?;
            Some((member.key.clone(), format!("the downtime for {} ended: {reason}", member.label())))
        });
        for (key, message) in ended.collect::<Vec<_>>() {
            self.draft.update(&key, EventKind::DowntimeEnded, message, |member| member.downtime = None);
        }
    }

    /// Why a member's downtime is over, if it is.
    fn why_over(&self, member: &Member, downtime: Downtime) -> Option<&'static str> {
        if !downtime.is_running(self.now) {
            return Some("its time is over");
        }
        (downtime.by == Announcer::Node && self.is_back(member)).then_some("the member's etcd answers again")
    }

    /// Whether a member's etcd answers now and did not before. A downtime may be announced long before it begins, so an
    /// answer alone does not end it.
    fn is_back(&self, member: &Member) -> bool {
        let is_own = self.report.identity().is_some_and(|own| MemberKey::from(own.member) == member.key);
        // A node whose etcd does not run may see another one that runs on a copy of its data.
        let answers = if is_own { self.report.is_running() } else { self.is_identified(member) };
        answers && self.was_down(member)
    }

    /// Whether an etcd answered this node as the member.
    fn is_identified(&self, member: &Member) -> bool {
        let mut observed = self.report.view.iter().flat_map(|view| &view.members);
        observed.any(|observed| observed.identified && MemberKey::from(observed.id) == member.key)
    }

    /// Whether the member's last check-in shows that its etcd did not run, or the last probes of it failed.
    fn was_down(&self, member: &Member) -> bool {
        let was_stopped = self.liveness.nodes.get(member.name()).is_some_and(|node| match node.state {
            ReportedState::Data(own) | ReportedState::Loading(own) => MemberKey::from(own.member) == member.key,
            ReportedState::Nothing | ReportedState::Unreadable | ReportedState::Etcd(_) => false,
        });
        let known = self.liveness.members.get(&member.key);
        // One failed probe proves nothing.
        was_stopped || known.and_then(|known| known.failing).is_some_and(|(first, last)| first < last)
    }
}
