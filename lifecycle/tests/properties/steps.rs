use std::{sync::Arc, time::Duration};

use convene_lifecycle::{
    Action, Announcer, ClientUrl, Cluster, ClusterId, ClusterSize, DataEvidence, Discovery, Downtime, EtcdVersion,
    Identity, Member, MemberId, MemberKey, MemberRequest, NodeState, NodeStatus, ObservedMember, PeerUrl, PolicyChange,
    Reachability, Registration, Report, Revision, Settings, Transition, UnixMillis, View,
};
use proptest::{prelude::*, sample::Index};

/// One step of a history.
#[derive(Clone, Debug)]
pub enum Step {
    /// A node checks in.
    CheckIn(ReportSketch),
    /// A node checks in this many times, every ten seconds.
    CheckInRepeatedly(ReportSketch, u8),
    /// Time passes.
    Pass(i64),
    /// The clock is set.
    Clock(i64),
    /// The server starts again.
    Restart,
    /// An administrator or a discovery client changes the cluster.
    Administer(AdminRequest),
}

pub fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => sketch().prop_map(Step::CheckIn),
        4 => (sketch(), 2_u8..12).prop_map(|(sketch, times)| Step::CheckInRepeatedly(sketch, times)),
        5 => (0_i64..70_000).prop_map(Step::Pass),
        1 => any::<i64>().prop_map(Step::Pass),
        1 => prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0), Just(1_800_000_000_000)].prop_map(Step::Clock),
        1 => Just(Step::Restart),
        4 => admin_request().prop_map(Step::Administer),
    ]
}

/// A report without the details that depend on the cluster.
#[derive(Clone, Debug)]
pub struct ReportSketch {
    node: u8,
    /// The former host of another node, if this node runs there.
    host: Option<u8>,
    run: u8,
    state: State,
    leftover: bool,
    view: Option<ViewSketch>,
    /// Whether its agent reaches each member at its peer and its client URLs. `None` if it runs no agent.
    reaches: Option<Vec<(bool, bool)>>,
    leaving: bool,
    once: bool,
    strategy: Option<convene_lifecycle::Strategy>,
    size: Option<ClusterSize>,
    etcd_version: Option<EtcdVersion>,
}

/// The state of a data directory. The index selects a member of the record; the flag tells whether its cluster is this one.
#[derive(Clone, Debug)]
enum State {
    Empty,
    Unreadable,
    Stopped(Index, bool),
    Running(Index, bool),
}

/// A view: the record, with differences.
#[derive(Clone, Debug)]
struct ViewSketch {
    since: Option<u64>,
    cluster: Option<bool>,
    linearizable: bool,
    leader: Option<Index>,
    term: Option<u64>,
    seen: Vec<ObservedSketch>,
    /// A member at the node's own address: whether it is a learner, whether it has started, and its ID.
    added: Option<(bool, bool, u8)>,
}

#[derive(Clone, Debug)]
struct ObservedSketch {
    listed: bool,
    named: bool,
    flipped: bool,
    reachable: bool,
    applied: Option<u64>,
    received_bytes: Option<u64>,
    round_trips: Option<u64>,
    version: Option<EtcdVersion>,
}

fn sketch() -> impl Strategy<Value = ReportSketch> {
    let host = prop::option::weighted(0.1, 0_u8..6);
    let reaches = prop::collection::vec((prop::bool::weighted(0.7), prop::bool::weighted(0.7)), 6);
    let sees = (prop::option::weighted(0.8, view_sketch()), prop::option::weighted(0.3, reaches));
    let manner = (prop::bool::weighted(0.05), prop::bool::weighted(0.1), join_overrides());
    let state = (state(), prop::bool::weighted(0.1), version());
    (0_u8..6, host, 0_u8..3, state, sees, manner).prop_map(
        |(node, host, run, (state, leftover, etcd_version), (view, reaches), (leaving, once, (strategy, size)))| {
            ReportSketch {
                node,
                host,
                run,
                state,
                leftover,
                view,
                reaches,
                leaving,
                once,
                strategy,
                size,
                etcd_version,
            }
        },
    )
}

/// The join overrides of a node.
fn join_overrides() -> impl Strategy<Value = (Option<convene_lifecycle::Strategy>, Option<ClusterSize>)> {
    let strategy = prop::option::weighted(0.15, prop::sample::select(&convene_lifecycle::Strategy::ALL[..]));
    let size = prop::option::weighted(0.15, (1_u32..6).prop_map(|size| ClusterSize::new(size).unwrap()));
    (strategy, size)
}

fn state() -> impl Strategy<Value = State> {
    prop_oneof![
        10 => Just(State::Empty),
        1 => Just(State::Unreadable),
        3 => (any::<Index>(), prop::bool::weighted(0.9)).prop_map(|(at, ours)| State::Stopped(at, ours)),
        9 => (any::<Index>(), prop::bool::weighted(0.95)).prop_map(|(at, ours)| State::Running(at, ours)),
    ]
}

fn view_sketch() -> impl Strategy<Value = ViewSketch> {
    let since = prop_oneof![8 => Just(None), 1 => Just(Some(u64::MAX)), 1 => (0_u64..40).prop_map(Some)];
    let cluster = prop_oneof![12 => Just(Some(true)), 1 => Just(Some(false)), 1 => Just(None)];
    let leader = (prop::option::weighted(0.95, any::<Index>()), prop_oneof![9 => Just(Some(2)), 1 => Just(None)]);
    let added = prop::option::weighted(0.15, (any::<bool>(), any::<bool>(), any::<u8>()));
    let seen = prop::collection::vec(observed_sketch(), 6);
    (since, cluster, prop::bool::weighted(0.9), leader, seen, added).prop_map(
        |(since, cluster, linearizable, (leader, term), seen, added)| ViewSketch {
            since,
            cluster,
            linearizable,
            leader,
            term,
            seen,
            added,
        },
    )
}

fn observed_sketch() -> impl Strategy<Value = ObservedSketch> {
    let flag = prop::bool::weighted;
    let applied = prop_oneof![1 => Just(None), 4 => Just(Some(5_000)), 1 => any::<u64>().prop_map(Some)];
    // Most readings are equal, so that series of them become long.
    let received = prop_oneof![6 => Just(Some(1)), 2 => (0_u64..3).prop_map(Some), 2 => Just(None)];
    let round_trips = prop_oneof![5 => Just(Some(1)), 1 => Just(Some(0)), 2 => Just(None)];
    let evidence = (received, round_trips, version());
    (flag(0.96), flag(0.9), flag(0.04), flag(0.75), applied, evidence).prop_map(
        |(listed, named, flipped, reachable, applied, (received_bytes, round_trips, version))| ObservedSketch {
            listed,
            named,
            flipped,
            reachable,
            applied,
            received_bytes,
            round_trips,
            version,
        },
    )
}

fn version() -> impl Strategy<Value = Option<EtcdVersion>> {
    let version = |minor| Just(Some(EtcdVersion { major: 3, minor }));
    prop_oneof![4 => Just(None), 8 => version(5), 2 => version(6), 1 => version(7)]
}

impl ReportSketch {
    /// The report, about a cluster as it is now.
    pub fn report(&self, cluster: &Cluster) -> Report {
        let identity = |at: &Index, ours: bool| {
            let ids: Vec<MemberId> = cluster.record.iter().filter_map(|member| member.key.id()).collect();
            let member = if ids.is_empty() { MemberId(0xe0) } else { ids[at.index(ids.len())] };
            let known = cluster.cluster_id.or(cluster.earlier_cluster_ids.last().copied()).unwrap_or(ClusterId(0xc1));
            Identity { member, cluster: if ours { known } else { ClusterId(0xbad) } }
        };
        let state = match &self.state {
            State::Empty => NodeState::Empty,
            State::Unreadable => NodeState::Unreadable { found: "torn.wal".into() },
            State::Stopped(at, ours) => NodeState::Stopped(identity(at, *ours)),
            State::Running(at, ours) => NodeState::Running(identity(at, *ours)),
        };
        let mut report = Report {
            name: format!("n{}", self.node).parse().unwrap(),
            run: if self.run == 0 { "-".parse().unwrap() } else { format!("r{}", self.run).parse().unwrap() },
            sequence: 0,
            peer_urls: vec![url(self.host.unwrap_or(self.node))],
            client_urls: Vec::new(),
            state,
            leftover: self.leftover,
            disk: None,
            data: DataEvidence::default(),
            etcd_version: self.etcd_version,
            refusal: None,
            view: None,
            status: self.reaches.as_ref().map(|reaches| Arc::new(status(cluster, reaches))),
            leaving: self.leaving,
            accept_reset: None,
            once: self.once,
            strategy: self.strategy,
            size: self.size,
        };
        // Most members report their own name; otherwise the planner would refuse all of them.
        if let Some(own) = report.identity().and_then(|own| cluster.member(&own.member.into()))
            && self.host.is_none()
        {
            report.name = own.name().clone();
            report.peer_urls = own.registration.peer_urls.clone();
        }
        report.view = self.view.as_ref().map(|view| view.view(cluster, &report.peer_urls));
        report
    }
}

/// What an agent reports of the members on record.
fn status(cluster: &Cluster, reaches: &[(bool, bool)]) -> NodeStatus {
    let look = |(member, (peer, client)): (&Arc<Member>, &(bool, bool))| {
        Some(Reachability { member: member.key.id()?, peer: Some(*peer), client: Some(*client) })
    };
    NodeStatus { etcd: None, reachability: cluster.members().zip(reaches.iter().cycle()).filter_map(look).collect() }
}

impl ViewSketch {
    fn view(&self, cluster: &Cluster, own: &[PeerUrl]) -> View {
        let listed = cluster.members().zip(self.seen.iter().cycle()).filter(|(_, seen)| seen.listed);
        let mut members: Vec<ObservedMember> = listed
            .filter_map(|(member, seen)| {
                Some(ObservedMember {
                    id: member.key.id()?,
                    name: seen.named.then(|| member.name().clone()),
                    peer_urls: member.registration.peer_urls.clone(),
                    client_urls: Vec::<ClientUrl>::new(),
                    learner: member.is_voter() == seen.flipped,
                    reachable: seen.reachable,
                    identified: seen.reachable,
                    received_bytes: seen.received_bytes,
                    round_trips: seen.round_trips,
                    version: seen.version,
                    applied_index: seen.applied,
                    matched_index: None,
                })
            })
            .collect();
        if let Some((learner, started, id)) = self.added
            && !members.iter().any(|member| member.peer_urls == own || member.id.0 == u64::from(id))
        {
            members.push(ObservedMember {
                id: MemberId(id.into()),
                name: started.then(|| format!("m{id}").parse().unwrap()),
                peer_urls: own.to_vec(),
                client_urls: Vec::new(),
                learner,
                reachable: started,
                identified: started,
                received_bytes: None,
                round_trips: None,
                version: None,
                applied_index: Some(4_500),
                matched_index: None,
            });
        }
        // etcd lets no two members have the same peer URL.
        let mut taken = Vec::new();
        members.retain(|member| {
            let is_free = !member.peer_urls.iter().any(|url| taken.contains(url));
            taken.extend(member.peer_urls.iter().cloned());
            is_free
        });
        let known = cluster.cluster_id.unwrap_or(ClusterId(0xc1));
        let leader = self.leader.as_ref().filter(|_| !members.is_empty());
        View {
            since: self.since.map_or(cluster.revision, Revision),
            cluster: self.cluster.map(|ours| if ours { known } else { ClusterId(0xbad) }),
            linearizable: self.linearizable,
            leader: leader.map(|at| members[at.index(members.len())].id),
            term: self.term,
            members,
        }
    }
}

/// A change by an administrator or a discovery client.
#[derive(Clone, Debug)]
pub enum AdminRequest {
    Settings(Settings),
    MemberRequest(Index, MemberRequest),
    Reset,
    Register(Discovery, u8, Action),
    Remove(Discovery, Index),
}

/// A downtime of an administrator or of the member's node.
fn announced(until: i64) -> MemberRequest {
    let by = if until % 2 == 0 { Announcer::Administrator } else { Announcer::Node };
    MemberRequest::AnnounceDowntime(Downtime { until: UnixMillis(until), by })
}

fn admin_request() -> impl Strategy<Value = AdminRequest> {
    let member_request = prop_oneof![
        3 => Just(MemberRequest::Evict),
        2 => Just(MemberRequest::WithdrawEviction),
        2 => any::<i64>().prop_map(announced),
        1 => Just(MemberRequest::EndDowntime(Announcer::Administrator)),
    ];
    prop_oneof![
        6 => settings().prop_map(AdminRequest::Settings),
        6 => (any::<Index>(), member_request).prop_map(|(at, member_request)| AdminRequest::MemberRequest(at, member_request)),
        1 => Just(AdminRequest::Reset),
        1 => (discovery(), 0_u8..6, prop_oneof![Just(Action::Create), Just(Action::Set)])
            .prop_map(|(by, node, action)| AdminRequest::Register(by, node, action)),
        1 => (discovery(), any::<Index>()).prop_map(|(by, at)| AdminRequest::Remove(by, at)),
    ]
}

fn discovery() -> impl Strategy<Value = Discovery> {
    prop_oneof![Just(Discovery::V2), Just(Discovery::V3)]
}

fn settings() -> impl Strategy<Value = Settings> {
    let size = prop::option::of((1_u32..6).prop_map(|size| ClusterSize::new(size).unwrap()));
    let strategy = prop::option::of(prop::sample::select(&convene_lifecycle::Strategy::ALL[..]));
    let dead_after = prop::option::of(prop_oneof![Just(Duration::from_secs(5)), Just(Duration::from_secs(60))]);
    let flag = || prop::option::weighted(0.2, any::<bool>());
    let paused = prop::option::weighted(0.3, prop::bool::weighted(0.2));
    let witnesses = prop::option::weighted(0.3, 1_u32..=2);
    (size, strategy, dead_after, flag(), paused, witnesses).prop_map(
        |(size, strategy, dead_after, learner, paused, witnesses)| Settings {
            size,
            policy: PolicyChange { strategy, dead_after, learner, paused, witnesses, ..PolicyChange::default() },
            ..Settings::default()
        },
    )
}

impl AdminRequest {
    /// The transition of the request; `None` if it changes nothing.
    pub fn transition(&self, cluster: &Cluster, now: UnixMillis) -> Option<Transition> {
        let key = |at: &Index| {
            let record = &cluster.record;
            (!record.is_empty()).then(|| record[at.index(record.len())].key.clone())
        };
        match self {
            Self::Settings(settings) => cluster.set(settings, now).ok()?,
            Self::MemberRequest(at, member_request) => cluster.apply_request(&key(at)?, *member_request, now).ok()?,
            Self::Reset => cluster.reset(now),
            Self::Register(by, node, action) => {
                let registration = Registration { name: format!("n{node}").parse().ok()?, peer_urls: vec![url(*node)] };
                let id = MemberKey::from(MemberId(0xe0 + u64::from(*node)));
                cluster.register(id, registration, *by, *action, now).ok()
            }
            Self::Remove(by, at) => cluster.remove(&key(at)?, *by, Action::Delete, now),
        }
    }
}

fn url(host: u8) -> PeerUrl {
    PeerUrl::parse(&format!("http://10.0.0.{host}:2380")).unwrap()
}
