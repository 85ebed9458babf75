use std::sync::Arc;

use super::*;
use crate::{Event, MemberId, Policy, Previous, Revision, StockWriteRefused, StockWrites};

const NOW: UnixMillis = UnixMillis(1_000);

/// A cluster that stock clients may change after it has formed.
fn cluster(size: u32) -> Cluster {
    let token = "6c007a14875d53d9bf0ef5a6fc0257c8".parse().unwrap();
    let mut cluster = Cluster::create(token, ClusterSize::new(size).unwrap(), Action::Create, NOW).after.unwrap();
    cluster.policy.stock_writes = StockWrites::Allow;
    cluster
}

/// The same cluster with the default policy.
fn only_read(cluster: &Cluster) -> Cluster {
    Cluster { policy: Policy::default(), ..cluster.clone() }
}

fn key(n: u32) -> MemberKey {
    n.to_string().parse().unwrap()
}

fn registration(n: u32) -> Registration {
    Registration::parse(&format!("infra{n}=http://10.0.0.{n}:2380")).unwrap()
}

fn put(cluster: &Cluster, n: u32, action: Action) -> Result<Cluster, RegisterRefusal> {
    cluster.register(key(n), registration(n), Discovery::V2, action, NOW).map(|transition| transition.after.unwrap())
}

fn with_members(size: u32, members: u32) -> Cluster {
    (1..=members).fold(cluster(size), |cluster, n| put(&cluster, n, Action::Create).unwrap())
}

fn order(cluster: &Cluster) -> Vec<&str> {
    cluster.members().map(|member| member.key.as_str()).collect()
}

fn without(cluster: &Cluster, n: u32) -> Cluster {
    cluster.remove(&key(n), Discovery::V2, Action::Delete, NOW).unwrap().after.unwrap()
}

#[test]
fn a_cluster_has_formed_when_size_members_have_registered() {
    assert_eq!(with_members(3, 2).formed, None);
    assert_eq!(with_members(3, 3).formed, Some(Revision(4)));
    assert_eq!(with_members(3, 4).formed, Some(Revision(4)));
}

#[test]
fn a_formed_cluster_takes_no_change_by_stock_clients_unless_its_policy_allows_it() {
    for by in [Discovery::V2, Discovery::V3] {
        let register = |cluster: &Cluster, n: u32, action| cluster.register(key(n), registration(n), by, action, NOW);
        let forming = register(&only_read(&cluster(2)), 1, Action::Create).unwrap().after.unwrap();
        assert_eq!(forming.check_stock_write(), Ok(()));
        let formed = register(&forming, 2, Action::Create).unwrap().after.unwrap();
        assert_eq!(formed.check_stock_write(), Err(StockWriteRefused { is_newcomer: false }));
        let allowing = Cluster { policy: cluster(2).policy, ..formed.clone() };
        for action in [Action::Create, Action::Set] {
            let refused = StockWriteRefused { is_newcomer: true };
            assert_eq!(register(&formed, 3, action).unwrap_err(), RegisterRefusal::StockWrites(refused));
            assert!(register(&allowing, 3, action).is_ok());
        }
        let reset = formed.reset(NOW).unwrap().after.unwrap();
        assert_eq!(reset.check_stock_write(), Err(StockWriteRefused { is_newcomer: false }), "it had formed before");
        // A v3 etcd that is in doubt writes its key again.
        assert_eq!(register(&formed, 1, Action::Update).is_ok(), by == Discovery::V3);
        let moved = Registration::parse("infra1=http://10.0.0.9:2380").unwrap();
        let moved = formed.register(key(1), moved, by, Action::Update, NOW).unwrap_err();
        assert_eq!(moved, RegisterRefusal::StockWrites(StockWriteRefused { is_newcomer: false }));
    }
}

#[test]
fn an_etcd_that_lost_the_race_for_the_last_place_may_register_for_a_minute_until_32_were_late() {
    let url = "https://discovery.corp/one";
    let refused = StockWriteRefused { is_newcomer: true };
    assert!(refused.to_string().starts_with("the cluster is full: it has formed"), "{refused}");
    let refused = Err(RegisterRefusal::StockWrites(refused));
    for (by, initial_cluster_token) in [(Discovery::V2, url), (Discovery::V3, cluster(1).token.as_str())] {
        let put = |cluster: &Cluster, key, n, action, at| {
            cluster.register(key, registration(n), by, action, at).map(|late| late.after.unwrap())
        };
        let etcds = |n| MemberKey::from(MemberId::of_founder(&registration(n).peer_urls, initial_cluster_token));
        let put_at = |cluster: &Cluster, n, at| put(cluster, etcds(n), n, Action::Create, at);
        let forming = Cluster { discovery_url: Some(url.parse().unwrap()), ..only_read(&cluster(1)) };
        let formed = put_at(&forming, 1, NOW).unwrap();
        let late = put_at(&formed, 2, NOW).unwrap();
        assert_eq!((order(&late), late.formed), (vec![etcds(1).as_str(), etcds(2).as_str()], formed.formed));
        let end = UnixMillis(NOW.0 + 60_000);
        assert!(put_at(&formed, 2, end).is_ok());
        assert_eq!(put_at(&formed, 2, UnixMillis(end.0 + 1)), refused);
        assert_eq!(put(&formed, key(2), 2, Action::Create, NOW), refused, "no etcd chooses this key");
        assert_eq!(put(&formed, etcds(2), 2, Action::Set, NOW), refused);
        let exists = Cluster { bootstrapped: Some(formed.revision), ..formed.clone() };
        assert_eq!(put_at(&exists, 2, NOW), refused);
        let many = (2..34).fold(formed, |cluster, n| put_at(&cluster, n, NOW).unwrap());
        assert_eq!(put_at(&many, 34, NOW), refused);
        assert!(put(&many, etcds(2), 99, Action::Update, NOW).is_err());
    }
}

#[test]
fn a_member_that_was_removed_while_forming_still_counts() {
    let cluster = without(&with_members(3, 2), 1);
    assert_eq!(put(&cluster, 3, Action::Create).unwrap().formed, Some(Revision(5)));
}

#[test]
fn a_member_that_registers_again_counts_once() {
    let cluster = put(&without(&with_members(3, 1), 1), 1, Action::Create).unwrap();
    assert_eq!(put(&cluster, 2, Action::Create).unwrap().formed, None);
}

#[test]
fn members_beyond_the_size_are_last_in_line() {
    assert_eq!(order(&with_members(1, 3)), ["1", "2", "3"]);
}

#[test]
fn a_set_moves_a_member_to_the_end_of_the_line_only_while_forming() {
    let forming = put(&with_members(3, 2), 1, Action::Set).unwrap();
    assert_eq!(order(&forming), ["2", "1"]);
    let formed = put(&with_members(2, 3), 1, Action::Set).unwrap();
    assert_eq!(order(&formed), ["1", "2", "3"]);
    assert_eq!(formed.member(&key(1)).unwrap().modified, formed.revision);
}

#[test]
fn an_update_keeps_the_place_in_line() {
    for action in [Action::Update, Action::CompareAndSwap] {
        assert_eq!(order(&put(&with_members(3, 2), 1, action).unwrap()), ["1", "2"]);
    }
}

#[test]
fn a_taken_name_or_peer_url_is_refused_with_its_holder() {
    let cluster = with_members(3, 1);
    let register = |text: &str| {
        cluster
            .register(key(2), Registration::parse(text).unwrap(), Discovery::V2, Action::Create, NOW)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(register("infra1=http://10.0.0.2:2380"), "name infra1 is already taken by member 1");
    assert_eq!(
        register("infra2=http://10.0.0.2:2380,infra2=http://10.0.0.1:2380"),
        "peer URL http://10.0.0.1:2380 is already taken by member 1 (infra1)"
    );
}

#[test]
fn the_name_of_a_removed_member_is_free() {
    let cluster = without(&with_members(3, 1), 1);
    assert!(cluster.register(key(2), registration(1), Discovery::V2, Action::Create, NOW).is_ok());
}

#[test]
fn no_member_is_created_in_a_free_place_of_a_formed_cluster() {
    let cluster = without(&with_members(3, 3), 2);
    assert_eq!(put(&cluster, 4, Action::Create), Err(RegisterRefusal::Formed));
    assert_eq!(put(&cluster, 2, Action::Create), Err(RegisterRefusal::Formed));
    assert_eq!(order(&put(&cluster, 4, Action::Set).unwrap()), ["1", "3", "4"]);
}

#[test]
fn the_size_is_fixed_once_a_member_has_registered() {
    let size = |n| ClusterSize::new(n).unwrap();
    assert!(cluster(3).set_size(size(5), Action::Set, NOW).is_ok());
    let left = without(&with_members(3, 1), 1);
    assert_eq!(left.set_size(size(5), Action::Set, NOW).unwrap_err(), SizeIsFixed(size(3)));
    assert!(left.set_size(size(3), Action::Set, NOW).is_ok());
}

#[test]
fn every_change_takes_the_next_revision_and_leaves_an_event() {
    let cluster = with_members(3, 1);
    let transition = cluster.register(key(1), registration(9), Discovery::V2, Action::Set, NOW).unwrap();
    assert_eq!(transition.after.unwrap().revision, Revision(3));
    assert_eq!(
        transition.events,
        [Event {
            token: cluster.token.clone(),
            revision: Revision(3),
            at: NOW,
            action: Action::Set,
            subject: Subject::Member(key(1)),
            value: Some("infra9=http://10.0.0.9:2380".into()),
            created: Revision(3),
            version: 1,
            previous: Some(Previous {
                value: Some("infra1=http://10.0.0.1:2380".into()),
                created: Revision(2),
                modified: Revision(2),
                version: 1,
            }),
            also_deleted: Vec::new(),
            actor: None,
            while_forming: true,
            kind: EventKind::MemberRegistered,
            message: "infra9 registered by v2 discovery".into(),
        }]
    );
}

fn put_by(cluster: &Cluster, by: Discovery, n: u32, action: Action) -> Result<Cluster, RegisterRefusal> {
    cluster.register(key(n), registration(n), by, action, NOW).map(|transition| transition.after.unwrap())
}

#[test]
fn a_cluster_that_forms_by_one_protocol_refuses_the_other() {
    for (first, second, flags) in [
        (Discovery::V2, Discovery::V3, "use v2 discovery (etcd --discovery)"),
        (Discovery::V3, Discovery::V2, "use v3 discovery (etcd --discovery-endpoints --discovery-token)"),
    ] {
        let forming = put_by(&cluster(2), first, 1, Action::Create).unwrap();
        assert_eq!(forming.protocol, Some(Protocol::Discovery(first)));
        for action in [Action::Create, Action::Set] {
            assert_eq!(put_by(&forming, second, 2, action), Err(RegisterRefusal::FormsByOther(first)));
        }
        let said = put_by(&forming, second, 2, Action::Create).unwrap_err().to_string();
        assert!(said.contains(flags) && said.contains("start this node with"), "{said}");

        let formed = put_by(&forming, first, 2, Action::Create).unwrap();
        assert_eq!(put_by(&formed, second, 3, Action::Create), Err(RegisterRefusal::FormsByOther(first)));
        // A client that reports what it did to the running cluster may use either protocol.
        assert_eq!(order(&put_by(&formed, second, 3, Action::Set).unwrap()), ["1", "2", "3"]);
    }
}

#[test]
fn versions_count_writes_since_a_key_was_created() {
    let version = |cluster: &Cluster| {
        let member = cluster.member(&key(1)).unwrap();
        (member.version, member.created, member.registered)
    };
    let once = put(&cluster(3), 1, Action::Create).unwrap();
    assert_eq!(version(&once), (1, Revision(2), Revision(2)));
    let twice = put(&once, 1, Action::Update).unwrap();
    assert_eq!(version(&twice), (2, Revision(2), Revision(3)));
    assert_eq!(version(&put(&twice, 1, Action::Set).unwrap()), (1, Revision(4), Revision(4)), "a new place in line");
    let again = put(&without(&twice, 1), 1, Action::Create).unwrap();
    assert_eq!(version(&again), (1, Revision(5), Revision(5)));

    let size = ClusterSize::new(5).unwrap();
    let sized = cluster(3).set_size(size, Action::Update, NOW).unwrap();
    assert_eq!((sized.events[0].version, sized.events[0].previous.as_ref().unwrap().version), (2, 1));
    assert_eq!(sized.after.unwrap().size_version, 2);
}

#[test]
fn stock_etcds_see_changes_of_a_registration_only() {
    let formed = with_members(1, 1);
    let evicted = formed.apply_request(&key(1), crate::MemberRequest::Evict, NOW).unwrap().unwrap().after.unwrap();
    let member = evicted.member(&key(1)).unwrap();
    assert_eq!((member.modified, member.registered, member.version), (evicted.revision, Revision(2), 1));
}

#[test]
fn the_event_of_a_deletion_has_all_deleted_keys() {
    let event = &without(&with_members(3, 2), 1).delete(NOW).events[0];
    let held: Vec<_> =
        event.also_deleted.iter().map(|(subject, previous)| (subject, previous.value.as_deref())).collect();
    let (size, member) = (Subject::Size, Subject::Member(key(2)));
    assert_eq!(held, [(&size, Some("3")), (&member, Some("infra2=http://10.0.0.2:2380"))]);
}

#[test]
fn the_record_of_a_cluster_is_bounded() {
    let mut full = cluster(1);
    full.record = (300..300 + MAX_MEMBERS as u32).map(|n| Arc::new(member(n))).collect();
    assert_eq!(put(&full, 1, Action::Set), Err(RegisterRefusal::TooManyMembers));
    full.record.pop();
    assert!(put(&full, 1, Action::Set).is_ok());
}

fn member(n: u32) -> Member {
    let registration = Registration::parse(&format!("m{n}=http://host{n}:2380")).unwrap();
    let created = Revision(u64::from(n) + 2);
    Member::registered(key(n), registration, created)
}
