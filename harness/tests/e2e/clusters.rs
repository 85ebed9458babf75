//! Clusters of every version, with and without TLS, as they are started and observed.

use std::{sync::Arc, time::Duration};

use convene_harness::{
    Access, Place,
    cluster::{Member, member_list, wait_until_members},
    etcd::Version,
    tls::Ca,
};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn members_find_each_other_over_tls_and_are_listed() {
    for version in Version::oldest_and_newest() {
        let ca = Ca::new();
        let places = [0, 1, 2].map(|_| Arc::new(Place::with_tls(&ca.node()).with_wal_dir()));
        let names = ["infra0", "infra1", "infra2"];
        let members: Vec<_> = names.into_iter().zip(places.clone()).collect();
        let _etcds = version.form(&members);

        let endpoints = places.each_ref().map(|place| place.client_url.as_str());
        let access = Access::with(&ca.client("anybody"));
        let listed = wait_until_members(&version, &access, &endpoints, 3, LIMIT);
        for (name, place) in members {
            let member = listed.iter().find(|member| member.name == name).unwrap();
            let urls = (&member.peer_urls, &member.client_urls, member.learner);
            assert_eq!(urls, (&vec![place.peer_url.clone()], &vec![place.client_url.clone()], false));
            assert!(place.wal_dir().unwrap().exists() && !place.data_dir().join("member/wal").exists());
        }
        assert!(member_list(&version, &Access::default(), endpoints[0]).is_err(), "a certificate is needed");
    }
}

#[test]
fn a_member_that_has_not_started_is_no_healthy_voter() {
    for version in Version::oldest_and_newest() {
        let place = Arc::new(Place::new());
        let etcd = version.form(&[("infra0", place.clone())]).remove(0);
        wait_until_members(&version, &Access::default(), &[&place.client_url], 1, LIMIT);
        etcd.etcdctl(&["member", "add", "infra1", "--peer-urls=http://127.0.0.1:9", "--learner"]).unwrap();

        let listed = member_list(&version, &Access::default(), &place.client_url).unwrap();
        let added = listed.iter().find(|member| member.name.is_empty()).unwrap().clone();
        let peer_urls = vec!["http://127.0.0.1:9".to_owned()];
        assert_eq!(
            added,
            Member { peer_urls, name: String::new(), client_urls: vec![], learner: true, ..added.clone() }
        );
        etcd.etcdctl(&["member", "remove", &added.id]).unwrap();
    }
}

#[test]
fn variables_start_an_etcd_and_data_stay_when_it_moves() {
    for version in Version::all() {
        let place = Arc::new(Place::new());
        let variables = format!(
            "# A comment.\nETCD_NAME='infra 0'\nETCD_INITIAL_ADVERTISE_PEER_URLS={url}\nETCD_INITIAL_CLUSTER=\"infra 0={url}\"\n",
            url = place.peer_url
        );
        let mut etcd = version.start_with_environment(&place, &variables);
        etcd.wait_until_healthy(LIMIT);
        etcd.etcdctl(&["put", "greeting", "hello"]).unwrap();
        etcd.signal("TERM");
        etcd.wait_for_exit(LIMIT);

        let place = Arc::new(place.moved());
        let etcd = version.start(&place, &["--name", "infra 1"]);
        etcd.wait_until_healthy(LIMIT);
        let members = wait_until_members(&version, &Access::default(), &[&place.client_url], 1, LIMIT);
        assert_eq!(members[0].client_urls, [&*place.client_url]);
        assert_eq!(etcd.etcdctl(&["get", "greeting", "--print-value-only"]).as_deref(), Ok("hello\n"));
    }
}
