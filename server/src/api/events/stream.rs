use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::response::{
    IntoResponse, Response,
    sse::{Event as Sent, KeepAlive, Sse},
};
use convene_lifecycle::{EventKind, Revision, Token};
use futures_util::stream;

use super::{event::EventBody, follow::Follower};
use crate::{api::problem::Problem, app::App, connection::ClientAddress};

/// How often an idle stream sends a comment.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Streams a cluster's events until the client disconnects, the cluster is deleted or the server stops.
pub async fn answer(
    app: Arc<App>,
    client: ClientAddress,
    token: Token,
    after: Option<Revision>,
) -> Result<Response, Problem> {
    let (stopping, held) = (app.stopping.clone(), app.limits.wait(Some(client))?);
    let follower = Follower::new(app, token, after).await?;
    let events = stream::unfold(Some((follower, held)), move |follower| {
        let stopping = stopping.clone();
        async move {
            let (mut follower, held) = follower?;
            let event = tokio::select! {
                event = follower.next() => event,
                () = stopping.cancelled() => return None,
            };
            let event = match event {
                Ok(event) => event,
                Err(problem) if problem.is_forgotten() => return Some((Ok(reset(&problem)?), None)),
                // A client that reconnects gets the problem as its response.
                Err(_) => return None,
            };
            let sent = Sent::default().id(event.revision.to_string()).event(event.kind.as_str());
            let sent = sent.json_data(EventBody::from(&*event)).ok()?;
            let goes_on = event.kind != EventKind::ClusterDeleted;
            Some((Ok::<_, Infallible>(sent), goes_on.then_some((follower, held))))
        }
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// Makes a client forget which event it has received last: a browser that reconnects begins with the oldest one.
fn reset(problem: &Problem) -> Option<Sent> {
    Sent::default().id("").event("reset").json_data(problem).ok()
}
