//! The files in deploy/ are what their comments promise.

use std::{path::Path, process::Command};

use convene_harness::peers;

/// `systemd-analyze security` rates from 0 (confined) to 10 (exposed).
#[test]
fn systemd_rates_the_servers_unit_as_well_confined() {
    let Some(analyze) = peers::program("systemd", "usr/bin/systemd-analyze") else { return };
    let root = analyze.ancestors().nth(3).expect("a folder of the peers");
    let libraries = ["lib/x86_64-linux-gnu/systemd", "usr/lib/x86_64-linux-gnu/systemd", "usr/lib/x86_64-linux-gnu"];
    let libraries = libraries.map(|folder| root.join(folder).display().to_string()).join(":");
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/convene-server.service");
    // The threshold is in tenths, and a rating above it fails.
    let rated = Command::new(&analyze)
        .args(["security", "--offline=true", "--no-pager", "--threshold=20"])
        .arg(unit)
        .env("LD_LIBRARY_PATH", libraries)
        .output()
        .unwrap();
    assert!(rated.status.success(), "{}", String::from_utf8_lossy(&rated.stdout));
}
