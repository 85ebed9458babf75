//! Moves the leadership away from a member that leaves or stops, which spares the cluster an election.

use std::time::Duration;

use convene_etcd::{MemberList, Status};
use convene_lifecycle::MemberId;
use futures_util::future::join_all;

use crate::{observe::LIST_TIMEOUT, session::Session};

/// How long moving the leadership may take. An election has to fit in.
const TIMEOUT: Duration = Duration::from_secs(6);

/// If a member leads, moves the leadership to the healthiest voter that answers this node: one without errors that has applied most
/// of the log. Returns the new leader; `None` if the member does not lead.
///
/// If no other voter can lead, the others may not reach each other, and would have no quorum without the member.
pub async fn hand_over(session: &Session, list: &MemberList, from: MemberId) -> Result<Option<MemberId>, String> {
    let Some(leader) = list.members.iter().find(|member| member.id == from) else { return Ok(None) };
    let Some(status) = session.connections.member_status(leader, LIST_TIMEOUT).await else { return Ok(None) };
    if status.leader != Some(from) {
        return Ok(None);
    }
    let others = list.members.iter().filter(|member| member.id != from && !member.learner);
    let statuses = join_all(others.map(|member| session.connections.member_status(member, LIST_TIMEOUT))).await;
    let health = |status: &Status| (status.errors.is_empty(), status.applied_index);
    let Some(successor) = statuses.into_iter().flatten().max_by_key(health) else {
        return Err(format!("member {from} leads, and no other voter answers to take over"));
    };
    session.progress.step("move_leader", &format!("moving leadership to member {}", successor.member));
    for url in &leader.client_urls {
        let client = session.connections.client(url).map_err(|error| error.to_string())?;
        if client.move_leader(successor.member, TIMEOUT).await.is_ok() {
            return Ok(Some(successor.member));
        }
    }
    Err(format!("member {from} leads, and member {} did not take over", successor.member))
}
