//! `convene status` on a node looks for itself, and shows who watches.

use std::{sync::Arc, time::Duration};

use convene_harness::{Place, etcd::Version, wait_for};
use serde_json::Value;

use crate::node::{LIMIT, Node, Registry, form, with_each};

#[test]
fn a_killed_member_is_shown_as_silent_without_anybody_who_watches() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        nodes[1].kill();
        // The check-ins of the start are not forgotten at once.
        let unwatched = wait_for(Duration::from_secs(40), || {
            let shown = registry.administer(&["status"]);
            shown.contains("Watched by:   nobody").then_some(shown)
        });
        let shown = unwatched.expect("nobody checks in");
        assert_eq!(health_and_age(&shown, "infra0"), ("healthy", "0s"), "{shown}");
        assert_eq!(health_and_age(&shown, "infra2"), ("healthy", "0s"), "{shown}");
        let (health, age) = health_and_age(&shown, "infra1");
        let seconds: u64 = age.trim_end_matches('s').parse().unwrap_or_else(|_| panic!("{shown}"));
        assert!(health == "silent" && seconds >= 10, "{shown}");
        assert!(shown.contains("Quorum:       yes, seen from here: 2 of 3 voters answer"), "{shown}");
        assert!(
            shown.contains("no node would notice a failure; start `convene run` on one more node, as a spare"),
            "{shown}"
        );

        let spare = Node::new(version, &registry, "infra3");
        let joining = spare.spawn_join(&["--join-strategy=prepared"]);
        joining.wait_for_stderr("wait (strategy)", LIMIT);
        let shown = registry.administer(&["status"]);
        assert!(shown.contains("Watched by:   infra3 since") && shown.contains("\nSPARE"), "{shown}");
        let shown: Value = serde_json::from_str(&registry.administer(&["status", "-o", "json"])).unwrap();
        assert_eq!(shown["view"]["linearizable"], true, "{shown}");
        let is_spare = |node: &&Value| node["name"] == "infra3" && node["state"] == "empty";
        assert!(shown["nodes"].as_array().unwrap().iter().any(|node| is_spare(&node)), "{shown}");

        drop(joining);
        let is_silent = |line: &str| line.split_whitespace().take(2).eq(["infra3", "silent"]);
        let silent =
            wait_for(Duration::from_secs(40), || registry.administer(&["status"]).lines().any(is_silent).then_some(()));
        silent.expect("a spare that is gone is shown as silent");
    });
}

/// Another cluster's member has got the address of a member that is down.
#[test]
fn a_member_whose_address_another_one_has_is_shown_with_that_one() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        nodes[1].kill();
        let place = Arc::new(Place::new().at_address_of(&nodes[1].place));
        let etcd = &version.form(&[("stranger", place)])[0];
        etcd.wait_until_healthy(LIMIT);
        // The member that was killed may have led.
        let seen = || Some(registry.administer(&["status"])).filter(|shown| shown.contains("Quorum:       yes"));
        let shown = wait_for(LIMIT, seen).expect("the cluster has a quorum");
        assert_eq!(health_and_age(&shown, "infra1").0, "silent", "{shown}");
        let line = shown.lines().find(|line| line.starts_with("infra1")).unwrap();
        assert!(line.contains("   member ") && line.ends_with(" answers there"), "{shown}");
    });
}

/// The HEALTH and the AGE of a member.
fn health_and_age<'a>(shown: &'a str, name: &str) -> (&'a str, &'a str) {
    let line = shown.lines().find(|line| line.starts_with(name)).unwrap();
    let cells: Vec<&str> = line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    (cells[3], cells[4])
}

#[test]
fn a_cluster_of_stock_etcds_is_healthy() {
    let Some(version) = Version::all().into_iter().find(|version| version.name != "3.7") else { return };
    let registry = Registry::new(1);
    let etcd = version.discover("infra0", &registry.url);
    etcd.wait_until_healthy(LIMIT);
    let shown = registry.administer(&["status"]);
    assert!(shown.contains("healthy") && shown.contains("the leader is infra0"), "{shown}");
    assert!(shown.contains("as with stock etcd") && !shown.contains("Warning"), "{shown}");
}

#[test]
fn a_downtime_is_announced_and_ended() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let _nodes = form(&version, &registry, 1);
    let announced = registry.administer(&["member", "downtime", "infra0", "1h"]);
    assert!(
        announced.contains("may be down until 20") && announced.contains("does not end when the member comes back"),
        "{announced}"
    );
    assert!(registry.administer(&["status"]).contains("downtime until"));
    let ended = registry.administer(&["member", "downtime", "infra0", "--end"]);
    assert!(ended.contains("has no downtime any more"), "{ended}");
    let again = registry.administer(&["member", "downtime", "infra0", "--end", &registry.url]);
    assert!(again.contains("has no announced downtime"), "{again}");
    let events = registry.administer(&["cluster", "events"]);
    assert!(events.contains("downtime_announced") && events.contains("downtime_ended"), "{events}");
}
