use std::time::{Duration, Instant};

/// When a command gives up.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Option<Instant>);

/// The time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over;

impl Deadline {
    /// After this time; `None` means never.
    pub fn after(limit: Option<Duration>) -> Self {
        Self(limit.and_then(|limit| Instant::now().checked_add(limit)))
    }

    /// Does something that may be broken off when the time is over.
    pub async fn bound<T>(self, work: impl Future<Output = T>) -> Result<T, Over> {
        match self.0 {
            Some(deadline) => tokio::time::timeout_at(deadline.into(), work).await.map_err(|_| Over),
            None => Ok(work.await),
        }
    }

    /// Waits for so long, or until the time is over.
    pub async fn pause(self, wanted: Duration) -> Result<(), Over> {
        let Some(deadline) = self.0 else {
            tokio::time::sleep(wanted).await;
            return Ok(());
        };
        let left = deadline.saturating_duration_since(Instant::now());
        tokio::time::sleep(wanted.min(left)).await;
        if wanted >= left { Err(Over) } else { Ok(()) }
    }
}
