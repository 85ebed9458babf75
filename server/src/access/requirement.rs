use axum::http::Method;

use super::{Denial, Principal, Role, Target};

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing. A credential is not even looked at.
    Nothing,
    /// Knowledge of the discovery token, which the handler finds in the path or the body.
    DiscoveryToken,
    /// Whatever the server demands of those who make clusters by discovery.
    NewCluster,
    /// A reader of any cluster. The handler shows the clusters in the reader's scope only.
    ReadSome,
    /// A reader of all clusters.
    ReadAll,
    /// A reader of the cluster, one of its nodes, or the discovery token in the path.
    ReadCluster,
    /// An operator of the cluster.
    OperateCluster,
    /// An operator of the cluster, or the node that it is about; the handler checks which node that is.
    OperateNode,
    /// What the cluster demands of nodes that check in.
    CheckIn,
    /// An administrator.
    Administer,
}

/// The routes of `/v1` and `/metrics`, and what each needs. A test compares the list with the API's description.
const ROUTES: &[(Method, &str, Requirement)] = &[
    (Method::GET, "/metrics", Requirement::ReadAll),
    (Method::GET, "/v1/tokens", Requirement::Administer),
    (Method::POST, "/v1/tokens", Requirement::Administer),
    (Method::DELETE, "/v1/tokens/{id}", Requirement::Administer),
    (Method::GET, "/v1/clusters", Requirement::ReadSome),
    (Method::POST, "/v1/clusters", Requirement::Administer),
    (Method::GET, "/v1/clusters/{cluster}", Requirement::ReadCluster),
    (Method::PATCH, "/v1/clusters/{cluster}", Requirement::OperateCluster),
    (Method::DELETE, "/v1/clusters/{cluster}", Requirement::OperateCluster),
    (Method::POST, "/v1/clusters/{cluster}/pause", Requirement::OperateCluster),
    (Method::POST, "/v1/clusters/{cluster}/resume", Requirement::OperateCluster),
    (Method::POST, "/v1/clusters/{cluster}/adopt", Requirement::OperateCluster),
    (Method::POST, "/v1/clusters/{cluster}/reset", Requirement::OperateCluster),
    (Method::GET, "/v1/clusters/{cluster}/events", Requirement::ReadCluster),
    (Method::GET, "/v1/clusters/{cluster}/nodes", Requirement::ReadCluster),
    (Method::DELETE, "/v1/clusters/{cluster}/nodes/{node}/credential", Requirement::OperateCluster),
    (Method::POST, "/v1/clusters/{cluster}/join-tokens", Requirement::OperateCluster),
    (Method::GET, "/v1/clusters/{cluster}/join-tokens", Requirement::OperateCluster),
    (Method::DELETE, "/v1/clusters/{cluster}/join-tokens/{id}", Requirement::OperateCluster),
    (Method::GET, "/v1/clusters/{cluster}/members", Requirement::ReadCluster),
    (Method::GET, "/v1/clusters/{cluster}/members/{member}", Requirement::ReadCluster),
    (Method::PUT, "/v1/clusters/{cluster}/members/{member}/eviction", Requirement::OperateCluster),
    (Method::DELETE, "/v1/clusters/{cluster}/members/{member}/eviction", Requirement::OperateCluster),
    (Method::PUT, "/v1/clusters/{cluster}/members/{member}/downtime", Requirement::OperateNode),
    (Method::DELETE, "/v1/clusters/{cluster}/members/{member}/downtime", Requirement::OperateNode),
    (Method::POST, "/v1/clusters/{cluster}/check-in", Requirement::CheckIn),
];

/// What a request needs. `route` is the matched route; `None` if no route has matched.
///
/// A route of `/v1` that is not in the list is for administrators only, so that a forgotten line opens nothing.
pub fn requirement(method: &Method, route: Option<&str>) -> Requirement {
    // A response to a path that does not exist.
    let Some(route) = route else { return Requirement::Nothing };
    match route {
        "/" | "/health" | "/robots.txt" | "/livez" | "/readyz" | "/version" | "/openapi.yaml" => Requirement::Nothing,
        "/v1" | "/v1/" | "/v1/{*path}" => Requirement::Nothing,
        "/new" => Requirement::NewCluster,
        _ if route.starts_with("/docs") => Requirement::Nothing,
        _ if is_discovery(route) => Requirement::DiscoveryToken,
        _ => declared(method, route).unwrap_or(Requirement::Administer),
    }
}

/// The routes of the v2 and v3 discovery protocols.
fn is_discovery(route: &str) -> bool {
    let first = route.split('/').nth(1).unwrap_or_default();
    matches!(first, "{token}" | "v2" | "v3" | "v3alpha" | "v3beta")
}

/// The requirement that the list has for a route.
fn declared(method: &Method, route: &str) -> Option<Requirement> {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    ROUTES.iter().find(|(of, path, _)| of == method && *path == route).map(|(_, _, requirement)| *requirement)
}

impl Requirement {
    /// Whether it is about the cluster in the path.
    pub fn is_of_cluster(self) -> bool {
        matches!(self, Self::ReadCluster | Self::OperateCluster | Self::OperateNode | Self::CheckIn)
    }

    /// Checks it. `target` is the cluster in the path, if there is one.
    pub fn check(self, principal: &Principal, target: Option<&Target>) -> Result<(), Denial> {
        if self.is_met(principal, target) {
            return Ok(());
        }
        match principal {
            Principal::Anonymous => Err(Denial::NoCredential { needs: self }),
            _ => Err(Denial::Forbidden { by: principal.public_name(), needs: self }),
        }
    }

    fn is_met(self, principal: &Principal, target: Option<&Target>) -> bool {
        let has_token = target.is_some_and(|target| target.is_named_by_token);
        let has = |role| match target.and_then(|target| target.id) {
            Some(id) => principal.has_for(role, id),
            None => principal.has_for_all(role),
        };
        let is_own_node = || match principal {
            Principal::Node { cluster, .. } => target.is_some_and(|target| target.id == Some(*cluster)),
            _ => false,
        };
        match self {
            Self::Nothing | Self::DiscoveryToken | Self::NewCluster => true,
            Self::ReadSome => principal.role().is_some(),
            Self::ReadAll => principal.has_for_all(Role::Reader),
            Self::ReadCluster => has_token || has(Role::Reader) || is_own_node(),
            Self::OperateCluster => has(Role::Operator),
            Self::OperateNode => has(Role::Operator) || is_own_node(),
            Self::CheckIn => has_token || is_own_node() || has(Role::Operator),
            Self::Administer => principal.has_for_all(Role::Admin),
        }
    }

    /// What is needed, for people.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::DiscoveryToken => "the discovery token of the cluster",
            Self::NewCluster | Self::Administer => "the role admin",
            Self::ReadSome => "the role reader",
            Self::ReadAll => "the role reader for all clusters",
            Self::ReadCluster => "the role reader for this cluster, or its discovery token in the path",
            Self::OperateCluster => "the role operator for this cluster",
            Self::OperateNode => "the role operator for this cluster, or the credential of the node itself",
            Self::CheckIn => "the credential of a node of this cluster, or its discovery token in the path",
        }
    }

    /// The least role that always meets it. `None` if no role is needed.
    pub fn role(self) -> Option<Role> {
        match self {
            Self::Nothing | Self::DiscoveryToken | Self::NewCluster | Self::CheckIn => None,
            Self::ReadSome | Self::ReadAll | Self::ReadCluster => Some(Role::Reader),
            Self::OperateCluster | Self::OperateNode => Some(Role::Operator),
            Self::Administer => Some(Role::Admin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api;

    /// Every method and path in the API's description.
    fn described() -> Vec<(Method, String)> {
        let paths = serde_json::to_value(api::description()).unwrap()["paths"].take();
        let of_path = |(path, methods): (&String, &serde_json::Value)| {
            let methods = methods.as_object().unwrap().keys();
            methods.map(|method| (method.to_uppercase().parse().unwrap(), path.clone())).collect::<Vec<_>>()
        };
        paths.as_object().unwrap().iter().flat_map(of_path).collect()
    }

    #[test]
    fn every_route_has_a_requirement_and_every_requirement_a_route() {
        let described = described();
        for (method, path) in &described {
            let is_open = requirement(method, Some(path)) == Requirement::Nothing;
            assert!(is_open || declared(method, path).is_some(), "{method} {path} is not in ROUTES");
        }
        for (method, path, _) in ROUTES {
            assert!(described.contains(&(method.clone(), (*path).to_owned())), "no route {method} {path}");
        }
    }

    #[test]
    fn a_forgotten_route_is_for_administrators_only() {
        assert_eq!(requirement(&Method::GET, Some("/v1/secrets")), Requirement::Administer);
        assert_eq!(requirement(&Method::POST, Some("/v1/clusters/{cluster}")), Requirement::Administer);
        assert_eq!(requirement(&Method::HEAD, Some("/v1/clusters")), Requirement::ReadSome);
    }
}
