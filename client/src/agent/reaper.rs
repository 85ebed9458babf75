//! The duty of the first process in a container: it becomes the parent of processes whose parents have ended, and has to wait for
//! them.

use std::{collections::HashSet, fs, time::Duration};

use rustix::process::{Pid, WaitOptions, getpid, waitpid};
use tokio::sync::watch;

use super::status::Status;

/// How often the agent looks for processes that have ended.
const INTERVAL: Duration = Duration::from_secs(5);

/// Waits for orphans that have ended, for as long as the agent lives. Returns at once if the agent is not the first process.
///
/// The agent waits for its own children elsewhere: for etcd once it has prepared its end, which takes time, and for others within
/// milliseconds. So another process that is still there at the second look is an orphan.
pub async fn reap_orphans(status: watch::Receiver<Status>) {
    if !getpid().is_init() {
        return;
    }
    let mut seen = HashSet::new();
    loop {
        tokio::time::sleep(INTERVAL).await;
        let etcd = status.borrow().process;
        let ended = ended_children(etcd);
        for pid in ended.intersection(&seen) {
            // One that is gone needs nothing.
            let _ = waitpid(Some(*pid), WaitOptions::NOHANG);
        }
        seen = ended;
    }
}

/// The children that have ended, without etcd.
fn ended_children(etcd: Option<u32>) -> HashSet<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashSet::new() };
    let names = entries.flatten().map(|entry| entry.file_name());
    let pids = names.filter_map(|name| Pid::from_raw(name.to_str()?.parse().ok()?));
    let is_etcd = |pid: &Pid| etcd.is_some_and(|etcd| pid.as_raw_nonzero().get().unsigned_abs() == etcd);
    pids.filter(|pid| !is_etcd(pid))
        .filter(|pid| {
            fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).is_ok_and(|stat| is_ended_child(&stat))
        })
        .collect()
}

/// Whether a line of `/proc/PID/stat` is that of a child of the first process, which has ended. The second field has the name of the
/// program in brackets, which may contain anything.
fn is_ended_child(stat: &str) -> bool {
    let Some((_, after_name)) = stat.rsplit_once(')') else { return false };
    let mut fields = after_name.split_ascii_whitespace();
    (fields.next(), fields.next()) == (Some("Z"), Some("1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_has_ended_is_recognised() {
        assert!(is_ended_child("31 (sh) Z 1 31 1 0 -1"));
        assert!(is_ended_child("31 (a) S 7 (b) Z 1 31 1 0 -1"));
        for other in ["31 (sh) S 1 31", "31 (sh) Z 7 31", "31 (Z 1) S 7", ""] {
            assert!(!is_ended_child(other), "{other}");
        }
    }
}
