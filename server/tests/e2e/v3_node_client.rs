//! A client of another make than etcd's own: the npm package etcd3.

use std::{path::Path, process::Command, time::Duration};

use convene_harness::{Process, etcd::Version, peers, server::Server};

use crate::test_cluster::TestCluster;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn the_npm_package_etcd3_registers_and_watches() {
    let Some(node) = peers::program("etcd3/bin", "node") else { return };
    let Some(version) = Version::find("3.6") else { return };
    let server = Server::start();
    let mut script = run(&node, &server.url, "prod");

    script.wait_for_stdout("waits for another", LIMIT);
    let put = ["put", "/_etcd/registry/prod/members/6a01", "infra1=http://10.0.0.2:2380"];
    assert_eq!(version.etcdctl(&server.url, &put).as_deref(), Ok("OK\n"), "{}", script.output());
    assert_eq!(script.wait_for_exit(LIMIT), Some(0), "{}", script.output());

    let output = script.stdout();
    let (done, refused) = output.split_once("refused: ").unwrap_or_else(|| panic!("nothing was refused:\n{output}"));
    assert_eq!(
        done,
        "made with 3: true\n\
         made with 5: false\n\
         size: 3\n\
         watched: /_etcd/registry/prod/members/5e3c = infra0=http://10.0.0.1:2380\n\
         waits for another\n\
         watched: /_etcd/registry/prod/members/6a01 = infra1=http://10.0.0.2:2380\n\
         all: {\"/_etcd/registry/prod/members/5e3c\":\"infra0=http://10.0.0.1:2380\",\
         \"/_etcd/registry/prod/members/6a01\":\"infra1=http://10.0.0.2:2380\"}\n\
         deleted: 1\n\
         watched: /_etcd/registry/prod/members/5e3c is gone\n"
    );
    assert!(refused.contains("size: must be a whole number from 1 to 31"), "{refused}");
    assert_eq!(TestCluster::of(&server, "prod").members().into_keys().collect::<Vec<_>>(), ["6a01"]);
}

fn run(node: &Path, endpoint: &str, token: &str) -> Process {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/node/register.js");
    Process::spawn("register.js", Command::new(node).args([script, endpoint, token]))
}
