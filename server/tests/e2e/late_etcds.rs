//! More etcds start than the cluster has places. Those that lose the race log that the cluster is full, and change nothing.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Once},
    thread,
    time::Duration,
};

use convene_harness::{
    etcd::{Etcd, Version},
    server::Server,
    wait_for,
};

use crate::test_cluster::TestCluster;

const LIMIT: Duration = Duration::from_secs(60);

const FULL: &str = "cluster is full";

/// The name of the etcd whose registration is held up.
const LATE: &str = "latecomer";

#[test]
fn two_of_five_etcds_3_5_learn_that_the_cluster_is_full() {
    two_of_five_learn_that_the_cluster_is_full("3.5", |version, _, cluster, name| {
        version.discover(name, &cluster.discovery_url())
    });
}

#[test]
fn two_of_five_etcds_3_7_learn_that_the_cluster_is_full() {
    two_of_five_learn_that_the_cluster_is_full("3.7", |version, server, cluster, name| {
        version.discover_v3(name, &server.url, cluster.token())
    });
}

#[test]
fn an_etcd_3_5_that_loses_the_last_place_before_it_registers_learns_that_the_cluster_is_full() {
    let Some(version) = Version::find("3.5") else { return };
    let server = Server::start();
    let cluster = TestCluster::draw(&server, 1);
    let relay = relay_after(&server, register_first(&version, &server, &cluster));
    let late = version.discover(LATE, &format!("http://{relay}/{}", cluster.token()));
    late.wait_for_output(FULL, LIMIT);
    only_the_first_has_a_place(&cluster);
}

#[test]
fn an_etcd_3_7_that_loses_the_last_place_before_it_registers_learns_that_the_cluster_is_full() {
    let Some(version) = Version::find("3.7") else { return };
    let server = Server::start();
    let cluster = TestCluster::draw(&server, 1);
    let relay = relay_after(&server, register_first(&version, &server, &cluster));
    let mut late = version.discover_v3(LATE, &format!("http://{relay}"), cluster.token());
    late.wait_for_output(FULL, LIMIT);
    assert_ne!(late.wait_for_exit(LIMIT), Some(0), "{}", late.output());
    only_the_first_has_a_place(&cluster);
}

fn two_of_five_learn_that_the_cluster_is_full(
    version: &'static str,
    discover: fn(&Version, &Server, &TestCluster, &str) -> Etcd,
) {
    let Some(version) = Version::find(version) else { return };
    let server = Server::start();
    let cluster = TestCluster::draw(&server, 3);
    let etcds: Vec<Etcd> = (0..5).map(|n| discover(&version, &server, &cluster, &format!("infra{n}"))).collect();
    let is_late = |etcd: &&Etcd| etcd.output().contains(FULL);
    wait_for(LIMIT, || (etcds.iter().filter(is_late).count() == 2).then_some(())).expect("two log that it is full");
    let members: Vec<&Etcd> = etcds.iter().filter(|etcd| !is_late(etcd)).collect();
    members.iter().for_each(|member| member.wait_until_healthy(LIMIT));
    assert_eq!(etcds.iter().filter(is_late).count(), 2);
}

/// Takes the only place by the protocol of this etcd.
fn register_first(version: &Version, server: &Server, cluster: &TestCluster) -> impl Fn() + Send + Sync + 'static {
    let (version, url, token) = (version.clone(), server.url.clone(), cluster.token().to_owned());
    move || {
        let (id, registration) = ("1", "infra0=http://10.0.0.1:2380");
        if version.name == "3.7" {
            let key = format!("/_etcd/registry/{token}/members/{id}");
            assert_eq!(version.etcdctl(&url, &["put", &key, registration]).as_deref(), Ok("OK\n"));
        } else {
            let put = format!("{url}/{token}/{id}?prevExist=false");
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let sent = async { convene_harness::http::client().put(put).form(&[("value", registration)]).send().await };
            assert_eq!(runtime.block_on(sent).unwrap().status(), 201);
        }
    }
}

fn only_the_first_has_a_place(cluster: &TestCluster) {
    let shown = cluster.cluster();
    assert_eq!(shown["phase"], "formed", "{shown}");
    assert_eq!(cluster.members().into_values().collect::<Vec<_>>(), ["infra0", LATE]);
}

/// The address of a relay to the server that runs `first` before it passes on the registration of [`LATE`].
fn relay_after(server: &Server, first: impl Fn() + Send + Sync + 'static) -> SocketAddr {
    let to = server.url.strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (first, done) = (Arc::new(first), Arc::new(Once::new()));
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(upstream) = TcpStream::connect(&to) else { continue };
            let (from, back) = (upstream.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || pass_on(from, back, |_| {}));
            let (first, done) = (first.clone(), done.clone());
            thread::spawn(move || {
                pass_on(client, upstream, |bytes| {
                    if bytes.windows(LATE.len()).any(|part| part == LATE.as_bytes()) {
                        done.call_once(|| first());
                    }
                });
            });
        }
    });
    address
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, before: impl Fn(&[u8])) {
    let mut bytes = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        before(&bytes[..count]);
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
