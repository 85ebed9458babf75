//! Managing clusters through the API.

use std::time::Duration;

use convene_harness::{http, server::Server};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn settings_change_only_with_the_current_etag() {
    let server = Server::start();
    let cluster = Administered::create(&server, json!({ "name": "prod", "policy": { "strategy": "add" } })).await;
    let changed = cluster.send(Method::PATCH, "", &json!({ "size": 5, "policy": { "dead_after_seconds": 30 } })).await;
    assert_eq!(changed.status(), StatusCode::OK);
    let etag = changed.headers()["etag"].to_str().unwrap().to_owned();
    let changed: Value = changed.json().await.unwrap();
    assert_eq!((&changed["size"], &changed["name"]), (&json!(5), &json!("prod")));
    assert_eq!(
        changed["policy"],
        json!({ "strategy": "add", "dead_after_seconds": 30, "learner": true, "check_in_every_seconds": 10,
                "paused": false, "max_failed_starts": 5, "witnesses": 2, "stock_writes": "allow", "join": "token" })
    );
    let stale = cluster.patch_if("\"1\"", &json!({ "size": 7 })).await;
    assert_eq!(stale.status(), StatusCode::PRECONDITION_FAILED);
    let stale: Value = stale.json().await.unwrap();
    assert_eq!(stale["revision"], changed["revision"]);
    let same = cluster.patch_if(&etag, &json!({ "size": 5, "name": "prod" })).await;
    assert_eq!(same.json::<Value>().await.unwrap()["revision"], changed["revision"], "nothing changed");
    let unnamed = cluster.patch_if(&etag, &json!({ "name": null })).await;
    assert_eq!(unnamed.json::<Value>().await.unwrap()["name"], Value::Null);

    let wrong = json!({ "size": 0, "policy": { "strategy": "dumb", "dead_after_seconds": 4, "pause": true } });
    let problem = cluster.send(Method::PATCH, "", &wrong).await;
    assert_eq!(problem.status(), StatusCode::BAD_REQUEST);
    let problem: Value = problem.json().await.unwrap();
    assert_eq!(fields(&problem), ["size", "policy.strategy", "policy.dead_after_seconds", "policy.pause"]);
    assert_eq!(problem["violations"][1]["message"], "must be one of prepared, add, replace and prune, not \"dumb\"");
}

#[tokio::test]
async fn clusters_are_listed_by_page_and_filter() {
    let server = Server::start();
    for n in 0..5 {
        let name = if n == 3 { "test" } else { "prod" };
        Administered::create(&server, json!({ "token": format!("cluster-{n}"), "name": name })).await;
    }
    assert_eq!(list(&server, "?limit=1000").await.0.len(), 5);
    let (first, next) = list(&server, "?limit=2&name=prod").await;
    let (second, last) = list(&server, &format!("?limit=2&name=prod&after={}", next.as_str().unwrap())).await;
    assert_eq!(
        (first, second),
        (vec!["cluster-0".into(), "cluster-1".into()], vec!["cluster-2".into(), "cluster-4".into()])
    );
    assert_eq!(last, Value::Null);
    assert_eq!(list(&server, "?formed=true").await.0, Vec::<String>::new());
    let wrong = http::get(format!("{}/v1/clusters?limit=0&after=x&colour=red", server.url)).await.unwrap();
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
    assert_eq!(fields(&wrong.json().await.unwrap()), ["limit", "after", "colour"]);
}

#[tokio::test]
async fn members_registered_by_v2_appear_in_v1_and_vice_versa() {
    let server = Server::start();
    let cluster = Administered::create(&server, json!({ "size": 1 })).await;
    cluster.v2_put("8e9e05c52164694d", "infra0=http://10.0.0.1:2380").await;
    // What elastic-etcd does after it has changed the membership itself.
    cluster.v2_put("5e3cabcd5164694d", "infra1=http://10.0.0.2:2380").await;
    let removed = http::client().delete(format!("{}/8e9e05c52164694d", cluster.discovery_url)).send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::OK);
    let members = cluster.get("/members?removed=true").await;
    let shown: Vec<_> = members["members"].as_array().unwrap().iter().map(|m| (&m["name"], &m["removed"])).collect();
    assert_eq!(shown, [(&json!("infra0"), &json!(true)), (&json!("infra1"), &json!(false))]);
    assert_eq!(cluster.get("/members").await["members"].as_array().unwrap().len(), 1);

    // A quorum view overrides it.
    let seen =
        |id: &str, name: &str, url: &str| json!({ "id": id, "name": name, "peer_urls": [url], "reachable": true });
    let revision = cluster.get("").await["revision"].clone();
    let running = json!({
        "name": "infra1", "peer_urls": ["http://10.0.0.2:2380"], "state": "running",
        "member_id": "5e3cabcd5164694d", "cluster_id": "cdf818194e3a8c32",
        "view": { "since": revision, "cluster_id": "cdf818194e3a8c32", "linearizable": true, "leader": "5e3cabcd5164694d",
            "members": [seen("5e3cabcd5164694d", "infra1", "http://10.0.0.2:2380"), seen("77", "infra7", "http://10.0.0.7:2380")] },
    });
    let instruction = cluster.send(Method::POST, "/check-in", &running).await.json::<Value>().await.unwrap();
    assert_ne!(instruction["instruction"], "refuse", "{instruction}");
    let directory: Value = http::get(&cluster.discovery_url).await.unwrap().json().await.unwrap();
    let keys: Vec<_> =
        directory["node"]["nodes"].as_array().unwrap().iter().map(|node| node["value"].clone()).collect();
    assert_eq!(keys, ["infra1=http://10.0.0.2:2380", "infra7=http://10.0.0.7:2380"]);
    assert_eq!(cluster.get("").await["cluster_id"], "cdf818194e3a8c32");
}

#[tokio::test]
async fn members_are_evicted_and_their_downtime_is_announced() {
    let server = Server::start();
    let cluster = Administered::create(&server, json!({ "size": 1 })).await;
    cluster.v2_put("8e9e05c52164694d", "infra0=http://10.0.0.1:2380").await;
    let member = "/members/8e9e05c52164694d";
    let none = json!({});
    let evicted: Value = cluster.send(Method::PUT, &format!("{member}/eviction"), &none).await.json().await.unwrap();
    assert!(evicted["evicted_at"].is_string(), "{evicted}");
    let withdrawn: Value =
        cluster.send(Method::DELETE, &format!("{member}/eviction"), &none).await.json().await.unwrap();
    assert_eq!(withdrawn["evicted_at"], Value::Null);
    let down: Value = cluster
        .send(Method::PUT, &format!("{member}/downtime"), &json!({ "for_seconds": 60 }))
        .await
        .json()
        .await
        .unwrap();
    assert!(down["downtime_until"].as_str() > down["heard_of_at"].as_str(), "{down}");
    let forever = cluster.send(Method::PUT, &format!("{member}/downtime"), &json!({ "for_seconds": 1e9 })).await;
    assert_eq!(forever.status(), StatusCode::BAD_REQUEST);
    cluster.send(Method::DELETE, &format!("{member}/downtime"), &none).await;
    let ended = cluster.get(member).await;
    assert_eq!((&ended["downtime_until"], &ended["downtime_by"]), (&Value::Null, &Value::Null));
    let forming = Administered::create(&server, json!({ "size": 3 })).await;
    forming.v2_put("8e9e05c52164694d", "infra0=http://10.0.0.1:2380").await;
    let early = forming.send(Method::PUT, &format!("{member}/eviction"), &none).await;
    assert_eq!(early.status(), StatusCode::CONFLICT);
    let stranger = cluster.send(Method::PUT, "/members/77/eviction", &none).await;
    assert_eq!(stranger.status(), StatusCode::NOT_FOUND);
    http::client().delete(format!("{}/8e9e05c52164694d", cluster.discovery_url)).send().await.unwrap();
    let gone = cluster.send(Method::PUT, &format!("{member}/eviction"), &none).await;
    assert_eq!(gone.status(), StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_downtime_belongs_to_who_announced_it() {
    let server = Server::start();
    let cluster = Administered::create(&server, json!({ "size": 1 })).await;
    cluster.v2_put("8e9e05c52164694d", "infra0=http://10.0.0.1:2380").await;
    let path = "/members/8e9e05c52164694d/downtime";
    let (lasts, by_node) = (json!({ "for_seconds": 60 }), format!("{path}?by=node"));
    let announcer = async |method: Method, path: &str| {
        let answer = cluster.send(method, path, &lasts).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json::<Value>().await.unwrap()["downtime_by"].clone()
    };
    assert_eq!(announcer(Method::PUT, &by_node).await, "node");
    assert_eq!(announcer(Method::DELETE, &by_node).await, Value::Null);
    announcer(Method::PUT, &by_node).await;
    assert_eq!(announcer(Method::PUT, path).await, "administrator");
    let before = cluster.get("").await["revision"].clone();
    for method in [Method::PUT, Method::DELETE] {
        assert_eq!(announcer(method, &by_node).await, "administrator", "the node changes nothing");
    }
    assert_eq!(cluster.get("").await["revision"], before);
    assert_eq!(announcer(Method::DELETE, path).await, Value::Null);
    let wrong = cluster.send(Method::PUT, &format!("{path}?by=administrator"), &lasts).await;
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
    let events = cluster.get("/events").await["events"].to_string();
    for message in ["the node announced a downtime for infra0 until", "the node ended the downtime for infra0"] {
        assert!(events.contains(message), "{events}");
    }
    for message in ["an administrator announced a downtime for infra0", "an administrator ended the downtime"] {
        assert!(events.contains(message), "{events}");
    }
}

#[tokio::test]
async fn responses_about_members_have_the_etag_that_their_changes_accept() {
    let server = Server::start();
    let cluster = Administered::create(&server, json!({ "size": 1 })).await;
    cluster.v2_put("8e9e05c52164694d", "infra0=http://10.0.0.1:2380").await;
    let member = "/members/8e9e05c52164694d";
    let etag_of = async |method: Method, path: &str, body: &Value| {
        let answer = cluster.send(method, path, body).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.headers()["etag"].to_str().unwrap().to_owned()
    };
    let none = json!({});
    assert_eq!(etag_of(Method::GET, "/members", &none).await, "\"2\"");
    assert_eq!(etag_of(Method::GET, member, &none).await, "\"2\"");
    let (eviction, downtime) = (format!("{member}/eviction"), format!("{member}/downtime"));
    assert_eq!(etag_of(Method::PUT, &eviction, &none).await, "\"3\"");
    assert_eq!(etag_of(Method::DELETE, &eviction, &none).await, "\"4\"");
    assert_eq!(etag_of(Method::PUT, &downtime, &json!({ "for_seconds": 60 })).await, "\"5\"");
    assert_eq!(etag_of(Method::DELETE, &downtime, &none).await, etag_of(Method::GET, "", &none).await);
}

#[tokio::test]
async fn no_cache_keeps_an_answer_with_a_token() {
    let server = Server::start();
    let cluster = Administered::create(&server, json!({})).await;
    let unchanged = http::client().get(&cluster.url).header("if-none-match", "\"1\"").send().await.unwrap();
    assert_eq!(unchanged.status(), StatusCode::NOT_MODIFIED);
    let mut answers = vec![unchanged, cluster.send(Method::PUT, "", &json!({})).await];
    for path in ["", "/events", "/members", "/none"] {
        answers.push(http::get(format!("{}{path}", cluster.url)).await.unwrap());
    }
    for answer in answers {
        assert_eq!(answer.headers()["cache-control"], "no-store", "{}", answer.url());
    }
}

#[tokio::test]
async fn a_reset_requires_the_token_as_confirmation_and_begins_a_new_epoch() {
    let server = Server::start();
    let cluster = Administered::create(&server, json!({ "token": "prod", "size": 1 })).await;
    cluster.v2_put("8e9e05c52164694d", "infra0=http://10.0.0.1:2380").await;
    for body in [json!({}), json!({ "token": "test" })] {
        let refused = cluster.send(Method::POST, "/reset", &body).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        assert_eq!(fields(&refused.json().await.unwrap()), ["token"]);
    }
    let reset: Value = cluster.send(Method::POST, "/reset", &json!({ "token": "prod" })).await.json().await.unwrap();
    assert_eq!((&reset["epoch"], &reset["phase"]), (&json!(2), &json!("forming")));
    assert_eq!(cluster.get("/members").await["members"], json!([]));
    // Stock etcds can't distinguish the epochs.
    let value = [("value", "infra0=http://10.0.0.1:2380")];
    let url = format!("{}/8e9e05c52164694d?prevExist=false", cluster.discovery_url);
    let late = http::client().put(url).form(&value).send().await.unwrap();
    assert_eq!(late.status(), StatusCode::PRECONDITION_FAILED);
    assert!(late.text().await.unwrap().contains("was reset"));
    // Nor can elastic-etcd, and a registration of its kind must not take a founder's place.
    let url = format!("{}/8e9e05c52164694d", cluster.discovery_url);
    let late = http::client().put(url).form(&value).send().await.unwrap();
    assert_eq!(late.status(), StatusCode::PRECONDITION_FAILED);
    assert_eq!(cluster.get("").await["phase"], "forming");
}

#[tokio::test]
async fn an_etcd_from_before_a_reset_does_not_restore_its_cluster() {
    let server = Server::start();
    let cluster = Administered::create(&server, json!({ "token": "prod", "size": 1 })).await;
    cluster.v2_put("8e9e05c52164694d", "infra0=http://10.0.0.1:2380").await;
    cluster.send(Method::POST, "/reset", &json!({ "token": "prod" })).await;
    let member =
        json!({ "id": "8e9e05c52164694d", "name": "infra0", "peer_urls": ["http://10.0.0.1:2380"], "reachable": true });
    let old = json!({
        "name": "infra0", "peer_urls": ["http://10.0.0.1:2380"], "state": "running",
        "member_id": "8e9e05c52164694d", "cluster_id": "cdf818194e3a8c32",
        "view": { "since": 9, "cluster_id": "cdf818194e3a8c32", "linearizable": true, "leader": "8e9e05c52164694d",
            "members": [member] },
    });
    let instruction: Value = cluster.send(Method::POST, "/check-in", &old).await.json().await.unwrap();
    assert_ne!(instruction["reason"], "healthy", "{instruction}");
    let after = cluster.get("").await;
    assert_eq!((&after["phase"], &after["cluster_id"]), (&json!("forming"), &Value::Null));
}

#[tokio::test]
async fn the_size_is_fixed_while_stock_etcds_form_the_cluster() {
    let server = Server::start();
    let cluster = Administered::create(&server, json!({ "size": 1 })).await;
    cluster.v2_put("8e9e05c52164694d", "infra0=http://10.0.0.1:2380").await;
    let early = cluster.send(Method::PATCH, "", &json!({ "size": 3 })).await;
    assert_eq!(early.status(), StatusCode::CONFLICT);
    let running = json!({
        "name": "infra0", "peer_urls": ["http://10.0.0.1:2380"], "state": "running",
        "member_id": "8e9e05c52164694d", "cluster_id": "cdf818194e3a8c32",
    });
    cluster.send(Method::POST, "/check-in", &running).await;
    assert_eq!(cluster.send(Method::PATCH, "", &json!({ "size": 3 })).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn v2_clients_cannot_change_a_roster_that_is_being_bootstrapped() {
    let server = Server::start();
    let cluster = Administered::create(&server, json!({ "size": 1 })).await;
    let node = json!({ "name": "infra0", "peer_urls": ["http://10.0.0.1:2380"], "state": "empty" });
    let instruction: Value = cluster.send(Method::POST, "/check-in", &node).await.json().await.unwrap();
    assert_eq!(instruction["instruction"], "bootstrap");
    let id = cluster.get("/members").await["members"][0]["id"].as_str().unwrap().to_owned();
    let value = [("value", "infra9=http://10.0.0.9:2380")];
    let put = http::client().put(format!("{}/77", cluster.discovery_url)).form(&value).send().await.unwrap();
    let deleted = http::client().delete(format!("{}/{id}", cluster.discovery_url)).send().await.unwrap();
    assert_eq!((put.status(), deleted.status()), (StatusCode::PRECONDITION_FAILED, StatusCode::PRECONDITION_FAILED));
    assert_eq!(cluster.send(Method::POST, "/check-in", &node).await.json::<Value>().await.unwrap(), instruction);
}

#[tokio::test]
async fn stock_etcds_are_refused_while_nodes_form_a_cluster_by_check_in_and_vice_versa() {
    let server = Server::start();
    let by_check_in = Administered::create(&server, json!({ "size": 3 })).await;
    let node = json!({ "name": "infra0", "peer_urls": ["http://10.0.0.1:2380"], "state": "empty" });
    by_check_in.send(Method::POST, "/check-in", &node).await;
    let value = [("value", "infra1=http://10.0.0.2:2380")];
    let url = format!("{}/77?prevExist=false", by_check_in.discovery_url);
    let refused = http::client().put(url).form(&value).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::PRECONDITION_FAILED);
    assert!(refused.text().await.unwrap().contains("the nodes of this cluster use convene"));

    let by_v2 = Administered::create(&server, json!({ "size": 3 })).await;
    by_v2.v2_put("77", "infra1=http://10.0.0.2:2380").await;
    let refused: Value = by_v2.send(Method::POST, "/check-in", &node).await.json().await.unwrap();
    assert_eq!((&refused["instruction"], &refused["reason"]), (&json!("refuse"), &json!("forms_by_discovery")));
    assert!(refused["remedy"].is_string());
}

#[tokio::test]
async fn events_are_listed_waited_for_and_streamed() {
    let server = Server::start();
    let cluster = Administered::create(&server, json!({})).await;
    cluster.send(Method::POST, "/pause", &json!({})).await;
    let events = cluster.get("/events").await;
    let kinds: Vec<_> = events["events"].as_array().unwrap().iter().map(|event| event["kind"].clone()).collect();
    assert_eq!((kinds, &events["last_revision"]), (vec![json!("cluster_created"), json!("paused")], &json!(2)));
    assert_eq!(cluster.get("/events?after=2&wait=0").await, json!({ "events": [], "last_revision": 2 }));

    let waiting = cluster.get("/events?after=2&wait=30");
    let resuming = async {
        tokio::task::yield_now().await;
        cluster.send(Method::POST, "/resume", &json!({})).await
    };
    let (waited, _) = tokio::join!(waiting, resuming);
    assert_eq!(waited["events"][0]["kind"], "resumed");

    let stream = http::client().get(format!("{}/events?after=0", cluster.url));
    let stream = stream.header("accept", "text/event-stream").header("last-event-id", "1").send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    http::client().delete(&cluster.url).send().await.unwrap();
    // The deletion ends the stream.
    let streamed = tokio::time::timeout(Duration::from_secs(10), stream.text()).await.unwrap().unwrap();
    let ids: Vec<_> = streamed.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert_eq!(ids, ["2", "3", "4"], "{streamed}");
    assert!(streamed.contains("event: cluster_deleted"), "{streamed}");
}

#[tokio::test]
async fn a_revision_that_the_registry_does_not_know_is_reported() {
    let server = Server::start();
    let cluster = Administered::create(&server, json!({})).await;
    assert_eq!(cluster.get("/events?after=1").await["last_revision"], 1);
    let stream = |last: &'static str| {
        let stream = http::client().get(format!("{}/events", cluster.url)).header("last-event-id", last);
        stream.header("accept", "text/event-stream").send()
    };
    let listed = http::get(format!("{}/events?after=2&wait=30", cluster.url)).await.unwrap();
    for gone in [listed, stream("2").await.unwrap()] {
        assert_eq!(gone.status(), StatusCode::GONE);
        let problem: Value = gone.json().await.unwrap();
        assert_eq!((&problem["type"], &problem["revision"]), (&json!("urn:convene:problem:forgotten"), &json!(1)));
        assert!(problem["detail"].as_str().unwrap().contains("restored from a backup"), "{problem}");
    }
    for malformed in ["18446744073709551615", "9223372036854775808", "-1", "x"] {
        let refused = stream(malformed).await.unwrap();
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{malformed}");
        assert_eq!(fields(&refused.json().await.unwrap()), ["Last-Event-ID"]);
    }
    assert_eq!(stream("1").await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_request_for_compacted_events_gets_the_oldest_available_revision() {
    let server = Server::start();
    let cluster = Administered::create(&server, json!({})).await;
    for n in 0..1_200 {
        let size = [("value", if n % 2 == 0 { "5" } else { "3" })];
        let url = format!("{}/v2/keys/_etcd/registry/{}/_config/size", server.url, cluster.token());
        assert!(http::client().put(url).form(&size).send().await.unwrap().status().is_success());
    }
    let gone = http::get(format!("{}/events?after=1", cluster.url)).await.unwrap();
    assert_eq!(gone.status(), StatusCode::GONE);
    let oldest = gone.json::<Value>().await.unwrap()["revision"].as_u64().unwrap();
    let there = cluster.get(&format!("/events?after={}", oldest - 1)).await;
    assert_eq!(there["events"][0]["revision"], oldest);
}

/// A cluster under administration.
struct Administered {
    url: String,
    discovery_url: String,
}

impl Administered {
    /// A cluster that v2 clients may change after it has formed.
    async fn create(server: &Server, mut body: Value) -> Self {
        body["policy"]["stock_writes"] = "allow".into();
        let made = http::client().post(format!("{}/v1/clusters", server.url)).json(&body).send().await.unwrap();
        assert_eq!(made.status(), StatusCode::CREATED);
        let url = format!("{}{}", server.url, made.headers()["location"].to_str().unwrap());
        let cluster: Value = made.json().await.unwrap();
        Self { url, discovery_url: cluster["discovery_url"].as_str().unwrap().to_owned() }
    }

    fn token(&self) -> &str {
        self.discovery_url.rsplit('/').next().unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let answer = http::get(format!("{}{path}", self.url)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.unwrap()
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Response {
        http::client().request(method, format!("{}{path}", self.url)).json(body).send().await.unwrap()
    }

    async fn patch_if(&self, etag: &str, body: &Value) -> Response {
        http::client().patch(&self.url).header("if-match", etag).json(body).send().await.unwrap()
    }

    async fn v2_put(&self, key: &str, value: &str) {
        let url = format!("{}/{key}", self.discovery_url);
        let put = http::client().put(url).form(&[("value", value)]).send().await.unwrap();
        assert_eq!(put.status(), StatusCode::CREATED);
    }
}

async fn list(server: &Server, query: &str) -> (Vec<String>, Value) {
    let page = http::get(format!("{}/v1/clusters{query}", server.url)).await.unwrap();
    let page: Value = page.json().await.unwrap();
    let clusters = page["clusters"].as_array().unwrap().iter();
    let tokens = clusters.map(|cluster| cluster["token"].as_str().unwrap().to_owned()).collect();
    (tokens, page["next"].clone())
}

fn fields(problem: &Value) -> Vec<&str> {
    let violations = problem["violations"].as_array().unwrap();
    violations.iter().map(|violation| violation["field"].as_str().unwrap()).collect()
}
