use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::response::{
    IntoResponse, Response,
    sse::{Event as Sent, KeepAlive, Sse},
};
use convene_lifecycle::{EventKind, Revision, Token};
use futures_util::stream;

use super::{event::EventBody, follow::Follower};
use crate::{
    access::Standing,
    api::{answer::json_text, problem::Problem},
    app::App,
    connection::ClientAddress,
};

/// How often an idle stream sends a comment.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Streams a cluster's events until the client disconnects, its credential ends, the cluster is deleted or the server stops.
pub async fn answer(
    app: Arc<App>,
    client: ClientAddress,
    standing: Standing,
    token: Token,
    after: Option<Revision>,
) -> Result<Response, Problem> {
    let (stopping, held) = (app.stopping.clone(), app.limits.wait(Some(client))?);
    let follower = Follower::new(app.clone(), token, after).await?;
    let events = stream::unfold(Some((follower, held)), move |follower| {
        let (app, stopping, standing) = (app.clone(), stopping.clone(), standing.clone());
        async move {
            let (mut follower, held) = follower?;
            let event = tokio::select! {
                event = follower.next() => event,
                denial = standing.ended(&app) => Err(denial.into()),
                () = stopping.cancelled() => return None,
            };
            let event = match event {
                Ok(event) => standing.check(&app).await.map(|()| event).map_err(Problem::from),
                ended => ended,
            };
            let event = match event {
                Ok(event) => event,
                Err(problem) if problem.is_forgotten() => return Some((Ok(reset(&problem)), None)),
                Err(problem) if problem.is_denial() => return Some((Ok(denied(&problem)), None)),
                // A client that reconnects gets the problem as its response.
                Err(_) => return None,
            };
            let sent = Sent::default().id(event.revision.to_string()).event(event.kind.as_str());
            let sent = sent.data(json_text(&EventBody::from(&*event)));
            let goes_on = event.kind != EventKind::ClusterDeleted;
            Some((Ok::<_, Infallible>(sent), goes_on.then_some((follower, held))))
        }
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// Makes a client forget which event it has received last: a browser that reconnects begins with the oldest one.
fn reset(problem: &Problem) -> Sent {
    Sent::default().id("").event("reset").data(json_text(problem))
}

/// Tells a client why the stream ends. One that reconnects with a valid credential continues after the last event that it
/// received.
fn denied(problem: &Problem) -> Sent {
    Sent::default().event("denied").data(json_text(problem))
}
