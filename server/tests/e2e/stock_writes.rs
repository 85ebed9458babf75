//! Whoever knows the token of a formed cluster can read it by v2 and v3, and change nothing.

use convene_harness::{http, server::Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Base64 of a text, as the JSON form of v3 takes keys and values.
fn base64(text: &str) -> String {
    use std::fmt::Write;
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let digit = if at <= chunk.len() { DIGITS[(bits >> (18 - 6 * at) & 63) as usize] } else { b'=' };
            write!(encoded, "{}", char::from(digit)).unwrap();
        }
    }
    encoded
}

async fn v2(method: Method, url: String, value: Option<&str>) -> (StatusCode, Value) {
    let mut request = http::client().request(method, url);
    if let Some(value) = value {
        request = request.form(&[("value", value)]);
    }
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn v3(server: &Server, method: &str, key: &str, value: Option<&str>) -> (StatusCode, Value) {
    let mut body = json!({ "key": base64(key) });
    if let Some(value) = value {
        body["value"] = base64(value).into();
    }
    let answer = http::client().post(format!("{}/v3/kv/{method}", server.url)).json(&body).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// Sends every kind of write by v2, and returns the answers.
async fn write_by_v2(url: &str) -> Vec<(StatusCode, Value)> {
    let keys = url.rsplit_once('/').map(|(server, token)| format!("{server}/v2/keys/_etcd/registry/{token}")).unwrap();
    vec![
        v2(Method::PUT, format!("{url}/2"), Some("infra2=http://10.0.0.2:2380")).await,
        v2(Method::PUT, format!("{url}/2?prevExist=false"), Some("infra2=http://10.0.0.2:2380")).await,
        v2(Method::PUT, format!("{url}/1?prevExist=true"), Some("infra1=http://10.0.0.9:2380")).await,
        v2(Method::PUT, format!("{url}/1"), Some("infra1=http://10.0.0.9:2380")).await,
        v2(Method::PUT, format!("{keys}/_config/size"), Some("1")).await,
        v2(Method::DELETE, format!("{url}/1"), None).await,
        v2(Method::DELETE, format!("{keys}?recursive=true"), None).await,
    ]
}

#[tokio::test]
async fn a_formed_cluster_is_read_and_not_changed_by_v2() {
    let server = Server::start();
    let url = server.new_cluster(1).await;
    assert_eq!(v2(Method::PUT, format!("{url}/1"), Some("infra1=http://10.0.0.1:2380")).await.0, StatusCode::CREATED);
    let before = v2(Method::GET, url.clone(), None).await;

    for (status, error) in write_by_v2(&url).await {
        assert_eq!((status, &error["errorCode"]), (StatusCode::FORBIDDEN, &json!(110)), "{error}");
        let cause = error["cause"].as_str().unwrap();
        assert!(cause.contains("has formed, and v2 and v3 clients") && cause.contains("etcdctl member add"), "{cause}");
    }
    // etcd knows this one, and logs "duplicate id".
    let again = v2(Method::PUT, format!("{url}/1?prevExist=false"), Some("infra1=http://10.0.0.1:2380")).await;
    assert_eq!((again.0, &again.1["errorCode"]), (StatusCode::PRECONDITION_FAILED, &json!(105)));
    assert_eq!(v2(Method::GET, url.clone(), None).await, before);

    let cluster = url.replace(&server.url, &format!("{}/v1/clusters", server.url));
    let policy = json!({ "policy": { "stock_writes": "allow" } });
    let allowed: Value = http::client().patch(&cluster).json(&policy).send().await.unwrap().json().await.unwrap();
    assert_eq!(allowed["policy"]["stock_writes"], "allow");
    let (status, _) = v2(Method::PUT, format!("{url}/2"), Some("infra2=http://10.0.0.2:2380")).await;
    assert_eq!(status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_formed_cluster_is_read_and_not_changed_by_v3() {
    let server = Server::start();
    let directory = "/_etcd/registry/prod/";
    let (size, member) = (format!("{directory}_config/size"), |id| format!("{directory}members/{id}"));
    assert_eq!(v3(&server, "put", &size, Some("1")).await.0, StatusCode::OK);
    assert_eq!(v3(&server, "put", &member(1), Some("infra1=http://10.0.0.1:2380")).await.0, StatusCode::OK);
    let before = v3(&server, "range", &member(1), None).await.1["kvs"].clone();
    for (method, key, value) in [
        ("put", member(2), Some("infra2=http://10.0.0.2:2380")),
        ("put", member(1), Some("infra1=http://10.0.0.9:2380")),
        ("put", size.clone(), Some("1")),
        ("deleterange", member(1), None),
    ] {
        let (status, error) = v3(&server, method, &key, value).await;
        assert_eq!((status, &error["code"]), (StatusCode::FORBIDDEN, &json!(7)), "{method} {key}: {error}");
        let message = error["message"].as_str().unwrap();
        assert!(
            message.starts_with("permission denied: ") && message.contains("has formed, and v2 and v3 clients"),
            "{message}"
        );
    }
    assert_eq!(v3(&server, "range", &member(1), None).await.1["kvs"], before);
    // An etcd that has missed the answer writes the same again.
    assert_eq!(v3(&server, "put", &member(1), Some("infra1=http://10.0.0.1:2380")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_server_for_elastic_etcd_lets_stock_clients_write() {
    let server = Server::start_with(&["--stock-writes", "allow"]);
    let url = server.new_cluster(1).await;
    v2(Method::PUT, format!("{url}/1"), Some("infra1=http://10.0.0.1:2380")).await;
    for (status, answer) in write_by_v2(&url).await.into_iter().take(1) {
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }
}
