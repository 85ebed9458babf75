//! Applies a membership change that the registry has instructed.
//!
//! Right before the change, this node verifies its reason itself ([`verify`](crate::verify)), and the terms of the
//! instruction are checked: the deadline, and the member list, read through the quorum.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use convene_etcd::{Client, EtcdError, ListedMember, MemberList};
use convene_lifecycle::{ClientUrl, MemberId, PeerUrl, Role, Ticket};

use crate::{
    boot_clock::BootInstant,
    connections::{Failures, Probe},
    leadership, local_etcd,
    observe::{Addresses, LIST_TIMEOUT},
    own_reason::OwnReason,
    registry::{ExpectedMember, Instruction, Task, Terms},
    session::{CheckInResponse, RETRY_INTERVAL, Session},
    verify::{
        identity, own, quorum,
        removal::{self, NotRemoved},
    },
};

/// How long etcd may take for one change.
///
/// etcd waits for a membership change as long as the caller (`server/etcdserver/server.go:configure`). With this limit and the
/// time in which a change may begin, the call ends before another node can have the ticket. An entry that was proposed may
/// still be committed later. Then etcd itself protects: it accepts one change at a time, and the next holder finds another
/// member list than it expects.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(6);

const _: () = {
    let longest = Ticket::ACT_WITHIN.as_millis() + CHANGE_TIMEOUT.as_millis() + 500;
    assert!(longest < Ticket::LEASE.as_millis(), "a call must end before another node may have the ticket");
};

/// How long the node leaves its own etcd in peace after the removal of its member. Within a second, etcd ends by itself
/// (`server/etcdserver/server.go:applyEntries`). If it is asked for its status before, it panics
/// (`server/etcdserver/api/membership/cluster.go:IsLocalMemberLearner`).
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// The reason of a removal that this node itself has asked for.
const LEAVING: &str = "leaving";

/// Applies the change that an instruction asks for, if any, and returns the time until the next check-in.
///
/// The outcome is logged and not returned: the next observation shows it, also if etcd's answer is lost.
pub async fn apply(session: &Session, response: &CheckInResponse) -> Duration {
    let Some(change) = MembershipChange::from_response(response) else { return RETRY_INTERVAL };
    let Instruction { name, reason, .. } = &response.instruction;
    session.progress.step_with_reason(name, reason, &change.describe());
    match change.apply(session).await {
        Ok(()) if matches!(change.operation, Operation::Leave(_)) => ENDS_WITHIN,
        Ok(()) => Duration::ZERO,
        Err(ChangeError::Refused(found)) => {
            session.refuse(name, found);
            RETRY_INTERVAL
        }
        Err(error) => {
            let caveat = match &error {
                ChangeError::Etcd(error) if error.may_have_happened() => "; the change may still have been applied",
                _ => "",
            };
            let message = format!("{error}{caveat}; checking again");
            session.progress.wait("wait", OwnReason::NotMade.as_str(), &message);
            RETRY_INTERVAL
        }
    }
}

/// A membership change with its terms.
#[derive(Debug)]
struct MembershipChange<'a> {
    operation: Operation<'a>,
    /// The reason of the instruction.
    reason: &'a str,
    terms: &'a Terms,
    /// When the check-in was sent whose answer was this change.
    sent_at: BootInstant,
    /// Whether this is `convene leave`.
    leaving: bool,
}

#[derive(Debug)]
enum Operation<'a> {
    Remove(MemberId),
    Leave(MemberId),
    Add { peer_urls: &'a [PeerUrl], learner: bool },
    Update(MemberId, &'a [PeerUrl]),
    Promote(MemberId),
}

/// Why a change was not made, or may not have been made.
#[derive(Debug, thiserror::Error)]
enum ChangeError {
    /// No member returned the list.
    #[error("cannot read etcd's member list (linearizable read): {0}")]
    ListUnavailable(Failures),
    /// The list is not the one that the registry decided on.
    #[error("etcd's member list has changed since the registry's decision: found {found}, expected {expected}")]
    ListChanged {
        /// The members in the list.
        found: String,
        /// The members that the terms expect.
        expected: String,
    },
    /// This node saw something that contradicts the instruction.
    #[error("{0}")]
    Refused(String),
    /// The cluster changed while this node verified the reason of the change.
    #[error("{0}")]
    Unclear(String),
    /// The deadline of the terms has passed.
    #[error("the change did not begin within {0} s")]
    DeadlinePassed(u64),
    /// etcd refused the change or did not answer.
    #[error("{0}")]
    Etcd(#[from] EtcdError),
}

impl<'a> MembershipChange<'a> {
    /// The change that an instruction asks for; `None` if it asks for something else.
    fn from_response(response: &'a CheckInResponse) -> Option<Self> {
        let (operation, terms) = match &response.instruction.task {
            Task::RemoveMember(member, terms) => (Operation::Remove(*member), terms),
            Task::Leave(member, terms) => (Operation::Leave(*member), terms),
            Task::AddMember { peer_urls, learner, terms } => (Operation::Add { peer_urls, learner: *learner }, terms),
            Task::UpdateMember(member, peer_urls, terms) => (Operation::Update(*member, peer_urls), terms),
            Task::Promote(member, terms) => (Operation::Promote(*member), terms),
            _ => return None,
        };
        let CheckInResponse { sent_at, leaving, .. } = *response;
        Some(Self { operation, reason: &response.instruction.reason, terms, sent_at, leaving })
    }

    /// The change for the progress log.
    fn describe(&self) -> String {
        let operation = match &self.operation {
            Operation::Remove(member) => format!("removing member {member}"),
            Operation::Leave(member) => format!("removing this node's member {member}"),
            Operation::Add { peer_urls, learner: true } => {
                format!("adding this node as a learner at {}", joined(peer_urls))
            }
            Operation::Add { peer_urls, learner: false } => {
                format!("adding this node as a voter at {}", joined(peer_urls))
            }
            Operation::Update(member, peer_urls) => {
                format!("changing the peer URLs of member {member} to {}", joined(peer_urls))
            }
            Operation::Promote(member) => format!("promoting learner {member}"),
        };
        format!("{operation} (ticket {})", self.terms.ticket)
    }

    /// Makes the change, provided that the terms hold.
    async fn apply(&self, session: &Session) -> Result<(), ChangeError> {
        self.verify(session).await?;
        let (client, list) = self.read_list(session).await?;
        self.check_list(&list)?;
        if let Operation::Remove(leaver) | Operation::Leave(leaver) = self.operation {
            leadership::hand_over(session, &list, leaver).await.map_err(ChangeError::Refused)?;
        }
        // A follower forwards a promotion by HTTP and without the user, which etcd before 3.5.28 and 3.6.6 refuses if
        // auth is on (`server/etcdserver/cluster_util.go:promoteMemberHTTP`).
        let client = match self.operation {
            Operation::Promote(_) => session.connections.leader(&list, LIST_TIMEOUT).await.unwrap_or(client),
            _ => client,
        };
        // A registry can't extend the time after which another node may have the ticket.
        let act_within = Duration::from_secs(self.terms.act_within_seconds).min(Ticket::ACT_WITHIN);
        if self.sent_at.elapsed() >= act_within {
            return Err(ChangeError::DeadlinePassed(act_within.as_secs()));
        }
        match self.operation {
            Operation::Remove(member) | Operation::Leave(member) => {
                client.remove_member(member, CHANGE_TIMEOUT).await?;
            }
            Operation::Add { peer_urls, learner } => {
                client.add_member(peer_urls, learner, CHANGE_TIMEOUT).await?;
            }
            Operation::Update(member, peer_urls) => client.update_member(member, peer_urls, CHANGE_TIMEOUT).await?,
            Operation::Promote(member) => client.promote_member(member, CHANGE_TIMEOUT).await?,
        }
        Ok(())
    }

    /// Verifies the reason of the change.
    async fn verify(&self, session: &Session) -> Result<(), ChangeError> {
        match self.operation {
            Operation::Remove(_) | Operation::Leave(_) if self.reason == LEAVING && !self.leaving => {
                Err(ChangeError::Refused(
                    "this node has not asked to leave (`convene leave`, `--leave-on-stop`), so it does not remove its \
                     own member"
                        .to_owned(),
                ))
            }
            Operation::Remove(member) | Operation::Leave(member) => {
                let (_, list) = self.read_list(session).await?;
                self.check_list(&list)?;
                if self.reason == LEAVING {
                    identity::verify_leave(session, &list, member).await.map_err(ChangeError::Refused)?;
                }
                // Both at once, because the change must begin within seconds.
                let is_bearable =
                    async { quorum::check_removal(session, &list, member).await.map_err(ChangeError::Refused) };
                tokio::try_join!(self.verify_removal(session, &list, member), is_bearable).map(|_| ())
            }
            Operation::Add { peer_urls, .. } => own::check_peer_urls(session, peer_urls).map_err(ChangeError::Refused),
            Operation::Promote(member) => {
                let (_, list) = self.read_list(session).await?;
                check_seen_learner(session, &list, member).await.map_err(ChangeError::Refused)
            }
            Operation::Update(member, peer_urls) => {
                own::check_peer_urls(session, peer_urls).map_err(ChangeError::Refused)?;
                let (_, list) = self.read_list(session).await?;
                if list.members.iter().any(|listed| listed.id == member && listed.peer_urls == peer_urls) {
                    return Err(ChangeError::Unclear(format!("member {member} has these peer URLs already")));
                }
                let is_silence_enough = self.terms.witnesses < 2;
                let verified = identity::verify_update(session, &list, member, peer_urls, is_silence_enough);
                verified.await.map_err(ChangeError::Refused)
            }
        }
    }

    /// Verifies that a member which nobody asked to remove is dead.
    async fn verify_removal(&self, session: &Session, list: &MemberList, member: MemberId) -> Result<(), ChangeError> {
        let victim = list.members.iter().find(|listed| listed.id == member);
        if !removal::needs_check(self.reason, victim, victim.is_some_and(|victim| is_own(session, victim))) {
            return Ok(());
        }
        if let Some(victim) = victim {
            identity::verify_is_gone_here(session, list, victim).await.map_err(ChangeError::Refused)?;
        }
        let is_probe_enough = self.terms.witnesses < 2 || runs_voter(session, list).await;
        removal::verify(session, list, member, is_probe_enough).await.map_err(|error| match error {
            NotRemoved::Refused(found) => ChangeError::Refused(found),
            NotRemoved::Unclear(why) => ChangeError::Unclear(why),
        })
    }

    /// The member list, from a member that stays: a member may not live to answer its own removal.
    async fn read_list(&self, session: &Session) -> Result<(Arc<Client>, MemberList), ChangeError> {
        let Addresses { cluster_id, client_urls: known, .. } = session.addresses();
        let list = session.connections.list(&known, cluster_id, LIST_TIMEOUT).await;
        let (client, list) = list.map_err(ChangeError::ListUnavailable)?;
        let (Operation::Remove(leaver) | Operation::Leave(leaver)) = self.operation else { return Ok((client, list)) };
        let leavers: BTreeSet<ClientUrl> = client_urls_where(&list, |id| id == leaver);
        let others: BTreeSet<ClientUrl> = client_urls_where(&list, |id| id != leaver);
        let others = others.union(&known).filter(|url| !leavers.contains(*url)).cloned().collect();
        Ok(session.connections.list(&others, Some(list.cluster), LIST_TIMEOUT).await.unwrap_or((client, list)))
    }

    fn check_list(&self, list: &MemberList) -> Result<(), ChangeError> {
        let found: BTreeSet<ExpectedMember> =
            list.members.iter().map(|member| ExpectedMember { id: member.id, learner: member.learner }).collect();
        let expected: BTreeSet<ExpectedMember> = self.terms.expect.iter().copied().collect();
        if found == expected {
            return Ok(());
        }
        Err(ChangeError::ListChanged { found: member_names(&found), expected: member_names(&expected) })
    }
}

/// Checks that a member is a learner which this node has seen in its last view, and which answers now. A voter that does not answer
/// makes the quorum larger and does not help to reach it.
async fn check_seen_learner(session: &Session, list: &MemberList, member: MemberId) -> Result<(), String> {
    let seen =
        session.last_view().into_iter().flat_map(|view| view.members).any(|seen| seen.id == member && seen.learner);
    let listed = list.members.iter().find(|listed| listed.id == member && listed.learner);
    let Some(listed) = listed.filter(|_| seen) else {
        return Err(format!("this node has not seen member {member} as a learner"));
    };
    match session.connections.probe(listed, LIST_TIMEOUT).await {
        Probe::Up(_) | Probe::Answers => Ok(()),
        Probe::Other(_) | Probe::Silent => Err(format!("the learner {member} does not answer this node")),
    }
}

/// Whether a listed member is this node's own: by its data, its name or its peer URLs.
fn is_own(session: &Session, listed: &ListedMember) -> bool {
    let has_its_data = session.own_member().is_some_and(|own| own.member == listed.id);
    has_its_data || session.node.shares_name_or_peer_url(listed)
}

/// Whether this node's etcd runs as a voter. Then its own probe is a witness from inside the cluster.
async fn runs_voter(session: &Session, list: &MemberList) -> bool {
    let Some(own) = session.own_member() else { return false };
    let is_listed = list.members.iter().any(|member| member.id == own.member && !member.learner);
    is_listed && local_etcd::role(session, own).await == Some(Role::Voter)
}

fn client_urls_where(list: &MemberList, wanted: impl Fn(MemberId) -> bool) -> BTreeSet<ClientUrl> {
    list.members.iter().filter(|member| wanted(member.id)).flat_map(|member| member.client_urls.clone()).collect()
}

fn joined(urls: &[PeerUrl]) -> String {
    urls.iter().map(PeerUrl::to_string).collect::<Vec<_>>().join(",")
}

fn member_names(members: &BTreeSet<ExpectedMember>) -> String {
    let names = members.iter().map(|member| format!("{}{}", member.id, if member.learner { " (learner)" } else { "" }));
    let names: Vec<String> = names.collect();
    if names.is_empty() { "no members".to_owned() } else { names.join(", ") }
}
