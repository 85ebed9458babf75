//! Watches: a client opens a stream and asks on it for any number of watches, each of a part of a cluster's keys.
//!
//! A [`Conversation`] makes an answer only when the connection takes one, and reads a request only then, too. So
//! a client that doesn't read costs what it costs to have it, whatever happens to the keys: what it misses meanwhile, it
//! gets from the history.

mod conversation;
mod watcher;

use std::{pin::Pin, sync::Arc};

use convene_etcd::wire::{WatchRequest, WatchResponse, watch_server};
use futures_util::{Stream, stream};
use tonic::{Request, Response, Status, Streaming};

use super::{error::V3Error, headers::Headers, kv::client};
use crate::{access::Standing, app::App};
use conversation::Conversation;

/// Streams the changes of keys.
pub struct Watch {
    app: Arc<App>,
    headers: Headers,
}

impl Watch {
    /// Watches of the app's registry.
    pub fn new(app: Arc<App>, headers: Headers) -> Self {
        Self { app, headers }
    }
}

#[tonic::async_trait]
impl watch_server::Watch for Watch {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<Streaming<WatchRequest>>) -> Result<Response<Self::WatchStream>, Status> {
        let client = client(&request);
        let standing = Standing::of(request.extensions());
        let standing = standing.ok_or_else(|| Status::internal("the request came past the check of access"))?;
        let held = self.app.limits.wait(client).map_err(V3Error::from)?;
        let conversation =
            Conversation::new(self.app.clone(), self.headers, client, standing, held, request.into_inner());
        let answers = stream::unfold(Some(conversation), |conversation| async {
            let mut conversation = conversation?;
            match conversation.next().await {
                Ok(answer) => Some((Ok(answer), Some(conversation))),
                // The error ends the stream.
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }
}
