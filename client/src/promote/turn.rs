use std::{
    fs::{File, TryLockError},
    io::{self, Read, Seek, Write},
    path::Path,
    time::Duration,
};

use uuid::Uuid;

use crate::{boot_clock::BootInstant, command_error::CommandError, state_dir::StateDir};

/// How long taking over may take. It takes milliseconds, unless the promoter before is suspended.
const HANDOVER_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a promoter tries to follow the one before.
const HANDOVER_INTERVAL: Duration = Duration::from_millis(20);

/// How often a promoter looks whether a later one wants to take over.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// The file whose lock the running promoter holds.
const RUNNING: &str = "promoter";

/// The file with the ID of the latest promoter. Its lock is held only while it is read or written.
const LATEST: &str = "latest-promoter";

/// The turn of one promoter: at most one runs for a data directory, and a later one takes over. Each `convene join` leaves
/// one behind, and a supervisor may start etcd again and again.
///
/// The turn is the lock of a file that only the owner of the data directory can open. A promoter that wants it writes its ID to
/// another file, and the one before looks there. IDs are ordered by time, so of several promoters that start at once exactly one
/// stays.
#[derive(Debug)]
pub struct Turn {
    id: Uuid,
    latest: File,
    _running: File,
}

impl Turn {
    /// Takes over from the promoter before, if there is one. Returns `None` if a later one has the turn.
    pub async fn take(data_dir: &Path) -> Result<Option<Self>, CommandError> {
        Self::take_as(Uuid::now_v7(), data_dir).await
    }

    async fn take_as(id: Uuid, data_dir: &Path) -> Result<Option<Self>, CommandError> {
        let directory = StateDir::open(data_dir)?;
        let (running, mut latest) = (directory.file(RUNNING)?, directory.file(LATEST)?);
        let since = BootInstant::now();
        loop {
            match announce(&mut latest, id) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) => return Err(cannot_take(&error.to_string())),
            }
            match running.try_lock() {
                Ok(()) => return Ok(Some(Self { id, latest, _running: running })),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(cannot_take(&error.to_string())),
            }
            if since.elapsed() >= HANDOVER_TIMEOUT {
                return Err(cannot_take("that process does not exit"));
            }
            tokio::time::sleep(HANDOVER_INTERVAL).await;
        }
    }

    /// Waits until a later promoter wants to take over.
    pub async fn end(&self) {
        // An error is no reason to go on: two promoters are worse than none.
        while read_locked(&self.latest).is_ok_and(|latest| latest.is_none_or(|latest| latest <= self.id)) {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

/// Writes the ID, unless that of a later promoter is there. Returns whether this one is the latest.
fn announce(latest: &mut File, id: Uuid) -> io::Result<bool> {
    latest.lock()?;
    let announced = match read(latest) {
        Ok(Some(other)) if other > id => Ok(false),
        Ok(Some(other)) if other == id => Ok(true),
        Ok(_) => write(latest, id).map(|()| true),
        Err(error) => Err(error),
    };
    latest.unlock()?;
    announced
}

fn read_locked(latest: &File) -> io::Result<Option<Uuid>> {
    latest.lock_shared()?;
    let id = read(latest);
    latest.unlock()?;
    id
}

/// The ID in the file. A promoter that was killed while it wrote leaves none.
fn read(mut latest: &File) -> io::Result<Option<Uuid>> {
    let mut text = String::new();
    latest.rewind()?;
    latest.take(64).read_to_string(&mut text)?;
    Ok(text.trim().parse().ok())
}

fn write(mut latest: &File, id: Uuid) -> io::Result<()> {
    latest.rewind()?;
    // All IDs have the same length.
    writeln!(latest, "{id}")
}

fn cannot_take(cause: &str) -> CommandError {
    CommandError::Local(format!("cannot take over from another `convene promote`: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn take(id: u128, data_dir: &Path) -> Option<Turn> {
        Turn::take_as(Uuid::from_u128(id), data_dir).await.unwrap()
    }

    async fn ends(turn: &Turn) -> bool {
        tokio::time::timeout(2 * LOOK_INTERVAL, turn.end()).await.is_ok()
    }

    #[tokio::test]
    async fn a_later_promoter_of_the_same_data_directory_takes_over() {
        let temporary = tempfile::tempdir().unwrap();
        let (one, other) = (temporary.path().join("one"), temporary.path().join("other"));
        let first = take(1, &one).await.unwrap();
        let elsewhere = take(1, &other).await.unwrap();
        let hold = async {
            first.end().await;
            drop(first);
        };
        let ((), second) = tokio::join!(hold, take(2, &one));
        assert!(second.is_some());
        assert!(!ends(&elsewhere).await);
    }

    #[tokio::test]
    async fn an_earlier_promoter_gives_way() {
        let temporary = tempfile::tempdir().unwrap();
        let data_dir = temporary.path().join("data");
        let later = take(2, &data_dir).await.unwrap();
        let (ended, earlier) = tokio::join!(ends(&later), take(1, &data_dir));
        assert!(!ended && earlier.is_none());
    }

    #[tokio::test]
    async fn a_damaged_id_is_replaced() {
        let temporary = tempfile::tempdir().unwrap();
        let data_dir = temporary.path().join("data");
        drop(take(2, &data_dir).await.unwrap());
        StateDir::open(&data_dir).unwrap().file(LATEST).unwrap().set_len(7).unwrap();
        assert!(take(1, &data_dir).await.is_some());
    }
}
