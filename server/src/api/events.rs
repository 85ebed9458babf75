//! The history of a cluster, as a list to poll and as a stream.

mod event;
mod follow;
mod last_event_id;
mod list;
mod stream;

use std::sync::Arc;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;

/// The routes for events.
pub fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list::list_events))
}
