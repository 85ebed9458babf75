mod administrator;
mod expectations;
mod machines;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use convene_lifecycle::{
    Action, ClientUrl, Cluster, ClusterSize, DataEvidence, Discovery, DiskId, Epoch, EtcdStatus, EtcdVersion, Identity,
    Instruction, Liveness, MemberKey, MemberName, NodeCredential, NodeRefusal, NodeState, NodeStatus, PeerUrl, Plan,
    Registration, Report, Revision, RunId, SecretHash, StockWrites, Strategy, Task, Transition, UnixMillis, View, plan,
};

use crate::{etcd::Etcd, words::Words};

/// A cluster, its nodes and the registry, for one scenario. A node is created when it is first named. Node `a` has the
/// peer URL `http://a:2380`.
///
/// Every check-in is made twice. The second one must get the same answer and change nothing.
pub struct World {
    pub cluster: Cluster,
    liveness: Liveness,
    now: UnixMillis,
    pub etcd: Option<Etcd>,
    nodes: BTreeMap<String, Node>,
    words: Words,
    last: Option<Instruction>,
    /// Whether each node has a credential, which alone speaks for its name.
    has_credentials: bool,
}

/// A machine that runs, or wants to run, a member.
pub struct Node {
    /// Its name in the scenario.
    pub machine: String,
    /// Its own name, etcd's `--name`.
    pub name: String,
    pub peer_urls: Vec<PeerUrl>,
    /// The client URLs that it reports.
    client_urls: Vec<ClientUrl>,
    run: u32,
    /// The number of its check-in.
    sequence: u64,
    pub data: Data,
    /// What its data shows beyond its identity.
    evidence: DataEvidence,
    pub running: bool,
    /// Whether its etcd is loading its data and does not answer yet.
    loading: bool,
    /// Whether others can't reach it.
    pub hidden: bool,
    /// Whether it can't reach others.
    pub blind: bool,
    /// The machines that it can't reach.
    pub cut_from: BTreeSet<String>,
    /// Whether nobody reaches its peer URLs. Its client URLs can be reached.
    pub behind_nat: bool,
    /// Whether the leader has not probed its peer URLs yet.
    pub unprobed: bool,
    /// Whether other members answer at its peer URLs.
    pub misleads: bool,
    /// Whether its agent tells whom it reaches.
    has_agent: bool,
    pub etcd_version: Option<EtcdVersion>,
    /// The disk that it reports. `None` if its client reports none.
    disk: Option<DiskId>,
    leaving: bool,
    /// The instruction that it refused, as `task: what it saw`.
    refusal: Option<NodeRefusal>,
    accept_reset: Option<Epoch>,
    once: bool,
    own_strategy: Option<Strategy>,
    own_size: Option<ClusterSize>,
    view: Option<View>,
    instruction: Option<Instruction>,
}

/// The contents of a node's data directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Data {
    Nothing,
    /// No WAL, but a database that a member has used.
    Leftover,
    Unreadable,
    Of(Identity),
}

impl World {
    /// Each node has a credential of its own from now on.
    pub fn with_credentials(mut self) -> Self {
        self.has_credentials = true;
        for name in self.nodes.values().map(|node| node.name.parse().unwrap()).collect::<Vec<MemberName>>() {
            self.bind_credential(&name);
        }
        self
    }

    /// A new cluster without any node.
    pub fn new(size: u32) -> Self {
        let now = UnixMillis(1_800_000_000_000);
        let token = "6c007a14875d53d9bf0ef5a6fc0257c8".parse().unwrap();
        let created = Cluster::create(token, ClusterSize::new(size).unwrap(), Action::Create, now);
        Self {
            cluster: created.after.unwrap(),
            // The server has run for long, so silence counts.
            liveness: Liveness::new(UnixMillis(now.0 - 3_600_000)),
            now,
            etcd: None,
            nodes: BTreeMap::new(),
            words: Words::default(),
            last: None,
            has_credentials: false,
        }
    }

    /// A cluster that these nodes have formed by check-in. All of them run.
    pub fn running(names: &str) -> Self {
        let mut world = Self::formed(names);
        for _ in 0..2 {
            world.check_ins(names);
        }
        world
    }

    /// A cluster that these nodes have formed by check-in. Their etcds have just started.
    pub fn formed(names: &str) -> Self {
        let mut world = Self::new(names.split(' ').count() as u32);
        world.check_ins(names);
        for name in names.split(' ') {
            world.check_in(name);
            world.execute(name);
        }
        world
    }

    /// A cluster that stock etcds have formed by v2 discovery.
    pub fn formed_by_v2(names: &str) -> Self {
        let mut world = Self::found_running(names);
        for (at, name) in names.split(' ').enumerate() {
            let key = MemberKey::from(world.etcd.as_ref().unwrap().seats[at].id);
            world.v2_registers(&key, name);
        }
        world
    }

    /// A cluster that runs on these nodes, and that the registry does not know.
    pub fn found_running(names: &str) -> Self {
        let mut world = Self::new(names.split(' ').count() as u32);
        for name in names.split(' ') {
            world.node(name);
        }
        let mut etcd = Etcd::elsewhere(world.nodes.values());
        for seat in &mut etcd.seats {
            let node = world.nodes.get_mut(&seat.node).unwrap();
            node.data = Data::Of(Identity { member: seat.id, cluster: etcd.id });
            node.running = true;
            seat.name = Some(node.name.parse().unwrap());
            world.words.name(seat.id.into(), &seat.node);
        }
        world.etcd = Some(etcd);
        world
    }

    /// A stock etcd registers through v2 discovery.
    pub fn v2_registers(&mut self, key: &MemberKey, name: &str) -> &mut Self {
        self.registers_by(Discovery::V2, key, name)
    }

    /// A stock etcd registers.
    pub fn registers_by(&mut self, by: Discovery, key: &MemberKey, name: &str) -> &mut Self {
        let registration = Registration::parse(&format!("{name}=http://{name}:2380")).unwrap();
        let transition = self.cluster.register(key.clone(), registration, by, Action::Create, self.now).unwrap();
        self.apply(Some(transition))
    }

    /// A member's key is deleted through v2 discovery.
    pub fn v2_deletes(&mut self, name: &str) -> &mut Self {
        let transition = self.cluster.remove(&self.words.key(name), Discovery::V2, Action::Delete, self.now).unwrap();
        self.apply(Some(transition))
    }

    /// A node checks in without a view, and gets this answer.
    #[track_caller]
    pub fn ask(&mut self, name: &str, expected: &str) -> &mut Self {
        self.node(name).view = None;
        self.expect(name, expected)
    }

    /// A node observes the cluster, checks in and gets this answer.
    #[track_caller]
    pub fn observe(&mut self, name: &str, expected: &str) -> &mut Self {
        self.take_view(name).expect(name, expected)
    }

    /// A node checks in with its last view, and gets this answer.
    #[track_caller]
    pub fn report(&mut self, name: &str, expected: &str) -> &mut Self {
        self.expect(name, expected)
    }

    /// The node's next check-ins have this number.
    pub fn numbered(&mut self, name: &str, sequence: u64) -> &mut Self {
        self.node(name).sequence = sequence;
        self
    }

    /// A node is not admitted, because it has the data of another node's member.
    #[track_caller]
    pub fn turned_away(&mut self, name: &str) -> &mut Self {
        let report = self.report_of(name);
        let member = self.liveness.member_of_another_node(&self.cluster, &report.name, report.identity());
        assert!(member.is_some(), "{name} is admitted");
        self
    }

    /// A node observes the cluster, checks in, gets this answer and executes it.
    #[track_caller]
    pub fn step(&mut self, name: &str, expected: &str) -> &mut Self {
        self.observe(name, expected).execute(name)
    }

    /// A node observes the cluster, checks in with a changed view, and gets this answer.
    #[track_caller]
    pub fn observe_wrongly(&mut self, name: &str, wrong: impl FnOnce(&mut View), expected: &str) -> &mut Self {
        self.take_view(name);
        wrong(self.node(name).view.as_mut().unwrap());
        self.expect(name, expected)
    }

    /// All nodes restore their data from one snapshot (`etcdutl snapshot restore`), which makes a new cluster of them.
    pub fn restore_snapshot(&mut self) -> &mut Self {
        let mut etcd = Etcd::elsewhere(self.nodes.values());
        for seat in &mut etcd.seats {
            let node = self.nodes.get_mut(&seat.node).unwrap();
            node.data = Data::Of(Identity { member: seat.id, cluster: etcd.id });
            (node.running, node.run) = (false, node.run + 1);
            seat.name = Some(node.name.parse().unwrap());
            self.words.name(seat.id.into(), &seat.node);
        }
        self.etcd = Some(etcd);
        self
    }

    /// The policy allows stock writes, and somebody who knows the token writes another member's name and peer URL under a member's key, through v2 discovery.
    pub fn v2_writes(&mut self, member: &str, name: &str) -> &mut Self {
        let (key, by) = (self.words.key(member), Discovery::V2);
        let registration = Registration::parse(&format!("{name}=http://{name}:2380")).unwrap();
        self.cluster.policy.stock_writes = StockWrites::Allow;
        let transition = self.cluster.register(key, registration, by, Action::Set, self.now).unwrap();
        self.apply(Some(transition))
    }

    /// A node observes the cluster, and keeps the view.
    pub fn take_view(&mut self, name: &str) -> &mut Self {
        self.node(name);
        let (observer, since) = (&self.nodes[name], self.cluster.revision);
        if let Some(etcd) = &mut self.etcd {
            etcd.elect_if_leaderless(&self.nodes);
        }
        let view = match &self.etcd {
            Some(etcd) => etcd.seen_by(observer, &self.nodes, since),
            None => View { since, cluster: None, linearizable: false, leader: None, term: None, members: Vec::new() },
        };
        self.node(name).view = Some(view);
        self
    }

    /// A node observes the cluster, checks in and executes the answer.
    pub fn check_in_and_execute(&mut self, name: &str) -> &mut Self {
        self.check_ins(name).execute(name)
    }

    /// A node executes its last instruction.
    pub fn execute(&mut self, name: &str) -> &mut Self {
        let instruction = self.nodes[name].instruction.clone().expect("the node has checked in");
        let node = self.nodes.get_mut(name).unwrap();
        Etcd::execute(&mut self.etcd, node, &instruction.task, &mut self.words);
        self
    }

    /// These nodes observe the cluster and check in. They ignore the answers.
    pub fn check_ins(&mut self, names: &str) -> &mut Self {
        for name in names.split(' ') {
            self.take_view(name).check_in(name);
        }
        self
    }

    /// These nodes check in without a view. They ignore the answers.
    pub fn checks_in(&mut self, names: &str) -> &mut Self {
        for name in names.split(' ') {
            self.node(name).view = None;
            self.check_in(name);
        }
        self
    }

    /// Time passes. These nodes observe the cluster and check in every five seconds. They ignore the answers.
    pub fn watch(&mut self, seconds: i64, names: &str) -> &mut Self {
        for _ in 0..seconds / 5 {
            self.pass(5).check_ins(names);
        }
        self
    }

    /// Time passes without any check-in. If it is negative, the clock jumps back.
    pub fn pass(&mut self, seconds: i64) -> &mut Self {
        self.now.0 += seconds * 1_000;
        if let (Some(etcd), Ok(seconds)) = (&mut self.etcd, u64::try_from(seconds)) {
            etcd.pass(&self.nodes, seconds);
        }
        self
    }

    /// A node executes its last instruction, except that its etcd ends when it starts.
    pub fn execute_unless_it_starts(&mut self, name: &str) -> &mut Self {
        let starts = |task: &Task| matches!(task, Task::Start(_) | Task::Join(_));
        match self.nodes[name].instruction.as_ref().is_some_and(|instruction| starts(&instruction.task)) {
            true => self,
            false => self.execute(name),
        }
    }

    /// Every two seconds, `trouble` happens, and these nodes do at once whatever is due for them, until the cluster has these
    /// members and all of them answer. That takes no longer than `limit` seconds.
    #[track_caller]
    pub fn heals(&mut self, limit: i64, names: &str, trouble: impl Fn(&mut Self), whole: &str) -> &mut Self {
        let begin = self.now;
        let mut due: BTreeMap<&str, UnixMillis> = BTreeMap::new();
        while self.words.members(&self.cluster) != whole || !self.all_answer() {
            let seconds = begin.age(self.now).as_secs();
            assert!(seconds < limit as u64, "after {seconds} s: {}", self.words.members(&self.cluster));
            self.pass(2);
            trouble(self);
            for name in names.split(' ') {
                let is_due = due.get(name).is_none_or(|due| *due <= self.now);
                if is_due {
                    let after = self.cooperates(name);
                    due.insert(name, self.now.after(after));
                }
            }
        }
        self
    }

    /// A node does what it is instructed until it has to wait. Returns for how long.
    fn cooperates(&mut self, name: &str) -> Duration {
        for _ in 0..10 {
            self.take_view(name).check_in(name);
            self.execute(name);
            let Instruction { task, check_in_after, .. } = self.last.clone().unwrap();
            let starts_etcd = matches!(task, Task::Start(_) | Task::Join(_));
            if !starts_etcd && !check_in_after.is_zero() {
                return check_in_after;
            }
        }
        panic!("{name} never waits: {:?}", self.last);
    }

    /// Whether every member in etcd's list answers.
    fn all_answer(&self) -> bool {
        self.etcd.as_ref().is_some_and(|etcd| etcd.seats.iter().all(|seat| self.nodes[&seat.node].running))
    }

    /// The registry's database is replaced by an older copy.
    pub fn registry_goes_back_to(&mut self, copy: Cluster) -> &mut Self {
        self.cluster = copy;
        self.liveness = Liveness::new(self.now);
        self
    }

    /// The registry's server notices that its database is an older copy.
    pub fn holds_after_going_back(&mut self) -> &mut Self {
        let transition = self.cluster.hold_after_going_back(self.now);
        self.apply(transition)
    }

    /// All members are restored from one snapshot as a new etcd cluster, and run.
    pub fn etcd_is_restored(&mut self, names: &str) -> &mut Self {
        let nodes = names.split(' ').map(|name| &self.nodes[name]);
        let mut etcd = Etcd::elsewhere(nodes);
        for seat in &mut etcd.seats {
            let node = self.nodes.get_mut(&seat.node).unwrap();
            node.data = Data::Of(Identity { member: seat.id, cluster: etcd.id });
            node.running = true;
            seat.name = Some(node.name.parse().unwrap());
            self.words.name(seat.id.into(), &seat.node);
        }
        self.etcd = Some(etcd);
        self
    }

    /// The server starts again without any liveness.
    pub fn server_restarts(&mut self) -> &mut Self {
        self.liveness = Liveness::new(self.now);
        self
    }

    #[track_caller]
    fn expect(&mut self, name: &str, expected: &str) -> &mut Self {
        let before = self.cluster.clone();
        let planned = self.check_in(name);
        let answer = self.words.answer(&planned, &before, &self.nodes[name].peer_urls);
        assert_eq!(answer, expected, "to {name}: {}", planned.instruction.message);
        self
    }

    #[track_caller]
    fn check_in(&mut self, name: &str) -> Plan {
        let report = self.report_of(name);
        if self.has_credentials {
            self.bind_credential(&report.name);
        }
        let planned = plan(&self.cluster, &self.liveness, &report, self.now);
        self.apply(planned.change.clone());
        self.liveness.record_check_in(&self.cluster, &report, self.now);
        self.liveness.record_instruction(&self.cluster, &report, &planned.instruction);

        let Instruction { task, reason, .. } = &planned.instruction;
        assert!(reason.tasks().contains(&task.as_str()), "{reason} does not list {}", task.as_str());
        let again = plan(&self.cluster, &self.liveness, &report, self.now);
        assert_eq!(again.instruction, planned.instruction, "{name} gets another answer when it checks in again");
        assert_eq!(again.change, None, "{name} changes something when it checks in again");

        self.last = Some(planned.instruction.clone());
        self.node(name).instruction = Some(planned.instruction.clone());
        planned
    }

    /// An administrator revokes a node's credential.
    pub fn revoke_credential(&mut self, name: &str) -> &mut Self {
        let transition = self.cluster.revoke_credential(&name.parse().unwrap(), self.now).unwrap();
        self.apply(transition)
    }

    /// The node's name is bound to a credential, if it is not yet.
    fn bind_credential(&mut self, name: &MemberName) {
        let hash = SecretHash::new([7; 32]);
        let (created_at, modified) = (self.now, self.cluster.revision);
        let bound = NodeCredential {
            id: "node-7".into(),
            hash,
            next: None,
            created_at,
            renewed_at: None,
            revoked_at: None,
            modified,
        };
        Arc::make_mut(&mut self.cluster.admission).credentials.entry(name.clone()).or_insert(bound);
    }

    fn report_of(&mut self, name: &str) -> Report {
        let status = self.status_of(name);
        let node = self.node(name);
        let state = match node.data {
            Data::Nothing | Data::Leftover => NodeState::Empty,
            Data::Unreadable => NodeState::Unreadable { found: "torn.wal".into() },
            Data::Of(identity) if node.running => NodeState::Running(identity),
            Data::Of(identity) if node.loading => NodeState::Starting(identity),
            Data::Of(identity) => NodeState::Stopped(identity),
        };
        Report {
            name: node.name.parse().unwrap(),
            run: format!("{}-{}", name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"), node.run)
                .parse::<RunId>()
                .unwrap(),
            sequence: node.sequence,
            peer_urls: node.peer_urls.clone(),
            client_urls: node.client_urls.clone(),
            state,
            leftover: node.data == Data::Leftover,
            disk: node.disk.clone(),
            data: node.evidence,
            etcd_version: node.etcd_version,
            refusal: node.refusal.clone(),
            view: node.view.clone(),
            status,
            leaving: node.leaving,
            accept_reset: node.accept_reset,
            once: node.once,
            strategy: node.own_strategy,
            size: node.own_size,
        }
    }

    fn status_of(&self, name: &str) -> Option<Arc<NodeStatus>> {
        let node = self.nodes.get(name).filter(|node| node.has_agent && node.running)?;
        let reachability = self.etcd.iter().flat_map(|etcd| etcd.reached_by(node, &self.nodes)).collect();
        let seat = self.etcd.iter().flat_map(|etcd| &etcd.seats).find(|seat| seat.node == node.machine);
        let etcd = EtcdStatus {
            version: seat.map(|_| "3.6.5".to_owned()),
            leader: self.etcd.as_ref().and_then(|etcd| etcd.seen_by(node, &self.nodes, Revision(0)).leader),
            raft_applied_index: seat.and_then(|seat| seat.applied),
            ..EtcdStatus::default()
        };
        Some(Arc::new(NodeStatus { etcd: Some(etcd), reachability }))
    }

    fn apply(&mut self, transition: Option<Transition>) -> &mut Self {
        let Some(Transition { after, events }) = transition else { return self };
        let revisions: Vec<Revision> = events.iter().map(|event| event.revision).collect();
        let first = self.cluster.revision.0 + 1;
        let expected: Vec<Revision> = (first..first + events.len() as u64).map(Revision).collect();
        assert_eq!(revisions, expected, "every event takes the next revision");
        self.cluster = after.expect("no scenario deletes its cluster");
        assert_eq!(Some(&self.cluster.revision), revisions.last());
        self.words.name_members(&self.cluster);
        self
    }

    fn node(&mut self, name: &str) -> &mut Node {
        self.nodes.entry(name.to_owned()).or_insert_with(|| Node {
            machine: name.to_owned(),
            // `c@x` is a second machine that calls itself `c`, at `http://x:2380`.
            name: name.split('@').next().unwrap().to_owned(),
            peer_urls: peer_urls(name.split('@').next_back().unwrap()),
            client_urls: Vec::new(),
            run: 1,
            sequence: 0,
            data: Data::Nothing,
            evidence: DataEvidence::default(),
            running: false,
            loading: false,
            hidden: false,
            blind: false,
            cut_from: BTreeSet::new(),
            behind_nat: false,
            unprobed: false,
            misleads: false,
            has_agent: false,
            etcd_version: None,
            disk: None,
            leaving: false,
            refusal: None,
            accept_reset: None,
            once: false,
            own_strategy: None,
            own_size: None,
            view: None,
            instruction: None,
        })
    }

    /// The data that a node has now.
    pub fn data(&self, name: &str) -> Data {
        self.nodes[name].data
    }
}

fn peer_urls(host: &str) -> Vec<PeerUrl> {
    vec![PeerUrl::parse(&format!("http://{host}:2380")).unwrap()]
}
