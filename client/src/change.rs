//! Carries out a change of etcd's membership.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use convene_etcd::{Client, EtcdError, MemberList};
use convene_lifecycle::{ClientUrl, MemberId, PeerUrl};

use crate::{
    endpoints::Failures,
    look::LIST,
    registry::{Expected, Instruction, Task, Terms},
    session::{AGAIN, Session, Told},
};

/// How long etcd may take for one change; its own limit is 5 s and two elections (`server/config/config.go:ReqTimeout`).
const CHANGE: Duration = Duration::from_secs(8);

/// Makes the change that an instruction asks for, if it asks for one, and says when to ask what is next. What has come
/// of it is seen by the next look; so nothing is lost if the answer is.
pub async fn carry_out(session: &Session, told: &Told) -> Duration {
    let Some(change) = Change::of(told) else { return AGAIN };
    let Instruction { word, reason, .. } = &told.instruction;
    session.progress.step_because(word, reason, &change.describe());
    match change.make(session).await {
        Ok(()) => Duration::ZERO,
        Err(error) => {
            let perhaps = match &error {
                NotMade::Etcd(error) if error.may_have_happened() => "; it may have been made all the same",
                _ => "",
            };
            session.progress.wait("wait", "not_made", &format!("{error}{perhaps}"));
            AGAIN
        }
    }
}

/// A change that an instruction asks for.
#[derive(Debug)]
struct Change<'a> {
    what: What<'a>,
    terms: &'a Terms,
    /// When the check-in began that was told to make it.
    asked: Instant,
}

#[derive(Debug)]
enum What<'a> {
    Remove(MemberId),
    Leave(MemberId),
    Add { peer_urls: &'a [PeerUrl], learner: bool },
    Update(MemberId, &'a [PeerUrl]),
    Promote(MemberId),
}

/// Why a change was not made, or may not have been: the next look shows what is true.
#[derive(Debug, thiserror::Error)]
enum NotMade {
    /// Nobody shows the list.
    #[error("no member shows etcd's list through the quorum now: {0}")]
    NoList(Failures),
    /// It is not as the instruction expects.
    #[error("etcd's list has changed since the registry decided: it has {found}, and was to have {expected}")]
    Changed {
        /// What the list has.
        found: String,
        /// What it should have.
        expected: String,
    },
    /// It took too long to get here.
    #[error("the time to begin in ({0} s) is over")]
    TooLate(u64),
    /// etcd said no, or nothing.
    #[error("{0}")]
    Etcd(#[from] EtcdError),
}

impl<'a> Change<'a> {
    /// The change that was asked for; `None` if it was something else.
    fn of(told: &'a Told) -> Option<Self> {
        let (what, terms) = match &told.instruction.task {
            Task::RemoveMember(member, terms) => (What::Remove(*member), terms),
            Task::Leave(member, terms) => (What::Leave(*member), terms),
            Task::AddMember { peer_urls, learner, terms } => (What::Add { peer_urls, learner: *learner }, terms),
            Task::UpdateMember(member, peer_urls, terms) => (What::Update(*member, peer_urls), terms),
            Task::Promote(member, terms) => (What::Promote(*member), terms),
            _ => return None,
        };
        Some(Self { what, terms, asked: told.asked })
    }

    /// What is done, for people.
    fn describe(&self) -> String {
        let what = match &self.what {
            What::Remove(member) => format!("removes member {member}"),
            What::Leave(member) => format!("removes its own member {member}"),
            What::Add { peer_urls, learner: true } => format!("adds itself as learner at {}", joined(peer_urls)),
            What::Add { peer_urls, learner: false } => format!("adds itself as voter at {}", joined(peer_urls)),
            What::Update(member, peer_urls) => format!("gives member {member} the peer URLs {}", joined(peer_urls)),
            What::Promote(member) => format!("promotes learner {member}"),
        };
        format!("{what} (ticket {})", self.terms.ticket)
    }

    /// Makes it, if etcd's list, read through the quorum right now, is as the instruction expects.
    async fn make(&self, session: &Session) -> Result<(), NotMade> {
        let (client, list) = self.read_list(session).await?;
        self.check(&list)?;
        if let What::Leave(own) = self.what {
            hand_over(session, &list, own).await?;
        }
        // A follower passes a promotion on by HTTP and without our name, which etcds before 3.5.28 and 3.6.6 refuse to do
        // with auth on (`server/etcdserver/cluster_util.go:promoteMemberHTTP`).
        let client = match self.what {
            What::Promote(_) => session.endpoints.leader(&list, LIST).await.unwrap_or(client),
            _ => client,
        };
        if self.asked.elapsed() >= Duration::from_secs(self.terms.act_within_seconds) {
            return Err(NotMade::TooLate(self.terms.act_within_seconds));
        }
        match self.what {
            What::Remove(member) | What::Leave(member) => client.remove_member(member, CHANGE).await?,
            What::Add { peer_urls, learner } => drop(client.add_member(peer_urls, learner, CHANGE).await?),
            What::Update(member, peer_urls) => client.update_member(member, peer_urls, CHANGE).await?,
            What::Promote(member) => client.promote_member(member, CHANGE).await?,
        }
        Ok(())
    }

    /// The list, from a member that stays: one that goes may not live to say that it has gone.
    async fn read_list(&self, session: &Session) -> Result<(Arc<Client>, MemberList), NotMade> {
        let urls = session.places().client_urls;
        let (client, list) = session.endpoints.list(&urls, LIST).await.map_err(NotMade::NoList)?;
        let (What::Remove(going) | What::Leave(going)) = self.what else { return Ok((client, list)) };
        let its: BTreeSet<ClientUrl> = urls_of(&list, |id| id == going);
        let others: BTreeSet<ClientUrl> = urls_of(&list, |id| id != going);
        let others: BTreeSet<ClientUrl> = others.union(&urls).filter(|url| !its.contains(*url)).cloned().collect();
        Ok(session.endpoints.list(&others, LIST).await.unwrap_or((client, list)))
    }

    fn check(&self, list: &MemberList) -> Result<(), NotMade> {
        let found: BTreeSet<Expected> =
            list.members.iter().map(|member| Expected { id: member.id, learner: member.learner }).collect();
        let expected: BTreeSet<Expected> = self.terms.expect.iter().copied().collect();
        if found == expected {
            return Ok(());
        }
        Err(NotMade::Changed { found: shown(&found), expected: shown(&expected) })
    }
}

fn urls_of(list: &MemberList, wanted: impl Fn(MemberId) -> bool) -> BTreeSet<ClientUrl> {
    list.members.iter().filter(|member| wanted(member.id)).flat_map(|member| member.client_urls.clone()).collect()
}

/// Gives the leadership to another voter that answers, so that the cluster does not have to elect one when the leader
/// is gone. If nobody takes it, the election does.
async fn hand_over(session: &Session, list: &MemberList, own: MemberId) -> Result<(), NotMade> {
    let Some(own) = list.members.iter().find(|member| member.id == own) else { return Ok(()) };
    let Some(status) = session.endpoints.status_of(own, LIST).await else { return Ok(()) };
    if status.leader != Some(own.id) {
        return Ok(());
    }
    let others = list.members.iter().filter(|member| member.id != own.id && !member.learner);
    let answers = futures_util::future::join_all(others.map(|member| session.endpoints.status_of(member, LIST))).await;
    let Some(heir) = answers.into_iter().flatten().max_by_key(|status| status.applied_index) else { return Ok(()) };
    session.progress.step("move_leader", &format!("hands the leadership over to member {}", heir.member));
    for url in &own.client_urls {
        if session.endpoints.client(url)?.move_leader(heir.member, CHANGE).await.is_ok() {
            break;
        }
    }
    Ok(())
}

fn joined(urls: &[PeerUrl]) -> String {
    urls.iter().map(PeerUrl::to_string).collect::<Vec<_>>().join(",")
}

fn shown(members: &BTreeSet<Expected>) -> String {
    let shown = members.iter().map(|member| format!("{}{}", member.id, if member.learner { " (learner)" } else { "" }));
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() { "nobody".to_owned() } else { shown.join(", ") }
}
