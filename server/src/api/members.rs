//! The endpoints on a cluster's members.

mod downtime;
mod eviction;
mod list;
mod member;
mod show;

use std::sync::Arc;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;

/// The routes for members.
pub fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list::list_members))
        .routes(routes!(show::show_member))
        .routes(routes!(eviction::evict_member, eviction::readmit_member))
        .routes(routes!(downtime::announce_downtime, downtime::end_downtime))
}
