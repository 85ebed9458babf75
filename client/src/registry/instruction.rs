use std::time::Duration;

use convene_lifecycle::{ClientUrl, ClusterId, MemberId, MemberName, PeerUrl, Policy};
use serde::Deserialize;

use crate::one_line::one_line;

/// What the registry instructs a node to do next, and why.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "InstructionBody")]
pub struct Instruction {
    /// The action.
    pub task: Task,
    /// The action's name on the wire.
    pub name: String,
    /// The reason code.
    pub reason: String,
    /// The reason as a sentence.
    pub message: String,
    /// The time until the next check-in.
    pub check_in_after: Duration,
    /// For how long the registry may hold the response to the next check-in, which may follow at once then. Zero: the instruction may have
    /// changed while this response was held. `None`: the node pauses for `check_in_after`.
    pub wait: Option<Duration>,
    /// The cluster's revision that the instruction is based on.
    pub revision: u64,
    /// The number of the present attempt to form the cluster.
    pub epoch: u32,
}

/// The action of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Do nothing, and check in again. An action of a newer server that this client does not know means the same.
    Wait,
    /// Do nothing as a spare, and check in again.
    StandBy,
    /// Observe the cluster at these addresses, and check in again with the view.
    Observe {
        /// etcd's cluster ID, if the registry knows it.
        cluster_id: Option<ClusterId>,
        /// The members' client URLs.
        client_urls: Vec<ClientUrl>,
        /// The members' peer URLs.
        peer_urls: Vec<PeerUrl>,
    },
    /// Start etcd without data, together with the other founders.
    Bootstrap(Start),
    /// Start etcd on its data. There is no [`Start`] if the registry does not know the member.
    Start(Option<Start>),
    /// Start etcd without data as the member that was added.
    Join(Start),
    /// Set the data directory aside by renaming it.
    ArchiveData,
    /// Remove a member.
    RemoveMember(MemberId, Terms),
    /// Add this node as a member.
    AddMember {
        /// The peer URLs of the new member.
        peer_urls: Vec<PeerUrl>,
        /// Whether the node joins as a learner.
        learner: bool,
        /// What must hold right before the change.
        terms: Terms,
    },
    /// Change the peer URLs of a member.
    UpdateMember(MemberId, Vec<PeerUrl>, Terms),
    /// Promote a learner.
    Promote(MemberId, Terms),
    /// Move the leadership if this node leads, and remove this node's own member.
    Leave(MemberId, Terms),
    /// Give up.
    Refuse {
        /// What a person can do about it.
        remedy: String,
    },
}

/// What must still hold right before a membership change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Terms {
    /// The ticket's number.
    pub ticket: u64,
    /// The seconds after the check-in within which the change must begin.
    pub act_within_seconds: u64,
    /// The member list that etcd must have.
    pub expect: Vec<ExpectedMember>,
    /// How many witnesses must confirm that a voter is dead. An earlier server does not send it.
    #[serde(default = "both_witnesses")]
    pub witnesses: u32,
}

fn both_witnesses() -> u32 {
    2
}

/// A member that etcd's list must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct ExpectedMember {
    /// Its ID.
    pub id: MemberId,
    /// Whether it is a learner.
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

/// An instruction on the wire: the fields of all actions.
#[derive(Deserialize)]
struct InstructionBody {
    instruction: String,
    reason: String,
    message: String,
    check_in_after_seconds: u64,
    wait_seconds: Option<u64>,
    revision: u64,
    epoch: u32,
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
    cluster_id: Option<ClusterId>,
    client_urls: Vec<ClientUrl>,
    peer_urls: Vec<PeerUrl>,
}

impl Instruction {
    /// Whether it is a membership change.
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

impl TryFrom<InstructionBody> for Instruction {
    type Error = String;

    fn try_from(mut body: InstructionBody) -> Result<Self, String> {
        let name = one_line(&body.instruction).into_owned();
        body.remedy = body.remedy.map(|remedy| one_line(&remedy).into_owned());
        let (task, is_known) = match body.task()? {
            Some(task) => (task, true),
            None => (Task::Wait, false),
        };
        let message = match is_known {
            true => body.message,
            false => format!(
                "{} (this client does not know the instruction {name} and waits; it may be older than the server)",
                body.message
            ),
        };
        // A waiting node never checks in in a busy loop.
        let min_seconds = if matches!(task, Task::Wait | Task::StandBy) { 1 } else { 0 };
        let check_in_after =
            Duration::from_secs(body.check_in_after_seconds.max(min_seconds)).min(Policy::CHECK_IN_EVERY.1);
        Ok(Self {
            task,
            name,
            reason: one_line(&body.reason).into_owned(),
            message: one_line(&message).into_owned(),
            check_in_after,
            wait: body.wait_seconds.map(|wait| Duration::from_secs(wait).min(check_in_after)),
            revision: body.revision,
            epoch: body.epoch,
        })
    }
}

impl InstructionBody {
    /// The action, or `None` if this client does not know it.
    fn task(&mut self) -> Result<Option<Task>, String> {
        Ok(Some(match self.instruction.as_str() {
            "wait" => Task::Wait,
            "stand_by" => Task::StandBy,
            "observe" => {
                let Endpoints { cluster_id, client_urls, peer_urls } = required(self.endpoints.take(), "endpoints")?;
                Task::Observe { cluster_id, client_urls, peer_urls }
            }
            "bootstrap" => Task::Bootstrap(required(self.start.take(), "start")?),
            "start" => Task::Start(self.start.take()),
            "join" => Task::Join(required(self.start.take(), "start")?),
            "archive_data" => Task::ArchiveData,
            "remove_member" => Task::RemoveMember(self.member()?, self.terms()?),
            "add_member" => Task::AddMember {
                peer_urls: std::mem::take(&mut self.peer_urls),
                learner: required(self.learner, "learner")?,
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
        required(self.member_id, "member_id")
    }

    fn terms(&mut self) -> Result<Terms, String> {
        required(self.terms.take(), "terms")
    }
}

fn required<T>(field: Option<T>, name: &str) -> Result<T, String> {
    field.ok_or_else(|| format!("the instruction lacks {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Instruction, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn an_unknown_instruction_of_a_newer_server_means_wait() {
        let instruction = read(
            r#"{"instruction": "defragment", "reason": "r", "message": "m", "check_in_after_seconds": 0, "revision": 7, "epoch": 1}"#,
        )
        .unwrap();
        assert_eq!(instruction.task, Task::Wait);
        assert!(instruction.message.contains("does not know the instruction defragment"), "{}", instruction.message);
        assert!(instruction.check_in_after >= Duration::from_secs(1));
    }

    #[test]
    fn texts_of_the_server_are_one_line_and_a_wait_ends_within_an_hour() {
        let instruction = read(
            r#"{"instruction": "ref\u001buse", "reason": "r\nr", "message": "m\u202em", "remedy": "a\r\nb", "check_in_after_seconds": 18446744073709551615, "revision": 7, "epoch": 1}"#,
        )
        .unwrap();
        assert_eq!((&*instruction.name, &*instruction.reason), ("ref use", "r r"));
        assert!(instruction.message.starts_with("m m"), "{}", instruction.message);
        assert_eq!(instruction.check_in_after, Duration::from_secs(3600));
        let refused = read(
            r#"{"instruction": "refuse", "reason": "r", "message": "m", "remedy": "a\r\nb", "check_in_after_seconds": 0, "revision": 7, "epoch": 1}"#,
        );
        assert_eq!(refused.unwrap().task, Task::Refuse { remedy: "a  b".to_owned() });
    }

    #[test]
    fn a_membership_change_without_terms_is_rejected() {
        let instruction = read(
            r#"{"instruction": "remove_member", "reason": "r", "message": "m", "check_in_after_seconds": 0, "revision": 7, "epoch": 1, "member_id": "1f"}"#,
        );
        assert!(instruction.unwrap_err().to_string().contains("lacks terms"));
    }
}
