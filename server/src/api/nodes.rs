use std::sync::Arc;

use axum::{extract::State, response::Response};
use convene_lifecycle::{
    Cluster, EtcdStatus, LastCheckIn, Liveness, MemberName, NodeStatus, Reachability, ReportedState, RunId, UnixMillis,
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    check_in::{EtcdStatusBody, ReachabilityBody, StateWord},
    etag::with_etag,
    join_tokens::CredentialBody,
    path::TokenPath,
    problem::{
        Problem,
        documented::{ClusterProblems, CommonProblems},
    },
    query::Query,
    time::Timestamp,
};
use crate::app::App;

/// The route for nodes, besides the check-in.
pub fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list_nodes))
}

/// The nodes of a cluster.
#[derive(Debug, Serialize, ToSchema)]
pub struct Nodes {
    /// Since when the registry has received check-ins. Before that, silence proves nothing. Null if no node has checked
    /// in.
    since: Option<Timestamp>,
    /// The nodes, in the order of their names.
    nodes: Vec<NodeBody>,
    /// The credentials of nodes, in the order of the nodes' names. A node that has none is known by its name alone.
    credentials: Vec<CredentialBody>,
}

/// A node that has checked in: a member's, or a spare.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Node)]
struct NodeBody {
    /// The node's name.
    #[schema(example = "infra3")]
    name: String,
    /// The state that the node reported.
    state: StateWord,
    /// The member that the node's data belongs to; null if the node has no data, or data that can't be read.
    #[schema(example = "8e9e05c52164694d")]
    member_id: Option<String>,
    /// The peer URLs that the node reported. If etcd's list has other peer URLs for the member, the node has moved.
    #[schema(example = json!(["http://10.0.0.4:2380"]))]
    peer_urls: Vec<String>,
    /// When the node last checked in.
    checked_in_at: Timestamp,
    /// When the node's client started, by the node's own clock; null if its `run_id` is not a UUID of version 7.
    run_started_at: Option<Timestamp>,
    /// What the node reported about its etcd with its last check-in; null if nothing.
    #[schema(value_type = Option<EtcdStatusBody>)]
    etcd: Option<EtcdStatus>,
    /// Which members the node reached before its last check-in; empty if it reported nothing.
    #[schema(value_type = Vec<ReachabilityBody>)]
    reachability: Vec<Reachability>,
}

/// Lists a cluster's nodes
///
/// The list has the nodes that have checked in since the server started or, with several servers, since the node's
/// first check-in. A node that checks in regularly monitors the members. Of the spares, the list has the 200 that
/// checked in last.
#[utoipa::path(
    get,
    path = "/v1/clusters/{cluster}/nodes",
    tag = "nodes",
    params(TokenPath),
    responses(
        (
            status = 200,
            description = "The nodes.",
            body = Nodes,
            headers(("ETag" = String, description = "The cluster's revision in quotes."))
        ),
        CommonProblems,
        ClusterProblems
    )
)]
pub async fn list_nodes(
    State(app): State<Arc<App>>,
    TokenPath(token): TokenPath,
    _: Query<()>,
) -> Result<Response, Problem> {
    let snapshot = app.registry.cluster(&token).await?.ok_or_else(Problem::no_such_cluster)?;
    let liveness = app.registry.failure_detector(&token).await?;
    Ok(with_etag(&snapshot.cluster, &Nodes::new(&snapshot.cluster, liveness.as_ref())))
}

impl Nodes {
    fn new(cluster: &Cluster, liveness: Option<&Liveness>) -> Self {
        let nodes = liveness.into_iter().flat_map(|liveness| &liveness.nodes);
        Self {
            since: liveness.map(|liveness| Timestamp(liveness.since)),
            nodes: nodes.map(|(name, check_in)| NodeBody::new(name, check_in)).collect(),
            credentials: cluster
                .admission
                .credentials
                .iter()
                .map(|(node, own)| CredentialBody::new(node, own))
                .collect(),
        }
    }
}

impl NodeBody {
    fn new(name: &MemberName, check_in: &LastCheckIn) -> Self {
        let (state, identity) = match check_in.state {
            ReportedState::Nothing => (StateWord::Empty, None),
            ReportedState::Unreadable => (StateWord::Unreadable, None),
            ReportedState::Data(identity) => (StateWord::Stopped, Some(identity)),
            ReportedState::Loading(identity) => (StateWord::Starting, Some(identity)),
            ReportedState::Etcd(identity) => (StateWord::Running, Some(identity)),
        };
        let NodeStatus { etcd, reachability } = check_in.status.as_deref().cloned().unwrap_or_default();
        Self {
            name: name.to_string(),
            state,
            member_id: identity.map(|identity| identity.member.to_string()),
            peer_urls: check_in.peer_urls.iter().map(ToString::to_string).collect(),
            checked_in_at: Timestamp(check_in.at),
            run_started_at: started_at(&check_in.run).map(Timestamp),
            etcd,
            reachability,
        }
    }
}

/// When a run started: `convene` takes a UUID for its ID that begins with the time.
fn started_at(run: &RunId) -> Option<UnixMillis> {
    let id = Uuid::parse_str(run.as_str()).ok().filter(|id| id.get_version_num() == 7)?;
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    let seconds = i64::try_from(seconds).ok()?;
    Some(UnixMillis(seconds.checked_mul(1_000)? + i64::from(nanos / 1_000_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_run_tells_when_it_started() {
        let started = |run: &str| started_at(&run.parse().unwrap()).map(|at| at.0);
        assert_eq!(started("0198b2c9a87b7000800000000000000f"), Some(0x0198_b2c9_a87b));
        assert_eq!(started("run-1"), None);
        assert_eq!(started("6c007a14875d43d98f0ef5a6fc0257c8"), None);
    }
}
