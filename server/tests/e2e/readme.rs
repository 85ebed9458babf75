//! The commands in the README work as they stand.

use std::{path::Path, process::Command, time::Duration};

use convene_harness::{Process, SetUp, etcd::Version, programs};

#[test]
fn the_first_command_starts_the_server_as_these_tests_do() {
    assert_eq!(tour("Start"), "cargo build --release --bins && target/release/convene-server --setup convene\n");
    let set_up = SetUp::new();
    let command = set_up.command(&[]);
    let arguments: Vec<_> = command.get_args().take(2).collect();
    assert_eq!(
        (arguments, command.get_current_dir()),
        (vec!["--setup".as_ref(), "convene".as_ref()], Some(set_up.parent()))
    );
}

#[test]
fn the_quick_tour_works_line_by_line() {
    let Some(version) = Version::find("3.5") else { return };
    let set_up = SetUp::new();
    let _server = set_up.start();
    let tour = tour("Quick tour").replace("$HOME/.cache/convene/peers/etcd-3.5", version.folder());
    let (code, output) = type_in(&tour, &set_up);
    assert_eq!(code, Some(0), "{output}");
    for expected in [
        &format!("https://{}/", set_up.address()),
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
    let set_up = SetUp::new();
    let _server = set_up.start();
    let tour = tour("etcd 3.7").replace("$HOME/.cache/convene/peers/etcd-3.7", version.folder());
    let (code, output) = type_in(&tour, &set_up);
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
    let set_up = SetUp::new();
    let _server = set_up.start();
    let client = programs::client();
    let tour = tour("A node that loses its disk")
        .replace("$PWD/target/release", client.parent().and_then(Path::to_str).unwrap())
        .replace("$HOME/.cache/convene/peers/etcd-3.7", version.folder());
    let (code, output) = type_in(&tour, &set_up);
    assert_eq!(code, Some(0), "{output}");
    for expected in [
        "Name:         first",
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
fn type_in(tour: &str, set_up: &SetUp) -> (Option<i32>, String) {
    let tour = tour.replace("127.0.0.1:8087", &set_up.address());
    let mut command = Command::new("timeout");
    command.current_dir(set_up.parent()).args(["80", "bash", "-u", "-c", &tour]);
    let mut shell = Process::spawn("the tour", &mut command);
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
