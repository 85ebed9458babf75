//! The commands in the README work as they stand.

use std::{path::Path, process::Command, time::Duration};

use convene_harness::{Process, etcd::Version, programs, server::Server};

#[test]
fn the_quick_tour_works_line_by_line() {
    let Some(version) = Version::find("3.5") else { return };
    let server = Server::start();
    let tour = tour("Quick tour").replace("$HOME/.cache/convene/peers/etcd-3.5", version.folder());
    let (code, output) = type_in(&tour, &server);
    assert_eq!(code, Some(0), "{output}");
    for expected in [
        &format!("{}/", server.url),
        r#""value":"3""#,
        "is healthy",
        "infra0",
        "infra1",
        "infra2",
        "greeting\nhello",
        r#""value":"infra2=http://127.0.0.1:32382""#,
        "cluster is full",
    ] {
        assert!(output.contains(expected), "{expected:?} is missing:\n{output}");
    }
}

#[test]
fn the_tour_with_the_newest_etcd_works_line_by_line() {
    let Some(version) = Version::find("3.7") else { return };
    let server = Server::start();
    let tour = tour("etcd 3.7").replace("$HOME/.cache/convene/peers/etcd-3.7", version.folder());
    let (code, output) = type_in(&tour, &server);
    assert_eq!(code, Some(0), "{output}");
    for expected in [
        "OK\n",
        "is healthy",
        "infra2, http://127.0.0.1:32482, http://127.0.0.1:32472, false",
        "/_config/size\n3\n",
        "\ninfra2=http://127.0.0.1:32482\n",
        r#""value":"infra2=http://127.0.0.1:32482""#,
    ] {
        assert!(output.contains(expected), "{expected:?} is missing:\n{output}");
    }
}

#[test]
fn the_tour_of_a_lost_disk_works_line_by_line() {
    let Some(version) = Version::find("3.7") else { return };
    let server = Server::start();
    let client = programs::client();
    let tour = tour("A node that loses its disk")
        .replace("$PWD/target/release", client.parent().and_then(Path::to_str).unwrap())
        .replace("$HOME/.cache/convene/peers/etcd-3.7", version.folder());
    let (code, output) = type_in(&tour, &server);
    assert_eq!(code, Some(0), "{output}");
    for expected in [
        "Name:         tour",
        "greeting\nhello",
        "remove_member (lost_disk)",
        "adding this node as a learner",
        "join (added)",
        "infra2, http://127.0.0.1:32582, http://127.0.0.1:32572, false",
        "member_promoted",
    ] {
        assert!(output.contains(expected), "{expected:?} is missing:\n{output}");
    }
}

/// Runs the lines with bash, and returns the exit code and the output.
fn type_in(tour: &str, server: &Server) -> (Option<i32>, String) {
    let address = server.address();
    let tour = tour.replace("127.0.0.1:8087", address);
    let mut shell = Process::spawn("the tour", Command::new("timeout").args(["80", "bash", "-u", "-c", &tour]));
    let code = shell.wait_for_exit(Duration::from_secs(90));
    (code, shell.output())
}

/// The shell lines of one of the README's sections.
fn tour(title: &str) -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let section = readme.split("\n## ").find(|section| section.starts_with(title)).unwrap();
    let blocks = section.split("```sh\n").skip(1).map(|block| block.split_once("```").unwrap().0);
    blocks.collect()
}
