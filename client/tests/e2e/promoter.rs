//! The promoter that `convene join` leaves behind: one per data directory, for as long as etcd loads and no longer.

use std::{fs, path::Path, time::Duration};

use convene_harness::{etcd::Version, wait_for};

use crate::node::{LIMIT, Registry, form};

/// The promoters of a data directory.
fn promoters(data_dir: &Path) -> Vec<u32> {
    let wanted = format!("CONVENE_DATA_DIR={}", data_dir.display());
    let is_promoter = |process: &Path| {
        // A process may have exited since it was listed.
        let has = |file: &str, text: &str| {
            let content = fs::read(process.join(file)).unwrap_or_default();
            content.split(|byte| *byte == 0).any(|part| part == text.as_bytes())
        };
        has("cmdline", "--as-long-as-etcd-runs") && has("environ", &wanted)
    };
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let ids = processes.filter(|process| is_promoter(process));
    ids.filter_map(|process| process.file_name()?.to_str()?.parse().ok()).collect()
}

#[test]
fn restarts_leave_one_promoter_behind_which_exits_soon_after_etcd() {
    let Some(version) = Version::all().pop() else { return };
    let registry = Registry::new(1);
    let mut nodes = form(&version, &registry, 1);
    nodes[0].kill();
    let data_dir = nodes[0].place.data_dir();
    // A full disk, for example, ends etcd right after each start.
    let mut last = Vec::new();
    for _ in 0..10 {
        let ended = nodes[0].call("join", &[]).run(LIMIT);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let only = wait_for(Duration::from_secs(2), || {
            Some(promoters(&data_dir)).filter(|found| found.len() == 1 && *found != last)
        });
        last = only.unwrap_or_else(|| {
            panic!("the latest promoter is not the only one: {last:?}, then {:?}", promoters(&data_dir))
        });
    }
    let gone = wait_for(Duration::from_secs(40), || promoters(&data_dir).is_empty().then_some(()));
    gone.expect("a promoter exits if no etcd starts");
}
