//! Before a member is removed that nobody asked to remove.

use std::time::Duration;

use convene_etcd::{ListedMember, MemberList};
use convene_lifecycle::MemberId;

use crate::{
    boot_clock::BootInstant,
    observe::probe_all,
    registry::{ObservedMember, View},
    session::Session,
};

/// The reasons of removals that an administrator asked for.
const REQUESTED: [&str; 2] = ["evicted", "shrink"];

/// The reasons of removals with which a node removes its own member.
const OF_OWN: [&str; 2] = ["leaving", "address_changed"];

/// The reason to remove a learner that is one too many.
const FULL: &str = "full";

/// The time between two samples of the leader's counters. A member that lives answers some heartbeats meanwhile: etcd sends
/// ten in a second, unless `--heartbeat-interval` says otherwise.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(2);

/// Why a member is not removed now.
#[derive(Debug, PartialEq, Eq)]
pub enum NotRemoved {
    /// The member, or this node's view of it, contradicts the instruction.
    Refused(String),
    /// The cluster changed during the check.
    Unclear(String),
}

/// Whether the removal of a listed member for this reason needs a check. `is_own`: it is this node's own member.
pub fn needs_check(reason: &str, victim: Option<&ListedMember>, is_own: bool) -> bool {
    let is_requested = REQUESTED.contains(&reason)
        || (OF_OWN.contains(&reason) && is_own)
        || (reason == FULL && victim.is_some_and(|victim| victim.learner));
    !is_requested
}

/// Checks that a member is dead: it does not answer, and the leader hears nothing from it. Or that it is a learner whose peer
/// URLs the leader has never reached: it can't become a voter, even if it answers.
///
/// `is_probe_enough`: the leader's counters are not needed.
pub async fn verify(
    session: &Session,
    list: &MemberList,
    victim: MemberId,
    is_probe_enough: bool,
) -> Result<(), NotRemoved> {
    let began = BootInstant::now();
    let first = probe_all(&session.connections, 0, list, true).await;
    // An answer needs no second look.
    check_silent(&first, victim)?;
    // A spare has looked every second, so it may have the first of two samples already.
    let earlier = session.view_before(began, SAMPLE_INTERVAL);
    let earlier = earlier.filter(|view| view.cluster_id == first.cluster_id && member(view, victim).is_some());
    if earlier.is_some_and(|earlier| check(&earlier, &first, victim, is_probe_enough).is_ok()) {
        return Ok(());
    }
    let second = probe_again(session, list, began).await;
    check(&first, &second, victim, is_probe_enough)
}

/// Whether the leader hears anything from a member, or is that member. `None` if it can't be told: its metrics can't be read, or
/// it has changed.
pub async fn heard_by_leader(session: &Session, list: &MemberList, id: MemberId) -> Option<bool> {
    let began = BootInstant::now();
    let first = probe_all(&session.connections, 0, list, true).await;
    let second = probe_again(session, list, began).await;
    is_heard(&first, &second, id)
}

fn is_heard(first: &View, second: &View, id: MemberId) -> Option<bool> {
    if (first.leader, first.term) != (second.leader, second.term) {
        return None;
    }
    if second.leader == Some(id) {
        return Some(true);
    }
    Some(member(first, id)?.received_bytes? != member(second, id)?.received_bytes?)
}

/// The view a sample's interval after the first one began.
async fn probe_again(session: &Session, list: &MemberList, began: BootInstant) -> View {
    tokio::time::sleep(SAMPLE_INTERVAL.saturating_sub(began.elapsed())).await;
    probe_all(&session.connections, 0, list, true).await
}

fn check(first: &View, second: &View, victim: MemberId, is_probe_enough: bool) -> Result<(), NotRemoved> {
    check_silent(first, victim)?;
    check_silent(second, victim)?;
    let (Some(before), Some(now)) = (member(first, victim), member(second, victim)) else { return Ok(()) };
    let Some(leader) = second.leader.and_then(|leader| member(second, leader)) else {
        return Err(NotRemoved::Unclear("no member that answers knows a leader".to_owned()));
    };
    if !leader.identified {
        return Err(NotRemoved::Refused(format!("this node cannot reach the leader, {}", label(leader))));
    }
    if (first.leader, first.term) != (second.leader, second.term) {
        return Err(NotRemoved::Unclear("the cluster has just elected a leader".to_owned()));
    }
    match before.received_bytes.zip(now.received_bytes) {
        Some((before, after)) if before != after && !is_out_of_reach(now) => {
            Err(NotRemoved::Refused(format!("the leader, {}, receives messages from {}", label(leader), label(now))))
        }
        None if !is_probe_enough && !now.learner => Err(NotRemoved::Refused(format!(
            "the metrics of the leader, {}, can't be read, so no voter confirms that {} is dead",
            label(leader),
            label(now)
        ))),
        _ => Ok(()),
    }
}

/// Checks that a member neither answers nor leads.
fn check_silent(view: &View, victim: MemberId) -> Result<(), NotRemoved> {
    let Some(victim) = member(view, victim) else { return Ok(()) };
    if is_out_of_reach(victim) {
        return Ok(());
    }
    if victim.reachable || victim.identified {
        return Err(NotRemoved::Refused(format!("{} answers", label(victim))));
    }
    if view.leader == Some(victim.id) {
        return Err(NotRemoved::Refused(format!("{} is the leader", label(victim))));
    }
    Ok(())
}

/// Whether it is a learner whose peer URLs the leader has never reached.
fn is_out_of_reach(member: &ObservedMember) -> bool {
    member.learner && member.round_trips == Some(0)
}

fn member(view: &View, id: MemberId) -> Option<&ObservedMember> {
    view.members.iter().find(|member| member.id == id)
}

fn label(member: &ObservedMember) -> String {
    match member.name.as_str() {
        "" => format!("member {}", member.id),
        name => format!("{name} ({})", member.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEADER: MemberId = MemberId(1);
    const VICTIM: MemberId = MemberId(2);

    /// A view of a leader that answers and a member that does not.
    fn view(received_bytes: Option<u64>) -> View {
        let member = |id: MemberId, name: &str, answers: bool| ObservedMember {
            id,
            name: name.to_owned(),
            peer_urls: Vec::new(),
            client_urls: Vec::new(),
            learner: false,
            reachable: answers,
            identified: answers,
            received_bytes: None,
            round_trips: None,
            version: None,
            applied_index: None,
            matched_index: None,
            instead: None,
        };
        let victim =
            ObservedMember { received_bytes, round_trips: received_bytes.map(|_| 7), ..member(VICTIM, "b", false) };
        let members = vec![member(LEADER, "a", true), victim];
        View { since: 0, cluster_id: None, linearizable: true, leader: Some(LEADER), term: Some(3), members }
    }

    fn refused(found: &str) -> Result<(), NotRemoved> {
        Err(NotRemoved::Refused(found.to_owned()))
    }

    #[test]
    fn a_member_that_nobody_hears_is_removed() {
        assert_eq!(check(&view(Some(500)), &view(Some(500)), VICTIM, false), Ok(()));
        assert_eq!(check(&view(None), &view(None), VICTIM, true), Ok(()), "without metrics");
        let refused = check(&view(None), &view(None), VICTIM, false);
        assert!(matches!(refused, Err(NotRemoved::Refused(found)) if found.contains("can't be read")));
    }

    #[test]
    fn a_member_is_heard_if_it_leads_or_the_leader_receives_from_it() {
        assert_eq!(is_heard(&view(Some(500)), &view(Some(501)), VICTIM), Some(true));
        assert_eq!(is_heard(&view(Some(500)), &view(Some(500)), VICTIM), Some(false));
        assert_eq!(is_heard(&view(None), &view(None), VICTIM), None);
        let led_by_it = View { leader: Some(VICTIM), ..view(None) };
        assert_eq!(is_heard(&led_by_it, &led_by_it, VICTIM), Some(true));
        assert_eq!(is_heard(&view(Some(500)), &led_by_it, VICTIM), None, "the leader has changed");
    }

    #[test]
    fn a_member_that_the_leader_hears_stays() {
        let found = check(&view(Some(500)), &view(Some(501)), VICTIM, false);
        assert_eq!(found, refused("the leader, a (1), receives messages from b (2)"));
        // A learner, too, unless nobody has ever reached it.
        let learner = |bytes: u64, round_trips: u64| {
            let mut view = view(Some(bytes));
            view.members[1].learner = true;
            view.members[1].round_trips = Some(round_trips);
            view
        };
        assert!(check(&learner(500, 1), &learner(501, 1), VICTIM, false).is_err());
        assert_eq!(check(&learner(500, 0), &learner(501, 0), VICTIM, false), Ok(()));
        let mut answering = learner(501, 0);
        answering.members[1].identified = true;
        assert_eq!(check(&answering, &answering, VICTIM, false), Ok(()));
        answering.members[1].round_trips = None;
        assert!(check(&answering, &answering, VICTIM, false).is_err(), "without the leader's metrics an answer counts");
    }

    #[test]
    fn a_member_that_answers_or_leads_stays() {
        let answering = |reachable: bool, identified: bool| {
            let mut view = view(Some(500));
            (view.members[1].reachable, view.members[1].identified) = (reachable, identified);
            view
        };
        for answering in [answering(true, false), answering(false, true)] {
            assert_eq!(check(&view(Some(500)), &answering, VICTIM, false), refused("b (2) answers"));
            assert_eq!(check(&answering, &view(Some(500)), VICTIM, false), refused("b (2) answers"));
        }
        let leading = View { leader: Some(VICTIM), ..view(Some(500)) };
        assert_eq!(check(&view(Some(500)), &leading, VICTIM, false), refused("b (2) is the leader"));
    }

    #[test]
    fn a_leader_out_of_reach_or_a_new_one_settles_nothing() {
        let mut unreached = view(None);
        (unreached.members[0].reachable, unreached.members[0].identified) = (false, false);
        assert_eq!(check(&unreached, &unreached, VICTIM, false), refused("this node cannot reach the leader, a (1)"));
        let elected = View { term: Some(4), ..view(Some(0)) };
        assert!(matches!(check(&view(Some(500)), &elected, VICTIM, false), Err(NotRemoved::Unclear(_))));
        let without = View { leader: None, ..view(None) };
        assert!(matches!(check(&without, &without, VICTIM, false), Err(NotRemoved::Unclear(_))));
    }

    #[test]
    fn removals_on_request_need_no_check() {
        let listed = |learner: bool| {
            let (id, name) = (VICTIM, "b".to_owned());
            ListedMember { id, name, peer_urls: Vec::new(), client_urls: Vec::new(), learner }
        };
        let (voter, learner) = (listed(false), listed(true));
        assert!(["evicted", "shrink"].iter().all(|reason| !needs_check(reason, Some(&voter), false)));
        assert!(["leaving", "address_changed"].iter().all(|reason| !needs_check(reason, Some(&voter), true)));
        assert!(!needs_check("full", Some(&learner), false));
        for reason in
            ["leaving", "address_changed", "full", "dead", "lost_disk", "abandoned_learner", "of a later server"]
        {
            assert!(needs_check(reason, Some(&voter), false), "{reason}");
        }
    }
}
