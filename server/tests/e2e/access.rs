//! Who may do what.

mod logs;
mod streams;
mod table;

use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use convene_harness::{Postgres, http, programs, server::Server};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

/// Sends a request with an API token, if there is one.
async fn send(server: &Server, method: Method, path: &str, token: Option<&str>, body: Option<Value>) -> Response {
    let request = http::client().request(method, format!("{}{path}", server.url));
    let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
    // A POST needs the content type also without a body.
    let request = match body {
        Some(body) => request.json(&body),
        None => request.header("Content-Type", "application/json"),
    };
    request.send().await.unwrap()
}

/// Waits until something is so.
async fn wait_until(mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so().await {
        assert!(Instant::now() < deadline, "waited for 10 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
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

#[tokio::test]
async fn a_change_names_who_made_it_and_tokens_are_shown_on_request_only() {
    let (server, admin) = Server::start_with_auth(&[]);
    let created = send(&server, Method::POST, "/v1/clusters", Some(&admin), Some(json!({ "name": "prod" }))).await;
    let location = created.headers()["location"].to_str().unwrap().to_owned();
    let created: Value = created.json().await.unwrap();
    let (id, token) = (created["id"].as_str().unwrap(), created["token"].as_str().unwrap());
    assert_eq!(location, format!("/v1/clusters/{id}"));
    let new = json!({ "name": "ops", "role": "operator", "clusters": [id], "expires_in_seconds": 3600 });
    let operator: Value =
        send(&server, Method::POST, "/v1/tokens", Some(&admin), Some(new)).await.json().await.unwrap();
    let (secret, operator_id) = (operator["secret"].as_str().unwrap(), operator["id"].as_str().unwrap());

    let shown: Value = send(&server, Method::GET, &location, Some(secret), None).await.json().await.unwrap();
    assert_eq!((&shown["id"], &shown["token"], &shown["discovery_url"]), (&json!(id), &Value::Null, &Value::Null));
    let asked = format!("{location}?show_token=true");
    let shown: Value = send(&server, Method::GET, &asked, Some(secret), None).await.json().await.unwrap();
    assert_eq!(shown["token"], token);
    let reader = server.create_api_token(&["--role", "reader", "--name", "r"]);
    let shown: Value = send(&server, Method::GET, &asked, Some(&reader), None).await.json().await.unwrap();
    assert_eq!(shown["token"], Value::Null);
    let listed = send(&server, Method::GET, "/v1/clusters?show_token=true", Some(secret), None).await;
    let listed: Value = listed.json().await.unwrap();
    assert_eq!(listed["clusters"][0]["token"], token);
    let by_token = format!("/v1/clusters/{token}");
    let shown: Value = send(&server, Method::GET, &by_token, None, None).await.json().await.unwrap();
    assert_eq!((&shown["id"], &shown["token"]), (&json!(id), &json!(token)));

    let paused = send(&server, Method::POST, &format!("{location}/pause"), Some(secret), None).await;
    assert_eq!(paused.status(), StatusCode::OK);
    let events = format!("{location}/events");
    let events: Value = send(&server, Method::GET, &events, Some(&reader), None).await.json().await.unwrap();
    let paused = events["events"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&paused["by"], &paused["from"]), (&json!(operator_id), &json!("127.0.0.1")));
    let refused = send(&server, Method::DELETE, &location, Some(&reader), None).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    wait_until(async || {
        let log = server.stderr();
        let audited = |parts: &[&str]| log.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        audited(&["audit", operator_id, "what=\"paused\"", id, "outcome=\"done\""])
            && audited(&["audit", "api_token_created", operator_id])
            && audited(&["audit", "DELETE /v1/clusters/{cluster}", "outcome=\"refused\""])
    })
    .await;
    assert!(!server.stderr().contains(token) && !server.stderr().contains("cvn_"), "{}", server.stderr());
}

#[tokio::test]
async fn discovery_takes_valid_credentials_or_none() {
    let (server, admin) = Server::start_with_auth(&[]);
    let url = server.new_cluster(1).await;
    let path = url.strip_prefix(&server.url).unwrap().to_owned();
    for credential in [None, Some(admin.as_str())] {
        assert_eq!(send(&server, Method::GET, &path, credential, None).await.status(), StatusCode::OK);
    }
    let refused = send(&server, Method::GET, &path, Some("cvn_no"), None).await;
    assert_eq!(
        (refused.status(), refused.headers().contains_key("www-authenticate")),
        (StatusCode::UNAUTHORIZED, true)
    );
    assert_eq!(refused.json::<Value>().await.unwrap()["errorCode"], 110);
    let basic = http::client().get(&url).basic_auth("etcd", Some(&admin)).send().await.unwrap();
    assert_eq!(basic.status(), StatusCode::OK);
    let range = |credential: &str| {
        let key = BASE64_STANDARD.encode(format!("/_etcd/registry{path}/_config/size"));
        let request = http::client().post(format!("{}/v3/kv/range", server.url)).json(&json!({ "key": key }));
        request.header("Authorization", credential).send()
    };
    assert_eq!(range(&admin).await.unwrap().status(), StatusCode::OK);
    let refused = range("cvn_no").await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refused.json::<Value>().await.unwrap()["message"], "etcdserver: invalid auth token");
    let log_in = |password: &str| {
        let body = json!({ "name": "etcd", "password": password });
        http::client().post(format!("{}/v3/auth/authenticate", server.url)).json(&body).send()
    };
    assert_eq!(log_in(&admin).await.unwrap().json::<Value>().await.unwrap()["token"], admin);
    let refused: Value = log_in("cvn_no").await.unwrap().json().await.unwrap();
    let message = refused["message"].as_str().unwrap();
    assert!(message.starts_with("etcdserver: authentication failed, invalid user ID or password: "), "{message}");
    for path in ["/livez", "/readyz", "/health", "/robots.txt", "/version", "/docs/", "/openapi.yaml", "/"] {
        for credential in [None, Some("cvn_no")] {
            assert_eq!(send(&server, Method::GET, path, credential, None).await.status(), StatusCode::OK, "{path}");
        }
    }
}

#[tokio::test]
async fn a_revoked_token_is_refused_by_every_server_soon() {
    let Some(postgres) = Postgres::shared() else { return };
    let database = postgres.create_database();
    let servers = [0, 1].map(|_| Server::start_on(&database, &["--auth", "on"]));
    let admin = servers[0].create_api_token(&["--role", "admin", "--name", "first"]);
    let new = json!({ "name": "second", "role": "reader" });
    let created: Value =
        send(&servers[0], Method::POST, "/v1/tokens", Some(&admin), Some(new)).await.json().await.unwrap();
    let secret = created["secret"].as_str().unwrap();
    assert_eq!(send(&servers[1], Method::GET, "/v1/clusters", Some(secret), None).await.status(), StatusCode::OK);
    let path = format!("/v1/tokens/{}", created["id"].as_str().unwrap());
    assert_eq!(send(&servers[0], Method::DELETE, &path, Some(&admin), None).await.status(), StatusCode::NO_CONTENT);
    let refuses =
        async |server: &Server| send(server, Method::GET, "/v1/clusters", Some(secret), None).await.status() == 401;
    assert!(refuses(&servers[0]).await);
    let revoked = Instant::now();
    wait_until(async || refuses(&servers[1]).await).await;
    assert!(revoked.elapsed() < Duration::from_secs(3), "{:?}", revoked.elapsed());
}

#[tokio::test]
async fn tokens_are_managed_on_the_database_of_a_running_server() {
    let (server, admin) = Server::start_with_auth(&[]);
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(programs::server());
        command.args(["token"]).args(arguments).args(["--database-url", &server.database_url()]).output().unwrap()
    };
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("token");
    let file = file.to_str().unwrap();
    let created = run(&["create", "--role", "reader", "--name", "dashboard", "--to", file]);
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    let id = String::from_utf8(created.stdout).unwrap().trim().to_owned();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let secret = std::fs::read_to_string(file).unwrap();
    let read = async || send(&server, Method::GET, "/v1/clusters", Some(secret.trim()), None).await.status();
    assert_eq!(read().await, StatusCode::OK);
    assert!(!run(&["create", "--role", "reader", "--name", "again", "--to", file]).status.success());
    let listed = String::from_utf8(run(&["list"]).stdout).unwrap();
    assert!(listed.contains(&id) && listed.contains("dashboard") && !listed.contains("again"), "{listed}");
    assert!(run(&["revoke", &id]).status.success());
    wait_until(async || read().await == StatusCode::UNAUTHORIZED).await;
    assert_eq!(send(&server, Method::GET, "/v1/clusters", Some(&admin), None).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_server_that_everybody_may_administer_starts_on_request_only_and_says_so() {
    let refused = |arguments: &[&str]| {
        let folder = tempfile::TempDir::new().unwrap();
        let database = format!("sqlite:{}", folder.path().join("c.db").display());
        let mut command = std::process::Command::new(programs::server());
        command.args(["--database-url", &database]).args(arguments).output().unwrap()
    };
    let refused = refused(&["--listen", "0.0.0.0:0", "--auth", "off"]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && error.contains("--allow-unauthenticated"), "{error}");

    let server = Server::start_at("0.0.0.0");
    let checks = http::get(format!("{}/readyz?verbose", server.url)).await.unwrap().text().await.unwrap();
    assert_eq!(
        checks,
        "[!]auth off: everybody who reaches this server can administer all clusters\n[+]database ok\nok\n"
    );
    wait_until(async || server.stderr().contains("can read, change and delete all clusters")).await;

    for file in ["", "-wal", "-shm", "-lock"] {
        let path = format!("{}{file}", server.sqlite_file().unwrap().display());
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{path}");
    }
}
