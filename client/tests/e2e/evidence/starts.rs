//! A start is no sign of life, and a slow one is no death.

use std::time::{Duration, Instant};

use convene_harness::{etcd::Version, peer_proxy::PeerProxy};

use super::{assert_nothing_archived, cut_power, form, member_id};
use crate::{
    machine::{Machine, wait_until_whole},
    node::{LIMIT, Registry, with_each},
};

#[test]
fn a_spare_replaces_a_member_whose_etcd_ends_after_each_start() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let machines = form(version, &registry, 3);
        let spare = Machine::start(version, &registry, "infra3");
        spare.wait_for_log("stand_by (full)", LIMIT);

        machines[1].break_etcd();
        let broken = Instant::now();
        wait_until_whole(version, &[&machines[0], &machines[2], &spare], LIMIT);
        println!("etcd {}: full strength {:?} after the first failed start", version.name, broken.elapsed());
        assert!(machines[1].starts() > 2, "the supervisor started it again and again");
    });
}

#[test]
fn a_member_that_loads_for_longer_than_dead_after_keeps_its_place() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let machines = form(version, &registry, 3);
        let id = member_id(version, &machines[1]);
        let spare = Machine::start(version, &registry, "infra3");
        spare.wait_for_log("stand_by (full)", LIMIT);

        // Three times dead_after.
        machines[1].restart_slowly(Duration::from_secs(15));
        let reason = spare.wait_for_log("is loading its data and does not answer yet", LIMIT);
        assert!(reason.contains(&format!("wait (not_dead_yet): infra1 ({id}) is loading")), "{reason}");
        let shown = registry.administer(&["status"]);
        let loading = shown.lines().find(|line| line.starts_with("infra1")).unwrap();
        assert!(loading.contains("starting"), "{shown}");

        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        assert_eq!(member_id(version, &machines[1]), id);
        assert!(spare.starts() == 0 && !spare.log().contains("remove_member"), "{}", spare.log());
        assert_nothing_archived(&machines);
    });
}

#[test]
fn without_a_spare_a_member_whose_etcd_does_not_start_stays_and_is_shown() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(3);
    let machines = form(&version, &registry, 3);
    let broken = member_id(&version, &machines[1]);
    machines[1].break_etcd();
    let failed_starts = |at_least: u64| {
        convene_harness::wait_for(LIMIT, || {
            let members = registry.get("/members")["members"].as_array().unwrap().clone();
            let member = members.iter().find(|member| member["id"] == broken.as_str()).unwrap().clone();
            (member["failed_starts"].as_u64().unwrap() >= at_least).then_some(())
        })
    };
    failed_starts(5).expect("the registry counts failed starts");
    machines[1].stop();
    machines[1].go_on();
    wait_until_whole(&version, &machines.iter().collect::<Vec<_>>(), LIMIT);
    assert_nothing_archived(&machines);
}

/// A proxy accepts connections while no etcd runs behind it, and closes them after a few seconds.
#[test]
fn members_behind_proxies_start_again_after_a_power_cut() {
    with_each(Version::oldest_and_newest(), |version| {
        let placed: Option<Vec<_>> = (0..3).map(|_| PeerProxy::with_place()).collect();
        let Some(placed) = placed else { return };
        let (places, _proxies): (Vec<_>, Vec<_>) = placed.into_iter().unzip();
        let registry = Registry::new(3);
        let start = |(number, place)| Machine::start_at(place, version, &registry, &format!("infra{number}"), &[]);
        let machines: Vec<Machine> = places.into_iter().enumerate().map(start).collect();
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        cut_power(&machines);
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        assert_nothing_archived(&machines);

        machines[2].stop();
        machines[2].place.lose_disk();
        machines[2].go_on();
        wait_until_whole(version, &machines.iter().collect::<Vec<_>>(), LIMIT);
        machines[2].wait_for_log("join (", LIMIT);
    });
}

/// One founder's client stands still before it is instructed to bootstrap. The others have its name in etcd's list by then.
#[test]
fn a_slow_founder_is_not_taken_for_one_that_lost_its_disk() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let slow = Machine::start(version, &registry, "infra0");
        slow.wait_for_log("forming", LIMIT);
        slow.signal_join("STOP");
        let others = ["infra1", "infra2"].map(|name| Machine::start(version, &registry, name));
        others[0].wait_for_log("bootstrap (", LIMIT);
        let spare = Machine::start(version, &registry, "infra3");
        spare.wait_for_log("infra3", LIMIT);
        wait_until_serving(version, &others[0]);
        slow.signal_join("CONT");
        wait_until_whole(version, &[&slow, &others[0], &others[1]], LIMIT);
        assert!(!slow.log().contains("lost_disk") && !slow.log().contains("add_member"), "{}", slow.log());
    });
}

/// Waits until an etcd is in a cluster that has a leader.
fn wait_until_serving(version: &Version, machine: &Machine) {
    let healthy = || version.etcdctl(&machine.place.client_url, &["endpoint", "health"]).ok();
    convene_harness::wait_for(LIMIT, healthy).expect("two of three members serve");
}
