use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    param::clock_ticks_per_second,
    process::{Pid, PidfdFlags, Signal, geteuid, pidfd_open, pidfd_send_signal},
};

use crate::{boot_clock::BootInstant, data_dir::DataDir};

/// How often the agent looks whether the process has ended.
const INTERVAL: Duration = Duration::from_millis(250);

/// A process that the agent did not start. Its file descriptor stands for this process alone, also when its ID is used again.
#[derive(Debug)]
pub struct Running {
    pid: Pid,
    started: BootInstant,
    handle: OwnedFd,
}

impl Running {
    /// This user's etcd that runs on a data directory. `None` if there is none, or if it has not opened its log yet.
    ///
    /// It has locked both its database and its log. A program such as `etcdutl defrag` locks the database alone, and others may just have
    /// it open.
    pub fn find(data: &DataDir) -> io::Result<Option<Self>> {
        let (Ok(file), Ok(wal)) = (fs::metadata(data.database()), fs::canonicalize(data.wal_dir())) else {
            return Ok(None);
        };
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
            else {
                continue;
            };
            if !is_etcd(pid, &file, &wal) {
                continue;
            }
            let handle = pidfd_open(pid, PidfdFlags::empty())?;
            // The ID may have been used again in between.
            if let Some(started) = started(pid)
                && is_etcd(pid, &file, &wal)
            {
                return Ok(Some(Self { pid, started, handle }));
            }
        }
        Ok(None)
    }

    /// Its ID.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// When it was started.
    pub fn started(&self) -> BootInstant {
        self.started
    }

    /// Waits until it has ended.
    pub async fn exited(&self) {
        while !self.has_ended() {
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// The file descriptor of a process that has ended is readable (`pidfd_open(2)`).
    fn has_ended(&self) -> bool {
        let mut handle = [PollFd::new(&self.handle, PollFlags::IN)];
        poll(&mut handle, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        // A process that has ended needs none.
        let _ = pidfd_send_signal(&self.handle, signal);
    }
}

/// Whether a process of this user has locked a database, and files of a log.
fn is_etcd(pid: Pid, database: &fs::Metadata, wal: &Path) -> bool {
    let is_own = fs::metadata(process(pid)).is_ok_and(|process| process.uid() == geteuid().as_raw());
    let is_database = |path: &Path| {
        fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == (database.dev(), database.ino()))
    };
    let is_of_log = |path: &Path| fs::read_link(path).is_ok_and(|target| target.parent() == Some(wal));
    is_own && has_locked(pid, is_database) && has_locked(pid, is_of_log)
}

/// Whether a process has locked a file, of those that it has open, for itself alone. False if the process is another user's.
fn has_locked(pid: Pid, is_meant: impl Fn(&Path) -> bool) -> bool {
    let Ok(open) = fs::read_dir(process(pid).join("fd")) else { return false };
    open.flatten().any(|entry| {
        let about = || fs::read_to_string(process(pid).join("fdinfo").join(entry.file_name()));
        is_meant(&entry.path()) && about().is_ok_and(|about| is_locked(&about))
    })
}

/// Whether a file of `/proc/PID/fdinfo` shows a lock for one process alone. etcd locks its database by `flock(2)`
/// (`bbolt/bolt_unix.go:flock`), and its log by a lock of the open file (`client/pkg/fileutil/lock_linux.go:ofdLockFile`).
fn is_locked(about: &str) -> bool {
    about.lines().filter_map(|line| line.strip_prefix("lock:")).any(|lock| lock.contains(" WRITE "))
}

/// When a process was started: the 22nd field of `/proc/PID/stat`, in ticks since the machine booted.
fn started(pid: Pid) -> Option<BootInstant> {
    let stat = fs::read_to_string(process(pid).join("stat")).ok()?;
    // The second field has the name of the program, which may have spaces.
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: u64 = fields.split(' ').nth(19)?.parse().ok()?;
    Some(BootInstant::of_uptime(Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64)))
}

fn process(pid: Pid) -> PathBuf {
    PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()))
}

#[cfg(test)]
mod tests {
    use std::{
        process::{Child, Command},
        time::Instant,
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// Whether an etcd is found on a data directory with this database and log while a script has files open. The script says `ready`
    /// by creating that file.
    fn found_while(script: &str) -> (Option<Running>, Child) {
        let folder = tempfile::tempdir().unwrap().keep();
        let data = folder.join("data");
        for path in ["member/snap", "member/wal"] {
            fs::create_dir_all(data.join(path)).unwrap();
        }
        for file in ["member/snap/db", "member/wal/0.wal"] {
            fs::write(data.join(file), "").unwrap();
        }
        let script = format!("{script}; : >ready; exec sleep 600");
        let child = Command::new("bash").args(["-c", &script]).current_dir(&data).spawn().unwrap();
        let deadline = Instant::now() + LIMIT;
        while !data.join("ready").exists() {
            assert!(Instant::now() < deadline, "the script is not ready");
            std::thread::sleep(Duration::from_millis(5));
        }
        (Running::find(&DataDir::new(data, None)).unwrap(), child)
    }

    #[tokio::test]
    async fn the_process_that_has_locked_database_and_log_is_found_and_its_end_is_noticed() {
        let (found, mut child) = found_while("exec 8<>member/snap/db 9<>member/wal/0.wal; flock -x 8; flock -x 9");
        let found = found.unwrap();
        assert_eq!(found.pid().as_raw_nonzero().get().unsigned_abs(), child.id());
        assert!(found.started().elapsed() < LIMIT);
        found.signal(Signal::TERM);
        tokio::time::timeout(LIMIT, found.exited()).await.unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_has_files_open_or_locks_the_database_alone_is_no_etcd() {
        for script in [
            "exec 8<>member/snap/db 9<>member/wal/0.wal",
            "exec 8<>member/snap/db 9<>member/wal/0.wal; flock -x 8",
            "exec 8<>member/snap/db 9<>member/wal/0.wal; flock -x 9",
            "exec 8<>member/snap/db 9<>member/wal/0.wal; flock -s 8; flock -s 9",
        ] {
            let (found, mut child) = found_while(script);
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(found.is_none(), "{script}");
        }
    }
}
