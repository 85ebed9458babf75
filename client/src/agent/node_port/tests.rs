use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpStream as StdTcpStream,
    process::{Command, Stdio},
};

use convene_harness::{Section, code_spans, peers};
use convene_lifecycle::{ClusterId, MemberId};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{
    agent::{
        state::State,
        status::{EtcdStatus, Exit, Publisher},
    },
    boot_clock::BootInstant,
    one_line::is_unsafe,
};

/// Longer than anything here takes, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A node whose port is served.
struct TestNode {
    publisher: Publisher,
    address: String,
    client: Client,
}

impl TestNode {
    async fn serve() -> Self {
        let publisher = Publisher::new("infra0".parse().unwrap(), "prod".to_owned());
        let listener = bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(serve(listener, publisher.subscribe()));
        let client = Client::builder().timeout(LIMIT).build().unwrap();
        let node = Self { publisher, address, client };
        node.change(|status| status.period = Duration::from_secs(10));
        node
    }

    /// A node whose etcd is a voter.
    async fn voter() -> Self {
        let node = Self::serve().await;
        node.change(|status| {
            (status.state, status.reason, status.message) = (State::Voter, "healthy".into(), "nothing to do".into());
            status.registry_answered = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
            status.etcd = Some(etcd());
        });
        node
    }

    fn change(&self, change: impl FnOnce(&mut Status)) {
        self.publisher.update(|status| {
            change(status);
            true
        });
    }

    fn change_etcd(&self, change: impl FnOnce(&mut EtcdStatus)) {
        self.change(|status| change(status.etcd.as_mut().unwrap()));
    }

    fn hang(&self) {
        self.change(|status| status.turned = BootInstant::ago(Duration::from_secs(31)));
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.request(Method::GET, path).await;
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn request(&self, method: Method, path: &str) -> reqwest::Response {
        self.client.request(method, format!("http://{}{path}", self.address)).send().await.unwrap()
    }
}

fn etcd() -> EtcdStatus {
    EtcdStatus {
        member: MemberId(0x8e9e_05c5_2164_694d),
        cluster: ClusterId(0xcdf8_181b_e6fb_ee8f),
        version: "3.6.14".to_owned(),
        leader: Some(MemberId(0x8e9e_05c5_2164_694d)),
        learner: false,
        applied_index: 42,
        database_bytes: 20_480,
        database_bytes_in_use: 16_384,
        quota_bytes: Some(2_147_483_648),
        errors: Vec::new(),
    }
}

#[tokio::test]
async fn an_agent_lives_while_its_loop_turns_whatever_etcd_does() {
    let node = TestNode::serve().await;
    assert_eq!(node.get("/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(node.get("/livez?verbose").await, (200, "[+]loop ok\nok\n".to_owned()));
    assert_eq!(node.get("/livez/loop").await, (200, "ok\n".to_owned()));
    node.hang();
    let (code, body) = node.get("/livez").await;
    assert_eq!(code, 503);
    assert_eq!(body, "[-]loop failed: the agent hangs: its main loop last ran 31 s ago, and should run every 10 s\n");
    node.change(|status| status.period = Duration::from_secs(60));
    assert_eq!(node.get("/livez").await.0, 200);
}

#[tokio::test]
async fn a_voter_with_a_leader_is_ready() {
    let node = TestNode::voter().await;
    assert_eq!(node.get("/readyz").await, (200, "ok\n".to_owned()));
    let list = "[+]loop ok\n[+]etcd ok\n[+]leader ok\n[+]non_learner ok\n[+]alarms ok\n[+]registry ok\nok\n";
    assert_eq!(node.get("/readyz?verbose").await, (200, list.to_owned()));
    let (code, body) = node.get("/readyz?verbose&exclude=alarms&exclude=unknown&exclude=").await;
    assert_eq!(code, 200);
    assert!(body.contains("[+]leader ok\n") && body.contains("[+]alarms excluded\n"), "{body}");
    assert_eq!(node.get("/readyz/etcd").await, (200, "ok\n".to_owned()));
    assert_eq!(
        node.get("/readyz/other").await,
        (404, "the checks are loop, etcd, leader, non_learner, alarms, registry\n".to_owned())
    );
}

#[tokio::test]
async fn each_failure_is_named_and_can_be_excluded() {
    type Change = fn(&mut Status);
    let failures: [(&str, Change, &str); 7] = [
        ("loop", |status| status.turned = BootInstant::ago(LIMIT), "the agent hangs: its main loop last ran 60 s ago"),
        ("etcd", |status| status.state = State::Silent, "silent: nothing to do (healthy)"),
        ("etcd", |status| status.state = State::Stopping, "stopping: nothing to do (healthy)"),
        ("leader", |status| status.etcd.as_mut().unwrap().leader = None, "etcd knows no leader"),
        ("non_learner", |status| status.etcd.as_mut().unwrap().learner = true, "etcd is a learner"),
        (
            "alarms",
            |status| status.etcd.as_mut().unwrap().errors = vec!["memberID:1 alarm:NOSPACE ".to_owned()],
            "memberID:1 alarm:NOSPACE; the database has reached its quota, so etcd accepts no writes; compact and defragment it",
        ),
        ("leader", |status| status.etcd = None, "etcd does not answer"),
    ];
    for (check, change, reason) in failures {
        let node = TestNode::voter().await;
        node.change(change);
        let (code, body) = node.get("/readyz").await;
        assert_eq!(code, 503, "{check}: {body}");
        assert!(body.contains(&format!("[-]{check} failed: {reason}")), "{check}: {body}");
        assert_eq!(node.get(&format!("/readyz/{check}")).await.0, 503, "{check}");
        let failed = body.lines().filter(|line| line.starts_with("[-]")).count();
        let (code, body) = node.get(&format!("/readyz?exclude={check}")).await;
        assert_eq!(code, if failed == 1 { 200 } else { 503 }, "{check}: {body}");
    }
    // The lack of a leader is no alarm.
    let node = TestNode::voter().await;
    node.change_etcd(|etcd| etcd.errors = vec!["etcdserver: no leader".to_owned()]);
    assert_eq!(node.get("/readyz/alarms").await.0, 200);
}

#[tokio::test]
async fn a_spare_is_ready() {
    let node = TestNode::serve().await;
    node.publisher.enter(State::Spare, "full", "the cluster has all its voters");
    let (code, body) = node.get("/readyz?verbose").await;
    assert_eq!(code, 200, "{body}");
    assert!(body.contains("[+]etcd ok: standing by as a spare\n"), "{body}");
}

#[tokio::test]
async fn a_node_without_etcd_is_not_ready() {
    for state in State::ALL {
        let node = TestNode::serve().await;
        node.change(|status| status.state = *state);
        let (code, body) = node.get("/readyz").await;
        assert_eq!(code, if *state == State::Spare { 200 } else { 503 }, "{state}: {body}");
    }
    let node = TestNode::voter().await;
    node.change_etcd(|etcd| etcd.version.clear());
    assert!(node.get("/readyz").await.1.contains("[-]etcd failed: etcd answers only at its peer port\n"));
    let reason = "voter: nothing to do (healthy); not for clients: etcd answers only at its peer port\n";
    assert_eq!(node.get("/voter").await, (503, reason.to_owned()));
}

#[tokio::test]
async fn the_registry_takes_no_node_out_of_a_load_balancer() {
    let node = TestNode::voter().await;
    node.change(|status| status.registry_error = Some("refused\n[+]etcd ok".to_owned()));
    let (code, body) = node.get("/readyz?verbose").await;
    assert_eq!(code, 200);
    // Which adds no line.
    let reason = "the registry has not answered since 2023-11-14T22:13:20Z: refused [+]etcd ok";
    assert!(body.contains(&format!("[!]registry failed (ignored for this page): {reason}\n")), "{body}");
    // Who asks for it gets the answer.
    assert_eq!(node.get("/readyz/registry").await, (503, format!("[-]registry failed: {reason}\n")));
}

#[tokio::test]
async fn roles_are_told_by_status_code() {
    type Change = fn(&mut Status);
    let nodes: [(&str, Change, &[&str]); 8] = [
        ("leader", |_| {}, &["leader", "voter"]),
        ("follower", |status| status.etcd.as_mut().unwrap().leader = Some(MemberId(7)), &["voter"]),
        (
            "learner",
            |status| {
                status.state = State::Learner;
                status.etcd = Some(EtcdStatus { learner: true, leader: Some(MemberId(7)), ..etcd() });
            },
            &["learner"],
        ),
        (
            "spare",
            |status| {
                status.state = State::Spare;
                status.etcd = None;
            },
            &["spare"],
        ),
        ("silent", |status| status.state = State::Silent, &[]),
        ("leaving", |status| status.state = State::Leaving, &[]),
        ("stopping", |status| status.state = State::Stopping, &[]),
        ("hanging", |status| status.turned = BootInstant::ago(LIMIT), &[]),
    ];
    for (name, change, roles) in nodes {
        let node = TestNode::voter().await;
        node.change(change);
        for role in ["leader", "voter", "learner", "spare"] {
            let expected = if roles.contains(&role) { 200 } else { 503 };
            for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
                let answer = node.request(method.clone(), &format!("/{role}")).await;
                assert_eq!(answer.status().as_u16(), expected, "{name}: {method} /{role}");
                let body = answer.text().await.unwrap();
                assert_eq!(body.is_empty(), method != Method::GET, "{name}: {method} /{role}: {body}");
                assert!(body.is_empty() || body.contains("nothing to do (healthy)\n"), "{name}: {body}");
            }
        }
    }
}

#[tokio::test]
async fn all_pages_answer_three_methods_and_no_other() {
    let node = TestNode::voter().await;
    let pages = ["/livez", "/readyz", "/leader", "/voter", "/learner", "/spare", "/status", "/metrics", "/livez/loop"];
    for page in pages {
        let get = node.request(Method::GET, page).await;
        let (code, length) = (get.status(), get.headers()["content-length"].clone());
        assert_eq!(get.headers()["cache-control"], "no-store", "{page}");
        let head = node.request(Method::HEAD, page).await;
        assert_eq!(head.status(), code, "{page}");
        // Metrics of the process change.
        assert!(page == "/metrics" || head.headers()["content-length"] == length, "{page}");
        let options = node.request(Method::OPTIONS, page).await;
        assert_eq!(
            (options.status(), &options.headers()["allow"]),
            (code, &"GET, HEAD, OPTIONS".parse().unwrap()),
            "{page}"
        );
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let refused = node.request(method, page).await;
            assert_eq!(refused.status(), 405, "{page}");
            assert_eq!(refused.headers()["allow"], "GET, HEAD, OPTIONS");
        }
    }
    for unknown in ["/", "/live", "/leader/", "/status/x", "/metrics/x", "//"] {
        assert_eq!(node.get(unknown).await.0, 404, "{unknown}");
    }
}

#[tokio::test]
async fn the_status_is_json_with_everything() {
    let node = TestNode::voter().await;
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    node.change(|status| {
        status.message = "etcd\u{202e} \"serves\"\n".to_owned();
        status.since = at(1_700_000_001);
        status.registry_error = Some("refused".to_owned());
        (status.process, status.restarts, status.last_exit) = (Some(4711), 2, Some(Exit::Signal(9)));
    });
    let answer = node.request(Method::GET, "/status").await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    let text = answer.text().await.unwrap();
    assert!(!text.trim_end().contains(is_unsafe), "{text:?}");
    let mut body: Value = serde_json::from_str(&text).unwrap();
    let turned = body["loop"]["turned"].take();
    assert!(turned.as_str().unwrap().ends_with('Z'), "{turned}");
    assert_eq!(
        body,
        json!({
            "agent_version": env!("CARGO_PKG_VERSION"),
            "name": "infra0",
            "cluster": "prod",
            "state": "voter",
            "reason": "healthy",
            "message": "etcd\u{202e} \"serves\"\n",
            "since": "2023-11-14T22:13:21Z",
            "registry": { "answered": "2023-11-14T22:13:20Z", "error": "refused" },
            "loop": { "turned": null, "period_seconds": 10.0, "hangs": false },
            "process": 4711,
            "restarts": 2,
            "last_exit": { "signal": 9 },
            "complaint": null,
            "etcd": {
                "member": "8e9e05c52164694d",
                "cluster": "cdf8181be6fbee8f",
                "version": "3.6.14",
                "leader": "8e9e05c52164694d",
                "is_leader": true,
                "learner": false,
                "applied_index": 42,
                "database_bytes": 20480,
                "database_bytes_in_use": 16384,
                "quota_bytes": 2147483648_u64,
                "errors": [],
            },
        })
    );
    node.change(|status| (status.process, status.etcd, status.last_exit) = (None, None, Some(Exit::Code(1))));
    let body: Value = serde_json::from_str(&node.get("/status").await.1).unwrap();
    assert_eq!(
        (&body["etcd"], &body["process"], &body["last_exit"]),
        (&Value::Null, &Value::Null, &json!({ "code": 1 }))
    );
}

#[tokio::test]
async fn metrics_show_the_node_and_the_process() {
    let node = TestNode::voter().await;
    node.change(|status| (status.restarts, status.last_exit) = (2, Some(Exit::Signal(9))));
    let answer = node.request(Method::GET, "/metrics").await;
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let text = answer.text().await.unwrap();
    let version = concat!("convene_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1");
    for line in [
        version,
        "convene_node_state{state=\"voter\"} 1",
        "convene_node_state{state=\"spare\"} 0",
        "convene_node_registry_last_contact_timestamp_seconds 1700000000.0",
        "convene_node_etcd_up 1",
        "convene_node_etcd_restarts_total 2",
        "convene_node_etcd_last_exit_code 137",
        "convene_node_etcd_database_bytes 20480",
        "convene_node_etcd_database_in_use_bytes 16384",
        "convene_node_etcd_database_quota_bytes 2147483648",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    }
    assert_eq!(text.matches("convene_node_state{").count(), State::ALL.len());
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is not in {text}")).parse().unwrap()
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_cpu_seconds_total") > 0.0);
    assert!(value("process_open_fds") > 3.0);
    assert!((0.0..60.0).contains(&(now - value("process_start_time_seconds"))));
    assert!((-1.0..60.0).contains(&(now - value("convene_node_loop_last_turn_timestamp_seconds"))));

    node.change(|status| (status.state, status.etcd, status.registry_answered) = (State::Waiting, None, None));
    let (_, text) = node.get("/metrics").await;
    assert!(text.contains("convene_node_etcd_up 0\n"), "{text}");
    assert!(text.contains("convene_node_registry_last_contact_timestamp_seconds 0.0\n"), "{text}");
    assert!(!text.contains("database"), "{text}");
}

#[tokio::test]
async fn prometheus_own_tool_accepts_the_metrics() {
    let Some(promtool) = peers::program("prometheus", "promtool") else { return };
    let node = TestNode::voter().await;
    node.change(|status| status.last_exit = Some(Exit::Code(1)));
    let (_, text) = node.get("/metrics").await;
    let mut check = Command::new(promtool);
    check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = check.spawn().unwrap();
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let report = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // The tool prints what is against the conventions.
    assert!(output.status.success() && report.is_empty(), "{report}\n{text}");
}

const PAGE: &str = "docs/reference/node-port.md";

#[tokio::test]
async fn the_reference_has_every_page_and_check() {
    let node = TestNode::voter().await;
    let (_, pages) = node.get("/").await;
    let pages = pages.split([' ', ',', '\n']).filter(|word| word.starts_with('/')).map(str::to_owned);
    assert_eq!(Section::read(PAGE, "Pages").names("page"), pages.collect());
    let checks = health::LIVE.iter().chain(health::READY).map(|check| check.name.to_owned()).collect();
    assert_eq!(Section::read(PAGE, "Checks").names("check"), checks);
    assert_eq!(Section::read("docs/troubleshooting.md", "Checks of the node's port").names("check"), checks);
    let (_, line) = node.get("/voter").await;
    assert!(
        include_str!("../../../../docs/reference/node-port.md").contains(&format!("\n    {line}")),
        "{PAGE} lacks {line}"
    );
}

#[tokio::test]
async fn the_reference_has_every_field_of_the_status() {
    let mut fields = BTreeSet::new();
    // One with etcd, and one without.
    for node in [TestNode::voter().await, TestNode::serve().await] {
        let status: Value = serde_json::from_str(&node.get("/status").await.1).unwrap();
        for (name, value) in status.as_object().unwrap() {
            match value {
                Value::Object(inner) => fields.extend(inner.keys().map(|field| format!("{name}.{field}"))),
                _ => fields.extend([name.clone()]),
            }
        }
    }
    assert_eq!(Section::read(PAGE, "Status").names("field"), fields);
}

#[tokio::test]
async fn the_references_have_every_metric() {
    let node = TestNode::voter().await;
    node.change(|status| status.last_exit = Some(Exit::Code(1)));
    let (_, metrics) = node.get("/metrics").await;
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let types: BTreeSet<_> = types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
    let agent = Section::read("docs/reference/metrics.md", "Agent");
    let rows = agent.rows("metric");
    let documented = rows.iter().map(|row| (code_spans(row[0]).collect(), row[1].to_owned()));
    assert_eq!(documented.collect::<BTreeSet<_>>(), types);
    let names: BTreeSet<String> = types.into_iter().map(|(name, _)| name).collect();
    assert_eq!(Section::read(PAGE, "Metrics").names("metric"), names);

    let page = include_str!("../../../../docs/reference/metrics.md");
    let states = page.split_once("\nThe states are ").and_then(|(_, rest)| rest.split_once(".\n")).unwrap().0;
    assert_eq!(code_spans(states).collect::<BTreeSet<_>>(), State::ALL.iter().map(|state| state.as_str()).collect());
}

/// A load balancer sends the host that it likes, and some send none.
#[tokio::test]
async fn every_host_is_answered() {
    let node = TestNode::voter().await;
    for head in ["HTTP/1.0\r\n\r\n", "HTTP/1.1\r\nHost: etcd.example.com\r\n\r\n", "HTTP/1.1\r\n\r\n"] {
        let answer = exchange(&node.address, format!("GET /voter {head}").into_bytes()).await;
        assert!(answer.starts_with("HTTP/1.") && answer.contains(" 200 OK\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_connection_has_one_request_with_a_short_head() {
    let node = TestNode::voter().await;
    let two = "GET /voter HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2);
    let answer = exchange(&node.address, two.into_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 1, "{answer}");
    let long = format!("GET /voter HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(MAX_HEAD));
    let answer = exchange(&node.address, long.into_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_clients_keep_nobody_out() {
    let node = TestNode::voter().await;
    let silent: Vec<_> = (0..2 * MOST_CONNECTIONS).map(|_| StdTcpStream::connect(&node.address).unwrap()).collect();
    // The start of a head keeps no connection either.
    (&silent[0]).write_all(b"GET /voter HTTP/1.1\r\n").unwrap();
    for _ in 0..3 {
        let answer = tokio::time::timeout(CONNECTION_TIMEOUT / 2, node.get("/voter"));
        assert_eq!(answer.await.expect("no silent client delays others").0, 200);
    }
    for mut connection in silent {
        connection.set_read_timeout(Some(LIMIT)).unwrap();
        assert!(matches!(connection.read(&mut [0; 1]), Ok(0) | Err(_)));
    }
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_the_flag() {
    let node = TestNode::voter().await;
    let error = bind(&node.address).await.unwrap_err();
    assert!(matches!(error, CommandError::Local(_)));
    let error = error.to_string();
    assert!(
        error.starts_with(&format!("cannot listen on {}, ", node.address)) && error.contains("--node-listen"),
        "{error}"
    );
}

/// Sends bytes, and reads until the end. The other side may reset what it has not read.
async fn exchange(address: &str, request: Vec<u8>) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(&request).await;
        let (mut answer, mut part) = (Vec::new(), [0; 4096]);
        while let Ok(length @ 1..) = stream.read(&mut part).await {
            answer.extend_from_slice(&part[..length]);
        }
        String::from_utf8(answer).unwrap()
    };
    timeout(LIMIT, exchange).await.expect("the connection ends")
}
