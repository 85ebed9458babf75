use super::*;
use crate::{Action, ClusterSize, DataEvidence, Discovery, Registration, Revision, RunId};

/// A cluster with one member, `a`.
fn cluster() -> Cluster {
    let token = "one".parse().unwrap();
    let created = Cluster::create(token, ClusterSize::DEFAULT, Action::Create, UnixMillis(0)).after.unwrap();
    let registration = Registration::parse("a=http://10.0.0.1:2380").unwrap();
    created
        .register("1".parse().unwrap(), registration, Discovery::V2, Action::Create, UnixMillis(0))
        .unwrap()
        .after
        .unwrap()
}

fn report(name: &str, peer_urls: usize) -> Report {
    let url = |n: usize| PeerUrl::parse(&format!("http://{}{n}:2380", "x".repeat(50))).unwrap();
    Report {
        name: name.parse().unwrap(),
        run: RunId::unnamed(),
        sequence: 0,
        peer_urls: (0..peer_urls).map(url).collect(),
        client_urls: Vec::new(),
        state: NodeState::Empty,
        data: DataEvidence::default(),
        etcd_version: None,
        refusal: None,
        leftover: false,
        disk: None,
        view: None,
        status: None,
        accept_reset: None,
        leaving: false,
        once: false,
        strategy: None,
        size: None,
    }
}

#[test]
fn members_and_the_latest_spares_are_kept() {
    let (cluster, mut liveness) = (cluster(), Liveness::new(UnixMillis(0)));
    liveness.record_check_in(&cluster, &report("a", 1), UnixMillis(1));
    for n in 0..300 {
        liveness.record_check_in(&cluster, &report(&format!("spare{n}"), 1), UnixMillis(2 + n));
    }
    assert_eq!(liveness.nodes.len(), 1 + MAX_SPARES);
    for (name, is_there) in [("a", true), ("spare99", false), ("spare100", true), ("spare299", true)] {
        assert_eq!(liveness.nodes.contains_key(&name.parse().unwrap()), is_there, "{name}");
    }
}

#[test]
fn check_ins_with_many_urls_do_not_fill_the_memory() {
    let (cluster, mut liveness) = (cluster(), Liveness::new(UnixMillis(0)));
    liveness.record_check_in(&cluster, &report("a", 200), UnixMillis(1));
    for n in 0..100 {
        liveness.record_check_in(&cluster, &report(&format!("spare{n}"), 200), UnixMillis(2 + n));
    }
    let bytes: usize = liveness.nodes.iter().map(|(name, check_in)| check_in.bytes(name)).sum();
    assert!(bytes <= MAX_BYTES && liveness.nodes.len() > 5, "{bytes}");
    assert!(liveness.nodes.contains_key(&"a".parse().unwrap()));
}

#[test]
fn after_a_gap_without_any_check_in_silence_counts_from_zero() {
    let (cluster, mut liveness) = (cluster(), Liveness::new(UnixMillis(0)));
    let member = cluster.members().next().unwrap();
    let silence_after = |liveness: &mut Liveness, quiet: i64| {
        liveness.resume(&cluster.policy, UnixMillis(1_000 + quiet));
        liveness.silence(&cluster.policy, member, UnixMillis(1_000 + quiet)).as_millis()
    };
    liveness.record_check_in(&cluster, &report("spare", 1), UnixMillis(1_000));
    assert_eq!(silence_after(&mut liveness, 30_000), 31_000);
    assert_eq!(silence_after(&mut liveness, 30_001), 0);
}

#[test]
fn failed_probes_of_yesterday_prove_nothing_today() {
    let key: MemberKey = "1".parse().unwrap();
    let registration = Registration::parse("a=http://10.0.0.1:2380").unwrap();
    let member = Member::registered(key.clone(), registration, Revision::FIRST);
    let (now, policy) = (UnixMillis(1_000_000_000), Policy::default());
    let is_dead = |first: i64, last: i64| {
        let failing = Some((UnixMillis(now.0 - first), UnixMillis(now.0 - last)));
        let mut liveness = Liveness::new(UnixMillis(0));
        liveness
            .members
            .insert(key.clone(), MemberLiveness { failing, unreached_by_voters: failing, ..MemberLiveness::default() });
        liveness.is_dead(&policy, &member, now)
    };
    assert!(is_dead(70_000, 2_000));
    assert!(!is_dead(30_000, 2_000));
    assert!(!is_dead(86_400_000, 86_340_000));
}

#[test]
fn a_member_that_has_answered_since_the_last_failed_probe_is_not_unreachable() {
    let probed = |answered: Option<i64>| MemberLiveness {
        failing: Some((UnixMillis(10), UnixMillis(20))),
        answered: answered.map(UnixMillis),
        ..MemberLiveness::default()
    };
    assert_eq!(probed(None).unreachable_since(), Some(UnixMillis(10)));
    assert_eq!(probed(Some(15)).unreachable_since(), Some(UnixMillis(10)));
    assert_eq!(probed(Some(21)).unreachable_since(), None);
    assert_eq!(MemberLiveness::default().unreachable_since(), None);
}

#[test]
fn a_spare_that_is_gone_is_forgotten_after_an_hour() {
    const HOUR: i64 = 3_600_000;
    let cluster = cluster();
    let mut liveness = Liveness::new(UnixMillis(0));
    let mut known_after = |name: &str, at: i64| {
        liveness.record_check_in(&cluster, &report(name, 1), UnixMillis(at));
        liveness.nodes.keys().map(ToString::to_string).collect::<Vec<_>>()
    };
    known_after("a", 0);
    known_after("gone", 0);
    assert_eq!(known_after("spare", HOUR), ["a", "gone", "spare"]);
    assert_eq!(known_after("spare", HOUR + 1), ["a", "spare"], "a member is not forgotten");
}

/// The clock was an hour ahead when the registry last saw the member.
#[test]
fn after_the_clock_was_set_back_silence_counts_from_then_on() {
    const HOUR: i64 = 3_600_000;
    let (cluster, now) = (cluster(), UnixMillis(1_000_000));
    let member = cluster.members().next().unwrap();
    let ahead = Some(UnixMillis(now.0 + HOUR));
    let starts = ahead.map(|at| Starts { first: at, last: at, short: 1 });
    let known =
        MemberLiveness { checked_in: ahead, answered: ahead, heard: ahead, starts, ..MemberLiveness::default() };
    let mut liveness = Liveness::new(UnixMillis(0));
    for sequence in [1, 2] {
        liveness.record_check_in(&cluster, &Report { sequence, ..report("spare", 1) }, UnixMillis(now.0 + HOUR));
    }
    liveness.members.insert(member.key.clone(), known);

    liveness.resume(&cluster.policy, now);
    let later = UnixMillis(now.0 + 20_000);
    assert_eq!(liveness.silence(&cluster.policy, member, later).as_millis(), 20_000);
    let spare = &liveness.nodes[&"spare".parse().unwrap()];
    assert_eq!((spare.at, spare.empty_since, spare.before), (now, Some(now), None));
    assert_eq!(liveness.members[&member.key].starts.unwrap().last, now);

    // The gap without any check-in after that is noticed, too.
    liveness.resume(&cluster.policy, UnixMillis(now.0 + 60_000));
    assert_eq!(liveness.since, UnixMillis(now.0 + 60_000));
}

#[test]
fn probes_from_before_the_clock_was_set_back_do_not_make_a_member_dead() {
    let (cluster, now) = (cluster(), UnixMillis(1_000_000_000));
    let member = cluster.members().next().unwrap();
    let series = Some((UnixMillis(now.0 + 1_000_000), UnixMillis(now.0 + 2_000_000)));
    let known = MemberLiveness { failing: series, unreached_by_voters: series, ..MemberLiveness::default() };
    let mut liveness = Liveness::new(UnixMillis(0));
    liveness.members.insert(member.key.clone(), known);
    liveness.resume(&cluster.policy, now);
    assert_eq!(liveness.dead_at(&cluster.policy, member, now), Some(now.after(cluster.policy.dead_after)));
}
