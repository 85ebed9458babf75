use std::time::Duration;

use convene_lifecycle::{ClientUrl, MemberId, MemberName, PeerUrl};
use serde::Deserialize;

/// What the registry tells a node to do next, and why.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Body")]
pub struct Instruction {
    /// What to do.
    pub task: Task,
    /// The task's word.
    pub word: String,
    /// Why, for programs.
    pub reason: String,
    /// Why, for people.
    pub message: String,
    /// When to check in again.
    pub check_in_after: Duration,
    /// The cluster's revision that this rests on.
    pub revision: u64,
}

/// What a node is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Nothing; ask again. Also what a newer server says in a word that this client does not know.
    Wait,
    /// Nothing, as a spare; ask again.
    StandBy,
    /// Look at the cluster there.
    Observe {
        /// Where clients reach it.
        client_urls: Vec<ClientUrl>,
        /// Where members reach it.
        peer_urls: Vec<PeerUrl>,
    },
    /// Start etcd without data, together with the other founders.
    Bootstrap(Start),
    /// Start etcd on its data; with how to, if the registry knows the member.
    Start(Option<Start>),
    /// Start etcd without data as the member that was added.
    Join(Start),
    /// Set the data aside.
    ArchiveData,
    /// Remove a member.
    RemoveMember(MemberId, Terms),
    /// Add this node.
    AddMember {
        /// With these peer URLs.
        peer_urls: Vec<PeerUrl>,
        /// As learner, or as voter.
        learner: bool,
        /// On these terms.
        terms: Terms,
    },
    /// Give a member other peer URLs.
    UpdateMember(MemberId, Vec<PeerUrl>, Terms),
    /// Promote a learner.
    Promote(MemberId, Terms),
    /// Hand over the leadership, and remove this node's own member.
    Leave(MemberId, Terms),
    /// Give up.
    Refuse {
        /// What somebody has to do.
        remedy: String,
    },
}

/// On which terms a node may change membership.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Terms {
    /// The ticket's number.
    pub ticket: u64,
    /// How long after the question the change may begin.
    pub act_within_seconds: u64,
    /// What etcd's list must show.
    pub expect: Vec<Expected>,
}

/// A member that etcd's list must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Expected {
    /// Which.
    pub id: MemberId,
    /// Whether as learner.
    pub learner: bool,
}

/// How to start etcd.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Start {
    /// `--name`
    pub name: MemberName,
    /// `--initial-advertise-peer-urls`
    pub initial_advertise_peer_urls: Vec<PeerUrl>,
    /// `--initial-cluster`
    pub initial_cluster: String,
    /// `--initial-cluster-token`
    pub initial_cluster_token: String,
}

/// An instruction as it is sent.
#[derive(Deserialize)]
struct Body {
    instruction: String,
    reason: String,
    message: String,
    check_in_after_seconds: u64,
    revision: u64,
    member_id: Option<MemberId>,
    #[serde(default)]
    peer_urls: Vec<PeerUrl>,
    learner: Option<bool>,
    terms: Option<Terms>,
    start: Option<Start>,
    endpoints: Option<Endpoints>,
    remedy: Option<String>,
}

#[derive(Deserialize)]
struct Endpoints {
    client_urls: Vec<ClientUrl>,
    peer_urls: Vec<PeerUrl>,
}

impl Instruction {
    /// Whether it asks for a change of etcd's membership.
    pub fn is_change(&self) -> bool {
        matches!(
            self.task,
            Task::RemoveMember(..)
                | Task::AddMember { .. }
                | Task::UpdateMember(..)
                | Task::Promote(..)
                | Task::Leave(..)
        )
    }
}

impl TryFrom<Body> for Instruction {
    type Error = String;

    fn try_from(mut body: Body) -> Result<Self, String> {
        let word = body.instruction.clone();
        let (task, is_known) = match body.task()? {
            Some(task) => (task, true),
            None => (Task::Wait, false),
        };
        let message = match is_known {
            true => body.message,
            false => format!(
                "{} (this client does not know the instruction {word}, and waits; is it older than the server?)",
                body.message
            ),
        };
        // The least time keeps a node that only waits from asking without end.
        let at_least = if matches!(task, Task::Wait | Task::StandBy) { 1 } else { 0 };
        let check_in_after = Duration::from_secs(body.check_in_after_seconds.max(at_least));
        Ok(Self { task, word, reason: body.reason, message, check_in_after, revision: body.revision })
    }
}

impl Body {
    /// The task; `None` means that the word is not known.
    fn task(&mut self) -> Result<Option<Task>, String> {
        Ok(Some(match self.instruction.as_str() {
            "wait" => Task::Wait,
            "stand_by" => Task::StandBy,
            "observe" => {
                let Endpoints { client_urls, peer_urls } = needed(self.endpoints.take(), "endpoints")?;
                Task::Observe { client_urls, peer_urls }
            }
            "bootstrap" => Task::Bootstrap(needed(self.start.take(), "start")?),
            "start" => Task::Start(self.start.take()),
            "join" => Task::Join(needed(self.start.take(), "start")?),
            "archive_data" => Task::ArchiveData,
            "remove_member" => Task::RemoveMember(self.member()?, self.terms()?),
            "add_member" => Task::AddMember {
                peer_urls: std::mem::take(&mut self.peer_urls),
                learner: needed(self.learner, "learner")?,
                terms: self.terms()?,
            },
            "update_member" => {
                let peer_urls = std::mem::take(&mut self.peer_urls);
                Task::UpdateMember(self.member()?, peer_urls, self.terms()?)
            }
            "promote" => Task::Promote(self.member()?, self.terms()?),
            "leave" => Task::Leave(self.member()?, self.terms()?),
            "refuse" => Task::Refuse { remedy: self.remedy.take().unwrap_or_default() },
            _ => return Ok(None),
        }))
    }

    fn member(&self) -> Result<MemberId, String> {
        needed(self.member_id, "member_id")
    }

    fn terms(&mut self) -> Result<Terms, String> {
        needed(self.terms.take(), "terms")
    }
}

fn needed<T>(field: Option<T>, name: &str) -> Result<T, String> {
    field.ok_or_else(|| format!("the instruction lacks {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Instruction, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn a_word_that_a_newer_server_says_means_wait() {
        let told = read(
            r#"{"instruction": "defragment", "reason": "r", "message": "m", "check_in_after_seconds": 0, "revision": 7, "epoch": 1}"#,
        )
        .unwrap();
        assert_eq!(told.task, Task::Wait);
        assert!(told.message.contains("does not know the instruction defragment"), "{}", told.message);
        assert!(told.check_in_after >= Duration::from_secs(1));
    }

    #[test]
    fn a_change_of_membership_without_terms_is_not_carried_out() {
        let told = read(
            r#"{"instruction": "remove_member", "reason": "r", "message": "m", "check_in_after_seconds": 0, "revision": 7, "epoch": 1, "member_id": "1f"}"#,
        );
        assert!(told.unwrap_err().to_string().contains("lacks terms"));
    }
}
