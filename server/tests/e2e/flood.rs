//! One address asks for as much as it can: the disk stays within its quota, honest clients are served, and nothing of it stays.

use std::process::Command;

use convene_harness::programs;

#[test]
fn a_flood_from_one_address_stays_within_the_quotas_and_is_collected() {
    flood(&["--minutes", "0.1"]);
}

mod large {
    use super::flood;

    #[test]
    fn existing_clusters_go_on_while_a_flood_fills_the_database() {
        flood(&["--minutes", "1", "--tight"]);
    }
}

fn flood(arguments: &[&str]) {
    let bench = concat!(env!("CARGO_MANIFEST_DIR"), "/../bench/flood");
    let mut command = Command::new("python3");
    command.arg(bench).args(arguments).arg("--server").arg(programs::server());
    let run = command.output().expect("python3 is installed");
    let printed = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{printed}");
    eprintln!("{printed}");
}
