use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use convene_lifecycle::{Event, Revision, Token};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    event::EventBody,
    follow::Follower,
    last_event_id::{AfterRevision, LastEventId},
    stream,
};
use crate::{
    access::Standing,
    api::{
        answer::json_response,
        body::Seconds,
        path::TokenPath,
        problem::{
            Problem,
            documented::{ClusterProblems, CommonProblems, HistoryProblems},
        },
        query::{Query, parameters},
    },
    app::App,
    connection::ClientAddress,
};

/// How many events a response has at most.
const PAGE: usize = 256;

parameters! {
    /// Which events to list.
    pub struct EventParameters {
        /// Only events after this revision. Without it, all retained events.
        after: Option<AfterRevision>,
        /// How many seconds to wait for an event if there is none yet. The server may respond sooner (`--wait-timeout`).
        wait: Seconds<0, 3600> = Seconds(Duration::ZERO),
    }
}

/// Some events of a cluster.
#[derive(Debug, Serialize, ToSchema)]
pub struct Events {
    /// The events, oldest first, without gaps.
    events: Vec<EventBody>,
    /// The value of `after` for the next request.
    #[schema(example = 7)]
    last_revision: u64,
}

/// Lists a cluster's events
///
/// With `Accept: text/event-stream`, the response is a stream of server-sent events. The `id` of each is its revision, so a
/// browser that reconnects continues after the last event that it received (`Last-Event-ID`). If the next events are not available any
/// more, the stream ends with the event `reset`, whose data is a problem and whose `id` is empty. If the credential of the request
/// expires or is revoked, the stream ends with the event `denied`, whose data is a problem, and a response for which the client waits
/// is that problem.
#[utoipa::path(
    get,
    path = "/v1/clusters/{cluster}/events",
    tag = "events",
    params(TokenPath, EventParameters, LastEventId),
    responses(
        (
            status = 200,
            description = "The events.",
            content((Events = "application/json"), (String = "text/event-stream"))
        ),
        CommonProblems,
        ClusterProblems,
        HistoryProblems
    )
)]
pub async fn list_events(
    State(app): State<Arc<App>>,
    client: ClientAddress,
    standing: Standing,
    TokenPath(token): TokenPath,
    Query(parameters): Query<EventParameters>,
    LastEventId(last_event): LastEventId,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let EventParameters { after, wait: Seconds(wait) } = parameters;
    let after = after.map(|AfterRevision(after)| after);
    if wants_stream(&headers) {
        return stream::answer(app, client, standing, token, last_event.or(after)).await;
    }
    let wait = wait.min(app.wait_timeout);
    let events = page(app, client, &standing, token, after, wait).await?;
    let last = events.last().map_or(after.unwrap_or(Revision(0)), |event| event.revision);
    let events = events.iter().map(|event| EventBody::from(&**event)).collect();
    Ok(json_response(StatusCode::OK, &Events { events, last_revision: last.0 }))
}

async fn page(
    app: Arc<App>,
    client: ClientAddress,
    standing: &Standing,
    token: Token,
    after: Option<Revision>,
    wait: Duration,
) -> Result<Vec<Arc<Event>>, Problem> {
    let (stopping, limits) = (app.stopping.clone(), app.limits.clone());
    let mut follower = Follower::new(app.clone(), token, after).await?;
    let mut events: Vec<Arc<Event>> = Vec::new();
    while events.len() < PAGE
        && let Some(event) = follower.next_present().await?
    {
        events.push(event);
    }
    if events.is_empty() && !wait.is_zero() {
        let _held = limits.wait(Some(client))?;
        tokio::select! {
            event = follower.next() => events.push(event?),
            denial = standing.ended(&app) => return Err(denial.into()),
            () = tokio::time::sleep(wait) => {}
            () = stopping.cancelled() => {}
        }
        standing.check(&app).await?;
    }
    Ok(events)
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream")))
}
