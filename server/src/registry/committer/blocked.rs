use std::{collections::HashSet, mem, time::Duration};

use convene_lifecycle::Token;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use super::super::{Unavailable, transact::Job};

/// The most jobs that wait for locked rows. Further ones fail at once.
const MAX_JOBS: usize = 4_096;

/// The pauses before the committer looks again whether the rows are free: the first one, and the longest one. Another server
/// holds a row for as long as a commit takes.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(16);

/// Jobs that wait because another session has locked the row of their cluster. The others go on meanwhile.
pub(super) struct BlockedJobs {
    /// In the order in which they came.
    jobs: Vec<Job>,
    pause: Duration,
    /// The longest time that a job waits.
    patience: Duration,
}

impl BlockedJobs {
    pub fn new(patience: Duration) -> Self {
        Self { jobs: Vec::new(), pause: FIRST_PAUSE, patience }
    }

    /// Receives further jobs, and stops waiting for them when it is time to look at the locked rows again. Returns `false` if
    /// there is nothing to do and there never will be.
    pub async fn receive(&mut self, queue: &mut mpsc::Receiver<Job>, waiting: &mut Vec<Job>, limit: usize) -> bool {
        if self.jobs.is_empty() {
            self.pause = FIRST_PAUSE;
            return queue.recv_many(waiting, limit).await > 0;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        if let Ok(0) = timeout(pause, queue.recv_many(waiting, limit)).await {
            // All senders are gone.
            sleep(pause).await;
        }
        true
    }

    /// The blocked jobs, which are to be tried again.
    pub fn take(&mut self) -> Vec<Job> {
        mem::take(&mut self.jobs)
    }

    /// Moves the jobs of locked clusters here.
    pub fn set_aside(&mut self, jobs: &mut Vec<Job>, busy: &HashSet<Token>) {
        if busy.is_empty() {
            return;
        }
        let now = Instant::now();
        for mut job in jobs.extract_if(.., |job| busy.contains(&job.token)) {
            job.blocked_since.get_or_insert(now);
            match self.jobs.len() < MAX_JOBS {
                true => self.jobs.push(job),
                false => job.write.reply(Err(Unavailable.into())),
            }
        }
    }

    /// Fails the jobs that have waited for too long.
    pub fn give_up_late(&mut self) {
        let patience = self.patience;
        let is_late = |job: &mut Job| job.blocked_since.is_some_and(|since| since.elapsed() >= patience);
        let mut logged = HashSet::new();
        for job in self.jobs.extract_if(.., is_late) {
            if logged.insert(job.token.clone()) {
                tracing::error!(
                    cluster = %job.token,
                    waited = ?patience,
                    "another session has locked the cluster's row in the database; asking the client to retry"
                );
            }
            job.write.reply(Err(Unavailable.into()));
        }
    }
}
