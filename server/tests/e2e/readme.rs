//! What the README tells a newcomer to type works as it stands.

use std::{path::Path, process::Command, time::Duration};

use convene_harness::{Process, etcd::Version, server::Server};

#[test]
fn the_quick_tour_works_line_by_line() {
    let Some(version) = Version::find("3.5") else { return };
    let server = Server::start();
    let address = server.url.strip_prefix("http://").unwrap();
    let tour =
        tour().replace("127.0.0.1:8087", address).replace("$HOME/.cache/convene/peers/etcd-3.5", version.folder());

    let mut shell = Process::spawn("the tour", Command::new("timeout").args(["80", "bash", "-u", "-c", &tour]));
    let code = shell.wait_for_exit(Duration::from_secs(90));
    let said = shell.output();
    assert_eq!(code, Some(0), "{said}");
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
        assert!(said.contains(expected), "{expected:?} is missing:\n{said}");
    }
}

/// The shell lines of the README's quick tour.
fn tour() -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let section = readme.split("\n## ").find(|section| section.starts_with("Quick tour")).unwrap();
    let blocks = section.split("```sh\n").skip(1).map(|block| block.split_once("```").unwrap().0);
    blocks.collect()
}
