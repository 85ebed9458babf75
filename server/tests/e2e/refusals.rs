//! Mistakes that people bring to a discovery service: each is refused with what to do instead, and leaves a line in the
//! server's log.

use std::time::Duration;

use convene_etcd::wire::{PutRequest, kv_client::KvClient};
use convene_harness::{
    Place,
    cluster::every_member_serves_what_another_wrote,
    etcd::{Etcd, Version},
    http,
    server::Server,
};
use reqwest::{Method, RequestBuilder, Response, header};
use serde_json::{Value, json};
use tonic::transport::Channel;

use crate::v3_client;

const LIMIT: Duration = Duration::from_secs(60);

/// Versions that speak v2 discovery.
fn versions() -> impl Iterator<Item = Version> {
    ["2.3", "3.4", "3.5", "3.6"].into_iter().filter_map(Version::find)
}

#[tokio::test]
async fn every_refusal_leaves_a_line_with_cluster_node_and_reason() {
    let server = Server::start();
    let url = server.new_cluster(3).await;
    let token = url.rsplit_once('/').unwrap().1.to_owned();
    let client = http::client();
    let put = |url: String, value: &str| client.put(url).form(&[("value", value)]);
    let keys = format!("{}/v2/keys", server.url);
    put(format!("{url}/1?prevExist=false"), "infra0=http://10.0.0.1:2380").send().await.unwrap();

    let cluster = format!("cluster={}…", &token[..6]);
    let report = json!({ "name": "infra9", "state": "empty", "peer_urls": ["http://10.0.0.9:2380"] });
    let check_in = format!("{}/v1/clusters/{token}/check-in", server.url);
    for (request, expected) in [
        (
            put(format!("{url}/2"), "infra0=http://10.0.0.2:2380"),
            &[&*cluster, "member=2", "node=infra0", "name infra0 is already taken by member 1"][..],
        ),
        (
            put(format!("{keys}/discovery/{token}/3"), "infra3=http://10.0.0.1:2380"),
            &[
                &cluster,
                "member=3",
                "node=infra3",
                "peer URL http://10.0.0.1:2380 is already taken by member 1 (infra0)",
            ],
        ),
        (
            put(format!("{url}/4?prevExist=true"), "infra4=http://10.0.0.4:2380"),
            &[&cluster, "member=4", "Key not found"],
        ),
        (put(format!("{url}/5"), "nonsense"), &[&cluster, "member=5", "is not NAME=PEER-URL"]),
        (put(format!("{keys}/{token}/_config/size"), "5"), &[&cluster, "the size has been fixed at 3"]),
        (client.delete(format!("{keys}/{token}")), &[&cluster, "Not a file"]),
        (client.get(format!("{keys}/other/{token}/_config/size")), &["has no folder ot…;"]),
        (client.get(format!("{keys}/{token}/other/x/y")), &["not a key of a cluster"]),
        (client.get(format!("{}/unknown-token", server.url)), &["cluster=unknow…", "/_etcd/registry/unknow…"]),
        (client.get(format!("{}/new?size=99", server.url)), &["must be a whole number from 1 to 31"]),
        (client.post(format!("{url}/_config/size")).form(&[("value", "3")]), &[&cluster, "POST is not supported"]),
        (client.post(&check_in).json(&report), &[&cluster, "node=infra9", "code=\"forms_by_discovery\""]),
        (client.post(&check_in).json(&json!({ "sise": 1 })), &[&cluster, "things are wrong with the body: "]),
        (
            client.post(format!("{}/v1/clusters", server.url)).json(&json!({ "token": token })),
            &["refused", "another token"],
        ),
    ] {
        refused_with(&server, request, expected).await;
    }

    let mut v3 = KvClient::new(v3_client::connect(&server.url).await);
    let key = format!("/_etcd/registry/{token}/members/7").into_bytes();
    let put = PutRequest { key, value: b"infra7=http://10.0.0.7:2380".to_vec(), ..PutRequest::default() };
    v3.put(put).await.unwrap_err();
    let line = refusal(&server, "computes other IDs with another protocol");
    assert!(line.contains(&cluster) && line.contains("member=7 node=infra7"), "{line}");

    // What is no refusal leaves no such line.
    let refusals = server.output().matches("refused").count();
    for path in [format!("{url}/missing"), format!("{}/v1/clusters/nowhere", server.url), url.clone()] {
        client.get(path).send().await.unwrap();
    }
    let output = server.output();
    assert_eq!(output.matches("refused").count(), refusals, "{output}");
    assert!(!output.contains(&token), "a whole token is in the log:\n{output}");
}

async fn refused_with(server: &Server, request: RequestBuilder, expected: &[&str]) {
    let answer = request.send().await.unwrap();
    let last = expected.last().unwrap();
    let line = refusal(server, last);
    for text in expected {
        assert!(line.contains(text), "{text}: {line}\nanswered {}", answer.status());
    }
}

/// The log line of a refusal for this reason.
fn refusal(server: &Server, reason: &str) -> String {
    let output = server.wait_for_output(reason, LIMIT);
    let line = output.lines().rfind(|line| line.contains(reason)).unwrap();
    assert!(line.contains("WARN") && line.contains("refused"), "{line}");
    line.to_owned()
}

#[tokio::test]
async fn urls_that_a_form_separates_by_ampersands_are_refused_with_the_right_form() {
    let server = Server::start();
    let url = server.new_cluster(3).await;
    let send = async |target: &str, body: &str| {
        let request = http::client().put(format!("{url}{target}")).body(body.to_owned());
        let answer = request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let (status, body) = send("/1", "value=infra0=http://10.0.0.1:2380&infra0=http://10.0.0.1:7001").await;
    let right = "value=infra0=http://10.0.0.1:2380,infra0=http://10.0.0.1:7001";
    assert!(status == 400 && body.contains("commas") && body.contains(right), "{body}");
    assert_eq!(send("/1?infra0=http://10.0.0.1:7001", "value=infra0=http://10.0.0.1:2380").await.0, 400);
    // Other unknown fields stay without effect, as in etcd.
    assert_eq!(send("/1?unknown=field", right).await.0, 201);
}

#[test]
fn an_etcd_that_advertises_the_peer_url_of_another_logs_whose_it_is() {
    for version in versions() {
        let server = Server::start();
        let url = runtime().block_on(server.new_cluster(2));
        let first = version.discover("infra0", &url);
        registered(&server);
        let second = at(&version, &Place::new().into(), "infra1", &url, &first.place.peer_url);
        second.wait_for_output("is already taken by member", LIMIT);
        second.wait_for_output("(infra0)", LIMIT);
        refusal(&server, "(infra0)");
    }
}

#[test]
fn an_etcd_that_lost_its_data_registers_again_while_its_cluster_forms() {
    for version in versions() {
        let server = Server::start();
        let url = runtime().block_on(server.new_cluster(2));
        let mut first = version.discover("infra0", &url);
        registered(&server);
        first.kill();
        let place = first.place.clone();
        drop(first);
        std::fs::remove_dir_all(place.data_dir()).unwrap();
        let again = at(&version, &place, "infra0", &url, &place.peer_url);
        server.wait_for_output("registered again", LIMIT);
        let second = version.discover("infra1", &url);
        let members = [again, second];
        members.iter().for_each(|member| member.wait_until_healthy(LIMIT));
        every_member_serves_what_another_wrote(&members);
    }
}

#[test]
fn an_etcd_with_the_name_and_peer_url_of_one_that_waits_is_refused() {
    for version in versions() {
        let server = Server::start();
        let url = runtime().block_on(server.new_cluster(2));
        let first = version.discover("infra0", &url);
        registered(&server);
        first.wait_for_output(version.waits_by_v2(), LIMIT);
        let twin = at(&version, &Place::new().into(), "infra0", &url, &first.place.peer_url);
        twin.wait_for_output("has registered, and is still waiting", LIMIT);
    }
}

#[tokio::test]
async fn a_v3_node_is_refused_while_another_with_its_name_and_peer_urls_waits_elsewhere() {
    let server = Server::start();
    let from = async |ip: &str| {
        let endpoint = v3_client::endpoint(&server.url).local_address(Some(ip.parse().unwrap()));
        endpoint.connect().await.unwrap()
    };
    let (first, other) = (from("127.0.0.1").await, from("127.0.0.2").await);
    let cluster = v3_client::Cluster::create(&first, "prod").await;
    let put = async |channel: &Channel, id: &str| {
        let key = format!("/_etcd/registry/prod/members/{id}").into_bytes();
        let value = format!("{id}=http://{id}.example.com:2380").into_bytes();
        let put = PutRequest { key, value, ..PutRequest::default() };
        KvClient::new(channel.clone()).put(put).await.map_err(|status| status.message().to_owned())
    };
    put(&first, "a").await.unwrap();
    let watches = v3_client::Watches::opened(&first, cluster.watch(0)).await;
    let refused = put(&other, "a").await.unwrap_err();
    assert!(refused.contains("has registered, and is still waiting"), "{refused}");
    refusal(&server, "has registered, and is still waiting");
    put(&other, "b").await.unwrap();
    // The same machine: the node may have come back.
    put(&from("127.0.0.1").await, "a").await.unwrap();

    let third = from("127.0.0.3").await;
    put(&first, "a").await.unwrap();
    put(&third, "a").await.unwrap_err();
    drop((watches, first));
    let deadline = tokio::time::Instant::now() + LIMIT;
    while let Err(refused) = put(&third, "a").await {
        assert!(tokio::time::Instant::now() < deadline, "{refused}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the first node has registered.
fn registered(server: &Server) {
    server.wait_for_output("registered", LIMIT);
}

fn at(version: &Version, place: &std::sync::Arc<Place>, name: &str, url: &str, peer_url: &str) -> Etcd {
    version.start(place, &["--discovery", url, "--name", name, "--initial-advertise-peer-urls", peer_url])
}

#[tokio::test]
async fn requests_that_miss_the_registry_learn_what_to_send() {
    let server = Server::start();
    let token = server.new_cluster(3).await.rsplit_once('/').unwrap().1.to_owned();
    let client = http::client();
    let sent = async |method: Method, path: &str| {
        let answer = client.request(method, format!("{}{path}", server.url)).form(&[("value", "3")]).send().await;
        let answer = answer.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    for (method, path, status, expected) in [
        (Method::POST, format!("/{token}/_config/size"), 405, "send PUT, for example curl -X PUT -d value=3"),
        (Method::POST, format!("/v2/keys/discovery/{token}/_config/size"), 405, "send PUT, for example curl"),
        (Method::POST, format!("/v2/keys/_etcd/registry/{token}"), 405, "send PUT"),
        (Method::GET, format!("/{token}//_config/size"), 400, "send the request to /TOKEN/_config/size"),
        (Method::PUT, format!("/discovery/{token}/_config/size"), 400, "send the request to /v2/keys/discovery/TOKEN"),
        (Method::PUT, format!("/v2/keys/mine/{token}/_config/size"), 400, "--v2-folder mine"),
        (Method::GET, "/v2/members".to_owned(), 404, "of etcd's v2 API it has /v2/keys/FOLDER/TOKEN only"),
        (Method::GET, "/v2/stats/leader".to_owned(), 404, "of etcd's v2 API it has /v2/keys/FOLDER/TOKEN only"),
    ] {
        let (given, body) = sent(method.clone(), &path).await;
        assert_eq!(given, status, "{method} {path}: {body}");
        assert!(body.replace(&token, "TOKEN").contains(expected), "{method} {path}: {body}");
    }
    let (status, body) = sent(Method::GET, "/version").await;
    let versions: Value = serde_json::from_str(&body).unwrap();
    assert!(status == 200 && versions["etcdserver"].as_str().unwrap().starts_with("3."), "{body}");
    assert_eq!(versions["etcdcluster"], versions["etcdserver"]);
}

#[tokio::test]
async fn only_a_request_that_reads_the_answer_of_new_makes_a_cluster() {
    let server = Server::start();
    let send = async |method: Method, query: &str| {
        http::client().request(method, format!("{}/new{query}", server.url)).send().await.unwrap()
    };
    let clusters = async || {
        let listed: Value = http::get(format!("{}/v1/clusters", server.url)).await.unwrap().json().await.unwrap();
        listed["clusters"].as_array().unwrap().len()
    };
    for (method, query, status) in [
        (Method::HEAD, "", 200),
        (Method::HEAD, "?size=x", 400),
        (Method::OPTIONS, "", 200),
        (Method::OPTIONS, "?size=5", 200),
    ] {
        assert_eq!(send(method.clone(), query).await.status(), status, "{method} {query}");
    }
    assert_eq!(clusters().await, 0);
    for method in [Method::GET, Method::POST, Method::PUT] {
        let answer = send(method, "").await;
        assert_eq!(header(&answer, "cache-control"), "no-store");
    }
    assert_eq!(clusters().await, 3);
    assert_eq!(header(&send(Method::HEAD, "").await, "cache-control"), "no-store");
}

fn header(answer: &Response, name: &str) -> String {
    answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn a_new_discovery_url_begins_with_the_host_that_was_asked() {
    let server = Server::start_with(&["--allowed-hosts", "discovery.corp"]);
    let port = server.address().rsplit_once(':').unwrap().1;
    let new = async |server: &Server, host: &str| {
        let request = http::client().get(format!("{}/new", server.url)).header(header::HOST, host);
        request.send().await.unwrap().text().await.unwrap()
    };
    for host in [format!("discovery.corp:{port}"), "discovery.corp".to_owned(), format!("[::1]:{port}")] {
        let url = new(&server, &host).await;
        assert!(url.starts_with(&format!("http://{host}/")), "{url}");
    }
    let get = async |path: &str| {
        let request = http::client().get(format!("{}/v1/clusters{path}", server.url));
        request.header(header::HOST, "discovery.corp").send().await.unwrap().json::<Value>().await.unwrap()
    };
    let listed = get("").await["clusters"][0].clone();
    let shown = get(&format!("/{}", listed["token"].as_str().unwrap())).await;
    for cluster in [&listed, &shown] {
        assert_eq!(cluster["discovery_url"], format!("http://discovery.corp/{}", cluster["token"].as_str().unwrap()));
    }
    let home = http::client().get(&server.url).header(header::HOST, "discovery.corp").send().await.unwrap();
    assert!(home.text().await.unwrap().contains("curl 'http://discovery.corp/new?size=3'"));

    let named = Server::start_with(&["--public-url", "https://discovery.example.com"]);
    assert!(new(&named, "discovery.corp").await.starts_with("https://discovery.example.com/"));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}
