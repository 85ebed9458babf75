use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    time::Duration,
};

use convene_lifecycle::{
    ClientUrl, ClusterId, EtcdVersion, Identity, MemberId, MemberKey, NodeStatus, PeerUrl, Strategy,
};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::{
    boot_clock::BootInstant,
    cli::{LogFormat, NodeArgs},
    command_error::CommandError,
    connections::{Connections, Failures},
    credential::Credentials,
    data_dir::{Contents, KnownMember},
    node::{Node, registry_access},
    observe::{Addresses, observe},
    own_reason::OwnReason,
    progress::Progress,
    recent_views::RecentViews,
    registry::{Instruction, Member, Members, Refusal, Registry, RegistryError, Report, Request, State, Task, View},
};

/// A node does not start etcd on an instruction that is older than this. The registry may consider a node dead that
/// has not checked in for five seconds.
const MAX_RESPONSE_AGE: Duration = Duration::from_secs(4);

/// The time until the next attempt, unless the registry asks for another.
pub const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The reason with which a node logs that another etcd cluster answers where it has seen its own one.
const FOREIGN_CLUSTER: &str = "foreign_cluster";

/// One run of this client for one node. It numbers the check-ins and remembers the last instruction's revision and
/// addresses.
pub struct Session {
    /// The node.
    pub node: Node,
    /// The registry that the node checks in with.
    pub registry: Registry,
    /// Connections to the members' client and peer ports.
    pub connections: Connections,
    credentials: Credentials,
    /// The progress log.
    pub progress: Progress,
    run_id: RefCell<String>,
    /// As which member the etcd of this run has answered.
    runs_as: Cell<Option<Identity>>,
    sequence: Cell<u64>,
    revision: Cell<u64>,
    addresses: RefCell<Addresses>,
    /// The peer URLs of the last report.
    reported_peer_urls: RefCell<Vec<PeerUrl>>,
    view: RefCell<Option<View>>,
    recent_views: RefCell<RecentViews>,
    /// The etcd cluster that this node saw when it last observed it. `None` if no member answered then.
    seen: RefCell<Option<Addresses>>,
    /// Whether this node looks at the cluster before it checks in: it stands by, or its last check-in has failed.
    looks_first: Cell<bool>,
    /// The refusal to report in the next check-in.
    refusal: RefCell<Option<Refusal>>,
    /// What else each check-in reports about the node.
    status: RefCell<NodeStatus>,
}

/// What a node asks for in a check-in, in addition to the report of its state.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckInOptions {
    /// The node wants to leave the cluster.
    pub leaving: bool,
    /// `--once`: refuse the node instead of letting it wait as a spare.
    pub once: bool,
    /// `--join-strategy`.
    pub strategy: Option<Strategy>,
    /// `--cluster-size`.
    pub size: Option<u32>,
    /// `--accept-reset`.
    pub accept_reset: Option<u32>,
    /// `--etcd-version`.
    pub etcd_version: Option<EtcdVersion>,
    /// `--dry-run`: the check-in changes nothing in the registry.
    pub dry_run: bool,
    /// How long the registry may hold its response if there is nothing to do.
    pub wait: Duration,
}

/// The registry's answer to a check-in.
#[derive(Clone, Debug)]
pub struct CheckInResponse {
    /// The instruction.
    pub instruction: Instruction,
    /// When the check-in was sent. Deadlines run from here, because the time of the answer is not known.
    pub sent_at: BootInstant,
    /// Whether the check-in was of `convene leave`.
    pub leaving: bool,
}

impl CheckInResponse {
    /// Whether the registry can't have declared this node dead in the meantime.
    pub fn is_fresh(&self) -> bool {
        self.sent_at.elapsed() < MAX_RESPONSE_AGE
    }
}

/// The ends of a session's connections, with what they need to be trusted.
struct Ends {
    node: Node,
    registry: Registry,
    connections: Connections,
    credentials: Credentials,
}

impl Ends {
    fn new(arguments: &NodeArgs) -> Result<Self, CommandError> {
        let node = Node::new(arguments)?;
        Ok(Self {
            registry: Registry::new(node.cluster.server.clone(), &registry_access(&arguments.discovery.tls)?)?,
            connections: Connections::new(node.access.clone(), &node.peer_tls, &arguments.access.listen_metrics_urls)?,
            credentials: Credentials::new(arguments, &node)?,
            node,
        })
    }
}

impl Session {
    /// A run that has not checked in yet.
    pub fn new(arguments: &NodeArgs, log_format: LogFormat) -> Result<Self, CommandError> {
        let Ends { node, registry, connections, credentials } = Ends::new(arguments)?;
        Ok(Self {
            node,
            registry,
            connections,
            credentials,
            progress: Progress::new(log_format, arguments.subject()),
            run_id: RefCell::new(new_run_id()),
            runs_as: Cell::new(None),
            sequence: Cell::new(0),
            revision: Cell::new(0),
            addresses: RefCell::default(),
            reported_peer_urls: RefCell::default(),
            view: RefCell::default(),
            recent_views: RefCell::default(),
            seen: RefCell::default(),
            looks_first: Cell::new(false),
            refusal: RefCell::default(),
            status: RefCell::default(),
        })
    }

    /// Begins another run: etcd has ended. The registry counts the starts of etcd by runs.
    pub fn begin_run(&self) {
        *self.run_id.borrow_mut() = new_run_id();
        self.sequence.set(0);
        self.runs_as.set(None);
    }

    /// Remembers as which member this node's etcd has answered, until [`begin_run`](Self::begin_run).
    pub fn note_member(&self, own: Identity) {
        self.runs_as.set(Some(own));
    }

    /// As which member the etcd has answered that this process looks after. That stays true for as long as that etcd runs, whatever
    /// is in the data directory now: a filesystem may have been mounted over it, and etcd has its files open.
    pub fn runs_as(&self) -> Option<Identity> {
        self.runs_as.get()
    }

    /// This node's own member: as which its etcd runs, or else that of its data.
    pub fn own_member(&self) -> Option<Identity> {
        self.runs_as.get().or_else(|| self.member_of_data())
    }

    /// The members of the cluster as this node's etcd has stored them; none if other data is in its place now.
    pub fn stored_members(&self) -> Vec<KnownMember> {
        let is_other = |own| self.member_of_data().is_some_and(|found| found != own);
        if self.runs_as.get().is_some_and(is_other) { Vec::new() } else { self.node.data.members() }
    }

    /// The member of the data that is in the data directory now. `None` if there is none, or if it can't be read.
    pub fn member_of_data(&self) -> Option<Identity> {
        match self.node.data.read() {
            Ok(Contents::Member(own)) => Some(own),
            _ => None,
        }
    }

    /// Reads certificates, keys and tokens again. If one can't be used, nothing changes.
    pub fn reload(&mut self, arguments: &NodeArgs) -> Result<(), CommandError> {
        let Ends { node, registry, connections, credentials } = Ends::new(arguments)?;
        (self.node, self.registry, self.connections, self.credentials) = (node, registry, connections, credentials);
        Ok(())
    }

    /// The addresses of the cluster, as of the last instruction to observe it.
    pub fn addresses(&self) -> Addresses {
        self.addresses.borrow().clone()
    }

    /// The ID of the etcd cluster that the node is asked to be part of, if the registry or this node's last view shows it.
    pub fn cluster_id(&self) -> Option<ClusterId> {
        let seen = || self.view.borrow().as_ref().and_then(|view| view.cluster_id);
        self.addresses.borrow().cluster_id.or_else(seen)
    }

    /// The error of a command whose `--timeout` has passed.
    pub fn timeout_error(&self) -> CommandError {
        let message = self.progress.timeout_message();
        match self.registry.is_lost() {
            true => CommandError::Unreachable(message),
            false => CommandError::TimedOut(message),
        }
    }

    /// What this node saw when it last observed the cluster.
    pub fn last_view(&self) -> Option<View> {
        self.view.borrow().clone()
    }

    /// The latest view that this node took through the quorum this long before a moment, or a few seconds earlier.
    pub fn view_before(&self, moment: BootInstant, by: Duration) -> Option<View> {
        self.recent_views.borrow().before(moment, by).cloned()
    }

    /// Logs that this node does not do what the registry has instructed, and why. The next check-in reports it.
    pub fn refuse(&self, instruction: &str, found: String) {
        let message = format!("this node does not execute {instruction}: {found}");
        self.progress.wait("wait", OwnReason::NodeRefused.as_str(), &message);
        *self.refusal.borrow_mut() = Some(Refusal { instruction: instruction.to_owned(), found });
    }

    /// Reports this about the node in each check-in from now on.
    pub fn show_status(&self, status: NodeStatus) {
        *self.status.borrow_mut() = status;
    }

    /// Reports no more whom this node has reached, because it does not look any more.
    pub fn forget_looks(&self) {
        self.status.borrow_mut().reachability.clear();
    }

    /// Whether the registry has forgotten a cluster that this node has seen in this run: it may have been lost. This node
    /// keeps checking in, because a registry that is created again has to learn of the cluster.
    pub fn is_forgotten(&self, state: &State, error: &RegistryError) -> bool {
        let has_evidence = has_data(state) || self.seen.borrow().is_some();
        matches!(error, RegistryError::UnknownCluster { .. }) && self.revision.get() > 0 && has_evidence
    }

    /// Checks in. If the registry is unreachable, logs that and returns `None`.
    pub async fn check_in_or_wait(
        &self,
        state: &State,
        options: CheckInOptions,
    ) -> Result<Option<CheckInResponse>, CommandError> {
        match self.check_in(state, options).await {
            Ok(response) => Ok(Some(response)),
            Err(error) if error.is_permanent() && (options.leaving || !self.is_forgotten(state, &error)) => {
                Err(error.into())
            }
            Err(error) => {
                self.progress.wait("wait", error.reason(), &error.to_string());
                Ok(None)
            }
        }
    }

    /// Checks in. If the instruction is to observe the cluster, observes it and checks in again with the view.
    pub async fn check_in(&self, state: &State, options: CheckInOptions) -> Result<CheckInResponse, RegistryError> {
        if let Some((view, failures)) = self.look_first(state).await {
            return self.report_view(state, options, view, failures).await;
        }
        let response = self.send_report(state, options, None).await?;
        if !matches!(response.instruction.task, Task::Observe { .. }) {
            return Ok(response);
        }
        let (view, failures) = self.observe().await;
        self.report_view(state, options, view, failures).await
    }

    async fn report_view(
        &self,
        state: &State,
        options: CheckInOptions,
        view: View,
        failures: Option<Failures>,
    ) -> Result<CheckInResponse, RegistryError> {
        // etcd's own list of client URLs is at least as good as the registry's.
        let listed = view.members.iter().flat_map(|member| member.client_urls.iter().cloned());
        self.addresses.borrow_mut().client_urls.extend(listed);
        self.remember_cluster(&view);
        self.recent_views.borrow_mut().add(&view, BootInstant::now());
        *self.view.borrow_mut() = Some(view.clone());
        let mut response = self.send_report(state, options, Some(&view)).await?;
        let are_of_interest = match &response.instruction.task {
            Task::Wait => true,
            Task::Start(_) => self.has_other_members(),
            _ => false,
        };
        if let Some(failures) = failures.filter(|_| are_of_interest) {
            response.instruction.message += &format!("; errors seen from this node: {failures}");
        }
        Ok(response)
    }

    /// Whether the registry knows members besides this node's own. If there are none, and etcd is stopped, nobody can answer.
    fn has_other_members(&self) -> bool {
        let own = self.node.peer_urls_or_default();
        self.addresses.borrow().peer_urls.iter().any(|url| !own.contains(url))
    }

    /// What this node sees of the cluster, to be reported before the registry asks for it.
    ///
    /// A registry that was lost and created again under its token does not know the cluster, and would found another one. So a
    /// node that has seen the cluster in this run shows it with its first check-in there. A node with data needs no view for
    /// that: its data is evidence. Another cluster that answers at the addresses now is none.
    async fn look_first(&self, state: &State) -> Option<(View, Option<Failures>)> {
        let known = self.seen.borrow().clone();
        let addresses = known.filter(|_| self.looks_first.get() && !has_data(state))?;
        let mut seen = observe(&self.connections, &addresses, self.revision.get()).await;
        if seen.0.cluster_id.is_none() {
            // This process may have been suspended in the meantime, so that all time limits had passed when it went on.
            seen = observe(&self.connections, &addresses, self.revision.get()).await;
        }
        let (view, failures) = seen;
        let (found, expected) = (view.cluster_id?, addresses.cluster_id?);
        if found != expected {
            let at = view.members.iter().flat_map(|member| &member.peer_urls);
            let at: Vec<String> = at.map(ToString::to_string).collect();
            let message = format!(
                "this node has seen etcd cluster {expected}, but now etcd cluster {found} answers at those addresses \
                 ({}). This node does not report the members of {found}",
                at.join(" ")
            );
            self.progress.wait("wait", FOREIGN_CLUSTER, &message);
            return None;
        }
        *self.addresses.borrow_mut() = addresses;
        Some((view, failures))
    }

    /// Remembers where this node has seen the etcd cluster. Another cluster may answer at the addresses of its members.
    fn remember_cluster(&self, view: &View) {
        let mut seen = self.seen.borrow_mut();
        let known = self.addresses.borrow().cluster_id.or(seen.as_ref().and_then(|seen| seen.cluster_id));
        if view.cluster_id.is_some() && known.is_some() && view.cluster_id != known {
            return;
        }
        *seen = view.cluster_id.map(|_| Addresses {
            cluster_id: view.cluster_id,
            client_urls: view.members.iter().flat_map(|member| member.client_urls.iter().cloned()).collect(),
            peer_urls: view.members.iter().flat_map(|member| member.peer_urls.iter().cloned()).collect(),
        });
    }

    /// Observes the cluster at the registry's addresses. If no member answers there, the view is that at the addresses which
    /// this node knows itself: a registry that was lost or restored may not know a running cluster.
    async fn observe(&self) -> (View, Option<Failures>) {
        let since = self.revision.get();
        let registered = self.addresses();
        let further = self.own_addresses().without(&registered);
        let (seen, seen_further) = tokio::join!(observe(&self.connections, &registered, since), async {
            match further.is_empty() {
                true => None,
                false => Some(observe(&self.connections, &further, since).await),
            }
        });
        match seen_further {
            Some(seen_further) if seen.0.cluster_id.is_none() && seen_further.0.cluster_id.is_some() => seen_further,
            _ => seen,
        }
    }

    /// The addresses that this node knows without the registry: its own, and those of the members in its database.
    pub fn own_addresses(&self) -> Addresses {
        let node = &self.node;
        let cluster_id = self.own_member().map(|own| own.cluster);
        let client_urls = node.client_urls.iter().cloned().collect();
        let mut addresses = Addresses { cluster_id, client_urls, peer_urls: node.peer_urls.clone() };
        if node.client_urls.is_empty() {
            addresses.client_urls.extend(node.guessed_client_urls(&node.peer_urls));
        }
        for member in self.stored_members() {
            addresses.client_urls.extend(member.client_urls);
            addresses.peer_urls.extend(member.peer_urls);
        }
        addresses
    }

    /// The peer URL of this node that this URL stands for, if it does: the same text, or another spelling of the same address.
    pub fn own_peer_url(&self, url: &PeerUrl) -> Option<PeerUrl> {
        let stands_for = |own: &&PeerUrl| *own == url || own.other_spelling().as_ref() == Some(url);
        self.reported_peer_urls.borrow().iter().find(stands_for).cloned()
    }

    /// What the registry knows of a member, present or removed.
    pub async fn registered(&self, id: MemberId) -> Result<Option<Member>, RegistryError> {
        let Members { members } = self.registry.members(&self.node.cluster).await?;
        let key = MemberKey::from(id);
        Ok(members.into_iter().map(|member| member.value).find(|member| member.id == key))
    }

    /// Announces that this node's member is away for a time, in which it does not count as dead.
    pub async fn announce_downtime(&self, member: MemberId, lasts: Duration) -> Result<(), RegistryError> {
        let path = format!("/v1/clusters/{}/members/{member}/downtime?by=node", self.node.cluster.token.as_str());
        let body = json!({ "for_seconds": lasts.as_secs() });
        let request = Request::new(Method::PUT, path).body(Some(&body)).show(self.credentials.shown()?);
        self.registry.send::<serde_json::Value>(request).await.map(drop)
    }

    async fn send_report(
        &self,
        state: &State,
        options: CheckInOptions,
        view: Option<&View>,
    ) -> Result<CheckInResponse, RegistryError> {
        let peer_urls = self.peer_urls(state).await?;
        self.reported_peer_urls.borrow_mut().clone_from(&peer_urls);
        self.sequence.set(self.sequence.get() + 1);
        let refusal = self.refusal.borrow().clone();
        let status = self.status.borrow().clone();
        let run_id = self.run_id.borrow().clone();
        let report = Report {
            name: &self.node.name,
            run_id: &run_id,
            sequence: self.sequence.get(),
            peer_urls: &peer_urls,
            client_urls: &self.node.client_urls,
            state,
            view,
            refusal: refusal.as_ref(),
            status: &status,
            etcd_version: options.etcd_version,
            accept_reset: options.accept_reset,
            leaving: options.leaving,
            once: options.once,
            strategy: options.strategy,
            size: options.size,
        };
        let sent_at = BootInstant::now();
        let send = async |shown| self.registry.check_in(&self.node.cluster, &report, options, shown).await;
        let answer = self.credentials.check_in(options.dry_run, send).await;
        if let Some(problem) = self.credentials.new_problem() {
            self.progress.step("warning", &problem);
        }
        self.looks_first.set(answer.as_ref().map_or(true, |answer| matches!(answer.task, Task::StandBy)));
        let instruction = answer?;
        self.revision.set(instruction.revision);
        if !options.dry_run {
            self.refusal.take();
        }
        if let Task::Observe { cluster_id, client_urls, peer_urls } = &instruction.task {
            self.remember_addresses(*cluster_id, client_urls, peer_urls);
        }
        Ok(CheckInResponse { instruction, sent_at, leaving: options.leaving })
    }

    /// The peer URLs to report. Without `--initial-advertise-peer-urls` a member keeps those that are registered: with
    /// etcd's default it would look as if it had moved.
    async fn peer_urls(&self, state: &State) -> Result<Vec<PeerUrl>, RegistryError> {
        let (State::Stopped { member_id, .. } | State::Starting { member_id, .. } | State::Running { member_id, .. }) =
            state
        else {
            return Ok(self.node.peer_urls_or_default());
        };
        if !self.node.peer_urls.is_empty() {
            return Ok(self.node.peer_urls.clone());
        }
        let registered = self.registered(*member_id).await?;
        Ok(registered.map_or_else(|| self.node.peer_urls_or_default(), |member| member.peer_urls))
    }

    fn remember_addresses(&self, cluster_id: Option<ClusterId>, client_urls: &[ClientUrl], peer_urls: &[PeerUrl]) {
        let mut client_urls: BTreeSet<ClientUrl> = client_urls.iter().cloned().collect();
        if client_urls.is_empty() {
            client_urls.extend(self.node.guessed_client_urls(peer_urls));
        }
        *self.addresses.borrow_mut() = Addresses { cluster_id, client_urls, peer_urls: peer_urls.to_vec() };
    }
}

fn new_run_id() -> String {
    Uuid::now_v7().simple().to_string()
}

fn has_data(state: &State) -> bool {
    matches!(state, State::Stopped { .. } | State::Starting { .. } | State::Running { .. })
}
