use axum::{
    Router,
    http::{HeaderName, HeaderValue, header},
    middleware::map_response,
    response::Response,
    routing::get,
};
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::openapi::to_yaml;

/// Serves the OpenAPI description, and a page to read it and to try the API.
pub fn router<S: Clone + Send + Sync + 'static>(description: &OpenApi) -> Router<S> {
    let yaml = to_yaml(description);
    let serve = async move || ([(header::CONTENT_TYPE, "application/yaml")], yaml);
    // The browser may have no access to the internet, where Swagger UI's validator runs.
    let config = Config::new(["/openapi.yaml"]).validator_url("none");
    let page = Router::from(SwaggerUi::new("/docs").config(config));
    page.route("/openapi.yaml", get(serve)).layer(map_response(add_headers))
}

/// Restricts the page to resources of this server. Some of its styles and icons are inline.
async fn add_headers(mut response: Response) -> Response {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                          img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                          frame-ancestors 'none'";
    const HEADERS: [(HeaderName, &str); 3] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
