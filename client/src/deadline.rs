use std::time::Duration;

use crate::boot_clock::BootInstant;

/// The moment at which a command gives up because of `--timeout`.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Option<BootInstant>);

/// The deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadlineExceeded;

impl Deadline {
    /// A deadline after this time; `None` means never.
    pub fn after(timeout: Option<Duration>) -> Self {
        Self(timeout.map(|timeout| BootInstant::now() + timeout))
    }

    /// Runs a future, and drops it unfinished when the deadline passes.
    pub async fn limit<T>(self, work: impl Future<Output = T>) -> Result<T, DeadlineExceeded> {
        match self.0 {
            Some(deadline) => {
                let left = deadline.saturating_duration_since(BootInstant::now());
                tokio::time::timeout(left, work).await.map_err(|_| DeadlineExceeded)
            }
            None => Ok(work.await),
        }
    }

    /// Sleeps for this time, or until the deadline passes.
    pub async fn sleep(self, duration: Duration) -> Result<(), DeadlineExceeded> {
        let Some(deadline) = self.0 else {
            tokio::time::sleep(duration).await;
            return Ok(());
        };
        let left = deadline.saturating_duration_since(BootInstant::now());
        tokio::time::sleep(duration.min(left)).await;
        if duration >= left { Err(DeadlineExceeded) } else { Ok(()) }
    }
}
