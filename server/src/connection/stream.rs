use std::{future::Future, sync::Arc, time::Duration};

use hyper::rt::Executor;

use super::budget::{Account, Progress};

tokio::task_local! {
    /// The progress of the answer on this HTTP/2 stream.
    static PROGRESS: Arc<Progress>;
}

/// Runs the HTTP/2 streams of a connection, each as a task, and ends those whose client reads no answer for too long.
#[derive(Clone)]
pub struct Streams {
    account: Arc<Account>,
    write_timeout: Duration,
}

impl Streams {
    /// Streams of the connection with this account.
    pub fn new(account: Arc<Account>, write_timeout: Duration) -> Self {
        Self { account, write_timeout }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let Self { account, write_timeout } = self.clone();
        let progress = Arc::new(Progress::default());
        tokio::spawn(PROGRESS.scope(progress.clone(), async move {
            tokio::select! {
                biased;
                _ = stream => {}
                // To drop the stream is to reset it.
                () = account.stalls(&progress, write_timeout) => {}
            }
        }));
    }
}

/// The progress of the answer that this task makes: on HTTP/1 a new one, because there the connection is the stream.
pub fn progress() -> Arc<Progress> {
    PROGRESS.try_with(Arc::clone).unwrap_or_default()
}
