use std::{os::unix::net::UnixDatagram as StdUnixDatagram, process::Command, time::Duration};

use convene_harness::{Place, Process, etcd::Version};
use futures_util::FutureExt;
use tokio::time::timeout;

use super::*;
use crate::cli::LogFormat;

/// Longer than anything here takes, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

fn listen(data_dir: &Path) -> EtcdReadiness {
    let readiness = EtcdReadiness::new(data_dir, &progress());
    assert!(readiness.path().is_some());
    readiness
}

fn progress() -> Progress {
    Progress::new(LogFormat::Text, "")
}

fn report_to(readiness: &EtcdReadiness, message: &str) {
    let path = readiness.path().unwrap();
    StdUnixDatagram::unbound().unwrap().send_to(message.as_bytes(), path).unwrap();
}

#[tokio::test]
async fn only_etcds_ready_counts() {
    let folder = tempfile::tempdir().unwrap();
    let readiness = listen(&folder.path().join("data"));
    for other in ["STATUS=READY=1", "READY=0", "READY=12", "XREADY=1", ""] {
        report_to(&readiness, other);
        assert!(readiness.ready().now_or_never().is_none(), "{other}");
    }
    report_to(&readiness, "STATUS=serving\nREADY=1\n");
    timeout(LIMIT, readiness.ready()).await.expect("etcd is ready");
    assert!(readiness.ready().now_or_never().is_none());
}

#[tokio::test]
async fn each_etcd_reports_to_a_socket_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let first = listen(&data_dir);
    report_to(&first, "READY=1");
    let second = listen(&data_dir);
    assert!(second.ready().now_or_never().is_none());
    drop(first);
    // An agent that is killed leaves its socket, or one that it has not renamed yet.
    drop(second);
    let directory = StateDir::open(&data_dir).unwrap();
    StdUnixDatagram::bind(directory.path_of("etcd-ready.new")).unwrap();
    let third = listen(&data_dir);
    report_to(&third, "READY=1");
    timeout(LIMIT, third.ready()).await.expect("etcd is ready");
    let left = fs::read_dir(directory.path_of("")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["etcd-ready"]);
}

#[tokio::test]
async fn without_a_socket_no_report_comes() {
    let folder = tempfile::tempdir().unwrap();
    let too_long = folder.path().join("long/".repeat(20)).join("data");
    let error = Listening::start(&too_long).unwrap_err().to_string();
    let path = StateDir::open(&too_long).unwrap().path_of(NAME);
    assert!(error.starts_with(&format!("cannot listen at {}: ", path.display())), "{error}");
    let readiness = EtcdReadiness::new(&too_long, &progress());
    assert_eq!(readiness.path(), None);
    assert!(readiness.ready().now_or_never().is_none());
}

#[tokio::test]
async fn every_etcd_reports_once_it_serves() {
    for version in Version::all() {
        let place = Place::new();
        let readiness = listen(&place.data_dir());
        let mut etcd = start(&version, &place, &format!("a={}", place.peer_url), &readiness);
        let ready = timeout(LIMIT, readiness.ready()).await;
        assert!(ready.is_ok() && etcd.is_running(), "etcd {} does not report: {}", version.name, etcd.output());
        version.etcdctl(&place.client_url, &["endpoint", "health"]).unwrap();
    }
}

#[tokio::test]
async fn no_etcd_reports_that_it_serves_without_a_quorum() {
    for version in Version::all() {
        let (place, other) = (Place::new(), Place::new());
        let readiness = listen(&place.data_dir());
        let members = format!("a={},b={}", place.peer_url, other.peer_url);
        let etcd = start(&version, &place, &members, &readiness);
        etcd.wait_for_output("is starting a new election", LIMIT);
        assert!(readiness.ready().now_or_never().is_none(), "etcd {}: {}", version.name, etcd.output());
    }
}

fn start(version: &Version, place: &Place, members: &str, readiness: &EtcdReadiness) -> Process {
    let mut command = Command::new(version.program());
    command.env_clear().env("NOTIFY_SOCKET", readiness.path().unwrap()).args(place.etcd_flags());
    command.args(["--name", "a", "--initial-advertise-peer-urls", &place.peer_url, "--initial-cluster", members]);
    Process::spawn(&format!("etcd {}", version.name), &mut command)
}
