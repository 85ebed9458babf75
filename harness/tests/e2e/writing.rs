//! The writer, against every version.

use std::{sync::Arc, time::Duration};

use convene_harness::{Access, Place, cluster::wait_until_members, etcd::Version, tls::Ca, writer::Writer};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn acknowledged_writes_are_found() {
    for version in Version::all() {
        let place = Arc::new(Place::new());
        let _etcd = version.form(&[("infra0", place.clone())]);
        let writer = Writer::start(&Access::default(), &[&place.client_url]);
        writer.wait_for_writes(50, LIMIT);
        let report = writer.finish();
        assert!(report.acknowledged >= 50 && report.lost.is_empty(), "etcd {}: {report:?}", version.name);
    }
}

#[test]
fn lost_writes_are_reported() {
    let Some(version) = Version::find("3.6") else { return };
    let place = Arc::new(Place::new());
    let etcd = version.form(&[("infra0", place.clone())]).remove(0);
    let writer = Writer::start(&Access::default(), &[&place.client_url]);
    writer.wait_for_writes(20, LIMIT);
    let deleted = etcd.etcdctl(&["del", "--prefix", "writer-"]).unwrap();
    let deleted: usize = deleted.trim().parse().unwrap();
    writer.wait_for_writes(20, LIMIT);
    let report = writer.finish();
    assert!(deleted >= 20 && report.lost.len().abs_diff(deleted) <= 1, "{deleted} were deleted: {report:?}");
    assert!(report.acknowledged >= report.lost.len() + 20, "{report:?}");
}

#[test]
fn the_writer_shows_a_certificate_and_a_users_token() {
    for version in Version::all() {
        let ca = Ca::new();
        let place = Arc::new(Place::with_tls(&ca.node()));
        let etcd = version.form(&[("infra0", place.clone())]).remove(0);
        etcd.wait_until_healthy(LIMIT);
        version.turn_auth_on(&place.access(), &place.client_url, "secret");

        let access = place.access().and_user("root", "secret");
        let writer = Writer::start(&access, &[&place.client_url]);
        writer.wait_for_writes(20, LIMIT);
        assert!(writer.finish().lost.is_empty());
        let written = |access| version.etcdctl_as(&access, &place.client_url, &["get", "--prefix", "writer-"]);
        assert!(written(access).unwrap().lines().count() >= 40, "etcd {}", version.name);
        assert!(written(Access::with(&ca.client("root"))).unwrap().lines().count() >= 40, "etcd {}", version.name);
        assert!(written(Access::with(&ca.client("somebody"))).is_err(), "etcd {}", version.name);
    }
}

#[test]
fn the_writer_survives_a_member_and_follows_one_that_moves() {
    for version in Version::oldest_and_newest() {
        let places = [0, 1, 2].map(|_| Arc::new(Place::new()));
        let names = ["infra0", "infra1", "infra2"];
        let mut etcds = version.form(&names.into_iter().zip(places.clone()).collect::<Vec<_>>());
        let endpoints = places.each_ref().map(|place| place.client_url.as_str());
        let members = wait_until_members(&version, &Access::default(), &endpoints, 3, LIMIT);
        let writer = Writer::start(&Access::default(), &endpoints);
        writer.wait_for_writes(20, LIMIT);

        etcds[0].kill();
        writer.wait_for_writes(20, LIMIT);
        let moved = Arc::new(places[0].moved());
        let id = &members.iter().find(|member| member.name == "infra0").unwrap().id;
        let update = ["member", "update", id, &format!("--peer-urls={}", moved.peer_url)];
        etcds[1].etcdctl(&update).unwrap();
        etcds[0] = version.start(&moved, &["--name", "infra0"]);
        let endpoints = [moved.client_url.as_str(), endpoints[1], endpoints[2]];
        wait_until_members(&version, &Access::default(), &endpoints, 3, LIMIT);
        writer.use_endpoints(&endpoints[..1]);
        writer.wait_for_writes(20, LIMIT);
        let report = writer.finish();
        assert!(report.acknowledged >= 60 && report.lost.is_empty(), "etcd {}: {report:?}", version.name);
        assert!(
            report.max_probe_gap > Duration::ZERO && report.max_probe_gap < LIMIT,
            "etcd {}: {report:?}",
            version.name
        );
    }
}
