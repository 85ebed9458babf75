//! `/metrics` as Prometheus reads it.

use std::{
    collections::BTreeSet,
    io::Write,
    process::{Command, Stdio},
};

use convene_etcd::wire::{PutRequest, RangeRequest, kv_client::KvClient};
use convene_harness::{Section, code_spans, http, peers, server::Server};
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    join_tokens::client::{Credential, Joining},
    scrape::Scrape,
    v3_client::{self, Cluster, Watches},
};

const REFERENCE: &str = "docs/reference/metrics.md";

#[tokio::test]
async fn prometheus_own_tool_accepts_the_metrics() {
    let Some(promtool) = peers::program("prometheus", "promtool") else { return };
    let server = Server::start();
    some_of_each(&server).await;
    let scrape = Scrape::of(&server).await;
    for name in scrape.names() {
        assert!(scrape.text().contains(&format!("# HELP {name} ")), "{name} has no help");
    }
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(scrape.text().as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let report = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // The tool prints what is against the conventions.
    assert!(output.status.success() && report.is_empty(), "{report}\n{}", scrape.text());
}

#[tokio::test]
async fn the_reference_has_every_metric_with_its_type() {
    let server = Server::start();
    some_of_each(&server).await;
    let scrape = Scrape::of(&server).await;
    let page = Section::read(REFERENCE, "Server");
    let rows = page.rows("metric");
    let documented: BTreeSet<_> = rows.iter().map(|row| (code_spans(row[0]).collect::<String>(), row[1])).collect();
    let mut types: BTreeSet<_> = scrape.types().into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect();
    // Only with TLS: see the tests of TLS.
    types.insert(("convene_tls_certificate_not_after_seconds".to_owned(), "gauge"));
    assert_eq!(documented, types);
}

/// A cell of the reference has the labels, or one label with all of its values.
#[tokio::test]
async fn the_reference_has_every_label() {
    let server = Server::start();
    some_of_each(&server).await;
    let scrape = Scrape::of(&server).await;
    for row in Section::read(REFERENCE, "Server").rows("metric") {
        let (name, cell) = (code_spans(row[0]).next().unwrap(), row[2]);
        let (labels, values) = cell.split_once(": ").map_or((cell, None), |(label, values)| (label, Some(values)));
        let found = scrape.labels(name);
        let names: BTreeSet<&str> = found.iter().map(|(label, _)| *label).collect();
        assert_eq!(code_spans(labels).collect::<BTreeSet<_>>(), names, "{name}");
        if let Some(values) = values {
            let found: BTreeSet<&str> = found.into_iter().map(|(_, value)| value).collect();
            assert_eq!(code_spans(values).collect::<BTreeSet<_>>(), found, "{name}");
        }
    }
}

#[tokio::test]
async fn counters_move_with_what_happens() {
    let server = Server::start();
    let before = Scrape::of(&server).await;
    some_of_each(&server).await;
    let after = Scrape::of(&server).await;

    for (series, by) in [
        (r#"convene_http_requests_total{method="GET",route="/new",status="200"}"#, 1.0),
        (r#"convene_http_request_duration_seconds_count{method="GET",route="/new"}"#, 1.0),
        (r#"convene_http_requests_total{method="PUT",route="/{token}/{member}",status="201"}"#, 2.0),
        (r#"convene_http_requests_total{method="PUT",route="/{token}/{member}",status="412"}"#, 1.0),
        (r#"convene_http_requests_total{method="GET",route="other",status="404"}"#, 1.0),
        (r#"convene_registrations_total{protocol="v2"}"#, 1.0),
        (r#"convene_registrations_total{protocol="v3"}"#, 1.0),
        (r#"convene_registrations_total{protocol="check_in"}"#, 1.0),
        (r#"convene_database_transactions_total{outcome="failed"}"#, 0.0),
    ] {
        let moved = after.get(series).unwrap_or(0.0) - before.get(series).unwrap_or(0.0);
        assert_eq!(moved, by, "{series}:\n{}", after.text());
    }
    for series in [
        r#"convene_database_transactions_total{outcome="committed"}"#,
        "convene_database_transaction_duration_seconds_count",
        r#"convene_database_reads_total{outcome="done"}"#,
        "convene_database_read_duration_seconds_count",
    ] {
        assert!(after.value(series) > before.value(series), "{series}:\n{}", after.text());
    }
    assert_eq!(after.value("convene_database_up"), 1.0);
    assert_eq!(after.value(&format!(r#"convene_build_info{{version="{}"}}"#, env!("CARGO_PKG_VERSION"))), 1.0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((0.0..600.0).contains(&(now - after.value("process_start_time_seconds"))), "{}", after.text());
    // A gRPC call is counted when its client has the answer.
    let range = r#"convene_grpc_requests_total{method="etcdserverpb.KV/Range",code="OK"}"#;
    Scrape::until(&server, range, 1.0).await;
    Scrape::until(&server, r#"convene_grpc_requests_total{method="etcdserverpb.KV/Put",code="PermissionDenied"}"#, 1.0)
        .await;
}

/// An alert sees the first refusal only if the counter was there before.
#[tokio::test]
async fn refusals_that_a_person_must_know_of_are_counted_from_zero_on() {
    const FULL: &str = "convene_quota_refusals_total";
    let server = Server::start_with(&["--max-clusters", "1"]);
    server.new_cluster(3).await;
    assert_eq!(Scrape::of(&server).await.value(FULL), 0.0);
    let client = http::client();
    let by_v1 = client.post(format!("{}/v1/clusters", server.url)).json(&json!({ "size": 3 })).send().await.unwrap();
    let key = format!("{}/v2/keys/_etcd/registry/another/_config/size", server.url);
    let by_v2 = client.put(key).form(&[("value", "3")]).send().await.unwrap();
    assert_eq!((by_v1.status(), by_v2.status()), (StatusCode::INSUFFICIENT_STORAGE, StatusCode::INSUFFICIENT_STORAGE));
    let put =
        PutRequest { key: "/_etcd/registry/a-third/_config/size".into(), value: "3".into(), ..PutRequest::default() };
    KvClient::new(v3_client::connect(&server.url).await).put(put).await.unwrap_err();
    assert_eq!(Scrape::of(&server).await.value(FULL), 3.0);

    const DENIED: &str = "convene_check_ins_denied_total";
    let joining = Joining::start(json!({ "size": 3 })).await;
    joining.scrape_until(DENIED, 0.0).await;
    joining.refused("infra0", &Credential::none(), 401, "credential-required").await;
    let token = joining.join_token(json!({ "uses": 1 })).await;
    joining.admitted("infra0", &Credential::draw().with_join_token(&token)).await;
    joining.refused("infra0", &Credential::draw(), 403, "node-bound").await;
    joining.scrape_until(DENIED, 2.0).await;
}

#[tokio::test]
async fn clusters_are_counted_by_phase() {
    let server = Server::start();
    let (forming, formed) = (server.new_cluster(3).await, server.new_cluster(1).await);
    register(&forming, "a").await;
    register(&formed, "b").await;
    let scrape = Scrape::of(&server).await;
    for (phase, count) in [("forming", 1.0), ("held", 0.0), ("formed", 1.0), ("bootstrapped", 0.0)] {
        assert_eq!(scrape.value(&format!(r#"convene_clusters{{phase="{phase}"}}"#)), count, "{}", scrape.text());
    }
    assert_eq!(scrape.value("convene_clusters_paused"), 0.0);
    // The next scrapes ask the database for nothing.
    let reads = r#"convene_database_reads_total{outcome="done"}"#;
    let counted = Scrape::of(&server).await.value(reads);
    assert_eq!(Scrape::of(&server).await.value(reads), counted);
}

#[tokio::test]
async fn open_waits_are_counted_until_they_end() {
    let server = Server::start();
    let cluster = server.new_cluster(3).await;
    let token = cluster.rsplit_once('/').unwrap().1;
    let poll = http::get(format!("{cluster}?wait=true&recursive=true")).await.unwrap();
    let events = http::client()
        .get(format!("{}/v1/clusters/{token}/events", server.url))
        .header("accept", "text/event-stream")
        .send()
        .await
        .unwrap();
    assert_eq!(events.status(), 200);
    let channel = v3_client::connect(&server.url).await;
    let watched = Cluster { token: token.to_owned(), created: 1 };
    let watches = Watches::opened(&channel, watched.watch(0)).await;
    for kind in ["v2", "v3", "events"] {
        Scrape::until(&server, &format!(r#"convene_waits{{kind="{kind}"}}"#), 1.0).await;
    }
    drop((poll, events, watches, channel));
    for kind in ["v2", "v3", "events"] {
        Scrape::until(&server, &format!(r#"convene_waits{{kind="{kind}"}}"#), 0.0).await;
    }
}

#[tokio::test]
async fn no_request_makes_a_label_of_its_own() {
    let server = Server::start();
    some_of_each(&server).await;
    let cluster = server.new_cluster(3).await;
    let client = http::client();
    for at in 0..20 {
        let url = format!("{}/secret{at}", server.url);
        client.get(&url).send().await.unwrap();
        client.get(format!("{url}/x/y/z")).send().await.unwrap();
        client.request(format!("METHOD{at}").parse().unwrap(), &cluster).send().await.unwrap();
        client.get(format!("{}/v1/clusters/secret{at}", server.url)).send().await.unwrap();
        client.get(format!("{}/v2/keys/a/b/secret{at}", server.url)).send().await.unwrap();
        let grpc = client.post(format!("{}/etcdserverpb.Secret/Secret{at}", server.url));
        grpc.header("content-type", "application/grpc").send().await.unwrap();
    }
    let scrape = Scrape::of(&server).await;
    let token = cluster.rsplit_once('/').unwrap().1;
    for hidden in ["secret", "Secret", "METHOD", &token[..6], "infra", "127.0.0.1"] {
        assert!(!scrape.text().contains(hidden), "{hidden}:\n{}", scrape.text());
    }
}

/// A request of each kind: to each face, with success and without.
async fn some_of_each(server: &Server) {
    let client = http::client();
    let cluster = server.new_cluster(3).await;
    register(&cluster, "1").await;
    let value = [("value", "infra1=http://infra1:2380")];
    let again = client.put(format!("{cluster}/1?prevExist=false")).form(&value).send().await.unwrap();
    assert_eq!(again.status(), 201, "a node that comes back while nothing is formed");
    let other = client.put(format!("{cluster}/2?prevExist=false")).form(&value).send().await.unwrap();
    assert_eq!(other.status(), 412);
    assert_eq!(http::get(format!("{}/a/b/c", server.url)).await.unwrap().status(), 404);

    let channel = v3_client::connect(&server.url).await;
    let by_v3 = Cluster::create(&channel, "by-v3").await;
    by_v3.register(&channel, "3").await;
    let key = by_v3.size_key().into_bytes();
    KvClient::new(channel.clone()).range(RangeRequest { key, ..RangeRequest::default() }).await.unwrap();
    let put = PutRequest { key: "elsewhere".into(), ..Default::default() };
    KvClient::new(channel).put(put).await.unwrap_err();

    let created = client.post(format!("{}/v1/clusters", server.url)).json(&json!({ "size": 3 })).send().await.unwrap();
    let location = created.headers()["location"].to_str().unwrap().to_owned();
    let check_in = json!({ "name": "infra4", "run_id": "a", "peer_urls": ["http://infra4:2380"], "state": "empty" });
    let answer = client.post(format!("{}{location}/check-in", server.url)).json(&check_in).send().await.unwrap();
    let status = answer.status();
    assert_eq!(status, 200, "{}", answer.text().await.unwrap());
}

async fn register(cluster: &str, member: &str) {
    let value = format!("infra{member}=http://infra{member}:2380");
    let put = http::client().put(format!("{cluster}/{member}?prevExist=false")).form(&[("value", value)]);
    assert_eq!(put.send().await.unwrap().status(), 201);
}
