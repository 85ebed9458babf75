//! What has happened to a cluster, as a list to poll and as a stream.

mod event;
mod follow;
mod list;
mod seen;
mod stream;

use std::sync::Arc;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;

/// Every URL about events.
pub fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list::list_events))
}
