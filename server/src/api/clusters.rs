//! The endpoints on clusters.

mod cluster;
mod create;
mod delete;
mod show;

use std::sync::Arc;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;

/// Every URL about clusters.
pub fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create::create_cluster))
        .routes(routes!(show::show_cluster, delete::delete_cluster))
}
