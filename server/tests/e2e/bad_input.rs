//! Invalid requests get a clear error and change nothing, and the server keeps serving.

use std::time::Duration;

use convene_harness::{http, server::Server};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn an_invalid_size_is_refused_with_the_valid_range() {
    let server = Server::start_with(&["--max-cluster-size", "9"]);
    for size in ["abc", "0", "-1", "10", "3.0", "1e1", "99999999999999999999", "%203"] {
        let answer = http::get(format!("{}/new?size={size}", server.url)).await.unwrap();
        assert_eq!(answer.status(), 400, "{size}");
        let text = answer.text().await.unwrap();
        assert!(text.starts_with("size: must be a whole number from 1 to 9, not "), "{text}");

        let url = format!("{}/v2/keys/_etcd/registry/mine/_config/size", server.url);
        let answer = http::client().put(url).body(format!("value={size}")).header("content-type", FORM).send().await;
        let (status, error) = v2_error(answer.unwrap()).await;
        assert_eq!((status, error["errorCode"].as_u64()), (StatusCode::BAD_REQUEST, Some(209)));
        assert!(error["cause"].as_str().unwrap().starts_with("size: must be a whole number from 1 to 9, not "));
    }
    assert_eq!(http::get(format!("{}/mine", server.url)).await.unwrap().status(), 404);
}

#[tokio::test]
async fn without_a_size_a_cluster_gets_three() {
    let server = Server::start();
    let made = http::client().post(format!("{}/new", server.url)).send().await.unwrap().text().await.unwrap();
    let size: Value = http::get(format!("{made}/_config/size")).await.unwrap().json().await.unwrap();
    assert_eq!(size["node"]["value"], "3");
}

#[tokio::test]
async fn magnum_reads_back_the_size_that_it_asked_for() {
    let server = Server::start();
    for size in ["1", "5", "31"] {
        let url = http::get(format!("{}/new?size={size}", server.url)).await.unwrap().text().await.unwrap();
        assert!(url.starts_with(&format!("{}/", server.url)) && !url.ends_with('\n'), "{url:?}");
        let read: Value = http::get(format!("{url}/_config/size")).await.unwrap().json().await.unwrap();
        assert_eq!(read["node"]["value"], *size);
    }
}

#[tokio::test]
async fn an_unknown_token_is_not_found_by_any_method() {
    let server = Server::start();
    let client = http::client();
    for path in ["/deadbeef", "/v2/keys/_etcd/registry/deadbeef"] {
        let url = format!("{}{path}", server.url);
        let put = |below: &str| client.put(format!("{url}{below}")).form(&[("value", "a=http://10.0.0.1:2380")]);
        for request in [
            client.get(&url),
            client.get(format!("{url}?wait=true&recursive=true&waitIndex=7")),
            client.get(format!("{url}/_config/size")),
            client.get(format!("{url}/1")),
            client.delete(format!("{url}/1")),
            put("/1?prevExist=false"),
            put("/1?prevExist=true"),
            put("/1"),
            put(""),
        ] {
            let (status, error) = v2_error(request.send().await.unwrap()).await;
            assert_eq!((status, error["errorCode"].as_u64()), (StatusCode::NOT_FOUND, Some(100)));
            assert_eq!(error["cause"], "/_etcd/registry/deadbeef");
        }
    }
}

#[tokio::test]
async fn an_invalid_registration_is_refused_and_changes_nothing() {
    let server = Server::start();
    let cluster = server.new_cluster(3).await;
    let long = format!("a=http://{}:1", "x".repeat(4096));
    for value in [
        "",
        "hello",
        "a=",
        "=http://10.0.0.1:2380",
        "a=http://10.0.0.1",
        "a=ftp://10.0.0.1:2380",
        "a=http://10.0.0.1:2380/path",
        "a=http://10.0.0.1:2380,b=http://10.0.0.2:2380",
        "a=http://10.0.0.1:2380,",
        "a=http://10.0.0.1:99999",
        "a\u{202e}b=http://10.0.0.1:2380",
        "a=http://10.0.0.1\u{200b}:2380",
        long.as_str(),
    ] {
        let answer = http::client().put(format!("{cluster}/1")).form(&[("value", value)]).send().await.unwrap();
        let (status, error) = v2_error(answer).await;
        assert_eq!((status, error["errorCode"].as_u64()), (StatusCode::BAD_REQUEST, Some(209)), "{value}");
        assert!(error["cause"].as_str().unwrap().starts_with("value: "), "{error}");
    }
    nothing_was_registered(&cluster).await;
}

#[tokio::test]
async fn names_with_invisible_characters_are_refused_with_the_field_and_those_on_record_are_shown_escaped() {
    let mut server = Server::start_on_sqlite();
    let cluster = server.new_cluster(3).await;
    let path = cluster.strip_prefix(&server.url).unwrap().to_owned();
    let report =
        json!({ "name": "a\u{200b}b", "run_id": "r", "peer_urls": ["http://10.0.0.1:2380"], "state": "empty" });
    let check_in = format!("{}/v1/clusters{path}/check-in", server.url);
    for (method, url, field, body) in [
        (Method::POST, check_in, "name", report),
        (Method::PATCH, format!("{}/v1/clusters{path}", server.url), "name", json!({ "name": "prod\u{2066}" })),
    ] {
        let refused = http::client().request(method, url).json(&body).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        let problem: Value = refused.json().await.unwrap();
        let violation = &problem["violations"][0];
        assert_eq!(violation["field"], field, "{problem}");
        assert!(violation["message"].as_str().unwrap().contains("invisible characters"), "{problem}");
    }
    let form = [("value", "infraABC=http://10.0.0.1:2380")];
    assert_eq!(http::client().put(format!("{cluster}/1")).form(&form).send().await.unwrap().status(), 201);

    // As an earlier version has accepted it. The other name is as long.
    server.signal("TERM");
    assert_eq!(server.wait_for_exit(Duration::from_secs(20)), Some(0));
    let file = server.sqlite_file().unwrap();
    let mut database = std::fs::read(&file).unwrap();
    for at in 0..database.len() - 8 {
        if &database[at..at + 8] == b"infraABC" {
            database[at..at + 8].copy_from_slice("in\u{202e}ABC".as_bytes());
        }
    }
    std::fs::write(&file, database).unwrap();
    let server = server.crash().restart();
    let members = http::get(format!("{}/v1/clusters{path}/members", server.url)).await.unwrap();
    let members = members.text().await.unwrap();
    assert!(members.contains(r"in\u202eABC") && !members.contains('\u{202e}'), "{members}");
    let key: Value = http::get(format!("{cluster}/1")).await.unwrap().json().await.unwrap();
    assert_eq!(key["node"]["value"], "in\u{202e}ABC=http://10.0.0.1:2380", "etcds compare it");
}

#[tokio::test]
async fn a_duplicate_name_or_url_is_refused_with_its_holder() {
    let server = Server::start();
    let cluster = server.new_cluster(3).await;
    let put = |member: &str, value: &str| {
        http::client().put(format!("{cluster}/{member}?prevExist=false")).form(&[("value", value)]).send()
    };
    assert_eq!(put("5e3c", "infra0=http://10.0.0.1:2380").await.unwrap().status(), 201);
    for (value, cause) in [
        ("infra0=http://10.0.0.2:2380", "name infra0 is already taken by member 5e3c"),
        ("infra1=http://10.0.0.1:2380", "peer URL http://10.0.0.1:2380 is already taken by member 5e3c (infra0)"),
    ] {
        let (status, error) = v2_error(put("6a01", value).await.unwrap()).await;
        assert_eq!((status, error["errorCode"].as_u64()), (StatusCode::PRECONDITION_FAILED, Some(101)));
        assert_eq!(error["cause"], cause);
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_however_it_is_sent() {
    let server = Server::start();
    let cluster = server.new_cluster(3).await;
    for bytes in [65_537, 1_000_000, 3_000_000] {
        let body = "v".repeat(bytes);
        let whole = http::client().put(format!("{cluster}/1")).header("content-type", FORM).body(body.clone());
        // A client that is still sending a very large body when the answer comes may see the connection break.
        match whole.send().await {
            Ok(answer) => assert_eq!(answer.status(), 413),
            Err(error) => assert!(bytes > 1 << 20, "{bytes}: {error}"),
        }
        if bytes < 1 << 20 {
            let pieces = futures_util::stream::iter([Ok::<_, std::io::Error>(body)]);
            let chunked = reqwest::Body::wrap_stream(pieces);
            let chunked = http::client().put(format!("{cluster}/1")).header("content-type", FORM).body(chunked);
            assert_eq!(chunked.send().await.unwrap().status(), 413);
        }
    }
    let fits = format!("value=infra0%3Dhttp://10.0.0.1:2380&padding={}", "v".repeat(60_000));
    let fits = http::client().put(format!("{cluster}/1")).header("content-type", FORM).body(fits);
    assert_eq!(fits.send().await.unwrap().status(), 201);
}

#[tokio::test]
async fn malformed_requests_get_an_error_or_a_closed_connection() {
    let server = Server::start();
    let cluster = server.new_cluster(3).await;
    let path = cluster.strip_prefix(&server.url).unwrap();
    let put = |rest: &str| format!("PUT {path}/1{rest}").into_bytes();
    let form = "Host: x\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    let many_headers = (0..10_000).map(|n| format!("X-Header-{n}: {n}\r\n")).collect::<String>();
    for (what, request, expected) in [
        ("escape in the query", put("?value=%zz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"), "400"),
        ("escape in the body", put(&format!(" HTTP/1.1\r\n{form}Content-Length: 9\r\n\r\nvalue=%4g")), "400"),
        ("UTF-8 in the body", put(&format!(" HTTP/1.1\r\n{form}Content-Length: 9\r\n\r\nvalue=%ff")), "400"),
        ("escape in the path", b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), "400"),
        ("UTF-8 in the path", b"GET /%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), "400"),
        ("raw bytes in the path", b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), "400"),
        ("chunk size", put(&format!(" HTTP/1.1\r\n{form}Transfer-Encoding: chunked\r\n\r\nzz\r\nvalue\r\n")), "400"),
        (
            "chunk end",
            put(&format!(" HTTP/1.1\r\n{form}Transfer-Encoding: chunked\r\n\r\n3\r\nvalue\r\n0\r\n\r\n")),
            "400",
        ),
        ("two lengths", put(&format!(" HTTP/1.1\r\n{form}Content-Length: 3\r\nContent-Length: 5\r\n\r\nvalue")), "400"),
        ("10,000 headers", format!("GET {path} HTTP/1.1\r\n{many_headers}\r\n").into_bytes(), "431"),
        ("a long path", format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(70_000)).into_bytes(), "431"),
        ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), "400"),
        ("another version", format!("GET {path} HTTP/7.3\r\nHost: x\r\n\r\n").into_bytes(), "400"),
    ] {
        let answer = send(&server, &request).await;
        let status = answer.strip_prefix("HTTP/1.1 ").or(answer.strip_prefix("HTTP/1.0 ")).map(|rest| &rest[..3]);
        assert!(answer.is_empty() || status == Some(expected), "{what}: {answer:?}");
        nothing_was_registered(&cluster).await;
    }
    assert!(!server.output().contains("panic"), "{}", server.output());
}

#[tokio::test]
async fn a_client_that_sends_too_slowly_is_disconnected() {
    let server = Server::start();
    let cluster = server.new_cluster(3).await;
    let path = cluster.strip_prefix(&server.url).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    let body = format!("PUT {path}/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nvalue=");
    let (head, body) = tokio::join!(drip(&server, head), drip(&server, body));
    assert_eq!(head, "");
    assert!(body.is_empty() || body.starts_with("HTTP/1.1 408 "), "{body}");
    nothing_was_registered(&cluster).await;
}

const FORM: &str = "application/x-www-form-urlencoded";

async fn v2_error(answer: reqwest::Response) -> (StatusCode, Value) {
    let status = answer.status();
    (status, answer.json().await.unwrap())
}

async fn nothing_was_registered(cluster: &str) {
    let read: Value = http::get(cluster).await.unwrap().json().await.unwrap();
    assert_eq!((&read["node"]["nodes"], &read["node"]["dir"]), (&Value::Null, &Value::Bool(true)));
}

/// Sends bytes and reads what comes back until the server closes or has answered.
async fn send(server: &Server, request: &[u8]) -> String {
    let mut connection = TcpStream::connect(server.address()).await.unwrap();
    // The server may close before it has read everything.
    let _ = connection.write_all(request).await;
    read_answer(&mut connection).await
}

/// Sends a byte a second after the beginning of a request, until the server closes.
async fn drip(server: &Server, beginning: String) -> String {
    let connection = TcpStream::connect(server.address()).await.unwrap();
    let (mut from, mut to) = connection.into_split();
    to.write_all(beginning.as_bytes()).await.unwrap();
    let dripping = tokio::spawn(async move {
        while to.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let answer = read_answer(&mut from).await;
    dripping.abort();
    answer
}

async fn read_answer(connection: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut answer = Vec::new();
    let answered = async {
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            match connection.read_buf(&mut answer).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(40), answered).await.expect("the server answers or closes");
    String::from_utf8_lossy(&answer).into_owned()
}
