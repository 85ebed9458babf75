//! No secret is in the log, even if an operator lets the server and its libraries log everything. The harness searches the log of each
//! server when it ends.

use std::{fs, time::Duration};

use convene_etcd::wire::{AuthenticateRequest, auth_client::AuthClient};
use convene_harness::{Postgres, http, secrets, server, server::Server, tls::Ca};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{send, streams::Watched};
use crate::{join_tokens::client::Credential, v3_client::connect};

const LIMIT: Duration = Duration::from_secs(10);

/// Uses every kind of secret in every way that it is sent, and wrong ones.
async fn use_secrets(server: &Server, admin: String) {
    let watched = Watched::create(server, admin, None).await;
    secrets::remember(&watched.token);
    let waits = watched.open(server).await;
    let mut auth = AuthClient::new(connect(&server.url).await);
    for (password, is_right) in [(watched.secret.clone(), true), (format!("{}x", watched.secret), false)] {
        let request = AuthenticateRequest { name: "etcd".to_owned(), password };
        assert_eq!(auth.authenticate(request).await.is_ok(), is_right);
    }
    let wrong = format!("cvn_{}", "x".repeat(43));
    let refused = send(server, Method::GET, &watched.path, Some(&wrong), None).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);

    let join_tokens = format!("{}/join-tokens", watched.path);
    let created = send(server, Method::POST, &join_tokens, Some(&watched.admin), Some(json!({}))).await;
    let join_token: Value = created.json().await.unwrap();
    let join_token = join_token["secret"].as_str().unwrap();
    let report = json!({ "name": "infra0", "run_id": "r", "state": "empty", "peer_urls": ["http://10.0.0.1:2380"] });
    let own = Credential::draw();
    for (shown, expected) in [(join_token, 200), ("cvnj_wrong", 200)] {
        let url = format!("{}/v1/clusters/{}/check-in", server.url, watched.token);
        let request = http::client().post(url).bearer_auth(own.secret()).header("Convene-Join-Token", shown);
        assert_eq!(request.json(&report).send().await.unwrap().status(), expected);
    }
    send(server, Method::DELETE, &watched.credential, Some(&watched.admin), None).await;
    server.wait_for_stderr("ended while the client waited", LIMIT);
    drop(waits);
}

#[tokio::test]
async fn a_server_that_traces_logs_no_secret_of_its_clients_and_not_the_password_of_its_database() {
    let Some(postgres) = Postgres::shared() else { return };
    let password = "of-the-database-4cb1";
    secrets::remember(password);
    let database = postgres.create_database().replace("postgres@", &format!("postgres:{password}@"));
    let server = Server::start_tracing_on(&database, &["--auth", "on"]);
    let admin = server.create_api_token(&["--role", "admin", "--name", "test"]);
    use_secrets(&server, admin).await;
    for library in ["TRACE", "h2::"] {
        server.wait_for_stderr(library, LIMIT);
    }
}

#[tokio::test]
async fn a_server_that_traces_logs_no_key_and_no_secret_that_came_by_tls() {
    let ca = Ca::new();
    let identity = ca.node();
    for line in fs::read_to_string(&identity.key).unwrap().lines().filter(|line| !line.starts_with("-----")) {
        secrets::remember(line);
    }
    let folder = tempfile::TempDir::new().unwrap();
    let database = server::sqlite_url(&folder.path().join("convene.db"));
    let [certificate, key] = [&identity.certificate, &identity.key].map(|file| file.to_str().unwrap());
    let server = Server::start_tracing_on(&database, &["--auth", "on", "--tls-cert", certificate, "--tls-key", key]);
    let admin = server.create_api_token(&["--role", "admin", "--name", "test"]);
    let client = http::tls_client(&ca.file(), None);
    let created = client.post(format!("{}/v1/clusters", server.url)).bearer_auth(&admin).json(&json!({})).send().await;
    let created: Value = created.unwrap().json().await.unwrap();
    let token = created["token"].as_str().unwrap();
    secrets::remember(token);
    let read = client.get(format!("{}/{token}", server.url)).basic_auth("etcd", Some(&admin)).send().await.unwrap();
    assert_eq!(read.status(), StatusCode::OK);
    server.wait_for_stderr("rustls", LIMIT);
}
