//! `convene join`: asks what this node does next, does it, and asks again, until etcd can be started.

mod offline;
mod promoter;
mod result;

use std::time::{Duration, SystemTime};

use crate::{
    alone::Alone,
    change,
    cli::{JoinArgs, LogFormat},
    data_dir::LeftOvers,
    deadline::{Deadline, Over},
    exit::Failure,
    node::Node,
    output::Action,
    registry::{Instruction, RegistryError, Start, State, Task},
    session::{AGAIN, Session, Told, Wishes},
    stdout,
};
use offline::Offline;

/// Runs the command. The result stands on standard output when it ends well.
pub async fn run(arguments: &JoinArgs, log_format: LogFormat) -> Result<(), Failure> {
    let session = Session::new(&arguments.node, log_format)?;
    // A dry run decides nothing.
    let _alone = (!arguments.dry_run).then(|| Alone::with(&session.node.data_path)).transpose()?;
    let offline = Offline::new(arguments.offline_grace);
    let join = Join { arguments, session, deadline: Deadline::after(arguments.timeout), offline };
    join.make_sure_nobody_started_etcd()?;
    join.run().await
}

/// A node on its way in.
struct Join<'a> {
    arguments: &'a JoinArgs,
    session: Session,
    deadline: Deadline,
    offline: Offline,
}

/// What follows an instruction.
enum Next {
    /// To ask again, after this time.
    Ask(Duration),
    /// Nothing: the result is out.
    Done,
}

impl Join<'_> {
    async fn run(mut self) -> Result<(), Failure> {
        loop {
            let next = self.turn().await?;
            let Next::Ask(after) = next else { return Ok(()) };
            if self.deadline.pause(after).await.is_err() {
                return Err(self.gave_up());
            }
        }
    }

    fn make_sure_nobody_started_etcd(&self) -> Result<(), Failure> {
        let Node { data, data_path, .. } = &self.session.node;
        if !data.is_in_use()? {
            return Ok(());
        }
        Err(Failure::Refused(format!(
            "an etcd runs on {} already; `convene join` is for before it starts, and `convene status` shows the cluster",
            data_path.display()
        )))
    }

    async fn turn(&mut self) -> Result<Next, Failure> {
        let state = self.session.node.state()?;
        self.offline.attempt();
        let mut told = match self.deadline.bound(self.session.ask(&state, self.wishes())).await {
            Ok(Ok(told)) => told,
            Ok(Err(error)) => return self.go_without(&state, error),
            Err(Over) => return Err(self.gave_up()),
        };
        // A registry that has not heard of this node for so long may have given its place away.
        if !told.is_fresh() && matches!(told.instruction.task, Task::Bootstrap(_) | Task::Join(_)) {
            let message = "the registry's answer took too long to be acted on, and is asked for again";
            self.session.progress.wait("wait", "stale", message);
            return Ok(Next::Ask(AGAIN));
        }
        self.offline.is_back();
        if let State::Unreadable { found } = &state
            && !told.instruction.message.contains(found)
        {
            told.instruction.message += &format!("; the data in the data directory can't be read: {found}");
        }
        if self.arguments.dry_run {
            result::print_dry(self.arguments.output, &told.instruction)?;
            return Ok(Next::Done);
        }
        self.obey(told).await
    }

    fn wishes(&self) -> Wishes {
        let JoinArgs { once, join_strategy, cluster_size, dry_run, .. } = *self.arguments;
        Wishes { leaving: false, once, strategy: join_strategy, size: cluster_size.0, dry_run }
    }

    async fn obey(&self, told: Told) -> Result<Next, Failure> {
        let Instruction { task, word, reason, message, check_in_after, .. } = &told.instruction;
        let progress = &self.session.progress;
        match task {
            Task::Wait | Task::StandBy => {
                progress.wait(word, reason, message);
                Ok(Next::Ask(*check_in_after))
            }
            Task::Observe { .. } => {
                progress.wait(word, reason, message);
                Ok(Next::Ask(AGAIN))
            }
            Task::Bootstrap(start) => self.finish(&told, Action::Bootstrap, Some(start)),
            Task::Join(start) => self.finish(&told, Action::Join, Some(start)),
            Task::Start(start) => self.finish(&told, Action::Start, start.as_ref()),
            Task::ArchiveData => {
                // What can't be found to be moved would be asked for again at once, and for ever.
                let is_moved = self.archive(reason, message)?;
                Ok(Next::Ask(if is_moved { Duration::ZERO } else { AGAIN }))
            }
            Task::Refuse { remedy } => Err(Failure::refused(&told.instruction, remedy)),
            Task::RemoveMember(..)
            | Task::AddMember { .. }
            | Task::UpdateMember(..)
            | Task::Promote(..)
            | Task::Leave(..) => Ok(Next::Ask(change::carry_out(&self.session, &told).await)),
        }
    }

    /// Sets the data aside, if there is any.
    fn archive(&self, reason: &str, why: &str) -> Result<bool, Failure> {
        let archived = self.session.node.data.archive(SystemTime::now())?;
        let archived: Vec<String> = archived.iter().map(|path| path.display().to_string()).collect();
        let message = format!("{why}; the data is in {} now", archived.join(" and "));
        self.session.progress.step_because("archive_data", reason, &message);
        Ok(!archived.is_empty())
    }

    /// Prints how to start etcd.
    fn finish(&self, told: &Told, action: Action, start: Option<&Start>) -> Result<Next, Failure> {
        let progress = &self.session.progress;
        self.make_sure_nobody_started_etcd()?;
        if action != Action::Start {
            self.set_left_overs_aside()?;
        }
        let Instruction { word, reason, message, .. } = &told.instruction;
        let config = result::config(&self.session.node, action, start, reason, message);
        let text = result::render(&config, self.arguments.output, progress)?;
        progress.step_because(word, reason, message);
        self.leave_promoter_behind();
        stdout::print(&text)?;
        Ok(Next::Done)
    }

    /// A backend without a WAL beside it: if anything was ever applied to it, then etcd would take its keys into the new
    /// member.
    fn set_left_overs_aside(&self) -> Result<(), Failure> {
        match self.session.node.data.left_overs()? {
            LeftOvers::None | LeftOvers::NothingApplied => Ok(()),
            LeftOvers::Applied { index } => {
                let why = format!("there is no WAL, but a database of an earlier member (index {index})");
                self.archive("left_overs", &why).map(drop)
            }
            LeftOvers::Unreadable { found } => {
                let why = format!("there is no WAL, but something else of an earlier member: {found}");
                self.archive("left_overs", &why).map(drop)
            }
        }
    }

    /// What a node does while the registry gives it no instruction.
    fn go_without(&self, state: &State, error: RegistryError) -> Result<Next, Failure> {
        let progress = &self.session.progress;
        let has_data = matches!(state, State::Stopped { .. });
        if self.arguments.dry_run || (!has_data && error.is_final()) {
            return Err(error.into());
        }
        if !has_data {
            let what = match state {
                State::Unreadable { found } => format!("with data that can't be read ({found})"),
                _ => "without data".to_owned(),
            };
            let message = format!("{error}; {what} this node can't start on its own, so it keeps trying");
            progress.wait("wait", "unreachable", &message);
            return Ok(Next::Ask(AGAIN));
        }
        let left = self.offline.left();
        if left > Duration::ZERO {
            let grace = humantime::format_duration(self.arguments.offline_grace);
            let message = format!("{error}; after {grace} of this etcd is started on the data that it has");
            progress.wait("wait", "unreachable", &message);
            return Ok(Next::Ask(left.min(AGAIN)));
        }
        let message = format!("{error}; etcd is started on the data that it has, and guards itself");
        let reason = if error.is_not_found() { "unknown_cluster" } else { "unreachable" };
        let config = result::config(&self.session.node, Action::Start, None, reason, &message);
        let text = result::render(&config, self.arguments.output, progress)?;
        progress.step_because("start", reason, &message);
        self.leave_promoter_behind();
        stdout::print(&text)?;
        Ok(Next::Done)
    }

    fn leave_promoter_behind(&self) {
        if !self.arguments.no_promote {
            promoter::leave_behind(&self.arguments.node, &self.session.progress);
        }
    }

    fn gave_up(&self) -> Failure {
        let message = self.session.progress.gave_up();
        if self.offline.is_out() { Failure::Unreachable(message) } else { Failure::TimedOut(message) }
    }
}
