use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use convene_lifecycle::{ClusterSize, Settings};

use super::{error::V2Error, form::Form};
use crate::{app::App, draw_token::draw_token};

/// Answers `/new`: creates a cluster and returns its discovery URL.
pub async fn create(State(app): State<Arc<App>>, form: Result<Form, V2Error>) -> Response {
    let size = match form.and_then(|form| size(&app, &form)) {
        Ok(size) => size,
        Err(error) => return error.into_text_response(),
    };
    let token = draw_token();
    match app.registry.create(token.clone(), Settings { size: Some(size), ..Settings::default() }).await {
        Ok(_) => {
            tracing::info!(cluster = %*token, %size, "cluster created");
            format!("{}/{}", app.public_url, token.as_str()).into_response()
        }
        Err(error) => V2Error::from(error).into_text_response(),
    }
}

fn size(app: &App, form: &Form) -> Result<ClusterSize, V2Error> {
    match form.get("size") {
        None | Some("") => Ok(ClusterSize::DEFAULT.min(app.max_cluster_size)),
        Some(text) => ClusterSize::parse(text, app.max_cluster_size).map_err(V2Error::invalid_field),
    }
}
