use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::Path,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

/// How often the agent looks whether the process has ended.
const INTERVAL: Duration = Duration::from_millis(250);

/// A process that the agent did not start. Its file descriptor stands for this process alone, also when its ID is used again.
#[derive(Debug)]
pub struct Running {
    pid: Pid,
    handle: OwnedFd,
}

impl Running {
    /// The process that has a file open for writing; `None` if there is none, or if it is another user's.
    pub fn find(file: &Path) -> io::Result<Option<Self>> {
        let Ok(file) = fs::metadata(file) else { return Ok(None) };
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
            else {
                continue;
            };
            if !has_open(pid, &file) {
                continue;
            }
            let handle = pidfd_open(pid, PidfdFlags::empty())?;
            // The ID may have been used again in between.
            if has_open(pid, &file) {
                return Ok(Some(Self { pid, handle }));
            }
        }
        Ok(None)
    }

    /// Its ID.
    pub fn pid(&self) -> Pid {
        self.pid
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

/// Whether a process has a file open for writing. False if the process is another user's.
fn has_open(pid: Pid, file: &fs::Metadata) -> bool {
    let process = format!("/proc/{}", pid.as_raw_nonzero());
    let Ok(open) = fs::read_dir(format!("{process}/fd")) else { return false };
    let is_file = |found: fs::Metadata| (found.dev(), found.ino()) == (file.dev(), file.ino());
    open.flatten().any(|entry| {
        fs::metadata(entry.path()).is_ok_and(is_file)
            && fs::read_to_string(format!("{process}/fdinfo/{}", entry.file_name().display()))
                .is_ok_and(|info| is_writable(&info))
    })
}

/// Whether a file of `/proc/PID/fdinfo` is that of a file descriptor for writing: its flags are an octal number that ends with
/// `O_WRONLY` or `O_RDWR`.
fn is_writable(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & 0o3 != 0)
}

#[cfg(test)]
mod tests {
    use std::{
        process::{Command, Stdio},
        time::Duration,
    };

    use super::*;

    #[tokio::test]
    async fn the_process_that_has_a_file_open_is_found_and_its_end_is_noticed() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("db");
        assert!(Running::find(&path).unwrap().is_none());
        fs::write(&path, "").unwrap();
        let _reader = fs::File::open(&path).unwrap();
        assert!(Running::find(&path).unwrap().is_none());
        let mut child =
            Command::new("sleep").arg("600").stdout(Stdio::from(fs::File::create(&path).unwrap())).spawn().unwrap();
        let found = Running::find(&path).unwrap().unwrap();
        assert_eq!(found.pid().as_raw_nonzero().get().unsigned_abs(), child.id());
        found.signal(Signal::TERM);
        tokio::time::timeout(Duration::from_secs(60), found.exited()).await.unwrap();
        child.wait().unwrap();
        assert!(Running::find(&path).unwrap().is_none());
    }
}
