//! Looks after an etcd that runs: reports what it says, and executes the registry's instructions.

use std::{pin::pin, sync::Arc, time::Duration};

use convene_lifecycle::{DiskId, Identity, Reason, Role};
use tokio::time::{sleep, timeout};

use super::{
    REFUSED_INTERVAL,
    etcd_readiness::EtcdReadiness,
    log::Log,
    reach,
    restarts::Restarts,
    state::State as AgentState,
    status::{EtcdStatus, Publisher},
};
use crate::{
    boot_clock::BootInstant,
    data_dir::Contents,
    local_etcd::{self, Answer},
    membership_change,
    own_reason::OwnReason,
    registry::{Instruction, State, Task},
    session::{CheckInOptions, RETRY_INTERVAL, Session},
};

/// A value that never comes.
pub enum Never {}

/// How long the agent's own etcd may take to answer at all of its URLs.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the agent asks its own etcd for its status.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How often the agent tells the registry that etcd loads its data. It is less than half of the shortest time after which a silent
/// member counts as dead.
const LOADING_INTERVAL: Duration = Duration::from_secs(2);

/// How long an etcd may load its data. After that, its silence is what it seems to be: nothing tells an etcd that hangs from one that
/// loads, and a cluster must not wait for it without end.
const LONGEST_LOADING: Duration = Duration::from_secs(3_600);

/// An etcd that runs as this node's member.
pub struct Watch {
    /// Whether etcd has answered in this run.
    has_answered: bool,
    /// When its silence no longer is that of an etcd that loads its data.
    loaded_by: BootInstant,
    /// When the registry is told next that etcd loads its data.
    next_announcement: BootInstant,
    /// When the node checks in next.
    next_check_in: BootInstant,
    /// As which member etcd has answered. Before that, the member of the data, as it was first read in this run.
    identity: Option<Identity>,
    /// What etcd logs, if the agent can read that.
    log: Option<Arc<Log>>,
    /// The disk on which etcd has opened its WAL.
    disk: Option<DiskId>,
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
    /// An etcd whose process was started at this moment, with its WAL on this disk. `log` is what it logs, if the agent can read that.
    pub fn new(started: BootInstant, disk: Option<DiskId>, log: Option<Arc<Log>>) -> Self {
        let now = BootInstant::now();
        Self {
            has_answered: false,
            loaded_by: started + LONGEST_LOADING,
            // Most etcds answer before.
            next_announcement: now + RETRY_INTERVAL,
            next_check_in: now,
            identity: None,
            log,
            disk,
        }
    }

    /// Looks after etcd without end. May be dropped at any time, and called again.
    pub async fn look_after(&mut self, tools: &mut Tools<'_>, readiness: &EtcdReadiness) -> Never {
        loop {
            let after = self.turn(tools).await;
            tools.publisher.turned(tools.session);
            tokio::select! {
                () = tools.publisher.sleep(after) => {}
                () = readiness.ready(), if !self.has_answered => {}
            }
        }
    }

    /// Looks at etcd, checks in if it is time, and returns the time until the next turn.
    async fn turn(&mut self, tools: &mut Tools<'_>) -> Duration {
        let Some(identity) = self.read_identity(tools.session) else { return RETRY_INTERVAL };
        let Some((identity, answer)) = self.look(tools, identity).await else { return self.handle_silence(tools) };
        self.has_answered = true;
        self.identity = Some(identity);
        tools.session.note_member(identity);
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

    /// Looks whether etcd answers. Before its first answer it loads its data. The registry has to know that, so that the silence does not
    /// count, and looking may take longer than a member may be silent.
    async fn look(&mut self, tools: &Tools<'_>, identity: Identity) -> Option<(Identity, Answer)> {
        let mut looking = pin!(timeout(LOOK_TIMEOUT, answer(tools.session, identity, self.has_answered)));
        while self.is_loading() {
            let left = self.next_announcement.saturating_duration_since(BootInstant::now());
            tokio::select! {
                answer = &mut looking => return answer.ok().flatten(),
                () = sleep(left) => self.announce_loading(tools, identity).await,
            }
        }
        looking.await.ok().flatten()
    }

    fn is_loading(&self) -> bool {
        !self.has_answered && BootInstant::now() < self.loaded_by
    }

    async fn announce_loading(&mut self, tools: &Tools<'_>, identity: Identity) {
        let progress = &tools.session.progress;
        let complains = self.publish_complaint(tools.publisher);
        tools.session.show_status(tools.publisher.reported(Vec::new()));
        match tools
            .session
            .check_in(&State::starting(identity).on_disk(self.disk.clone()), CheckInOptions::default())
            .await
        {
            Ok(response) => {
                let Instruction { reason, message, .. } = &response.instruction;
                progress.wait("wait", reason, &format!("{message}{complains}"));
            }
            Err(error) => progress.wait("wait", error.reason(), &error.to_string()),
        }
        self.next_announcement = BootInstant::now() + LOADING_INTERVAL;
    }

    /// Reads whose data etcd runs on. What was read once stays true for as long as etcd's process runs, also if the disk fails, or if
    /// another one is mounted over it.
    fn read_identity(&mut self, session: &Session) -> Option<Identity> {
        if self.identity.is_some() {
            return self.identity;
        }
        let found = match session.node.data.read() {
            Ok(Contents::Member(identity)) => {
                self.identity = Some(identity);
                return self.identity;
            }
            Ok(Contents::Fresh) => "it has no data of a member yet".to_owned(),
            Ok(Contents::Unreadable { found }) => found,
            Err(error) => error.to_string(),
        };
        let message = format!("etcd's process runs on {}: {found}", session.node.data_path.display());
        session.progress.wait("wait", Reason::Loading.as_str(), &message);
        None
    }

    /// etcd's process runs, but etcd does not answer.
    fn handle_silence(&mut self, tools: &Tools<'_>) -> Duration {
        let complains = self.publish_complaint(tools.publisher);
        tools.publisher.update(|status| status.etcd.take().is_some());
        if self.is_loading() {
            return self.next_announcement.saturating_duration_since(BootInstant::now()).min(RETRY_INTERVAL);
        }
        tools.publisher.reach(AgentState::Silent);
        // The registry learns at once when etcd answers again.
        self.next_check_in = BootInstant::now();
        let message = match self.has_answered {
            true => "etcd's process runs, but etcd does not answer any more".to_owned(),
            false => format!(
                "etcd's process runs, but etcd has not answered for {}, so its silence counts; look at its log, and restart it if it \
                 hangs{complains}",
                humantime::format_duration(LONGEST_LOADING)
            ),
        };
        tools.session.progress.wait("wait", OwnReason::NotAnswering.as_str(), &message);
        RETRY_INTERVAL
    }

    /// Publishes what etcd complains about before its first answer, and returns it as the end of a message. What etcd has complained
    /// about while it answered does not explain why it is silent now.
    fn publish_complaint(&self, publisher: &Publisher) -> String {
        let complaint = self.log.as_ref().filter(|_| !self.has_answered).and_then(|log| log.complaint());
        let complains = complaint.as_ref().map(|complaint| format!("; etcd complains: {complaint}"));
        publisher.update(|status| {
            status.complaint = complaint;
            false
        });
        complains.unwrap_or_default()
    }

    /// Checks in, executes the instruction, and returns the time until the next check-in.
    async fn check_in(&mut self, tools: &Tools<'_>, identity: Identity, role: Role) -> Duration {
        let progress = &tools.session.progress;
        tools.session.show_status(tools.publisher.reported(reach::look(tools.session, identity).await));
        let state = State::running(identity).on_disk(self.disk.clone());
        let response = match tools.session.check_in(&state, CheckInOptions::default()).await {
            Ok(response) => response,
            Err(error) => {
                // etcd goes on without the registry.
                progress.wait("wait", error.reason(), &error.to_string());
                return if error.is_permanent() { REFUSED_INTERVAL } else { RETRY_INTERVAL };
            }
        };
        let Instruction { task, name, reason, message, check_in_after, .. } = &response.instruction;
        match task {
            // A removed etcd ends by itself when it learns of its removal from the others
            // (`server/etcdserver/server.go:applyConfChange`, `api/rafthttp/peer.go:send`). Nobody's word stops one that runs.
            Task::ArchiveData => {
                progress.wait("wait", reason, &format!("{message}, once etcd has ended"));
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
}

/// How etcd answers, and as which member. Before its first answer, that may be the member whose data is there now: a filesystem may have
/// been mounted between the first look at the data and etcd's own.
async fn answer(session: &Session, identity: Identity, has_answered: bool) -> Option<(Identity, Answer)> {
    if let Some(answer) = local_etcd::answer(session, identity).await {
        return Some((identity, answer));
    }
    let other = session.member_of_data().filter(|other| !has_answered && *other != identity)?;
    local_etcd::answer(session, other).await.map(|answer| (other, answer))
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
        status.complaint = None;
        is_changed
    });
    match publisher.state() {
        AgentState::Loading | AgentState::Silent => {
            publisher.enter(state, OwnReason::EtcdAnswers.as_str(), "etcd answers; the agent checks in next");
        }
        _ => publisher.reach(state),
    }
}
