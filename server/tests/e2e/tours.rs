//! The lines of shell in the README and in docs/quick-start.md work as they stand.

use std::{path::Path, process::Command, time::Duration};

use convene_harness::{Page, Process, SetUp, etcd::Version, programs};

/// How long a tour may take. The shell ends itself then.
const LIMIT: Duration = Duration::from_secs(150);

#[test]
fn the_first_command_starts_the_server_as_these_tests_do() {
    let command = Page::read("README.md").shell("Start the server");
    assert_eq!(command, "cargo build --release --bins && target/release/convene-server --setup convene\n");
    let set_up = SetUp::new();
    let command = set_up.command(&[]);
    let arguments: Vec<_> = command.get_args().take(2).collect();
    assert_eq!(
        (arguments, command.get_current_dir()),
        (vec!["--setup".as_ref(), "convene".as_ref()], Some(set_up.parent()))
    );
}

#[test]
fn three_minutes_on_one_machine() {
    let printed = [
        "voter: ",
        "Name:         first",
        "greeting\nhello",
        "remove_member (lost_disk)",
        "adding this node as a learner",
        "join (added)",
        "member_promoted",
    ];
    take("README.md", "Three minutes on one machine", "3.7", &printed);
}

#[test]
fn stock_discovery_with_v2() {
    let printed = [
        r#""value":"3""#,
        "is healthy",
        "infra0",
        "infra1",
        "infra2",
        "greeting\nhello",
        r#""value":"infra2=http://127.0.0.1:32382""#,
        "cluster is full",
    ];
    take("docs/quick-start.md", "Stock discovery with etcd 3.5", "3.5", &printed);
}

#[test]
fn stock_discovery_with_v3() {
    let printed = [
        "OK\n",
        "is healthy",
        "infra2, http://127.0.0.1:32482, http://127.0.0.1:32472, false",
        "/_config/size\n3\n",
        "\ninfra2=http://127.0.0.1:32482\n",
        r#""value":"infra2=http://127.0.0.1:32482""#,
    ];
    take("docs/quick-start.md", "Stock discovery with etcd 3.7", "3.7", &printed);
}

#[test]
fn a_cluster_that_repairs_itself() {
    let printed = [
        "convene run --discovery 'https://127.0.0.1:",
        "spare: standing by as a spare: the cluster has all 3 voters (full)",
        "greeting\nhello",
        "remove_member (dead)",
        "archive_data (removed_member)",
        ".archived-",
        "is deleted; its etcd nodes keep running",
    ];
    take("docs/quick-start.md", "A cluster that repairs itself", "3.7", &printed);
}

/// Runs the lines of a section with bash, beside a server whose set-up is fresh.
fn take(page: &str, section: &str, etcd: &'static str, printed: &[&str]) {
    let Some(version) = Version::find(etcd) else { return };
    let set_up = SetUp::new();
    let _server = set_up.start();
    let tour = Page::read(page)
        .shell(section)
        .replace("127.0.0.1:8087", &set_up.address())
        .replace("$PWD/target/release", programs::client().parent().and_then(Path::to_str).unwrap())
        .replace(&format!("$HOME/.cache/convene/peers/etcd-{etcd}"), version.folder());
    let mut command = Command::new("timeout");
    let limit = LIMIT.as_secs().to_string();
    command.current_dir(set_up.parent()).args([&limit, "bash", "-u", "-c", &tour]);
    let mut shell = Process::spawn("the tour", &mut command);
    let code = shell.wait_for_exit(LIMIT + Duration::from_secs(10));
    let output = shell.output();
    assert_eq!(code, Some(0), "{output}");
    for expected in printed {
        assert!(output.contains(expected), "{expected:?} is missing:\n{output}");
    }
}
