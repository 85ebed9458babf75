use std::{sync::Arc, time::Duration};

use convene_lifecycle::{Cluster, Token, Transition, UnixMillis};
use futures_util::future::join_all;

use crate::{app::App, registry::WriteError};

/// Collects tokens that nobody ever registered under once they are `ttl` old, for as long as it runs.
pub async fn sweep(app: Arc<App>, ttl: Duration) {
    let pause = (ttl / 10).clamp(Duration::from_millis(200), Duration::from_secs(600));
    loop {
        match collect(&app, ttl).await {
            Ok(0) => {}
            Ok(collected) => tracing::info!(collected, "deleted tokens that nobody ever registered under"),
            // The database's failure has been logged where it was met; the next round tries again.
            Err(_) => {}
        }
        tokio::time::sleep(pause).await;
    }
}

/// How often it is written down when members were last heard of: what is newer is lost by a crash, and then
/// nobody counts as silent before the server has listened for long enough again.
const FLUSH_EVERY: Duration = Duration::from_secs(10);

/// Writes down when members were last heard of, all of them with one commit, for as long as it runs.
pub async fn flush(app: Arc<App>) {
    loop {
        tokio::time::sleep(FLUSH_EVERY).await;
        // The database's failure has been logged where it was met; the next round has everything again.
        let _ = app.registry.flush_liveness().await;
    }
}

async fn collect(app: &App, ttl: Duration) -> Result<usize, WriteError> {
    let age = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
    let before = UnixMillis(app.registry.now().0.saturating_sub(age));
    let mut collected = 0;
    loop {
        let expired = app.registry.unregistered(before).await?;
        let mut in_page = 0;
        // All at once, so that they share a commit.
        for deleted in join_all(expired.iter().map(|token| delete_if_unregistered(app, token, before))).await {
            in_page += usize::from(deleted?);
        }
        collected += in_page;
        if in_page == 0 {
            return Ok(collected);
        }
    }
}

async fn delete_if_unregistered(app: &App, token: &Token, before: UnixMillis) -> Result<bool, WriteError> {
    let decide = move |cluster: Option<&Cluster>, at: UnixMillis| -> Result<Transition, ()> {
        let idle = |cluster: &&Cluster| cluster.first_registered_at.is_none() && cluster.created_at < before;
        cluster.filter(idle).map(|cluster| cluster.delete(at)).ok_or(())
    };
    Ok(app.registry.update(token, decide).await?.is_ok())
}
