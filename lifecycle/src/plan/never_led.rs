//! An attempt to form the cluster that never had a leader has acknowledged nothing, so it may be given up.

use std::{collections::HashSet, sync::Arc};

use super::{
    Decision, Planner,
    blocked::{Blocked, ViewNeeded},
};
use crate::{
    DiskId, Epoch, Identity, LastCheckIn, Member, MemberKey, MemberName, NodeState, ObservedMember, Registration,
    ReportedState, Setback, StartIssued,
};

/// What a founder's node reported last, if the attempt to form the cluster may be given up as far as it is concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GivenUp {
    /// It has no data.
    Empty,
    /// It has no data, and its data directory is on another disk than when it was instructed to bootstrap. What it has written
    /// since then may be on that disk.
    OnOtherDisk,
    /// Its data has never had a leader.
    NeverLed,
    /// Its data has no entries, and it has moved: neither does it find the others, nor do they find it.
    Isolated,
}

impl Planner<'_> {
    /// The decision for a founder whose data has never had a leader, if the founders can't find each other with it: some
    /// have other peer URLs now, or no data, or data without entries. Once none of them runs, all bootstrap again in the next
    /// epoch.
    pub(super) fn restart_never_led(&mut self, own: &Arc<Member>, identity: Identity) -> Option<Decision> {
        if !self.report.has_never_led_data() || own.founder.is_none() || self.report.leaving || self.draft.policy.paused
        {
            return None;
        }
        let has_moved = !own.has_peer_urls(&self.report.peer_urls);
        let is_without_entries = self.report.has_data_without_entries();
        let is_other_given_up = |member: &Arc<Member>| member.key != own.key && self.given_up(member).is_some();
        if !has_moved && !is_without_entries && !self.draft.members().any(is_other_given_up) {
            return None;
        }
        if self.report.view.is_none() {
            return Some(Err(Blocked::ViewNeeded(ViewNeeded::BeforeStart)));
        }
        if let Some(registrations) = self.founders_that_never_led() {
            return Some(self.give_up_epoch(registrations, identity));
        }
        if has_moved && self.nobody_answers() {
            return Some(Err(Blocked::FoundersMoved));
        }
        is_without_entries.then(|| self.wait_without_entries(own, has_moved)).flatten().map(Err)
    }

    /// What a founder whose data has no entries waits for. `None` if another member reaches it, or a quorum can update its
    /// peer URLs.
    fn wait_without_entries(&self, own: &Member, has_moved: bool) -> Option<Blocked> {
        let blocked = self.quorum_view().err()?;
        let is_own = |observed: &&ObservedMember| MemberKey::from(observed.id) == own.key;
        let is_listed = || self.report.view.iter().flat_map(|view| &view.members).any(|seen| is_own(&seen));
        if blocked.needs_view() {
            return Some(blocked);
        }
        if !has_moved && is_listed() {
            return None;
        }
        Some(self.founders_without_quorum().unwrap_or(Blocked::FoundersWithoutEntries))
    }

    fn give_up_epoch(&mut self, registrations: Vec<Registration>, identity: Identity) -> Decision {
        self.check_founding()?;
        self.check_next_epoch_is_due()?;
        self.begin_next_epoch(registrations);
        self.start_stopped(identity)
    }

    /// Fails if it is too early to give up one more epoch. Each node archives the data of an epoch, so etcds that exit after
    /// each start must not fill the disks.
    fn check_next_epoch_is_due(&self) -> Result<(), Blocked> {
        let issued = self.draft.members().filter_map(|member| member.bootstrap_issued());
        let (now, given_up) = (self.now, self.draft.epoch.0 - Epoch::FIRST.0);
        match issued.map(|issued| Setback { count: given_up, at: issued.at }).max_by_key(|setback| setback.at) {
            Some(last) if given_up > 0 && !last.is_over(now) && last.at.age(now) < last.wait() => {
                Err(Blocked::NextEpochLater { again_at: last.at.after(last.wait()), now })
            }
            _ => Ok(()),
        }
    }

    /// The founders with the peer URLs that they have now, if the present attempt to form the cluster may be given up:
    /// none of them runs, and none has data that has had a leader. That rests on reports, so it does not count once a node has
    /// seen a quorum with a leader.
    ///
    /// Reports of nodes that were instructed to start since don't count: a member with data is told to start unless its peer
    /// URLs have changed, or its data has no entries. Without entries it can't lead.
    pub(super) fn founders_that_never_led(&self) -> Option<Vec<Registration>> {
        if !self.roster_is_intact() {
            return None;
        }
        let founders: Vec<&Arc<Member>> = self.draft.members().collect();
        let given_up: Vec<GivenUp> = founders.iter().map(|founder| self.given_up(founder)).collect::<Option<_>>()?;
        if self.may_have_led_on_other_disks() {
            return None;
        }
        let has_never_led_data =
            given_up.iter().any(|founder| matches!(founder, GivenUp::NeverLed | GivenUp::Isolated));
        // Without such data, an empty founder may be one that has lost its disk, or its mount.
        let may_exist =
            self.draft.bootstrapped.is_some() || founders.iter().any(|founder| self.may_report_etcd(founder));
        let may_exist = may_exist && !has_never_led_data;
        if may_exist || (has_never_led_data && !self.nobody_answers()) {
            return None;
        }
        let registrations: Vec<Registration> =
            founders.iter().map(|founder| self.present_registration(founder)).collect();
        let have_moved =
            founders.iter().zip(&registrations).any(|(founder, now)| !founder.has_peer_urls(&now.peer_urls));
        if have_moved && !has_never_led_data {
            return None;
        }
        let mut urls = HashSet::new();
        let are_distinct = registrations.iter().flat_map(|now| &now.peer_urls).all(|url| urls.insert(url));
        are_distinct.then_some(registrations)
    }

    /// Whether so many founders have no data, on other disks than before, that these may have elected a leader.
    pub(super) fn may_have_led_on_other_disks(&self) -> bool {
        let is_on_other_disk = |founder: &&Arc<Member>| match *founder.name() == self.report.name {
            true => self.reports_other_disk(founder),
            false => self.given_up(founder) == Some(GivenUp::OnOtherDisk),
        };
        self.draft.members().filter(is_on_other_disk).count() >= self.draft.quorum()
    }

    /// Whether this report is of a later run of a founder without data, on another disk.
    fn reports_other_disk(&self, founder: &Member) -> bool {
        let report = self.report;
        let is_empty = report.state == NodeState::Empty && !report.leftover;
        let is_later_run = |issued: &StartIssued| issued.run != report.run;
        is_empty
            && !founder.started
            && founder.bootstrap_issued().is_some_and(is_later_run)
            && has_other_disk(founder, &report.disk)
    }

    /// Whether so many founders are back on the disks that they had, without data or with data that has never had a leader, that
    /// the others can't have elected one.
    pub(super) fn disks_are_back(&self) -> bool {
        // Two reports at the same moment count as one, so this report shows nothing yet but that a disk is another one.
        let is_earlier = |name: &MemberName| self.liveness.nodes.get(name).is_some_and(|node| node.at < self.now);
        let is_certain = |founder: &&Arc<Member>| {
            let is_on_other_disk = *founder.name() == self.report.name && self.reports_other_disk(founder);
            let given_up = self.given_up(founder).filter(|_| is_earlier(founder.name()) && !is_on_other_disk);
            given_up.is_some_and(|given_up| given_up != GivenUp::OnOtherDisk)
        };
        let others = self.draft.members().filter(|founder| !is_certain(founder)).count();
        others < self.draft.quorum()
    }

    /// What a founder without usable data waits for, if there are so many of them that those whose etcds run can't have a quorum.
    /// The registry can't know whether they have ever had a leader.
    pub(super) fn founders_without_quorum(&self) -> Option<Blocked> {
        let view = self.report.view.as_ref().filter(|view| !view.linearizable && view.leader.is_none())?;
        let is_own = |member: &Member| *member.name() == self.report.name;
        let is_founder = |member: &Member| member.founder.is_some() && !member.started;
        if view.cluster != self.draft.cluster_id
            || !self.roster_is_intact()
            || self.report.leftover
            || !self.draft.members().any(|member| is_own(member) && is_founder(member))
        {
            return None;
        }
        let may_vote = |member: &&Arc<Member>| {
            !is_own(member)
                && !matches!(self.given_up(member), Some(GivenUp::Empty | GivenUp::OnOtherDisk | GivenUp::Isolated))
        };
        let others: Vec<&Arc<Member>> = self.draft.members().filter(may_vote).collect();
        let answers = |member: &Member| {
            view.members.iter().any(|observed| observed.reachable && member.key == MemberKey::from(observed.id))
        };
        let are_wedged = others.len() < self.draft.quorum() && others.iter().any(|member| answers(member));
        let labels = || others.iter().map(|member| member.label()).collect();
        are_wedged.then(|| Blocked::FoundersWithoutQuorum { others: labels() })
    }

    /// The founder's name with the peer URLs that its node has reported last.
    fn present_registration(&self, founder: &Member) -> Registration {
        let reported = match *founder.name() == self.report.name {
            true => Some(&self.report.peer_urls),
            false => self.liveness.nodes.get(founder.name()).map(|node| &node.peer_urls),
        };
        let peer_urls = reported.unwrap_or(&founder.registration.peer_urls).clone();
        Registration { name: founder.name().clone(), peer_urls }
    }

    fn given_up(&self, founder: &Member) -> Option<GivenUp> {
        if !founder.may_never_have_led() {
            return None;
        }
        if self.report.has_never_led_data() && self.is_own_data(founder) {
            return (!has_other_disk(founder, &self.report.disk)).then_some(GivenUp::NeverLed);
        }
        let node = self.liveness.nodes.get(founder.name())?;
        if node.at.age(self.now) >= self.draft.policy.dead_after {
            return None;
        }
        match node.state {
            // A founder whose WAL is gone may have led.
            ReportedState::Nothing if !founder.started && !node.leftover && self.is_later_run(founder, node) => {
                Some(if has_other_disk(founder, &node.disk) { GivenUp::OnOtherDisk } else { GivenUp::Empty })
            }
            // Data on another disk may be a copy of what it was before it had a leader. So may a report by somebody else.
            ReportedState::Data(_) if has_other_disk(founder, &node.disk) => None,
            ReportedState::Data(identity) if node.never_led && MemberKey::from(identity.member) == founder.key => {
                match (founder.has_peer_urls(&node.peer_urls), node.without_entries) {
                    (true, false) => None,
                    (false, true) => Some(GivenUp::Isolated),
                    _ => Some(GivenUp::NeverLed),
                }
            }
            _ => None,
        }
    }

    fn is_own_data(&self, member: &Member) -> bool {
        self.report.identity().is_some_and(|own| MemberKey::from(own.member) == member.key)
    }

    /// Whether a report without data is of a run that was not instructed to bootstrap. The instructed run is instructed
    /// again whenever it asks, so it may have bootstrapped since.
    fn is_later_run(&self, founder: &Member, node: &LastCheckIn) -> bool {
        founder.bootstrap_issued().is_none_or(|issued| node.run != issued.run && node.at > issued.at)
    }

    /// Whether a founder was instructed to bootstrap so recently that its node may report its etcd yet.
    fn may_report_etcd(&self, founder: &Member) -> bool {
        founder.bootstrap_issued().is_some_and(|issued| self.age_of(issued.at) < self.draft.policy.max_check_in_gap())
    }

    /// Whether the node's own view shows no member that answers.
    fn nobody_answers(&self) -> bool {
        let view = self.report.view.as_ref();
        view.is_some_and(|view| view.cluster.is_none() && view.members.iter().all(|observed| !observed.reachable))
    }
}

/// Whether a founder was instructed to bootstrap on another disk than its node reports now. A client that does not report its disk
/// shows nothing.
fn has_other_disk(founder: &Member, now: &Option<DiskId>) -> bool {
    founder.bootstrap_issued().is_some_and(|issued| issued.disk.is_some() && issued.disk != *now)
}
