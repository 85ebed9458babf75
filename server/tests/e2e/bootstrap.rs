//! Stock etcds find each other through the server and form a cluster.

use std::time::Duration;

use convene_harness::{
    cluster::every_member_serves_what_another_wrote,
    etcd::{Etcd, Version},
    server::Server,
};

const LIMIT: Duration = Duration::from_secs(60);

/// The two forms of discovery URL that are in use: discovery.etcd.io's, and that of a private etcd.
const URL_FORMS: [&str; 2] = ["", "/v2/keys/_etcd/registry"];

#[test]
fn etcd_2_3_bootstraps() {
    bootstrap("2.3", &[3]);
}

#[test]
fn etcd_3_4_bootstraps() {
    bootstrap_every_size("3.4");
}

#[test]
fn etcd_3_5_bootstraps() {
    bootstrap_every_size("3.5");
}

#[test]
fn etcd_3_6_bootstraps() {
    bootstrap_every_size("3.6");
}

#[test]
fn etcd_2_3_bootstraps_in_every_folder() {
    bootstrap_in_every_folder("2.3");
}

#[test]
fn etcd_3_4_bootstraps_in_every_folder() {
    bootstrap_in_every_folder("3.4");
}

#[test]
fn etcd_3_5_bootstraps_in_every_folder() {
    bootstrap_in_every_folder("3.5");
}

#[test]
fn etcd_3_6_bootstraps_in_every_folder() {
    bootstrap_in_every_folder("3.6");
}

/// Folders that guides and other registries use, and a folder below another one.
fn bootstrap_in_every_folder(version: &'static str) {
    let Some(version) = Version::find(version) else { return };
    let server = Server::start_with(&["--v2-folder", "_etcd/registry/mine"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for folder in ["/discovery", "", "/_etcd/registry/mine"] {
        let url = runtime.block_on(server.new_cluster(2));
        let url = format!("{}/v2/keys{folder}/{}", server.url, url.rsplit_once('/').unwrap().1);
        every_member_serves_what_another_wrote(&start(&version, &url, 2));
    }
    let unknown = format!("{}/v2/keys/other/folder/prod", server.url);
    let lost = version.discover("infra0", &unknown);
    lost.wait_for_output("start convene-server with --v2-folder other/folder", LIMIT);
}

fn bootstrap_every_size(version: &'static str) {
    bootstrap(version, &[1, 3, 5]);
}

fn bootstrap(version: &'static str, sizes: &[u32]) {
    let Some(version) = Version::find(version) else { return };
    let server = Server::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for &size in sizes {
        for form in URL_FORMS {
            let url = runtime.block_on(server.new_cluster(size));
            let token = url.rsplit_once('/').unwrap().1;
            let url = format!("{}{form}/{token}", server.url);

            let members = start(&version, &url, size);
            every_member_serves_what_another_wrote(&members);
            a_further_node_learns_that_the_cluster_is_full(&version, &url, size);
        }
    }
}

fn start(version: &Version, url: &str, size: u32) -> Vec<Etcd> {
    let members: Vec<Etcd> = (0..size).map(|n| version.discover(&format!("infra{n}"), url)).collect();
    members.iter().for_each(|member| member.wait_until_healthy(LIMIT));
    members
}

fn a_further_node_learns_that_the_cluster_is_full(version: &Version, url: &str, size: u32) {
    let further = version.discover(&format!("infra{size}"), url);
    // Up to 3.5 etcd falls back to being a proxy and keeps running; from 3.6 on it exits. All log why.
    further.wait_for_output(if version.name == "2.3" { "cluster full" } else { "cluster is full" }, LIMIT);
}
