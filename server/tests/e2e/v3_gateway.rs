//! etcd's v3 API over HTTP with JSON, for machines without etcdctl: the answers are those of a real etcd's gateway.

use std::{collections::BTreeMap, process::Command, sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use convene_harness::{
    Page, Place,
    cluster::every_member_serves_what_another_wrote,
    etcd::{Etcd, Version},
    http,
    server::Server,
};
use reqwest::{Method, header};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);

const SIZE: &str = "/_etcd/registry/prod/_config/size";

const MEMBERS: &str = "/_etcd/registry/prod/members/";

fn encoded(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

fn member(id: &str) -> String {
    encoded(&format!("{MEMBERS}{id}"))
}

/// Requests that both answer alike: the path below `/v3/` and the body.
fn requests() -> Vec<(&'static str, String)> {
    let (size, members) = (encoded(SIZE), encoded(MEMBERS));
    let end = encoded("/_etcd/registry/prod/members0");
    let put = |id: &str, value: &str| ("kv/put", json!({ "key": member(id), "value": encoded(value) }));
    let range = |more: Value| {
        let mut body = json!({ "key": members, "range_end": end });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ("kv/range", body)
    };
    let mut all: Vec<(&str, String)> = [
        ("kv/range", json!({ "key": size })),
        ("kv/put", json!({ "key": size, "value": encoded("5") })),
        ("kv/put", json!({ "key": size, "value": encoded("3"), "prev_kv": true })),
        ("kv/put", json!({ "key": size, "value": encoded("3"), "prevKv": true, "lease": "0" })),
        ("kv/range", json!({ "key": size, "limit": "1", "sort_order": "DESCEND", "sort_target": 2, "rangeEnd": null })),
        ("kv/range", json!({ "key": size, "unknown": { "field": 1 } })),
        put("b", "infra1=http://10.0.0.2:2380"),
        put("a", "infra0=http://10.0.0.1:2380"),
        put("c", "infra2=http://10.0.0.3:2380,infra2=http://10.0.0.3:7001"),
        put("a", "infra0=http://10.0.0.1:2380"),
        range(json!({})),
        range(json!({ "limit": 2 })),
        range(json!({ "limit": "2", "sort_order": "DESCEND", "sort_target": "MOD" })),
        range(json!({ "sortOrder": "ASCEND", "sortTarget": "CREATE", "serializable": true })),
        range(json!({ "sort_order": 2, "sort_target": 4 })),
        range(json!({ "keys_only": true })),
        range(json!({ "count_only": true })),
        range(json!({ "min_mod_revision": "99" })),
        range(json!({ "revision": "99" })),
        ("kv/put", json!({ "key": member("d"), "ignore_value": true })),
        ("kv/put", json!({ "key": member("d"), "ignore_value": true, "value": "YQ==" })),
        ("kv/put", json!({ "key": member("a"), "ignore_value": true, "prev_kv": true })),
        ("kv/put", json!({ "key": size, "value": encoded("3"), "lease": "7" })),
        ("kv/put", json!({ "value": "YQ==" })),
        ("kv/put", json!({ "key": size, "value": 3 })),
        ("kv/put", json!({ "key": SIZE, "value": "Mw==" })),
        ("kv/put", json!({ "key": size, "value": "Mw==", "prev_kv": "yes" })),
        ("kv/range", json!({ "key": size, "limit": "x" })),
        ("kv/range", json!({ "key": size, "limit": 1.5 })),
        ("kv/range", json!([])),
        ("kv/range", json!({})),
        ("kv/deleterange", json!({})),
        ("kv/deleterange", json!({ "key": member("nobody") })),
        ("kv/deleterange", json!({ "key": member("c"), "prev_kv": true })),
        ("kv/deleterange", json!({ "key": member("b"), "rangeEnd": member("c"), "prevKv": true })),
        range(json!({})),
    ]
    .into_iter()
    .map(|(path, body)| (path, body.to_string()))
    .collect();
    let whole = json!({ "key": size }).to_string();
    all.extend([
        ("kv/range", String::new()),
        ("kv/range", "null".to_owned()),
        ("kv/range", "key=a".to_owned()),
        ("kv/range", format!("{whole} rest")),
        ("kv/nothing", whole.clone()),
        ("nothing", whole.clone()),
        ("kv/range/", whole),
    ]);
    all
}

/// An answer without what differs from server to server.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    content_type: String,
    body: Value,
}

async fn ask(url: &str, path: &str, body: &str) -> (u16, String, String) {
    let request = http::client().post(format!("{url}/v3/{path}")).body(body.to_owned());
    // What curl sends with -d.
    let answer = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").send().await.unwrap();
    let content_type = answer.headers().get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), content_type.unwrap_or_default(), answer.text().await.unwrap())
}

/// The answer of a server whose revisions begin after this one.
async fn answer(url: &str, path: &str, request: &str, first_revision: i64) -> Answer {
    let (status, content_type, text) = ask(url, path, request).await;
    let mut body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    if status == 200 {
        let header = body["header"].as_object_mut().unwrap();
        for id in ["cluster_id", "member_id", "raft_term"] {
            let number = header.remove(id).unwrap();
            assert!(number.as_str().unwrap().parse::<u64>().is_ok(), "{text}");
        }
        // A revision of 0 is left out.
        header.entry("revision").or_insert("0".into());
        from_first(&mut body, first_revision);
    } else {
        let message = body["message"].as_str().unwrap_or_default();
        assert!(body.get("error").is_none_or(|error| error == message), "{text}");
        // Other words than etcd's own are ours, or those of Go's JSON library. To 3.6 and later, null is no object.
        let words = message.strip_prefix("etcdserver: ").filter(|_| request != "null").unwrap_or_default().to_owned();
        body = json!({ "code": body["code"], "words": words });
    }
    Answer { status, content_type, body }
}

fn from_first(body: &mut Value, first: i64) {
    match body {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str().filter(|_| name.ends_with("revision")) {
                    Some(text) => *value = (text.parse::<i64>().unwrap() - first).to_string().into(),
                    None => from_first(value, first),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| from_first(item, first)),
        _ => {}
    }
}

#[tokio::test]
async fn the_answers_are_those_of_the_gateway_of_every_etcd() {
    let mut compared = 0;
    for version in Version::all() {
        let server = Server::start_with(&["--stock-writes", "allow"]);
        let etcds = version.form(&[("infra0", Arc::new(Place::new()))]);
        etcds[0].wait_until_healthy(LIMIT);
        let reference = &etcds[0].place.client_url;
        for (path, body) in requests() {
            let mut theirs = answer(reference, path, &body, 1).await;
            let ours = answer(&server.url, path, &body, 0).await;
            if theirs.status == 404 && theirs.content_type.starts_with("text/plain") {
                // Up to 3.5 an unknown path has no JSON.
                theirs = Answer {
                    body: json!({ "code": 5, "words": "" }),
                    content_type: ours.content_type.clone(),
                    ..theirs
                };
            }
            assert_eq!(ours, theirs, "etcd {}: {path} {body}", version.name);
            compared += 1;
        }
    }
    println!("{compared} answers compared");
}

#[tokio::test]
async fn both_alphabets_of_base64_are_taken_with_and_without_padding_as_from_etcd_3_6_on() {
    let Some(version) = Version::find("3.6") else { return };
    let server = Server::start();
    let etcds = version.form(&[("infra0", Arc::new(Place::new()))]);
    etcds[0].wait_until_healthy(LIMIT);
    for value in ["Mw", "Mw==", "M-_=", "M+/", "M", "M=", "M-/w", "Mw="] {
        let key = encoded(SIZE).trim_end_matches('=').to_owned();
        let body = json!({ "key": key, "value": value }).to_string();
        let (theirs, ..) = ask(&etcds[0].place.client_url, "kv/put", &body).await;
        let (ours, _, text) = ask(&server.url, "kv/put", &body).await;
        let is_refused_as_size = text.contains("size: must be") || text.contains("value: must be UTF-8");
        assert!(ours == theirs || (theirs == 200 && is_refused_as_size), "{value}: {theirs}, and {ours} {text}");
    }
}

#[tokio::test]
async fn a_client_that_logs_in_learns_that_there_is_no_authentication() {
    let server = Server::start();
    let login = json!({ "name": "root", "password": "secret" }).to_string();
    let (status, _, text) = ask(&server.url, "auth/authenticate", &login).await;
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &body["code"]), (400, &9.into()));
    assert_eq!(body["message"], "etcdserver: authentication is not enabled");
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_leaves_a_line_in_the_log() {
    let server = Server::start();
    let put = |key: &str, value: &str| json!({ "key": encoded(key), "value": encoded(value) }).to_string();
    assert_eq!(ask(&server.url, "kv/put", &put(SIZE, "3")).await.0, 200);
    let of_member = |id: &str| format!("{MEMBERS}{id}");
    assert_eq!(ask(&server.url, "kv/put", &put(&of_member("a"), "infra0=http://10.0.0.1:2380")).await.0, 200);
    for (path, body, status, code, message) in [
        (
            "kv/put",
            put(&of_member("b"), "infra0=http://10.0.0.2:2380"),
            400,
            9,
            "name infra0 is already taken by member a",
        ),
        (
            "kv/put",
            put(&of_member("a"), "infra1=http://10.0.0.1:2380"),
            400,
            9,
            "already taken by member a (infra0); give each",
        ),
        ("kv/put", put("greeting", "hello"), 403, 7, "its only keys are /_etcd/registry/TOKEN/_config/size"),
        (
            "kv/put",
            put("/_etcd/registry/other/members/a", "a=http://10.0.0.1:2380"),
            404,
            5,
            "create the cluster on this server",
        ),
        ("kv/put", put(SIZE, "99"), 400, 3, "size: must be a whole number from 1 to 31"),
        ("kv/put", "{\"key\":\"!\"}".to_owned(), 400, 3, "key: must be base64, as echo -n TEXT | base64 -w0 prints it"),
        (
            "kv/txn",
            "{}".to_owned(),
            404,
            5,
            "Convene does not support /v3/kv/txn; of etcd's JSON API this server has POST /v3/kv/put",
        ),
        ("lease/grant", "{}".to_owned(), 404, 5, "does not support /v3/lease/grant"),
        ("watch", "{}".to_owned(), 404, 5, "does not support /v3/watch"),
        ("../v3alpha/kv/put", "{}".to_owned(), 404, 5, "under /v3 only; send the request to /v3/kv/put"),
        ("../v3beta/kv/range", "{}".to_owned(), 404, 5, "under /v3 only; send the request to /v3/kv/range"),
    ] {
        let (given, content_type, text) = ask(&server.url, path, &body).await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((given, answer["code"].as_i64()), (status, Some(code)), "{path} {body}: {text}");
        assert!(answer["message"].as_str().unwrap().contains(message), "{path} {body}: {text}");
        assert_eq!((&answer["error"], &*content_type), (&answer["message"], "application/json"));
        let shown = message.replace('"', "\\\"");
        let output = server.wait_for_output(&shown, LIMIT);
        let line = output.lines().rfind(|line| line.contains(&shown)).unwrap();
        assert!(line.contains("WARN") && line.contains("refused"), "{line}");
    }
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let answer = http::client().request(method, format!("{}/v3/kv/range", server.url)).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["allow"]), (405, &"POST, OPTIONS".parse().unwrap()));
        assert!(answer.text().await.unwrap().contains("send POST with JSON, for example curl -d"));
    }
}

#[test]
fn the_commands_of_the_documentation_work() {
    let server = Server::start();
    let block = &Page::read("docs/reference/v3.md").blocks("Without etcdctl", "sh")[0];
    let script = block.replace("http://127.0.0.1:8087", &server.url);
    let done = Command::new("bash").args(["-euo", "pipefail", "-c", &script]).output().unwrap();
    let output = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success() && output.matches("\"revision\":\"1\"").count() == 2, "{output}");
}

#[test]
fn etcds_form_a_cluster_whose_token_was_made_without_etcdctl() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for version in ["3.6", "3.7"].into_iter().filter_map(Version::find) {
        let server = Server::start();
        let size = json!({ "key": encoded(SIZE), "value": encoded("2") }).to_string();
        assert_eq!(runtime.block_on(ask(&server.url, "kv/put", &size)).0, 200);
        let members: Vec<Etcd> =
            ["infra0", "infra1"].map(|name| version.discover_v3(name, &server.url, "prod")).into_iter().collect();
        members.iter().for_each(|member| member.wait_until_healthy(LIMIT));
        every_member_serves_what_another_wrote(&members);

        let all = json!({ "key": encoded(MEMBERS), "range_end": encoded("/_etcd/registry/prod/members0") }).to_string();
        let (status, _, text) = runtime.block_on(ask(&server.url, "kv/range", &all));
        let answer: Value = serde_json::from_str(&text).unwrap();
        let values: BTreeMap<_, _> = answer["kvs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| {
                let value = BASE64_STANDARD.decode(pair["value"].as_str().unwrap()).unwrap();
                let value = String::from_utf8(value).unwrap();
                value.split_once('=').map(|(name, url)| (name.to_owned(), url.to_owned())).unwrap()
            })
            .collect();
        assert_eq!((status, &answer["count"]), (200, &"2".into()));
        for (name, etcd) in ["infra0", "infra1"].iter().zip(&members) {
            assert_eq!(values[*name], etcd.place.peer_url);
        }
    }
}
