use std::sync::Arc;

use axum::{extract::State, response::Response};
use convene_lifecycle::{
    ClientUrl, Cluster, ClusterId, ListedMember, MAX_PEER_URLS, MemberId, MemberList, PeerUrl, UnixMillis,
};

use super::decisive_change::{ChangedClusterBody, DryRun, change_or_preview};
use crate::{
    access::Caller,
    api::{
        asked_url::AskedUrl,
        body::{JsonBody, List, body},
        check_in::ObservedName,
        etag::IfMatch,
        path::TokenPath,
        problem::{
            Problem, Violation,
            documented::{BodyProblems, ClusterProblems, CommonProblems, PreconditionProblems},
        },
        query::Query,
    },
    app::App,
};

/// The most members of a list.
const MAX_LISTED: usize = 200;

body! {
    /// The member list of a running etcd cluster, as its quorum returns it.
    #[body(name = "Adoption", unknown_fields = Refused)]
    pub struct Adoption {
        /// The ID of the etcd cluster.
        #[example = "cdf818194e3a8c32"]
        cluster_id: ClusterId,
        /// The members. At least one is a voter.
        members: List<AdoptedMember, 1, MAX_LISTED>,
    }
}

body! {
    /// A member in etcd's list.
    #[body(name = "AdoptedMember", unknown_fields = Refused)]
    pub struct AdoptedMember {
        /// The member's ID.
        #[example = "8e9e05c52164694d"]
        id: MemberId,
        /// The name; empty or null if the member has never started.
        #[example = "infra0"]
        name: Option<ObservedName>,
        /// The peer URLs.
        #[example = ["http://10.0.0.1:2380"]]
        peer_urls: List<PeerUrl, 1, MAX_PEER_URLS>,
        /// The client URLs; empty if the member has never started.
        #[example = ["http://10.0.0.1:2379"]]
        client_urls: List<ClientUrl, 0, MAX_PEER_URLS>,
        /// Whether the member is a learner.
        learner: Option<bool>,
    }
}

impl Adoption {
    fn into_list(self) -> MemberList {
        let members = self.members.0.into_iter().map(|member| ListedMember {
            id: member.id,
            name: member.name.and_then(|ObservedName(name)| name),
            peer_urls: member.peer_urls.0,
            client_urls: member.client_urls.0,
            learner: member.learner.unwrap_or(false),
        });
        MemberList { cluster: self.cluster_id, members: members.collect() }
    }
}

/// Adopts a running etcd cluster
///
/// The member list replaces what the registry knows. If it knew another etcd cluster, a new epoch begins. Use it for a cluster
/// that the registry does not know or has forgotten, and after all members were restored from a snapshot. Read the list
/// through the quorum of that cluster: `convene cluster adopt` does.
#[utoipa::path(
    post,
    path = "/v1/clusters/{cluster}/adopt",
    tag = "clusters",
    params(TokenPath, DryRun, IfMatch),
    request_body = Adoption,
    responses(
        (status = 200, description = "The cluster with the adopted members.", body = ChangedClusterBody),
        CommonProblems,
        ClusterProblems,
        BodyProblems,
        PreconditionProblems
    )
)]
pub async fn adopt_cluster(
    State(app): State<Arc<App>>,
    caller: Caller,
    asked: AskedUrl,
    TokenPath(token): TokenPath,
    Query(dry_run): Query<DryRun>,
    if_match: IfMatch,
    JsonBody(adoption): JsonBody<Adoption>,
) -> Result<Response, Problem> {
    let list = adoption.into_list();
    check(&list)?;
    let decide = move |cluster: &Cluster, at: UnixMillis| {
        if_match.check(cluster.revision)?;
        Ok(cluster.adopt(&list, at))
    };
    change_or_preview(&app, &caller, &asked, &token, dry_run, decide).await
}

/// etcd's own list has at least one voter, and no member twice.
fn check(list: &MemberList) -> Result<(), Problem> {
    let mut violations = Vec::new();
    if list.members.iter().all(|member| member.learner) {
        violations.push(Violation::new("members", "must have at least one voter".to_owned()));
    }
    for (n, member) in list.members.iter().enumerate() {
        if let Some(other) = list.members[..n].iter().position(|other| other.id == member.id) {
            let message = format!("is also the ID of members[{other}]");
            violations.push(Violation::new(format!("members[{n}].id"), message));
        }
    }
    if violations.is_empty() { Ok(()) } else { Err(Problem::invalid("body", violations)) }
}
