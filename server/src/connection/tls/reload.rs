use std::{fs, os::unix::fs::MetadataExt, sync::Arc, time::Duration};

use tokio::{
    signal::unix::Signal,
    time::{MissedTickBehavior, interval},
};

use super::{CurrentTls, TlsError};

/// How often the files are looked at. Polling notices every way of replacing a file, such as the symbolic links of
/// Kubernetes, also on file systems without notifications.
const EVERY: Duration = Duration::from_secs(1);

/// What shows that a file was replaced or written to: device, inode, size, and time of change.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// Loads the certificate again when a file changes and on SIGHUP. Never returns.
pub async fn reload_on_change(tls: Arc<CurrentTls>, mut hangup: Signal) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The files may have changed since they were loaded, so the first look loads them.
    let mut loaded: Option<Vec<Stamp>> = None;
    let mut seen = None;
    loop {
        let is_asked = tokio::select! {
            _ = ticks.tick() => false,
            Some(()) = hangup.recv() => true,
        };
        let of = tls.clone();
        let Ok(stamps) = tokio::task::spawn_blocking(move || stamps(&of)).await else { continue };
        // Certificate and key may be written one after the other, so files count once they have come to rest.
        let rests = seen.as_ref() == Some(&stamps);
        seen = Some(stamps.clone());
        if !is_asked && (!rests || loaded.as_ref() == Some(&stamps)) {
            continue;
        }
        loaded = Some(stamps);
        let of = tls.clone();
        let Ok(result) = tokio::task::spawn_blocking(move || of.reload()).await else { continue };
        log(&tls, result, is_asked);
    }
}

fn log(tls: &CurrentTls, result: Result<bool, TlsError>, is_asked: bool) {
    match result {
        Ok(true) => tracing::info!(not_after = tls.not_after().get(), "new connections get the new certificate"),
        Ok(false) if is_asked => tracing::info!("SIGHUP: the certificate is still the same"),
        Ok(false) => {}
        Err(error) => tracing::error!(%error, "the new certificate can't be used; the old one stays"),
    }
}

fn stamps(tls: &CurrentTls) -> Vec<Stamp> {
    let files = [&tls.files.tls_cert, &tls.files.tls_key, &tls.files.tls_client_ca];
    files
        .into_iter()
        .flatten()
        .map(|file| {
            let about = fs::metadata(file).ok()?;
            Some((about.dev(), about.ino(), about.size(), about.ctime(), about.ctime_nsec()))
        })
        .collect()
}
