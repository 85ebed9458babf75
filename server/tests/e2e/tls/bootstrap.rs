//! Stock etcds form their clusters over TLS.

use std::{sync::Arc, time::Duration};

use convene_harness::{
    Place,
    cluster::every_member_serves_what_another_wrote,
    etcd::{Etcd, Version},
    http,
    server::Server,
    tls::{Ca, Identity},
};

const SIZE: usize = 3;

#[test]
fn etcd_3_5_bootstraps_by_v2_discovery_over_tls() {
    let Some(version) = Version::find("3.5") else { return };
    let ca = Ca::new();
    let server = Server::start_with_tls(&ca.node(), &[]);
    let url = new_cluster(&ca, &server);
    assert!(url.starts_with("https://"), "{url}");
    let etcds: Vec<_> = (0..SIZE).map(|n| version.discover_over_tls(&format!("infra{n}"), &url, &ca.file())).collect();
    every_member_serves_what_another_wrote(&etcds);

    let other_ca = Ca::new();
    let stranger = version.discover_over_tls("stranger", &url, &other_ca.file());
    stranger.wait_for_output("certificate signed by unknown authority", Duration::from_secs(30));
}

#[test]
fn etcd_3_7_bootstraps_by_v3_discovery_with_a_ca_and_with_a_client_certificate() {
    let Some(version) = Version::find("3.7") else { return };
    let (ca, clients) = (Ca::new(), Ca::new());
    let client_ca = clients.file();
    let server = Server::start_with_tls(&ca.node(), &["--tls-client-ca", client_ca.to_str().unwrap()]);
    for identity in [None, Some(clients.client("infra"))] {
        let token = new_cluster(&ca, &server).rsplit_once('/').unwrap().1.to_owned();
        let etcds: Vec<_> =
            (0..SIZE).map(|n| discover_v3(&version, n, &ca, &server, &token, identity.as_ref())).collect();
        every_member_serves_what_another_wrote(&etcds);
    }
    let token = new_cluster(&ca, &server).rsplit_once('/').unwrap().1.to_owned();
    let other_ca = Ca::new();
    let stranger = discover_v3(&version, 0, &ca, &server, &token, Some(&other_ca.client("infra")));
    stranger.wait_for_output("remote error: tls:", Duration::from_secs(30));
}

fn discover_v3(
    version: &Version,
    n: usize,
    ca: &Ca,
    server: &Server,
    token: &str,
    identity: Option<&Identity>,
) -> Etcd {
    let (place, name, ca) = (Arc::new(Place::new()), format!("infra{n}"), ca.file());
    let mut flags = vec!["--name", &name, "--initial-advertise-peer-urls", &place.peer_url];
    flags.extend(["--discovery-endpoints", &server.url, "--discovery-token", token]);
    flags.extend(["--discovery-cacert", ca.to_str().unwrap()]);
    if let Some(identity) = identity {
        let [certificate, key] = [&identity.certificate, &identity.key].map(|file| file.to_str().unwrap());
        flags.extend(["--discovery-cert", certificate, "--discovery-key", key]);
    }
    version.start(&place, &flags)
}

fn new_cluster(ca: &Ca, server: &Server) -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let url = format!("{}/new?size={SIZE}", server.url);
        http::tls_client(&ca.file(), None).get(url).send().await.unwrap().text().await.unwrap()
    })
}
