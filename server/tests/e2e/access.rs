//! Who may do what.

use convene_harness::{http, server::Server};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

/// Sends a request with an API token, if there is one.
async fn send(server: &Server, method: Method, path: &str, token: Option<&str>, body: Option<Value>) -> Response {
    let request = http::client().request(method, format!("{}{path}", server.url));
    let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
    let request = if let Some(body) = body { request.json(&body) } else { request };
    request.send().await.unwrap()
}

#[tokio::test]
async fn administration_needs_a_token_whose_role_is_enough() {
    let (server, admin) = Server::start_with_auth(&[]);
    let create = || Some(json!({ "size": 1 }));
    let refused = send(&server, Method::POST, "/v1/clusters", None, create()).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(refused.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["type"], "urn:convene:problem:unauthenticated");
    assert!(problem["detail"].as_str().unwrap().contains("the role admin"), "{problem}");

    let created = send(&server, Method::POST, "/v1/clusters", Some(&admin), create()).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    let reader = server.create_api_token(&["--role", "reader", "--name", "dashboard"]);
    let refused = send(&server, Method::POST, "/v1/clusters", Some(&reader), create()).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let listed: Value = send(&server, Method::GET, "/v1/clusters", Some(&reader), None).await.json().await.unwrap();
    assert_eq!(listed["clusters"].as_array().unwrap().len(), 1);
    for wrong in [format!("{reader}x"), "cvn_".to_owned(), "secret".to_owned()] {
        let refused = send(&server, Method::GET, "/v1/clusters", Some(&wrong), None).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{wrong}");
    }
}

#[tokio::test]
async fn without_an_administrator_the_answer_is_the_command_that_makes_one() {
    let server = Server::start_with(&["--auth", "on"]);
    let refused = send(&server, Method::GET, "/v1/clusters", None, None).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let problem: Value = refused.json().await.unwrap();
    assert!(
        problem["detail"].as_str().unwrap().contains("convene-server token create --role admin --name"),
        "{problem}"
    );
}
