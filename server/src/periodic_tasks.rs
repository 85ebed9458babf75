use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use convene_lifecycle::{Actor, Cluster, Revision, Token, Transition, UnixMillis};
use futures_util::future::join_all;

use crate::{
    access::REFRESH_EVERY,
    app::App,
    registry::{WriteError, use_count_for},
    store::Abandoned,
};

/// For how long a cluster counts for the address that has created it.
const COUNT_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// Deletes clusters that have been abandoned for the time that each kind has. Runs until dropped.
pub async fn sweep(app: Arc<App>, ttls: Vec<(Abandoned, Duration)>) {
    let shortest = ttls.iter().map(|(_, ttl)| *ttl).min().unwrap_or(COUNT_FOR);
    let pause = (shortest / 10).clamp(Duration::from_millis(200), Duration::from_secs(600));
    loop {
        for (abandoned, ttl) in ttls.iter().copied() {
            match delete_abandoned(&app, abandoned, ttl).await {
                Ok(0) => {}
                Ok(deleted) => tracing::info!(deleted, "deleted clusters {}", abandoned.in_words()),
                // The registry has logged the error. The next round tries again.
                Err(_) => {}
            }
        }
        app.registry.quota().forget_older(COUNT_FOR);
        tokio::time::sleep(pause).await;
    }
}

/// How often the database is measured for the quota.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// Every so many measurements the free space in the files of PostgreSQL is measured, too.
const MEASURE_FREE_EVERY: u64 = 10;

/// How often the clusters are counted for the quota, at most.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// Measures the database for the quota, and counts its clusters. Runs until dropped.
pub async fn measure(app: Arc<App>) {
    let (mut free, mut next_count) = (0, Instant::now());
    for round in 0_u64.. {
        // The registry has logged the error. The last measurement stays.
        let _ = app.registry.measure(round.is_multiple_of(MEASURE_FREE_EVERY), &mut free).await;
        let begun = Instant::now();
        if begun >= next_count {
            let _ = app.registry.count_for_quota().await;
            next_count = begun + use_count_for(COUNT_EVERY, begun.elapsed());
        }
        tokio::time::sleep(MEASURE_EVERY).await;
    }
}

/// How often liveness is stored. A crash loses newer liveness, but silence counts from the next start anyway.
const FLUSH_EVERY: Duration = Duration::from_secs(10);

/// Stores the liveness of all clusters periodically, with one commit each time. Runs until dropped.
pub async fn flush(app: Arc<App>) {
    loop {
        tokio::time::sleep(FLUSH_EVERY).await;
        // The registry has logged the error. The next round stores everything.
        let _ = app.registry.flush_liveness().await;
    }
}

/// How often it is stored when API tokens were used.
const FLUSH_USES_EVERY: Duration = Duration::from_secs(60);

/// Follows the creation and revocation of API tokens by others, and stores when tokens were used. Runs until dropped.
pub async fn follow_api_tokens(app: Arc<App>) {
    let mut flushed = Instant::now();
    loop {
        tokio::time::sleep(REFRESH_EVERY).await;
        if let Err(error) = app.access.tokens.refresh().await {
            tracing::debug!(%error, "can't read the API tokens; the tokens in memory stay valid");
        }
        if flushed.elapsed() >= FLUSH_USES_EVERY {
            flushed = Instant::now();
            if let Err(error) = app.access.tokens.flush_uses().await {
                tracing::debug!(%error, "can't store when API tokens were used");
            }
        }
    }
}

/// How often a shared database is checked, if nothing speaks for a loss before.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// Notices that an older copy of a shared database answers. Runs until dropped.
pub async fn watch_database(app: Arc<App>) {
    loop {
        let _ = tokio::time::timeout(CHECK_EVERY, app.registry.until_loss_is_suspected()).await;
        // The registry has logged the error. The next round tries again.
        let _ = app.registry.hold_if_database_went_back().await;
    }
}

async fn delete_abandoned(app: &App, abandoned: Abandoned, ttl: Duration) -> Result<usize, WriteError> {
    let age = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
    let before = UnixMillis(app.registry.now().0.saturating_sub(age));
    let mut deleted = 0;
    loop {
        let expired = app.registry.abandoned(abandoned, before).await?;
        let mut in_page = 0;
        // All at the same time, so that they share a commit.
        let deletions = expired.iter().map(|found| delete_if_abandoned(app, found, abandoned, before));
        for deleted in join_all(deletions).await {
            in_page += usize::from(deleted?);
        }
        deleted += in_page;
        if in_page == 0 {
            return Ok(deleted);
        }
    }
}

async fn delete_if_abandoned(
    app: &App,
    (token, found_at): &(Token, Revision),
    abandoned: Abandoned,
    before: UnixMillis,
) -> Result<bool, WriteError> {
    let found_at = *found_at;
    let decide = move |cluster: Option<&Cluster>, at: UnixMillis| -> Result<Transition, ()> {
        let cluster = cluster.filter(|cluster| cluster.revision == found_at && abandoned.includes(cluster, before));
        cluster.map(|cluster| cluster.delete(at)).ok_or(())
    };
    Ok(app.registry.update(token, &Actor::server(), decide).await?.is_ok())
}
