use super::Planner;
use crate::{EventKind, Member, MemberKey, ReportedState};

impl Planner<'_> {
    /// Ends the announced downtime of each member that is back. Otherwise the member could fail again without counting as
    /// dead until the downtime ends.
    pub(super) fn end_downtimes(&mut self) {
        let in_downtime = self.draft.members().filter(|member| member.downtime_until.is_some());
        let back: Vec<_> = in_downtime.filter(|member| self.is_back(member)).cloned().collect();
        for member in back {
            let message = format!("downtime for {} ended: its etcd answers again", member.label());
            self.draft.update(&member.key, EventKind::DowntimeEnded, message, |member| member.downtime_until = None);
        }
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
