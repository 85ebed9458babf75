use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{Printer, read};
use crate::{command_error::CommandError, progress::Progress, registry::RegistryError, target::Target};

/// How long the server may hold its answer back: a connection that has died unnoticed costs no more time than this.
const WAIT: Duration = Duration::from_secs(30);

/// The least time between two questions that bring nothing new.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Prints events until the cluster's last one.
pub async fn run(
    target: &Target,
    mut after: Option<u64>,
    printer: &mut Printer,
    progress: &Progress,
) -> Result<(), CommandError> {
    let mut is_away = false;
    loop {
        let asked = Instant::now();
        match read(target, after, WAIT).await {
            Ok(page) => {
                if std::mem::take(&mut is_away) {
                    progress.step("back", "the registry answers again");
                }
                printer.print(&page.events)?;
                if page.events.iter().any(|event| event.value.kind == "cluster_deleted") {
                    return Ok(());
                }
                if page.events.is_empty() {
                    sleep(RETRY_INTERVAL.saturating_sub(asked.elapsed())).await;
                }
                after = Some(page.last_revision);
            }
            Err(error) if error.compacted().is_some() => after = Some(go_on(after, &error, progress)),
            Err(error) if error.is_permanent() => return Err(target.explain(error)),
            Err(error) => {
                is_away = true;
                progress.wait("wait", "unreachable", &format!("{error}; what happens meanwhile comes when it is back"));
                sleep(RETRY_INTERVAL).await;
            }
        }
    }
}

/// Where to go on when the registry has no events of where the last ones ended.
fn go_on(after: Option<u64>, error: &RegistryError, progress: &Progress) -> u64 {
    let (after, there) = (after.unwrap_or(0), error.compacted().unwrap_or(0));
    if there > after {
        let message = format!("what happened after revision {after} and before {there} has been forgotten");
        progress.step("forgotten", &message);
        return there - 1;
    }
    let message = format!(
        "the cluster is at revision {there}, and was at {after} before: the registry has been restored from a copy, or \
         another cluster has the token; what comes after {there} follows"
    );
    progress.step("forgotten", &message);
    there
}
