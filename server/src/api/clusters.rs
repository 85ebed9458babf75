//! The endpoints on clusters.

mod adopt;
mod change;
mod cluster;
mod create;
mod decisive_change;
mod delete;
mod list;
mod pause;
mod reset;
mod settings;
mod show;

use std::sync::Arc;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::app::App;

pub use change::administer;
pub use settings::Size;

/// The routes for clusters.
pub fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create::create_cluster, list::list_clusters))
        .routes(routes!(show::show_cluster, change::change_cluster, delete::delete_cluster))
        .routes(routes!(pause::pause_cluster))
        .routes(routes!(pause::resume_cluster))
        .routes(routes!(adopt::adopt_cluster))
        .routes(routes!(reset::reset_cluster))
}
