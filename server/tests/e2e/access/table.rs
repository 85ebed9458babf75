//! Every route, every method and every role, with the cluster of the role and another one.

use std::{collections::BTreeSet, time::Duration};

use convene_harness::{http, server::Server};
use reqwest::Method;
use serde_json::{Value, json};

use super::{send, wait_until};

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    ReadSome,
    ReadAll,
    ReadCluster,
    OperateCluster,
    CheckIn,
    Admin,
}

/// Every route that the API's description has. A new route fails the test until it is in this table.
const ROUTES: &[(&str, &str, Needs)] = &[
    ("GET", "/livez", Needs::Nothing),
    ("GET", "/readyz", Needs::Nothing),
    ("GET", "/metrics", Needs::ReadAll),
    ("GET", "/v1/tokens", Needs::Admin),
    ("POST", "/v1/tokens", Needs::Admin),
    ("DELETE", "/v1/tokens/{id}", Needs::Admin),
    ("GET", "/v1/clusters", Needs::ReadSome),
    ("POST", "/v1/clusters", Needs::Admin),
    ("GET", "/v1/clusters/{cluster}", Needs::ReadCluster),
    ("PATCH", "/v1/clusters/{cluster}", Needs::OperateCluster),
    ("DELETE", "/v1/clusters/{cluster}", Needs::OperateCluster),
    ("POST", "/v1/clusters/{cluster}/pause", Needs::OperateCluster),
    ("POST", "/v1/clusters/{cluster}/resume", Needs::OperateCluster),
    ("POST", "/v1/clusters/{cluster}/adopt", Needs::OperateCluster),
    ("POST", "/v1/clusters/{cluster}/reset", Needs::OperateCluster),
    ("GET", "/v1/clusters/{cluster}/events", Needs::ReadCluster),
    ("GET", "/v1/clusters/{cluster}/nodes", Needs::ReadCluster),
    ("DELETE", "/v1/clusters/{cluster}/nodes/{node}/credential", Needs::OperateCluster),
    ("POST", "/v1/clusters/{cluster}/join-tokens", Needs::OperateCluster),
    ("GET", "/v1/clusters/{cluster}/join-tokens", Needs::OperateCluster),
    ("DELETE", "/v1/clusters/{cluster}/join-tokens/{id}", Needs::OperateCluster),
    ("GET", "/v1/clusters/{cluster}/members", Needs::ReadCluster),
    ("GET", "/v1/clusters/{cluster}/members/{member}", Needs::ReadCluster),
    ("PUT", "/v1/clusters/{cluster}/members/{member}/eviction", Needs::OperateCluster),
    ("DELETE", "/v1/clusters/{cluster}/members/{member}/eviction", Needs::OperateCluster),
    ("PUT", "/v1/clusters/{cluster}/members/{member}/downtime", Needs::OperateCluster),
    ("DELETE", "/v1/clusters/{cluster}/members/{member}/downtime", Needs::OperateCluster),
    ("POST", "/v1/clusters/{cluster}/check-in", Needs::CheckIn),
];

/// Who asks, and by which name of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Nobody,
    DiscoveryToken,
    ReaderOfAll,
    ReaderOfThis,
    ReaderOfOther,
    OperatorOfAll,
    OperatorOfThis,
    OperatorOfOther,
    Admin,
    Unknown,
    Revoked,
    Expired,
}

impl Who {
    /// The status of the refusal; `None` if the request is allowed.
    fn refusal(self, needs: Needs) -> Option<u16> {
        use Who::*;
        let is_allowed = match needs {
            Needs::Nothing => return None,
            Needs::ReadSome => !matches!(self, Nobody | DiscoveryToken),
            Needs::ReadAll => matches!(self, ReaderOfAll | OperatorOfAll | Admin),
            Needs::ReadCluster => !matches!(self, Nobody | ReaderOfOther | OperatorOfOther),
            Needs::OperateCluster => matches!(self, OperatorOfAll | OperatorOfThis | Admin),
            Needs::CheckIn => matches!(self, DiscoveryToken | OperatorOfAll | OperatorOfThis | Admin),
            Needs::Admin => self == Admin,
        };
        match self {
            Unknown | Revoked | Expired => Some(401),
            _ if is_allowed => None,
            Nobody | DiscoveryToken => Some(401),
            _ => Some(403),
        }
    }
}

/// The methods and paths in the server's description.
async fn described(server: &Server) -> BTreeSet<(String, String)> {
    let yaml = http::get(format!("{}/openapi.yaml", server.url)).await.unwrap().text().await.unwrap();
    let mut described = BTreeSet::new();
    let mut path = "";
    for line in yaml.lines().skip_while(|line| *line != "paths:").skip(1).take_while(|line| line.starts_with(' ')) {
        let indent = line.len() - line.trim_start().len();
        let key = line.trim().trim_end_matches(':').trim_matches('\'');
        match indent {
            2 => path = key,
            4 if !path.is_empty() => drop(described.insert((key.to_uppercase(), path.to_owned()))),
            _ => {}
        }
    }
    described
}

#[tokio::test]
async fn every_route_allows_exactly_the_roles_of_the_table() {
    let (server, admin) = Server::start_with_auth(&[]);
    let in_table: BTreeSet<_> =
        ROUTES.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(described(&server).await, in_table, "the table differs from /openapi.yaml");

    let mut clusters = Vec::new();
    for _ in 0..2 {
        let created = send(&server, Method::POST, "/v1/clusters", Some(&admin), Some(json!({ "size": 3 }))).await;
        let created: Value = created.json().await.unwrap();
        clusters.push(["id", "token"].map(|field| created[field].as_str().unwrap().to_owned()));
    }
    let [[own_id, own_token], [other_id, _]] = [clusters[0].clone(), clusters[1].clone()];
    let token = |role: &str, cluster: Option<&str>| {
        let scope: Vec<&str> = cluster.into_iter().flat_map(|id| ["--cluster", id]).collect();
        server.create_api_token(&[&["--role", role, "--name", "t"], &scope[..]].concat())
    };
    let expired = server.create_api_token(&["--role", "reader", "--name", "t", "--expires", "1s"]);
    let revoked = token("reader", None);
    let listed: Value = send(&server, Method::GET, "/v1/tokens", Some(&admin), None).await.json().await.unwrap();
    let id = listed["tokens"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/tokens/{id}");
    assert_eq!(send(&server, Method::DELETE, &path, Some(&admin), None).await.status(), 204);
    let callers: Vec<(Who, Option<String>)> = vec![
        (Who::Nobody, None),
        (Who::DiscoveryToken, None),
        (Who::ReaderOfAll, Some(token("reader", None))),
        (Who::ReaderOfThis, Some(token("reader", Some(&own_id)))),
        (Who::ReaderOfOther, Some(token("reader", Some(&other_id)))),
        (Who::OperatorOfAll, Some(token("operator", None))),
        (Who::OperatorOfThis, Some(token("operator", Some(&own_id)))),
        (Who::OperatorOfOther, Some(token("operator", Some(&other_id)))),
        (Who::Admin, Some(admin)),
        (Who::Unknown, Some("cvn_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned())),
        (Who::Revoked, Some(revoked)),
        (Who::Expired, Some(expired.clone())),
    ];
    wait_until(async || send(&server, Method::GET, "/v1/clusters", Some(&expired), None).await.status() == 401).await;

    let mut wrong = Vec::new();
    for (method, path, needs) in ROUTES {
        for (who, credential) in &callers {
            let cluster = if *who == Who::DiscoveryToken { &own_token } else { &own_id };
            let path = path.replace("{cluster}", cluster).replace("{member}", "1").replace("{node}", "a");
            let path = path.replace("{id}", "tok-0000000000000000");
            let request = http::client().request(method.parse().unwrap(), format!("{}{path}", server.url));
            // Nothing changes, however far the request comes: the cluster is not at this revision.
            let request = request.header("If-Match", "\"999\"").json(&json!({ "no_such_field": 1 }));
            let request = match credential {
                Some(credential) => request.bearer_auth(credential),
                None => request,
            };
            let status = request.timeout(Duration::from_secs(10)).send().await.unwrap().status().as_u16();
            let refused = Some(status).filter(|status| matches!(status, 401 | 403));
            if refused != who.refusal(*needs) {
                wrong.push(format!("{method} {path} by {who:?}: {status}, not {:?}", who.refusal(*needs)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
