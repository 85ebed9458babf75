//! The decision about a check-in, as a table.

mod revoked;

use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    Action, Cluster, ClusterId, ClusterSize, Discovery, EventKind, Identity, JoinPolicy, LastCheckIn, Liveness, Member,
    MemberId, Registration, ReportedState, StockWrites,
};

const START: UnixMillis = UnixMillis(1_777_847_317_500);
const DEAD_AFTER: Duration = Duration::from_secs(60);

fn hash(n: u8) -> SecretHash {
    SecretHash::new([n; 32])
}

fn name(name: &str) -> MemberName {
    name.parse().unwrap()
}

fn at(seconds: u64) -> UnixMillis {
    START.after(Duration::from_secs(seconds))
}

/// A cluster, and what its nodes and administrators do to it.
struct World {
    cluster: Cluster,
    liveness: Liveness,
    now: UnixMillis,
}

impl World {
    fn new(join: JoinPolicy) -> Self {
        let created = Cluster::create("one".parse().unwrap(), ClusterSize::DEFAULT, Action::Create, START);
        let mut cluster = created.after.unwrap();
        cluster.policy.join = join;
        Self { cluster, liveness: Liveness::new(START), now: at(1_000) }
    }

    fn join_token(&mut self, n: u8, edit: impl FnOnce(&mut JoinTokenRequest)) -> &mut Self {
        let ttl = Duration::from_secs(3_600);
        let mut request = JoinTokenRequest { hash: hash(n), node: None, cidr: None, ttl, uses: 3 };
        edit(&mut request);
        self.cluster = self.cluster.create_join_token(&request, self.now).unwrap().after.unwrap();
        self
    }

    fn admit(&mut self, node: &str, presented: &Presented) -> Result<Vec<EventKind>, NodeDenial> {
        self.admit_with(node, None, presented)
    }

    /// With data of a member.
    fn admit_with(
        &mut self,
        node: &str,
        data: Option<u64>,
        presented: &Presented,
    ) -> Result<Vec<EventKind>, NodeDenial> {
        let data = data.map(|member| Identity { member: MemberId(member), cluster: ClusterId(1) });
        match self.cluster.admit(&name(node), data, presented, &self.liveness, self.now) {
            Admittance::Known => Ok(Vec::new()),
            Admittance::Bound(change) => {
                self.cluster = change.after.unwrap();
                Ok(change.events.iter().map(|event| event.kind).collect())
            }
            Admittance::Denied { denial, record } => {
                if let Some(record) = record {
                    self.cluster = record.after.unwrap();
                }
                Err(denial)
            }
        }
    }

    /// Binds a credential to a name, as a node does that comes for the first time.
    fn bound(mut self, node: &str, n: u8) -> Self {
        let presented = match self.cluster.policy.join {
            JoinPolicy::Open => credential(n),
            _ => {
                self.join_token(200 + n, |_| {});
                with_token(n, 200 + n)
            }
        };
        assert_eq!(self.admit(node, &presented), Ok(vec![EventKind::NodeAdmitted]));
        self
    }

    /// Stock etcds form the cluster.
    fn formed_by_stock(mut self, nodes: &[&str]) -> Self {
        self.cluster.size = ClusterSize::new(nodes.len() as u32).unwrap();
        for (n, node) in nodes.iter().enumerate() {
            let registration = Registration::parse(&format!("{node}=http://10.0.0.{}:2380", n + 1)).unwrap();
            let (key, at) = (MemberId(n as u64 + 1).into(), self.now);
            let registered = self.cluster.register(key, registration, Discovery::V2, Action::Create, at).unwrap();
            self.cluster = registered.after.unwrap();
        }
        assert!(self.cluster.formed.is_some());
        self
    }

    /// Completes the founders with one of this name.
    fn formed_with(mut self, node: &str) -> Self {
        let registration = Registration::parse(&format!("{node}=http://10.0.0.1:2380")).unwrap();
        let member = Member::registered(MemberId(1).into(), registration, self.cluster.revision);
        self.cluster.record.push(Arc::new(member));
        self.cluster.formed = Some(self.cluster.revision);
        self
    }

    fn code(&mut self, node: &str, presented: &Presented) -> &'static str {
        self.admit(node, presented).expect_err("refused").code().as_str()
    }

    /// A node checks in with data of a member.
    fn shows(&mut self, node: &str, member: u64) {
        self.heard(node, self.now);
        let identity = Identity { member: MemberId(member), cluster: ClusterId(1) };
        self.liveness.nodes.get_mut(&name(node)).unwrap().state = ReportedState::Data(identity);
    }

    fn heard(&mut self, node: &str, at: UnixMillis) {
        let check_in = LastCheckIn {
            at,
            run: "run".parse().unwrap(),
            sequence: 1,
            peer_urls: Vec::new(),
            state: ReportedState::Nothing,
            never_led: false,
            without_entries: false,
            leftover: false,
            disk: None,
            data_disk: None,
            starts: false,
            may_start: false,
            empty_since: None,
            before: None,
            dissent: None,
            status: None,
        };
        self.liveness.nodes.insert(name(node), check_in);
    }
}

fn nothing() -> Presented {
    Presented { from: Some("10.0.0.1".parse().unwrap()), ..Presented::default() }
}

fn credential(n: u8) -> Presented {
    Presented { credential: Some(hash(n)), ..nothing() }
}

fn with_token(n: u8, token: u8) -> Presented {
    Presented { join_token: Some(hash(token)), ..credential(n) }
}

fn with_certificate(names: &[&str]) -> Presented {
    Presented { certificate_names: names.iter().map(ToString::to_string).collect(), ..nothing() }
}

#[test]
fn a_check_in_speaks_for_its_node_by_what_it_presents() {
    use JoinPolicy::{Certificate, Open, Token};
    let fresh = World::new;
    let bound = |policy| World::new(policy).bound("a", 1);
    let revoked = |policy| {
        let mut world = bound(policy);
        world.cluster = world.cluster.revoke_credential(&name("a"), world.now).unwrap().unwrap().after.unwrap();
        world
    };
    let revoked_with_token = || {
        let mut world = revoked(Open);
        world.join_token(100, |token| token.node = Some(name("a")));
        world
    };
    let token = |edit: fn(&mut JoinTokenRequest)| {
        let mut world = bound(Token);
        world.join_token(100, edit);
        world
    };
    for (case, mut world, node, presented, expected) in [
        ("an open cluster takes a client without a credential", fresh(Open), "a", nothing(), "known"),
        ("an open cluster binds a credential", fresh(Open), "a", credential(1), "bound"),
        ("a join token does not matter there", fresh(Open), "a", with_token(1, 100), "bound"),
        ("its own credential", bound(Open), "a", credential(1), "known"),
        ("nothing, for a name that is bound", bound(Open), "a", nothing(), "credential-required"),
        ("another one, for a name that is bound", bound(Open), "a", credential(2), "node-bound"),
        ("another one with a join token that is not known", bound(Open), "a", with_token(2, 77), "node-bound"),
        ("a's, for b", bound(Open), "b", credential(1), "credential-of-other-node"),
        ("revoked, open", revoked(Open), "a", credential(1), "credential-revoked"),
        ("nothing after a revocation", revoked(Open), "a", nothing(), "credential-required"),
        ("another one after a revocation", revoked(Open), "a", credential(2), "credential-revoked"),
        ("a join token for that name after a revocation", revoked_with_token(), "a", with_token(2, 100), "bound"),
        ("nothing", fresh(Token), "a", nothing(), "credential-required"),
        ("a credential that is not known", fresh(Token), "a", credential(1), "join-token-required"),
        (
            "a join token without a credential",
            token(|_| {}),
            "b",
            Presented { join_token: Some(hash(100)), ..nothing() },
            "credential-required",
        ),
        ("a join token that is not known", fresh(Token), "a", with_token(1, 100), "join-token-unknown"),
        ("a join token", token(|_| {}), "b", with_token(2, 100), "bound"),
        ("a join token for the node", token(|token| token.node = Some(name("b"))), "b", with_token(2, 100), "bound"),
        (
            "a join token for another node",
            token(|token| token.node = Some(name("c"))),
            "b",
            with_token(2, 100),
            "join-token-of-other-node",
        ),
        (
            "a join token for the address",
            token(|token| token.cidr = Some("10.0.0.0/24".parse().unwrap())),
            "b",
            with_token(2, 100),
            "bound",
        ),
        (
            "a join token for another address",
            token(|token| token.cidr = Some("10.0.1.0/24".parse().unwrap())),
            "b",
            with_token(2, 100),
            "join-token-of-other-address",
        ),
        (
            "a join token for an address, from an unknown one",
            token(|token| token.cidr = Some("0.0.0.0/0".parse().unwrap())),
            "b",
            Presented { from: None, ..with_token(2, 100) },
            "join-token-of-other-address",
        ),
        (
            "a join token that expires now",
            token(|token| token.ttl = Duration::ZERO),
            "b",
            with_token(2, 100),
            "join-token-expired",
        ),
        ("its own credential with a join token that is used up", bound(Token), "a", with_token(1, 201), "known"),
        ("a used join token for a new credential", bound(Token), "a", with_token(2, 201), "join-token-used"),
        ("a valid join token for a name that is bound", token(|_| {}), "a", with_token(2, 100), "node-bound"),
        (
            "a join token for that very name",
            token(|token| token.node = Some(name("a"))),
            "a",
            with_token(2, 100),
            "bound",
        ),
        ("no join token for a name that is bound", bound(Token), "a", credential(2), "node-bound"),
        ("a's for b, with a join token", token(|_| {}), "b", with_token(1, 100), "credential-of-other-node"),
        ("revoked, with its join token", revoked(Token), "a", with_token(1, 201), "credential-revoked"),
        (
            "another one after a revocation, without a join token",
            revoked(Token),
            "a",
            credential(2),
            "credential-revoked",
        ),
        ("no certificate", fresh(Certificate), "a", credential(1), "certificate-required"),
        ("the certificate", fresh(Certificate), "a", with_certificate(&["x", "a"]), "known"),
        (
            "the certificate of another node",
            fresh(Certificate),
            "a",
            with_certificate(&["b", "a.example"]),
            "certificate-of-other-node",
        ),
        (
            "a certificate in a cluster with join tokens",
            fresh(Token),
            "a",
            with_certificate(&["a"]),
            "credential-required",
        ),
    ] {
        world.heard("a", at(999));
        let found = match world.admit(node, &presented) {
            Ok(events) if events.is_empty() => "known",
            Ok(_) => "bound",
            Err(denial) => denial.code().as_str(),
        };
        assert_eq!(found, expected, "{case}");
    }
}

/// Whoever has the discovery token alone speaks for no member of a cluster that stock etcds have formed.
#[test]
fn a_member_that_stock_etcds_have_registered_is_claimed_by_a_join_token() {
    let mut world = World::new(JoinPolicy::Open).formed_by_stock(&["a", "b"]);
    world.join_token(100, |_| {}).join_token(101, |token| token.node = Some(name("b")));
    world.join_token(102, |token| token.ttl = Duration::ZERO);
    for (presented, code) in [
        (nothing(), "join-token-required"),
        (credential(1), "join-token-required"),
        (Presented { join_token: Some(hash(100)), ..nothing() }, "credential-required"),
        (with_token(1, 77), "join-token-unknown"),
        (with_token(1, 102), "join-token-expired"),
        (with_token(1, 101), "join-token-of-other-node"),
    ] {
        assert_eq!(world.code("a", &presented), code, "{presented:?}");
    }
    let denial = world.admit("a", &credential(1)).unwrap_err();
    assert!(denial.remedy().contains("`convene cluster join-token create CLUSTER`"), "{}", denial.remedy());
    assert!(denial.is_unauthenticated() && !denial.may_pass());
    assert_eq!(world.admit("a", &with_token(1, 100)), Ok(vec![EventKind::NodeAdmitted]));
    assert_eq!(world.admit("a", &credential(1)), Ok(Vec::new()));
    assert_eq!(world.admit("b", &with_token(2, 101)), Ok(vec![EventKind::NodeAdmitted]));
    assert_eq!(world.admit("c", &credential(3)), Ok(vec![EventKind::NodeAdmitted]), "a spare");
}

#[test]
fn a_cluster_that_stock_clients_may_change_and_one_that_formed_by_check_in_need_no_join_token() {
    let mut elastic = World::new(JoinPolicy::Open).formed_by_stock(&["a", "b"]);
    elastic.cluster.policy.stock_writes = StockWrites::Allow;
    let checked_in = World::new(JoinPolicy::Open).formed_with("a");
    for mut world in [elastic, checked_in] {
        assert_eq!(world.admit("a", &nothing()), Ok(Vec::new()));
        assert_eq!(world.admit("a", &credential(1)), Ok(vec![EventKind::NodeAdmitted]));
    }
}

/// Otherwise it would speak for the member afterwards.
#[test]
fn a_name_that_was_claimed_before_stock_etcds_formed_the_cluster_is_free_again() {
    let mut world = World::new(JoinPolicy::Open).bound("a", 1).bound("b", 2);
    world.cluster = world.cluster.revoke_credential(&name("b"), world.now).unwrap().unwrap().after.unwrap();
    let mut world = world.formed_by_stock(&["a", "b"]);
    assert_eq!(world.cluster.admission.dropped, Some(world.cluster.revision));
    assert_eq!(world.code("a", &credential(1)), "join-token-required");
    assert_eq!(world.code("b", &credential(2)), "credential-revoked", "an administrator's word stays");
    let world = World::new(JoinPolicy::Token).bound("a", 1).formed_by_stock(&["b"]);
    assert!(world.cluster.admission.credentials.contains_key(&name("a")), "who came by a join token stays");
}

/// It would pass for a copy of that member, which does not start then.
#[test]
fn a_node_reports_no_data_of_a_member_that_another_node_speaks_for() {
    let mut world = World::new(JoinPolicy::Open).formed_by_stock(&["a", "b"]).bound("spare", 9);
    world.join_token(100, |_| {});
    let other = |holder| Err(NodeDenial::DataOfOther { node: name("spare"), holder: name(holder) });
    assert_eq!(world.admit_with("spare", Some(1), &credential(9)), other("a"), "nobody has claimed it");
    assert_eq!(world.admit_with("a", Some(1), &with_token(1, 100)), Ok(vec![EventKind::NodeAdmitted]));
    assert_eq!(world.admit_with("spare", Some(1), &credential(9)), other("a"));
    assert_eq!(world.admit_with("a", Some(1), &credential(1)), Ok(Vec::new()));
    assert_eq!(world.admit_with("spare", Some(7), &credential(9)), Ok(Vec::new()), "of no member");
    // The node of a has a new name.
    world.cluster = world.cluster.revoke_credential(&name("a"), world.now).unwrap().unwrap().after.unwrap();
    assert_eq!(world.admit_with("spare", Some(1), &credential(9)), Ok(Vec::new()));

    let mut checked_in = World::new(JoinPolicy::Open).formed_with("a").bound("spare", 9);
    assert_eq!(checked_in.admit_with("spare", Some(1), &credential(9)), Ok(Vec::new()), "nobody speaks for it");
    checked_in = checked_in.bound("a", 1);
    assert_eq!(checked_in.admit_with("spare", Some(1), &credential(9)), other("a"));
}

#[test]
fn a_node_makes_requests_for_the_member_whose_data_it_alone_has_shown() {
    let mut world = World::new(JoinPolicy::Open).formed_by_stock(&["a", "b"]);
    let member = |world: &World, id| world.cluster.member(&MemberId(id).into()).unwrap().clone();
    let check = |world: &World, id| world.cluster.check_own_member(&name("a"), &member(world, id), &world.liveness);
    assert_eq!(check(&world, 1), Err(NotOwnMember::NotShown(name("a"))));
    world.heard("a", at(1));
    assert_eq!(check(&world, 1), Err(NotOwnMember::NotShown(name("a"))), "it has no data");
    world.shows("a", 1);
    assert_eq!(check(&world, 1), Ok(()));
    assert_eq!(check(&world, 2), Err(NotOwnMember::OtherName));

    // A forged list of members has exchanged the names.
    for (at, node) in [(0, "b"), (1, "a")] {
        let member = Arc::make_mut(&mut world.cluster.record[at]);
        member.registration.name = name(node);
    }
    assert_eq!(check(&world, 2), Err(NotOwnMember::NotShown(name("a"))));
    world.shows("b", 2);
    world.shows("a", 2);
    assert_eq!(check(&world, 2), Err(NotOwnMember::ShownByOther(name("b"))));
    Arc::make_mut(&mut world.cluster.record[0]).registration.name = name("a");
    assert_eq!(check(&world, 2), Err(NotOwnMember::SharedName));
}

#[test]
fn a_join_token_lets_in_as_many_nodes_as_it_may_and_each_once() {
    let mut world = World::new(JoinPolicy::Token);
    world.join_token(100, |token| token.uses = 2);
    for (node, n) in [("a", 1), ("b", 2)] {
        assert_eq!(world.admit(node, &with_token(n, 100)), Ok(vec![EventKind::NodeAdmitted]));
        assert_eq!(world.admit(node, &with_token(n, 100)), Ok(Vec::new()), "a repeated exchange");
    }
    let denial = world.admit("c", &with_token(3, 100)).unwrap_err();
    assert_eq!(denial.to_string(), "join token join-6464646464646464 is used up: it has let in 2 nodes");
    let id = world.cluster.admission.join_tokens[0].id();
    world.cluster = world.cluster.revoke_join_token(&id, world.now).unwrap().unwrap().after.unwrap();
    assert_eq!(world.cluster.revoke_join_token(&id, world.now), Ok(None));
    assert_eq!(world.code("d", &with_token(4, 100)), "join-token-revoked");
    assert_eq!(world.admit("a", &credential(1)), Ok(Vec::new()), "whom it has let in stays");
}

#[test]
fn a_silent_holder_loses_its_name_to_a_node_that_may_join() {
    for policy in [JoinPolicy::Open, JoinPolicy::Token] {
        let mut world = World::new(policy).bound("a", 1);
        world.join_token(100, |_| {});
        let newcomer = with_token(2, 100);
        world.heard("a", at(1_000));
        for seconds in [1_000, 1_059] {
            world.now = at(seconds);
            assert_eq!(world.code("a", &newcomer), "node-bound", "{seconds}");
        }
        world.now = at(1_060);
        assert_eq!(world.admit("a", &newcomer), Ok(vec![EventKind::NodeAdmitted]));
        assert_eq!(world.code("a", &credential(1)), "node-bound", "the former credential");
    }
}

/// The node of a running member may never check in again.
#[test]
fn a_member_keeps_its_name_however_silent_its_node_is() {
    for policy in [JoinPolicy::Open, JoinPolicy::Token] {
        let mut world = World::new(policy).formed_with("a").bound("a", 1).bound("b", 2);
        world.join_token(100, |_| {}).join_token(101, |token| token.node = Some(name("a")));
        world.now = at(100_000);
        world.join_token(102, |_| {}).join_token(103, |token| token.node = Some(name("a")));
        for presented in [credential(3), with_token(3, 102)] {
            let code = world.code("a", &presented);
            assert_eq!(code, "node-bound", "{policy:?}");
            let denial = world.admit("a", &presented).unwrap_err();
            assert!(!denial.may_pass(), "{policy:?}: {denial:?}");
        }
        assert_eq!(world.code("a", &with_token(3, 101)), "join-token-expired", "{policy:?}");
        assert_eq!(world.admit("a", &with_token(3, 103)), Ok(vec![EventKind::NodeAdmitted]), "{policy:?}");
        assert_eq!(world.admit("b", &with_token(4, 102)), Ok(vec![EventKind::NodeAdmitted]), "{policy:?}: a spare");
    }
}

/// Each check-in that is refused finds a registry that has heard of nobody, and counts silence from that moment on.
#[test]
fn in_a_cluster_where_nobody_checks_in_silence_counts_from_the_first_refusal() {
    let mut world = World::new(JoinPolicy::Open).bound("a", 1);
    world.heard("a", at(10));
    let mut try_at = |seconds, from: &str| {
        world.now = at(seconds);
        world.liveness.since = world.now;
        world.admit("a", &Presented { from: Some(from.parse().unwrap()), ..credential(2) }).map(|_| ())
    };
    let bound = Err(NodeDenial::NameBound { node: name("a"), waits: true });
    assert_eq!(try_at(1_000, "10.0.0.1"), bound);
    assert_eq!(try_at(1_030, "10.0.0.1"), bound);
    assert_eq!(try_at(1_059, "10.0.0.2"), bound);
    assert_eq!(try_at(1_060, "10.0.0.2"), bound, "another sender");
    assert_eq!(try_at(1_060, "10.0.0.1"), Ok(()));
}

#[test]
fn a_holder_that_checks_in_meanwhile_keeps_its_name() {
    let mut world = World::new(JoinPolicy::Open).bound("a", 1);
    world.liveness.since = world.now;
    assert_eq!(world.code("a", &credential(2)), "node-bound");
    world.heard("a", at(1_030));
    world.now = at(1_070);
    assert_eq!(world.code("a", &credential(2)), "node-bound");
    assert_eq!(DEAD_AFTER, world.cluster.policy.dead_after);
}

#[test]
fn the_first_use_of_an_announced_credential_retires_the_one_before() {
    let mut world = World::new(JoinPolicy::Token).bound("a", 1);
    let announcing = Presented { next: Some(hash(2)), ..credential(1) };
    assert_eq!(world.admit("a", &announcing), Ok(vec![EventKind::CredentialRenewed]));
    assert_eq!(world.admit("a", &announcing), Ok(Vec::new()), "the answer was lost");
    assert_eq!(world.admit("a", &credential(1)), Ok(Vec::new()), "until then both are valid");
    assert_eq!(world.code("b", &credential(2)), "credential-of-other-node");
    assert_eq!(world.admit("a", &credential(2)), Ok(vec![EventKind::CredentialRenewed]));
    assert_eq!(world.admit("a", &credential(2)), Ok(Vec::new()));
    assert_eq!(world.code("a", &credential(1)), "node-bound");
    let own = &world.cluster.admission.credentials[&name("a")];
    assert_eq!((own.id.as_str(), own.renewed_at), ("node-0101010101010101", Some(world.now)));
}

#[test]
fn a_repeated_refusal_leaves_one_event_and_all_of_them_a_bounded_number() {
    let mut world = World::new(JoinPolicy::Token);
    let before = world.cluster.revision;
    for _ in 0..5 {
        assert_eq!(world.code("a", &credential(1)), "join-token-required");
    }
    assert_eq!(world.cluster.revision, before.next());
    for n in 0..100 {
        world.code(&format!("node{n}"), &credential(1));
    }
    assert_eq!(world.cluster.revision.0, before.0 + TurnedAway::MOST as u64);
    world.now = world.now.after(Duration::from_secs(3_600));
    world.code("a", &credential(1));
    assert_eq!(world.cluster.revision.0, before.0 + TurnedAway::MOST as u64 + 1);
    assert_eq!(world.cluster.admission.turned_away.len(), 1);
}

#[test]
fn a_node_that_is_gone_makes_room() {
    let mut world = World::new(JoinPolicy::Open);
    for n in 0..Admission::MAX_CREDENTIALS {
        let node = format!("node{n}");
        let bytes = [[1; 30].as_slice(), &(n as u16).to_be_bytes()].concat();
        let presented = Presented { credential: Some(SecretHash::new(bytes.try_into().unwrap())), ..nothing() };
        world.admit(&node, &presented).unwrap();
        if n != 7 {
            world.heard(&node, world.now);
        }
    }
    let events = world.admit("another", &credential(2)).unwrap();
    world.heard("another", world.now);
    assert_eq!(events, [EventKind::CredentialRevoked, EventKind::NodeAdmitted]);
    assert!(!world.cluster.admission.credentials.contains_key(&name("node7")));
    assert_eq!(world.code("one_more", &credential(3)), "too-many-nodes");
}

#[test]
fn ended_join_tokens_make_room_after_a_month() {
    let mut world = World::new(JoinPolicy::Token);
    for n in 0..Admission::MAX_JOIN_TOKENS as u8 {
        world.join_token(n, |_| {});
    }
    let request = JoinTokenRequest { hash: hash(250), node: None, cidr: None, ttl: DEAD_AFTER, uses: 1 };
    assert_eq!(world.cluster.create_join_token(&request, world.now), Err(JoinTokenRequestError::TooMany));
    let later = world.now.after(JoinToken::KEPT + Duration::from_secs(3_600));
    let created = world.cluster.create_join_token(&request, later).unwrap().after.unwrap();
    assert_eq!(created.admission.join_tokens.len(), 1);
    assert_eq!(created.admission.dropped, Some(created.revision));
}
