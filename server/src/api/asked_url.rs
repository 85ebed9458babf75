use std::{convert::Infallible, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::app::App;

/// The base of discovery URLs, as the client of the request reaches the server. No cache keeps the answers.
pub struct AskedUrl(pub String);

impl FromRequestParts<Arc<App>> for AskedUrl {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Infallible> {
        Ok(Self(app.url_as_asked(&parts.uri, &parts.headers)))
    }
}
