use std::sync::Arc;

use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::{check_in, clusters, events, join_tokens, members, nodes, problem::Problem, tokens};
use crate::{app::App, metrics, operation};

/// The endpoints with their description. The health endpoints and `/metrics` are described here, but routed by `router`.
pub fn endpoints() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .merge(clusters::router())
        .merge(members::router())
        .merge(events::router())
        .merge(check_in::router())
        .merge(join_tokens::router())
        .merge(nodes::router())
        .merge(tokens::router())
}

/// The description in YAML, as served and as in openapi/convene.yaml.
pub fn to_yaml(description: &utoipa::openapi::OpenApi) -> String {
    description.to_yaml().expect("a description has text for keys")
}

/// The description without the endpoints.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Convene",
        description = "A self-hosted discovery service for etcd. Errors are problem documents (RFC 9457); a problem \
                       document lists everything that is wrong with a request. Every response of /v1 has \
                       `Cache-Control: no-store`, because it may contain tokens.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "clusters", description = "Create, read, change and delete clusters."),
        (name = "members", description = "Read a cluster's members, evict them, and announce downtimes."),
        (name = "events", description = "Read or follow the history of a cluster."),
        (name = "nodes", description = "Check in before etcd starts, and while it runs. List the nodes that do."),
        (name = "join tokens", description = "Decide which nodes may join, and revoke the credentials of nodes."),
        (name = "tokens", description = "Create, list and revoke the API tokens of administrators, operators and readers."),
        (name = "operation", description = "Health checks and metrics.")
    ),
    paths(operation::livez, operation::readyz, metrics::metrics),
    components(schemas(Problem))
)]
struct Description;

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use super::*;

    #[test]
    fn openapi_yaml_describes_the_endpoints_as_they_are() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi/convene.yaml");
        let (_, description) = endpoints().split_for_parts();
        let described = to_yaml(&description);
        if env::var_os("CONVENE_UPDATE_GENERATED").is_some() {
            fs::write(&file, &described).unwrap();
        }
        assert!(
            fs::read_to_string(&file).unwrap_or_default() == described,
            "openapi/convene.yaml is stale; run scripts/generate"
        );
    }

    #[test]
    fn every_endpoint_has_a_name_a_group_and_a_summary() {
        let (_, description) = endpoints().split_for_parts();
        let description = serde_json::to_value(description).unwrap();
        for (path, methods) in description["paths"].as_object().unwrap() {
            for (method, endpoint) in methods.as_object().unwrap() {
                for part in ["operationId", "tags", "summary"] {
                    assert!(!endpoint[part].is_null(), "{method} {path} has no {part}");
                }
            }
        }
    }
}
