use std::time::Duration;

use tokio::time::sleep;

use super::{Printer, read};
use crate::{
    boot_clock::BootInstant, command_error::CommandError, own_reason::OwnReason, progress::Progress,
    registry::RegistryError, target::Target,
};

/// How long the server may hold a response. A dead connection is noticed after this time at the latest.
const LONG_POLL: Duration = Duration::from_secs(30);

/// The least time between two requests that return no events.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Prints events until the cluster is deleted.
pub async fn run(
    target: &Target,
    mut after: Option<u64>,
    printer: &mut Printer,
    progress: &Progress,
) -> Result<(), CommandError> {
    let mut is_unreachable = false;
    loop {
        let sent_at = BootInstant::now();
        match read(target, after, LONG_POLL).await {
            Ok(page) => {
                if std::mem::take(&mut is_unreachable) {
                    progress.step("back", "the server answers again");
                }
                printer.print(&page.events)?;
                if page.events.iter().any(|event| event.value.kind == "cluster_deleted") {
                    return Ok(());
                }
                if page.events.is_empty() {
                    sleep(MIN_INTERVAL.saturating_sub(sent_at.elapsed())).await;
                }
                after = Some(page.last_revision);
            }
            Err(error) if error.compacted().is_some() => after = Some(resume_after(after, &error, progress)),
            Err(error) if error.is_permanent() => return Err(target.explain(error)),
            Err(error) => {
                is_unreachable = true;
                let message = format!("{error}; retrying, and continuing with the next event");
                progress.wait("wait", OwnReason::Unreachable.as_str(), &message);
                sleep(MIN_INTERVAL).await;
            }
        }
    }
}

/// The revision to continue after, if the server does not have the events after the last ones.
fn resume_after(after: Option<u64>, error: &RegistryError, progress: &Progress) -> u64 {
    let (after, available) = (after.unwrap_or(0), error.compacted().unwrap_or(0));
    if available > after {
        let message = format!("the server no longer has the events after revision {after} and before {available}");
        progress.step("forgotten", &message);
        return available - 1;
    }
    let message = format!(
        "the cluster is at revision {available}, but was at {after} before: the registry was restored from a backup, or the \
         token names another cluster now. Continuing after revision {available}"
    );
    progress.step("forgotten", &message);
    available
}
