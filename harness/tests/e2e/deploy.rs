//! The files in deploy/ are what their comments promise.

use std::{
    fs,
    path::{Path, PathBuf},
};

use convene_harness::systemd;

const UNITS: [&str; 2] = ["convene-server.service", "etcd-node.service"];

/// `systemd-analyze security` rates from 0 (confined) to 10 (exposed).
#[test]
fn systemd_rates_the_units_as_well_confined() {
    let Some(mut analyze) = systemd::command("usr/bin/systemd-analyze") else { return };
    // The threshold is in tenths, and a rating above it fails.
    analyze.args(["security", "--offline=true", "--no-pager", "--threshold=20"]);
    let rated = analyze.args(UNITS.map(unit)).output().unwrap();
    assert!(rated.status.success(), "{}", String::from_utf8_lossy(&rated.stdout));
}

#[test]
fn systemd_accepts_every_line_of_the_units() {
    let folder = tempfile::tempdir().unwrap();
    for name in UNITS {
        let Some(mut analyze) = systemd::command("usr/bin/systemd-analyze") else { return };
        // It wants the programs to be installed.
        let text = fs::read_to_string(unit(name)).unwrap();
        let programs = ["/usr/local/bin/convene-server", "/usr/local/bin/convene"];
        let started = |line: &str| {
            line.strip_prefix("ExecStart=").is_some_and(|line| programs.contains(&line.split(' ').next().unwrap()))
        };
        assert!(text.lines().any(started), "{name} starts one of {programs:?}");
        let text = text.replace(programs[0], "/bin/true").replace(programs[1], "/bin/true");
        let installed = folder.path().join(name);
        fs::write(&installed, text).unwrap();
        let verified = analyze.args(["verify", "--man=no"]).arg(&installed).output().unwrap();
        // What it does not know, it ignores, and prints so.
        let complaints = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success() && !complaints.contains(name), "{complaints}");
    }
}

fn unit(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
}
