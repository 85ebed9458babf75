//! Looks after an etcd that runs: reports what it says, and executes the registry's instructions.

use std::time::Duration;

use convene_lifecycle::{Identity, Role};

use super::{
    REFUSED_INTERVAL,
    etcd_readiness::EtcdReadiness,
    restarts::Restarts,
    state::State as AgentState,
    status::{EtcdStatus, Publisher},
};
use crate::{
    boot_clock::BootInstant,
    data_dir::Contents,
    local_etcd::{self, Answer},
    membership_change,
    registry::{Instruction, State, Task},
    session::{CheckInOptions, RETRY_INTERVAL, Session},
    verify,
};

/// How often the agent asks its own etcd for its status.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How long etcd may go on after its member was removed. It ends by itself a second after it has applied the removal
/// (`server/etcdserver/server.go:applyConfChange`), but it may not have applied it.
const REMOVED_GRACE: Duration = Duration::from_secs(15);

/// An etcd that runs as this node's member.
pub struct Watch {
    accept_reset: Option<u32>,
    /// Whether etcd has answered in this run.
    has_answered: bool,
    /// When the node checks in next.
    next_check_in: BootInstant,
    /// When this node first saw that its member was removed.
    removed_at: Option<BootInstant>,
}

/// What the agent uses while it looks after etcd.
pub struct Tools<'a> {
    /// The session with the registry.
    pub session: &'a Session,
    /// Where the status is published.
    pub publisher: &'a Publisher,
    /// The restarts of etcd, which learn that it answers.
    pub restarts: &'a mut Restarts,
}

impl Watch {
    /// An etcd that was just started. `accept_reset`: consent to archive data of an earlier epoch.
    pub fn new(accept_reset: Option<u32>) -> Self {
        Self { accept_reset, has_answered: false, next_check_in: BootInstant::now(), removed_at: None }
    }

    /// Looks after etcd until its member has been removed for so long that etcd should have ended. May be dropped at any time, and
    /// called again.
    pub async fn until_removed(&mut self, tools: &mut Tools<'_>, readiness: &EtcdReadiness) {
        loop {
            let after = self.turn(tools).await;
            tools.publisher.turned(tools.session);
            if self.removed_at.is_some_and(|at| at.elapsed() >= REMOVED_GRACE) {
                return;
            }
            tokio::select! {
                () = tools.publisher.sleep(after) => {}
                () = readiness.ready(), if !self.has_answered => {}
            }
        }
    }

    /// Looks at etcd, checks in if it is time, and returns the time until the next turn.
    async fn turn(&mut self, tools: &mut Tools<'_>) -> Duration {
        let identity = match tools.session.node.data.read() {
            Ok(Contents::Member(identity)) => identity,
            Ok(Contents::Fresh | Contents::Unreadable { .. }) => {
                let message = format!(
                    "etcd has started, but {} has no data of a member yet",
                    tools.session.node.data_path.display()
                );
                tools.session.progress.wait("wait", "not_started", &message);
                return RETRY_INTERVAL;
            }
            Err(error) => {
                tools.session.progress.wait("wait", "failed", &error.to_string());
                return RETRY_INTERVAL;
            }
        };
        let Some(answer) = local_etcd::answer(tools.session, identity).await else {
            return self.handle_silence(tools, identity).await;
        };
        self.has_answered = true;
        tools.restarts.record_answer();
        let role = answer.role();
        publish(tools.publisher, identity, &answer);
        let left = self.next_check_in.saturating_duration_since(BootInstant::now());
        if left > Duration::ZERO {
            return left.min(LOOK_INTERVAL);
        }
        let after = self.check_in(tools, identity, role).await;
        self.next_check_in = BootInstant::now() + after;
        after.min(LOOK_INTERVAL)
    }

    /// etcd's process runs, but etcd does not answer. Before its first answer it loads its data, which the registry has to know, so
    /// that the silence does not count. Later, silence is what it seems to be.
    async fn handle_silence(&self, tools: &Tools<'_>, identity: Identity) -> Duration {
        let progress = &tools.session.progress;
        tools.publisher.update(|status| status.etcd.take().is_some());
        if self.has_answered {
            tools.publisher.reach(AgentState::Silent);
            progress.wait("wait", "not_answering", "etcd's process runs, but etcd does not answer any more");
            return RETRY_INTERVAL;
        }
        match tools.session.check_in(&State::starting(identity), CheckInOptions::default()).await {
            Ok(response) => {
                let Instruction { reason, message, .. } = &response.instruction;
                progress.wait("wait", reason, message);
            }
            Err(error) => progress.wait("wait", error.reason(), &error.to_string()),
        }
        LOOK_INTERVAL
    }

    /// Checks in, executes the instruction, and returns the time until the next check-in.
    async fn check_in(&mut self, tools: &Tools<'_>, identity: Identity, role: Role) -> Duration {
        let progress = &tools.session.progress;
        let response = match tools.session.check_in(&State::running(identity), CheckInOptions::default()).await {
            Ok(response) => response,
            Err(error) => {
                // etcd goes on without the registry.
                progress.wait("wait", error.reason(), &error.to_string());
                return if error.is_permanent() { REFUSED_INTERVAL } else { RETRY_INTERVAL };
            }
        };
        let Instruction { task, name, reason, message, check_in_after, .. } = &response.instruction;
        match task {
            Task::ArchiveData => {
                self.note_removal(tools, &response.instruction).await;
                RETRY_INTERVAL
            }
            Task::Refuse { remedy } => {
                progress.wait(name, reason, &format!("{message}; {remedy}"));
                REFUSED_INTERVAL
            }
            _ if response.instruction.is_change() => membership_change::apply(tools.session, &response).await,
            _ => {
                progress.wait(name, reason, message);
                match role {
                    // It is to be promoted as soon as it has caught up.
                    Role::Learner => (*check_in_after).clamp(RETRY_INTERVAL, 2 * RETRY_INTERVAL),
                    Role::Voter => (*check_in_after).max(RETRY_INTERVAL),
                }
            }
        }
    }

    /// The registry says that this node's data is to be archived. It is only if this node has itself seen that no cluster needs it.
    async fn note_removal(&mut self, tools: &Tools<'_>, instruction: &Instruction) {
        let Instruction { name, reason, message, epoch, .. } = instruction;
        let state = match tools.session.node.state() {
            Ok(state) => state,
            Err(error) => return tools.session.refuse(name, error.to_string()),
        };
        let accepts_reset = self.accept_reset == Some(*epoch);
        match verify::archive::verify(tools.session, &state, instruction, accepts_reset).await {
            Ok(()) => {
                self.removed_at.get_or_insert_with(BootInstant::now);
                tools.session.progress.wait("wait", reason, &format!("{message}, once etcd has ended"));
            }
            Err(refused) => {
                self.removed_at = None;
                tools.session.refuse(name, refused.found);
            }
        }
    }
}

fn publish(publisher: &Publisher, identity: Identity, answer: &Answer) {
    let state = match answer.role() {
        Role::Voter => AgentState::Voter,
        Role::Learner => AgentState::Learner,
    };
    let etcd = EtcdStatus::new(identity, answer);
    publisher.update(|status| {
        let is_changed = status.etcd.as_ref() != Some(&etcd);
        status.etcd = Some(etcd);
        is_changed
    });
    publisher.reach(state);
}
