use std::time::{Duration, Instant};

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, header, request::Parts},
};
use convene_lifecycle::{Event, EventKind, Instruction, Revision, Task, Token};
use futures_util::FutureExt;

use crate::{
    access::{Denial, Standing},
    app::App,
    connection::{ClientAddress, Wait},
    metrics::WaitKind,
    registry::{CheckIn, CheckInOutcome, Delivery, Subscription},
};

/// The longest time for which the response to a check-in is held.
pub const LONGEST: Duration = Duration::from_secs(30);

/// How many waits of all kinds a cluster may have before no further check-in is held: each change makes the server plan for each of them.
const MOST_OF_CLUSTER: usize = 64;

/// How long the server takes further changes together, after one that was nothing to a node.
const GATHERING: Duration = Duration::from_millis(100);

/// The longest body of a check-in that is held, in bytes. A node that has nothing to do sends a few hundred.
const MOST_BYTES: u64 = 8 << 10;

/// A check-in whose response may be held until the node has something to do.
///
/// The report gets old while the node waits, so no instruction rests on it. The response is the instruction of the moment of the check-in,
/// which is to do nothing. The node then checks in again.
pub struct HeldCheckIn {
    check_in: CheckIn,
    standing: Standing,
    subscription: Subscription,
    _held: Wait,
}

/// How the wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The node may have something to do now.
    Changed,
    /// Nothing has changed in the whole time.
    Unchanged,
    /// The server stops, can't read its database, or may not hold more.
    Early,
}

/// Who checks in and may wait.
pub struct Waiter {
    client: ClientAddress,
    standing: Standing,
    /// Whether the request is so short that the server may keep what it says.
    is_short: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Waiter {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, StatusCode> {
        let length = parts.headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        Ok(Self {
            client: ClientAddress::from_request_parts(parts, state).await?,
            standing: Standing::from_request_parts(parts, state).await?,
            is_short: length.is_some_and(|length| length <= MOST_BYTES),
        })
    }
}

impl HeldCheckIn {
    /// Follows the cluster from before the check-in is decided on. `None` if the request is too long, or if the client or the cluster has
    /// too many waits.
    pub fn new(app: &App, waiter: Waiter, token: &Token, check_in: CheckIn) -> Option<Self> {
        if !waiter.is_short || app.registry.waits_of(token) >= MOST_OF_CLUSTER {
            return None;
        }
        let held = app.limits.wait(Some(waiter.client)).ok()?;
        let subscription = app.registry.subscribe(token, WaitKind::CheckIn);
        Some(Self { check_in, standing: waiter.standing, subscription, _held: held })
    }

    /// Waits until the node may have something to do, for this long at most. Returns how the wait has ended, and how long it took.
    pub async fn wait(
        self,
        app: &App,
        token: &Token,
        answered: &CheckInOutcome,
        time: Duration,
    ) -> Result<(Ended, Duration), Denial> {
        let (begun, standing) = (Instant::now(), self.standing.clone());
        let time = time.min(LONGEST).min(app.wait_timeout).min(answered.instruction.check_in_after);
        let ended = tokio::select! {
            changed = self.changed(app, token, answered) => changed,
            denial = standing.ended(app) => return Err(denial),
            () = tokio::time::sleep(time) => Ended::Unchanged,
            () = app.stopping.cancelled() => Ended::Early,
        };
        match standing.check(app).await {
            Ok(()) => Ok((ended, begun.elapsed())),
            Err(Denial::Unavailable(_)) => Ok((Ended::Early, begun.elapsed())),
            Err(denial) => Err(denial),
        }
    }

    async fn changed(mut self, app: &App, token: &Token, answered: &CheckInOutcome) -> Ended {
        loop {
            match self.subscription.next().await {
                Delivery::Event(event) if is_of(&event, answered.cluster.revision) => continue,
                Delivery::Event(_) | Delivery::Lagged | Delivery::HistoryLost => {}
            }
            // What has come together is judged together.
            while self.subscription.next().now_or_never().is_some() {}
            match app.registry.check_in_dry(token, &self.check_in).await {
                Ok(Some(Ok(now))) if is_same(&now.instruction, &answered.instruction) => {}
                Ok(_) => return Ended::Changed,
                Err(_) => return Ended::Early,
            }
            tokio::time::sleep(GATHERING).await;
        }
    }
}

/// Whether an event was known when the check-in was decided on.
fn is_of(event: &Event, revision: Revision) -> bool {
    event.revision <= revision && event.kind != EventKind::ClusterDeleted
}

/// Whether an instruction is to do nothing, so that the response to the next check-in may be held.
pub fn is_idle(instruction: &Instruction) -> bool {
    matches!(instruction.task, Task::Wait | Task::StandBy) && !instruction.check_in_after.is_zero()
}

fn is_same(one: &Instruction, other: &Instruction) -> bool {
    one.task == other.task && one.reason == other.reason
}
