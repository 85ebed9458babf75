//! What describes the API: the description is served and true, and the page that shows it needs no internet.

use std::{process::Command, time::Duration};

use convene_harness::{Process, http, peers, server::Server};
use serde_json::{Value, json};
use tempfile::TempDir;

#[tokio::test]
async fn the_served_description_is_the_file_in_the_repository() {
    let server = Server::start();
    let answer = http::get(format!("{}/openapi.yaml", server.url)).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/yaml");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    assert_eq!(answer.text().await.unwrap(), include_str!("../../../openapi/convene.yaml"));
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let server = Server::start();
    let page = http::get(format!("{}/docs", server.url)).await.unwrap();
    assert_eq!((page.status().as_u16(), page.url().path()), (200, "/docs/"));
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; ") && !policy.contains("http"), "{policy}");
    let page = page.text().await.unwrap();
    assert!(!page.contains("://") && !page.contains("<style") && !page.contains("onload"), "{page}");

    let parts: Vec<&str> = page.split(['"']).filter(|part| part.ends_with(".js") || part.ends_with(".css")).collect();
    assert!(parts.len() >= 5, "{page}");
    for part in parts {
        let answer = http::get(format!("{}/docs/{part}", server.url)).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["x-content-type-options"].as_bytes()),
            (200, &b"nosniff"[..])
        );
    }
    let settings = http::get(format!("{}/docs/swagger-initializer.js", server.url)).await.unwrap();
    let settings = settings.text().await.unwrap();
    assert!(settings.contains(r#""validatorUrl": "none""#) && settings.contains(r#""url": "/openapi.yaml""#));
    assert!(!settings.contains("://"), "{settings}");
}

#[tokio::test]
async fn the_server_conforms_to_its_description() {
    let Some(schemathesis) = peers::program("schemathesis/bin", "schemathesis") else { return };
    let server = Server::start_with(&["--max-cluster-size", "1000", "--wait-timeout", "1s"]);
    let dir = TempDir::new().unwrap();
    let config = dir.path().join("schemathesis.toml");
    // Many, because some are deleted early on.
    let mut tokens = Vec::new();
    for _ in 0..30 {
        tokens.push(token(&server).await);
    }
    std::fs::write(&config, settings(&tokens)).unwrap();

    let mut command = Command::new(schemathesis);
    command
        .current_dir(dir.path())
        .args(["--config-file".as_ref(), config.as_os_str()])
        .args(["run", &format!("{}/openapi.yaml", server.url)])
        .args(["--checks", "all", "--max-examples", "40", "--seed", "1"])
        .args(["--generation-database", "none", "--continue-on-failure", "--no-color"]);
    let mut run = Process::spawn("schemathesis", &mut command);
    let code = run.wait_for_exit(Duration::from_secs(270));
    assert_eq!(code, Some(0), "{}", run.output());
    // It has got as far as where things succeed.
    for (method, path) in [
        ("GET", "/v1/clusters "),
        ("POST", "/v1/clusters "),
        ("GET", "/v1/clusters/"),
        ("PATCH", "/v1/clusters/"),
        ("DELETE", "/v1/clusters/"),
        ("POST", "/check-in "),
        ("POST", "/pause "),
        ("GET", "/events "),
        ("GET", "/members "),
        ("PUT", "/eviction "),
        ("DELETE", "/eviction "),
        ("PUT", "/downtime "),
    ] {
        let is_one = |line: &str| line.contains(&format!("method={method} ")) && line.contains(path);
        let succeeded = server.output().lines().any(|line| is_one(line) && line.contains(" status=20"));
        assert!(succeeded, "nothing succeeded: {method} {path}\n{}", run.output());
    }
}

/// What schemathesis can't learn from the description.
fn settings(tokens: &[String]) -> String {
    // An ETag that is well-formed may be stale (412), whether its form is the one that is described or another that
    // HTTP allows: a list, for example.
    format!(
        r#"
        [dictionaries.tokens]
        values = {tokens:?}

        [dictionaries.members]
        values = ["{MEMBER}"]

        [parameters]
        "path.cluster" = {{ dictionary = "tokens", probability = 0.8 }}
        "path.member" = {{ dictionary = "members", probability = 0.8 }}

        [checks.positive_data_acceptance]
        expected-statuses = ["2xx", "3xx", "404", "409", "410", "412"]

        # A description can't say that a request without a body must declare JSON.
        [[operations]]
        include-operation-id = "create_cluster"
        checks.positive_data_acceptance.expected-statuses = ["2xx", "409", "415"]

        [[operations]]
        include-operation-id = ["pause_cluster", "resume_cluster"]
        headers = {{ "Content-Type" = "application/json" }}

        # The same, and a join token for one node has one use.
        [[operations]]
        include-operation-id = "create_join_token"
        checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409", "415"]

        # What can stand in a name is more than a pattern can say.
        [[operations]]
        include-operation-id = "revoke_credential"
        checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "409", "412"]

        # What can stand as host in a URL is more than a pattern can say.
        [[operations]]
        include-operation-id = "check_in"
        checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404"]

        # The same, and no member may be listed twice.
        [[operations]]
        include-operation-id = "adopt_cluster"
        checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "412"]

        # A description can't say that the body must repeat what is in the path.
        [[operations]]
        include-operation-id = "reset_cluster"
        checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "404", "412"]

        [checks.negative_data_rejection]
        expected-statuses = ["400", "404", "405", "409", "412", "413", "415"]
        "#
    )
}

/// The member that each cluster of this test has.
const MEMBER: &str = "8e9e05c52164694d";

async fn token(server: &Server) -> String {
    let client = http::client();
    let made = client.post(format!("{}/v1/clusters", server.url)).json(&json!({ "size": 1 })).send().await.unwrap();
    let cluster: Value = made.json().await.unwrap();
    let discovery_url = cluster["discovery_url"].as_str().unwrap();
    let registration = [("value", "infra0=http://10.0.0.1:2380")];
    let registered = client.put(format!("{discovery_url}/{MEMBER}")).form(&registration).send().await.unwrap();
    assert_eq!(registered.status(), 201);
    cluster["token"].as_str().unwrap().to_owned()
}
