//! The administrators' API: clusters are created, shown and deleted, and invalid requests are explained.

use convene_etcd::wire::{PutRequest, kv_client::KvClient};
use convene_harness::{http, server::Server};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tonic::Code;

use crate::v3_client;

#[tokio::test]
async fn a_cluster_is_created_shown_and_deleted() {
    let server = Server::start();
    let made = post(&server, &json!({ "size": 5 })).await;
    assert_eq!((made.status(), header(&made, "etag")), (StatusCode::CREATED, "\"1\"".to_owned()));
    let url = format!("{}{}", server.url, header(&made, "location"));
    let cluster = json_line(made).await;
    let discovery_url = format!("{}/{}", server.url, cluster["token"].as_str().unwrap());
    assert_eq!(cluster["discovery_url"], *discovery_url);
    assert_eq!(
        (&cluster["size"], &cluster["revision"], &cluster["phase"], &cluster["voter_count"]),
        (&json!(5), &json!(1), &json!("forming"), &json!(0))
    );

    let value = [("value", "infra0=http://10.0.0.1:2380")];
    http::client().put(format!("{discovery_url}/1")).form(&value).send().await.unwrap();
    let shown = http::get(&url).await.unwrap();
    assert_eq!((shown.status(), header(&shown, "etag")), (StatusCode::OK, "\"2\"".to_owned()));
    let shown = json_line(shown).await;
    assert_eq!((&shown["revision"], &shown["voter_count"]), (&json!(2), &json!(1)));
    assert_eq!(shown["created_at"], cluster["created_at"]);

    assert_eq!(http::client().delete(&url).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_problem(http::get(&url).await.unwrap(), 404, "not-found").await;
    assert_problem(http::client().delete(&url).send().await.unwrap(), 404, "not-found").await;
    assert_eq!(http::get(&discovery_url).await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_problem(post(&server, &json!({ "token": cluster["token"] })).await, 409, "token-used-up").await;
}

#[tokio::test]
async fn a_cluster_is_created_without_a_body_or_with_a_chosen_token() {
    let server = Server::start();
    let undeclared = http::client().post(clusters(&server)).send().await.unwrap();
    assert_problem(undeclared, 415, "unsupported-media-type").await;
    let made = json_line(sent(post_nothing(&server)).await).await;
    assert_eq!((&made["size"], made["token"].as_str().unwrap().len()), (&json!(3), 32));

    assert_eq!(json_line(post(&server, &json!({ "token": "prod" })).await).await["token"], "prod");
    assert_problem(post(&server, &json!({ "token": "prod" })).await, 409, "conflict").await;
    for word in ["docs", "v1", "new", ".."] {
        let problem = assert_problem(post(&server, &json!({ "token": word })).await, 400, "invalid-request").await;
        assert_eq!(problem["violations"][0]["field"], "token", "{problem}");
    }
}

#[tokio::test]
async fn a_delete_with_an_old_etag_is_refused() {
    let server = Server::start();
    let url = made(&server).await;
    let delete = |tag: &'static str| http::client().delete(&url).header("if-match", tag).send();

    let problem = assert_problem(delete("\"7\"").await.unwrap(), 412, "precondition-failed").await;
    assert_eq!(problem["revision"], 1);
    let problem = assert_problem(delete("1").await.unwrap(), 400, "invalid-request").await;
    assert_eq!(problem["violations"][0]["field"], "If-Match");
    assert_eq!(http::get(&url).await.unwrap().status(), StatusCode::OK);
    assert_eq!(delete("\"7\", \"1\"").await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_problem(delete("*").await.unwrap(), 404, "not-found").await;
}

#[tokio::test]
async fn a_request_with_the_current_etag_gets_304() {
    let server = Server::start();
    let url = made(&server).await;
    let get = |tag: &'static str| http::client().get(&url).header("if-none-match", tag).send();
    for (tag, status) in [("\"1\"", 304), ("W/\"1\"", 304), ("*", 304), ("\"2\"", 200), ("1", 400)] {
        let answer = get(tag).await.unwrap();
        assert_eq!(answer.status(), status, "{tag}");
        assert!(status != 304 || header(&answer, "etag") == "\"1\"");
    }
}

#[tokio::test]
async fn all_errors_of_a_body_are_reported_at_once() {
    let server = Server::start_with(&["--max-cluster-size", "9"]);
    let body = json!({ "size": 10, "token": "no good", "sise": 3, "colour": "x".repeat(1000) });
    let problem = assert_problem(post(&server, &body).await, 400, "invalid-request").await;
    assert_eq!(problem["detail"], "4 things are wrong with the body");
    let violations = problem["violations"].as_array().unwrap();
    let about = |field: &str| {
        let violation = violations.iter().find(|violation| violation["field"] == field);
        violation.unwrap_or_else(|| panic!("{field}: {problem}"))["message"].as_str().unwrap()
    };
    assert_eq!(about("size"), "must be a whole number from 1 to 9, not 10");
    assert!(about("token").ends_with("not \"no good\""), "{problem}");
    assert_eq!(about("sise"), "is not a field of this object; the fields are: size, token, name, policy");
    assert_eq!(about("colour"), about("sise"));
}

#[tokio::test]
async fn a_body_that_is_not_json_is_refused_and_creates_no_cluster() {
    let server = Server::start();
    let post = |body: Vec<u8>, content_type: &'static str| {
        http::client().post(clusters(&server)).header("content-type", content_type).body(body).send()
    };
    for body in ["{\"size\": }", "[]", "[3, null]", "{\"size\": 3, \"size\": 4}", "{\"size\": \"3\"}", "{\"size\": -1}"]
    {
        let answer = post(body.into(), "application/json").await.unwrap();
        let problem = assert_problem(answer, 400, "invalid-request").await;
        assert!(!problem["violations"].as_array().unwrap().is_empty(), "{body}");
    }
    let form = post("{}".into(), "application/x-www-form-urlencoded").await.unwrap();
    let problem = assert_problem(form, 415, "unsupported-media-type").await;
    assert!(problem["detail"].as_str().unwrap().contains("-H 'Content-Type: application/json'"), "{problem}");
    assert_problem(post(vec![b' '; 70_000], "application/json").await.unwrap(), 413, "body-too-large").await;
    assert_problem(post(b"{\"token\": \"\xff\"}".to_vec(), "application/json").await.unwrap(), 400, "invalid-request")
        .await;
}

#[tokio::test]
async fn unknown_paths_methods_and_parameters_are_named() {
    let server = Server::start();
    let client = http::client();
    let at = |path: &str| format!("{}{path}", server.url);
    for path in ["/v1", "/v1/", "/v1/cluster", "/v1/clusters/", "/v1/clusters/a/b/c", "/v1/_config/size"] {
        for request in [client.get(at(path)), client.put(at(path)).form(&[("value", "a=http://10.0.0.1:2380")])] {
            assert_problem(sent(request).await, 404, "not-found").await;
        }
    }
    for (path, allowed) in [("/v1/clusters", "POST,GET,HEAD"), ("/v1/clusters/a/pause", "POST")] {
        let answer = sent(client.patch(at(path))).await;
        assert_eq!(header(&answer, "allow"), allowed);
        assert_problem(answer, 405, "method-not-allowed").await;
    }
    for path in ["/v1/clusters/a%20b", "/v1/clusters/%ff", &format!("/v1/clusters/{}", "x".repeat(129))] {
        let problem = assert_problem(sent(client.get(at(path))).await, 400, "invalid-request").await;
        assert_eq!(problem["violations"][0]["field"], "cluster");
    }
    let problem =
        assert_problem(sent(client.get(at("/v1/clusters/a?from=1&to=2"))).await, 400, "invalid-request").await;
    let fields: Vec<_> = problem["violations"].as_array().unwrap().iter().map(|wrong| &wrong["field"]).collect();
    assert_eq!(fields, ["from", "to"]);
}

#[tokio::test]
async fn no_protocol_creates_a_cluster_with_a_reserved_token() {
    let server = Server::start();
    let channel = v3_client::connect(&server.url).await;
    for word in ["debug", "docs", "metrics", "openapi.yaml", "static", "ui", "v1", "v3", "version"] {
        let refusal = format!("token: \"{word}\" is reserved for the server's own URLs; choose another token");
        let problem = assert_problem(post(&server, &json!({ "token": word })).await, 400, "invalid-request").await;
        assert!(problem["violations"][0]["message"].as_str().unwrap().contains(word), "{problem}");

        let key = format!("/_etcd/registry/{word}/_config/size");
        let answer = sent(http::client().put(format!("{}/v2/keys{key}", server.url)).form(&[("value", "3")])).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        let error: Value = answer.json().await.unwrap();
        assert_eq!((&error["errorCode"], &error["cause"]), (&json!(209), &json!(refusal)));

        let put = PutRequest { key: key.into(), value: "3".into(), ..PutRequest::default() };
        let error = KvClient::new(channel.clone()).put(put).await.unwrap_err();
        assert!(error.code() == Code::InvalidArgument && error.message().contains(&refusal), "{error}");

        assert_problem(http::get(format!("{}/{word}", clusters(&server))).await.unwrap(), 404, "not-found").await;
        let value = [("value", "infra0=http://10.0.0.1:2380")];
        let answer = sent(http::client().put(format!("{}/{word}", server.url)).form(&value)).await;
        assert!(answer.status().is_client_error(), "{word}");
    }
}

#[tokio::test]
async fn no_token_of_an_api_request_is_logged_in_full() {
    let server = Server::start();
    let created = json_line(sent(post_nothing(&server)).await).await;
    let token = created["token"].as_str().unwrap();
    sent(http::client().delete(format!("{}/{token}", clusters(&server)))).await;
    server.wait_for_output("method=DELETE", std::time::Duration::from_secs(20));
    assert!(server.output().contains(&token[..6]) && !server.output().contains(&token[..7]), "{}", server.output());
}

fn clusters(server: &Server) -> String {
    format!("{}/v1/clusters", server.url)
}

async fn post(server: &Server, body: &Value) -> Response {
    sent(http::client().post(clusters(server)).json(body)).await
}

/// Creates a cluster without a body.
fn post_nothing(server: &Server) -> RequestBuilder {
    http::client().post(clusters(server)).header("content-type", "application/json")
}

/// Makes a cluster and returns its URL in this API.
async fn made(server: &Server) -> String {
    let made = sent(post_nothing(server)).await;
    format!("{}{}", server.url, header(&made, "location"))
}

async fn sent(request: RequestBuilder) -> Response {
    request.send().await.unwrap()
}

fn header(answer: &Response, name: &str) -> String {
    answer.headers()[name].to_str().unwrap().to_owned()
}

async fn json_line(answer: Response) -> Value {
    let text = answer.text().await.unwrap();
    assert!(text.ends_with("}\n"), "{text}");
    serde_json::from_str(&text).unwrap()
}

async fn assert_problem(answer: Response, status: u16, problem: &str) -> Value {
    assert_eq!(
        (answer.status().as_u16(), header(&answer, "content-type").as_str()),
        (status, "application/problem+json")
    );
    let body = json_line(answer).await;
    assert_eq!((&body["status"], &body["type"]), (&json!(status), &json!(format!("urn:convene:problem:{problem}"))));
    body
}
