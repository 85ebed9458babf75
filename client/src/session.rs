use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    time::{Duration, Instant},
};

use convene_lifecycle::{ClientUrl, MemberId, MemberKey, PeerUrl, Strategy};
use uuid::Uuid;

use crate::{
    cli::{LogFormat, NodeArgs},
    endpoints::Endpoints,
    exit::Failure,
    look::{Places, look},
    node::{Node, registry_tls},
    progress::Progress,
    registry::{Instruction, Member, Members, Registry, RegistryError, Report, State, Task, View},
};

/// An answer that took longer to come, or was held longer by this process, is not acted on: the registry may take
/// a node for dead that it has not heard of for five seconds.
const FRESH: Duration = Duration::from_secs(4);

/// When the next try is made if nobody says when.
pub const AGAIN: Duration = Duration::from_secs(1);

/// One run of this client for one node: numbers its check-ins, and remembers what the last one was told.
pub struct Session {
    /// The node.
    pub node: Node,
    /// Its registry.
    pub registry: Registry,
    /// The members' ports.
    pub endpoints: Endpoints,
    /// Where progress is told.
    pub progress: Progress,
    run: String,
    sequence: Cell<u64>,
    revision: Cell<u64>,
    places: RefCell<Places>,
}

/// What a node wants beside what it has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    /// To leave the cluster.
    pub leaving: bool,
    /// To be refused rather than to wait as a spare.
    pub once: bool,
    /// To get in by no more than this.
    pub strategy: Option<Strategy>,
    /// A cluster of this size.
    pub size: Option<u32>,
    /// To change nothing by asking.
    pub dry_run: bool,
}

/// What a check-in was told, and when it asked.
#[derive(Clone, Debug)]
pub struct Told {
    /// The instruction.
    pub instruction: Instruction,
    /// When the check-in began.
    pub asked: Instant,
}

impl Told {
    /// Whether the registry can't have changed its mind meanwhile about whether this node lives.
    pub fn is_fresh(&self) -> bool {
        self.asked.elapsed() < FRESH
    }
}

impl Session {
    /// A run that has not checked in yet.
    pub fn new(arguments: &NodeArgs, log_format: LogFormat) -> Result<Self, Failure> {
        let node = Node::new(arguments)?;
        Ok(Self {
            registry: Registry::new(node.cluster.server.clone(), &registry_tls(&arguments.discovery.tls)?)?,
            endpoints: Endpoints::new(node.access.clone(), &node.peer_tls)?,
            progress: Progress::new(log_format, arguments.subject()),
            node,
            run: Uuid::now_v7().simple().to_string(),
            sequence: Cell::new(0),
            revision: Cell::new(0),
            places: RefCell::default(),
        })
    }

    /// Where the cluster was last said to be.
    pub fn places(&self) -> Places {
        self.places.borrow().clone()
    }

    /// Asks as [`Session::ask`] does, for who has nothing better to do than to wait if the registry is out of reach;
    /// then there is no answer, and it is said why.
    pub async fn ask_patiently(&self, state: &State, wishes: Wishes) -> Result<Option<Told>, Failure> {
        match self.ask(state, wishes).await {
            Ok(told) => Ok(Some(told)),
            Err(error) if error.is_final() => Err(error.into()),
            Err(error) => {
                self.progress.wait("wait", "unreachable", &error.to_string());
                Ok(None)
            }
        }
    }

    /// Checks in, and looks and checks in again if that is what it is told.
    pub async fn ask(&self, state: &State, wishes: Wishes) -> Result<Told, RegistryError> {
        let told = self.check_in(state, wishes, None).await?;
        if !matches!(told.instruction.task, Task::Observe { .. }) {
            return Ok(told);
        }
        let (view, failures) = look(&self.endpoints, &self.places(), self.revision.get()).await;
        // What etcd's own list says of where clients reach it is as good as what the registry says, or better.
        let listed = view.members.iter().flat_map(|member| member.client_urls.iter().cloned());
        self.places.borrow_mut().client_urls.extend(listed);
        let mut told = self.check_in(state, wishes, Some(&view)).await?;
        if let (Some(failures), Task::Wait) = (failures, &told.instruction.task) {
            told.instruction.message += &format!("; what this node sees: {failures}");
        }
        Ok(told)
    }

    /// Where other members reach this node. A member of which nobody said stays where it is registered: what etcd takes
    /// for a new one would look as if it had moved.
    async fn peer_urls(&self, state: &State) -> Result<Vec<PeerUrl>, RegistryError> {
        let (State::Stopped { member_id, .. } | State::Running { member_id, .. }) = state else {
            return Ok(self.node.peer_urls_or_etcds_own());
        };
        if !self.node.peer_urls.is_empty() {
            return Ok(self.node.peer_urls.clone());
        }
        let registered = self.registered(*member_id).await?;
        Ok(registered.map_or_else(|| self.node.peer_urls_or_etcds_own(), |member| member.peer_urls))
    }

    /// What the registry knows of a member, present or removed.
    pub async fn registered(&self, id: MemberId) -> Result<Option<Member>, RegistryError> {
        let path = format!("/v1/clusters/{}/members?removed=true", self.node.cluster.token.as_str());
        let Members { members } = self.registry.get(&path).await?;
        let key = MemberKey::from(id);
        Ok(members.into_iter().map(|member| member.value).find(|member| member.id == key))
    }

    async fn check_in(&self, state: &State, wishes: Wishes, view: Option<&View>) -> Result<Told, RegistryError> {
        let peer_urls = self.peer_urls(state).await?;
        self.sequence.set(self.sequence.get() + 1);
        let report = Report {
            name: &self.node.name,
            run_id: &self.run,
            sequence: self.sequence.get(),
            peer_urls: &peer_urls,
            client_urls: &self.node.client_urls,
            state,
            view,
            leaving: wishes.leaving,
            once: wishes.once,
            strategy: wishes.strategy,
            size: wishes.size,
        };
        let asked = Instant::now();
        let instruction = self.registry.check_in(&self.node.cluster, &report, wishes.dry_run).await?;
        self.revision.set(instruction.revision);
        if let Task::Observe { client_urls, peer_urls } = &instruction.task {
            self.remember_places(client_urls, peer_urls);
        }
        Ok(Told { instruction, asked })
    }

    fn remember_places(&self, client_urls: &[ClientUrl], peer_urls: &[PeerUrl]) {
        let mut client_urls: BTreeSet<ClientUrl> = client_urls.iter().cloned().collect();
        if client_urls.is_empty() {
            client_urls.extend(self.node.guessed_endpoints(peer_urls));
        }
        *self.places.borrow_mut() = Places { client_urls, peer_urls: peer_urls.to_vec() };
    }
}
