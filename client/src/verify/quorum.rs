//! Whether the voters that answer this node can bear a removal.

use convene_etcd::MemberList;
use convene_lifecycle::MemberId;

use crate::{
    observe::probe_all,
    registry::{ObservedMember, View},
    session::Session,
};

/// Checks that the voters that remain after a removal, and that answer this node now, are a quorum of those that remain. Whatever
/// the reason is: the registry, or whoever speaks for it, may name any.
pub async fn check_removal(session: &Session, list: &MemberList, victim: MemberId) -> Result<(), String> {
    if list.members.iter().any(|listed| listed.id == victim && listed.learner) {
        return Ok(());
    }
    check(&probe_all(&session.connections, 0, list, true).await, victim)
}

fn check(view: &View, victim: MemberId) -> Result<(), String> {
    let remaining: Vec<&ObservedMember> =
        view.members.iter().filter(|member| !member.learner && member.id != victim).collect();
    if remaining.is_empty() {
        return Err(format!("member {victim} is the last voter of the cluster"));
    }
    let answering = remaining.iter().filter(|member| member.reachable || member.identified).count();
    let quorum = remaining.len() / 2 + 1;
    if answering < quorum {
        return Err(format!(
            "without member {victim}, {answering} of {} voters would answer this node, and the cluster needs {quorum}",
            remaining.len()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Voters `1`, `2`, … of which some answer, and a learner that does.
    fn view(answering: &[bool]) -> View {
        let member = |id: u64, answers: bool, learner: bool| ObservedMember {
            id: MemberId(id),
            name: String::new(),
            peer_urls: Vec::new(),
            client_urls: Vec::new(),
            learner,
            reachable: answers,
            identified: false,
            received_bytes: None,
            round_trips: None,
            version: None,
            applied_index: None,
            matched_index: None,
            instead: None,
        };
        let voters = (1..).zip(answering).map(|(id, answers)| member(id, *answers, false));
        let members = voters.chain([member(99, true, true)]).collect();
        View { since: 0, cluster_id: None, linearizable: true, leader: None, term: None, members }
    }

    #[test]
    fn the_voters_that_remain_and_answer_are_a_quorum() {
        let first = |answering: &[bool]| check(&view(answering), MemberId(1)).is_ok();
        assert!(!first(&[true]), "the last voter, although a learner answers");
        assert!(first(&[true, true]) && first(&[false, true]) && !first(&[true, false]));
        assert!(first(&[false, true, true]) && !first(&[true, true, false]), "two remain, and both must answer");
        assert!(first(&[true, true, true, false]) && !first(&[true, true, false, false]));
        assert!(first(&[false, true, true, true, false]) && !first(&[true, true, true, false, false]));
    }
}
