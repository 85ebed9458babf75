mod administrator;

use std::collections::BTreeMap;

use convene_lifecycle::{
    Action, Cluster, ClusterSize, Discovery, Identity, Instruction, Liveness, MemberKey, NodeState, PeerUrl, Plan,
    Registration, Report, Revision, RunId, Strategy, Task, Transition, UnixMillis, View, plan,
};

use crate::{etcd::Etcd, words::Words};

/// A cluster, its nodes and the registry, for one scenario. Nodes are made when they are first named; node `a` has the
/// peer URL `http://a:2380`.
///
/// Every check-in, whatever the scenario asks of it, is made twice: the second one has to get the same answer and
/// change nothing.
pub struct World {
    pub cluster: Cluster,
    liveness: Liveness,
    now: UnixMillis,
    pub etcd: Option<Etcd>,
    nodes: BTreeMap<String, Node>,
    words: Words,
    last: Option<Instruction>,
}

/// A machine that runs or wants to run a member.
pub struct Node {
    /// What the scenario calls it.
    pub machine: String,
    /// What it calls itself.
    pub name: String,
    pub peer_urls: Vec<PeerUrl>,
    run: u32,
    /// The number of its check-in.
    sequence: u64,
    pub data: Data,
    pub running: bool,
    /// Whether others can't reach it.
    pub hidden: bool,
    /// Whether it can't reach others.
    pub blind: bool,
    leaving: bool,
    once: bool,
    own_strategy: Option<Strategy>,
    own_size: Option<ClusterSize>,
    view: Option<View>,
    told: Option<Instruction>,
}

/// What a node's data directory holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Data {
    Nothing,
    /// No WAL, but a database that a member has used.
    LeftOvers,
    Unreadable,
    Of(Identity),
}

impl World {
    /// A new cluster that nobody has checked in for.
    pub fn new(size: u32) -> Self {
        let now = UnixMillis(1_800_000_000_000);
        let token = "6c007a14875d53d9bf0ef5a6fc0257c8".parse().unwrap();
        let created = Cluster::create(token, ClusterSize::new(size).unwrap(), Action::Create, now);
        Self {
            cluster: created.after.unwrap(),
            // The server has listened for long, so that silence means something.
            liveness: Liveness::new(UnixMillis(now.0 - 3_600_000)),
            now,
            etcd: None,
            nodes: BTreeMap::new(),
            words: Words::default(),
            last: None,
        }
    }

    /// A cluster that these nodes have formed by check-in, and that runs on all of them.
    pub fn running(names: &str) -> Self {
        let mut world = Self::formed(names);
        for _ in 0..2 {
            world.check_ins(names);
        }
        world
    }

    /// A cluster that these nodes have formed by check-in; their etcds have just been started.
    pub fn formed(names: &str) -> Self {
        let mut world = Self::new(names.split(' ').count() as u32);
        world.check_ins(names);
        for name in names.split(' ') {
            world.check_in(name);
            world.obey(name);
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

    /// A cluster that runs on these nodes, and of which the registry has never heard.
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

    /// Somebody deletes a member's key through v2 discovery.
    pub fn v2_deletes(&mut self, name: &str) -> &mut Self {
        let transition = self.cluster.remove(&self.words.key(name), Discovery::V2, Action::Delete, self.now).unwrap();
        self.apply(Some(transition))
    }

    /// A node checks in without having looked, and gets this answer.
    #[track_caller]
    pub fn ask(&mut self, name: &str, expected: &str) -> &mut Self {
        self.node(name).view = None;
        self.expect(name, expected)
    }

    /// A node looks at the cluster, checks in and gets this answer.
    #[track_caller]
    pub fn look(&mut self, name: &str, expected: &str) -> &mut Self {
        self.glance(name).expect(name, expected)
    }

    /// A node checks in with the look that it had before, and gets this answer.
    #[track_caller]
    pub fn report(&mut self, name: &str, expected: &str) -> &mut Self {
        self.expect(name, expected)
    }

    /// A node's next check-ins carry this number.
    pub fn numbered(&mut self, name: &str, sequence: u64) -> &mut Self {
        self.node(name).sequence = sequence;
        self
    }

    /// A node looks at the cluster, checks in, gets this answer and does what it is told.
    #[track_caller]
    pub fn step(&mut self, name: &str, expected: &str) -> &mut Self {
        self.look(name, expected).obey(name)
    }

    /// A node looks, sees something else than is there, and gets this answer.
    #[track_caller]
    pub fn look_wrong(&mut self, name: &str, wrong: impl FnOnce(&mut View), expected: &str) -> &mut Self {
        self.glance(name);
        wrong(self.node(name).view.as_mut().unwrap());
        self.expect(name, expected)
    }

    /// A node looks at the cluster, and keeps what it saw.
    pub fn glance(&mut self, name: &str) -> &mut Self {
        self.node(name);
        let (observer, since) = (&self.nodes[name], self.cluster.revision);
        let view = match &self.etcd {
            Some(etcd) => etcd.seen_by(observer, &self.nodes, since),
            None => View { since, cluster: None, linearizable: false, leader: None, members: Vec::new() },
        };
        self.node(name).view = Some(view);
        self
    }

    /// A node does what it was told last.
    pub fn obey(&mut self, name: &str) -> &mut Self {
        let told = self.nodes[name].told.clone().expect("the node has asked");
        let node = self.nodes.get_mut(name).unwrap();
        Etcd::obey(&mut self.etcd, node, &told.task, &mut self.words);
        self
    }

    /// These nodes look and check in, whatever they are told.
    pub fn check_ins(&mut self, names: &str) -> &mut Self {
        for name in names.split(' ') {
            self.glance(name).check_in(name);
        }
        self
    }

    /// Time passes in which these nodes look and check in every five seconds, whatever they are told.
    pub fn watch(&mut self, seconds: i64, names: &str) -> &mut Self {
        for _ in 0..seconds / 5 {
            self.pass(5).check_ins(names);
        }
        self
    }

    /// Time passes without a word from anybody; if it is negative, then the clock jumps back.
    pub fn pass(&mut self, seconds: i64) -> &mut Self {
        self.now.0 += seconds * 1_000;
        self
    }

    /// A node's etcd and client die.
    pub fn dies(&mut self, names: &str) -> &mut Self {
        for name in names.split(' ') {
            self.node(name).running = false;
        }
        self
    }

    /// Nodes die, and these others see them down for so long that they count as dead.
    pub fn are_dead_to(&mut self, names: &str, watchers: &str) -> &mut Self {
        self.dies(names).watch(60, watchers).pass(5)
    }

    /// A node's client starts again, and etcd does not run yet.
    pub fn returns(&mut self, name: &str) -> &mut Self {
        let node = self.node(name);
        node.running = false;
        node.run += 1;
        self
    }

    /// A node returns without its data.
    pub fn returns_empty(&mut self, name: &str) -> &mut Self {
        self.node(name).data = Data::Nothing;
        self.returns(name)
    }

    /// A node returns with other data.
    pub fn returns_with(&mut self, name: &str, data: Data) -> &mut Self {
        self.node(name).data = data;
        self.returns(name)
    }

    /// A node has other data now, and its client goes on.
    pub fn has(&mut self, name: &str, data: Data) -> &mut Self {
        self.node(name).data = data;
        self
    }

    /// A node has another peer URL from now on.
    pub fn moves(&mut self, name: &str, host: &str) -> &mut Self {
        self.node(name).peer_urls = peer_urls(host);
        self
    }

    /// Whatever a node is told, its etcd runs now.
    pub fn runs(&mut self, names: &str) -> &mut Self {
        for name in names.split(' ') {
            self.node(name).running = true;
        }
        self
    }

    /// Others can't reach a node any more.
    pub fn hide(&mut self, names: &str) -> &mut Self {
        self.set(names, |node| node.hidden = true)
    }

    /// Nodes can't reach others, nor others them.
    pub fn cut_off(&mut self, names: &str) -> &mut Self {
        self.set(names, |node| (node.hidden, node.blind) = (true, true))
    }

    /// The network is whole again.
    pub fn heal(&mut self, names: &str) -> &mut Self {
        self.set(names, |node| (node.hidden, node.blind) = (false, false))
    }

    /// A node wants to leave from now on.
    pub fn wants_to_leave(&mut self, name: &str) -> &mut Self {
        self.set(name, |node| node.leaving = true)
    }

    /// A node does not want to leave any more.
    pub fn wants_to_stay(&mut self, name: &str) -> &mut Self {
        self.set(name, |node| node.leaving = false)
    }

    /// A node would rather be refused than wait.
    pub fn once(&mut self, name: &str) -> &mut Self {
        self.set(name, |node| node.once = true)
    }

    /// A node's own joining follows this strategy.
    pub fn joins_by(&mut self, names: &str, strategy: Strategy) -> &mut Self {
        self.set(names, |node| node.own_strategy = Some(strategy))
    }

    /// Nodes want to join a cluster of this size.
    pub fn joins_for(&mut self, names: &str, size: u32) -> &mut Self {
        self.set(names, |node| node.own_size = ClusterSize::new(size))
    }

    fn set(&mut self, names: &str, edit: impl Fn(&mut Node)) -> &mut Self {
        for name in names.split(' ') {
            edit(self.node(name));
        }
        self
    }

    /// A member has applied the log this far.
    pub fn applied(&mut self, name: &str, index: Option<u64>) -> &mut Self {
        self.etcd.as_mut().unwrap().seat_of(name).applied = index;
        self
    }

    /// A member leads.
    pub fn leads(&mut self, name: &str) -> &mut Self {
        let etcd = self.etcd.as_mut().unwrap();
        etcd.leader = etcd.seat_of(name).id;
        self
    }

    /// The server starts again, and has forgotten who it heard of.
    pub fn server_restarts(&mut self) -> &mut Self {
        self.liveness = Liveness::new(self.now);
        self
    }

    /// The last answer's message says this.
    #[track_caller]
    pub fn saying(&mut self, part: &str) -> &mut Self {
        let message = &self.last.as_ref().unwrap().message;
        assert!(message.contains(part), "{message:?} does not say {part:?}");
        self
    }

    /// The last answer refuses, and its remedy says this.
    #[track_caller]
    pub fn advising(&mut self, part: &str) -> &mut Self {
        let Task::Refuse { remedy } = &self.last.as_ref().unwrap().task else { panic!("{:?}", self.last) };
        assert!(remedy.contains(part), "{remedy:?} does not say {part:?}");
        self
    }

    /// How many voters the cluster is to have.
    #[track_caller]
    pub fn size_is(&mut self, expected: u32) -> &mut Self {
        assert_eq!(self.cluster.size.get(), expected);
        self
    }

    /// A node looks and checks in, and an event tells of it like this.
    #[track_caller]
    pub fn happens(&mut self, name: &str, expected: &str) -> &mut Self {
        let told = self.glance(name).check_in(name);
        let mut events = told.change.iter().flat_map(|change| &change.events);
        assert!(events.any(|event| event.message == expected), "{:?}", told.change);
        self
    }

    /// The registry's present members, learners with a `~` before their name.
    #[track_caller]
    pub fn members(&mut self, expected: &str) -> &mut Self {
        assert_eq!(self.words.members(&self.cluster), expected);
        self
    }

    #[track_caller]
    fn expect(&mut self, name: &str, expected: &str) -> &mut Self {
        let before = self.cluster.clone();
        let told = self.check_in(name);
        let answer = self.words.answer(&told, &before, &self.nodes[name].peer_urls);
        assert_eq!(answer, expected, "to {name}: {}", told.instruction.message);
        self
    }

    #[track_caller]
    fn check_in(&mut self, name: &str) -> Plan {
        let report = self.report_of(name);
        let told = plan(&self.cluster, &self.liveness, &report, self.now);
        self.apply(told.change.clone());
        self.liveness.record_check_in(&self.cluster, &report, self.now);

        let again = plan(&self.cluster, &self.liveness, &report, self.now);
        assert_eq!(again.instruction, told.instruction, "{name} hears another thing when it asks again");
        assert_eq!(again.change, None, "a change is made when {name} asks again");

        self.last = Some(told.instruction.clone());
        self.node(name).told = Some(told.instruction.clone());
        told
    }

    fn report_of(&mut self, name: &str) -> Report {
        let node = self.node(name);
        let state = match node.data {
            Data::Nothing | Data::LeftOvers => NodeState::Empty,
            Data::Unreadable => NodeState::Unreadable { found: "torn.wal".into() },
            Data::Of(identity) if node.running => NodeState::Running(identity),
            Data::Of(identity) => NodeState::Stopped(identity),
        };
        Report {
            name: node.name.parse().unwrap(),
            run: format!("{}-{}", name.replace('@', "-"), node.run).parse::<RunId>().unwrap(),
            sequence: node.sequence,
            peer_urls: node.peer_urls.clone(),
            client_urls: Vec::new(),
            state,
            leftover: node.data == Data::LeftOvers,
            view: node.view.clone(),
            leaving: node.leaving,
            once: node.once,
            strategy: node.own_strategy,
            size: node.own_size,
        }
    }

    fn apply(&mut self, transition: Option<Transition>) -> &mut Self {
        let Some(Transition { after, events }) = transition else { return self };
        let revisions: Vec<Revision> = events.iter().map(|event| event.revision).collect();
        let first = self.cluster.revision.0 + 1;
        let expected: Vec<Revision> = (first..first + events.len() as u64).map(Revision).collect();
        assert_eq!(revisions, expected, "every event takes the next revision");
        self.cluster = after.expect("no scenario deletes its cluster");
        assert_eq!(Some(&self.cluster.revision), revisions.last());
        self.words.learn(&self.cluster);
        self
    }

    fn node(&mut self, name: &str) -> &mut Node {
        self.nodes.entry(name.to_owned()).or_insert_with(|| Node {
            machine: name.to_owned(),
            // `c@x` is a second machine that calls itself `c`, at `http://x:2380`.
            name: name.split('@').next().unwrap().to_owned(),
            peer_urls: peer_urls(name.split('@').next_back().unwrap()),
            run: 1,
            sequence: 0,
            data: Data::Nothing,
            running: false,
            hidden: false,
            blind: false,
            leaving: false,
            once: false,
            own_strategy: None,
            own_size: None,
            view: None,
            told: None,
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
