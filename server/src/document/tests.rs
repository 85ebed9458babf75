//! A document is read as it was written, and one that the registry can't have written is rejected.

#[path = "../../../lifecycle/tests/properties/steps.rs"]
mod steps;

use std::{collections::BTreeMap, sync::Arc};

use convene_lifecycle::{
    Action, Cluster, ClusterSize, Discovery, Event, Liveness, Registration, Transition, UnixMillis, plan,
};
use proptest::{prelude::*, test_runner::RngSeed};
use serde_json::{Value, json};
use steps::{Step, step};

use super::{DocumentError, Writer, read};
use crate::store::{ClusterDump, RegistryDump, UsedToken};

const NOW: UnixMillis = UnixMillis(1_785_585_600_000);

fn written(registry: &RegistryDump) -> String {
    let mut writer = Writer::begin(Vec::new(), &registry.registry_id, &registry.used_tokens, NOW).unwrap();
    for dump in &registry.clusters {
        writer.cluster(dump).unwrap();
    }
    String::from_utf8(writer.end().unwrap()).unwrap()
}

fn dump_of(clusters: Vec<ClusterDump>) -> RegistryDump {
    let used = |token: &str, at| UsedToken { token: token.parse().unwrap(), at: UnixMillis(at) };
    RegistryDump {
        registry_id: "01a2b3c4d5e6f708".to_owned(),
        used_tokens: vec![used("gone", NOW.0), used("long-gone", -1)],
        clusters,
    }
}

/// A cluster with its history, as the steps of a test make it.
struct History {
    cluster: Cluster,
    events: Vec<Arc<Event>>,
    liveness: Liveness,
    last_seen: BTreeMap<convene_lifecycle::MemberKey, UnixMillis>,
    now: UnixMillis,
}

impl History {
    fn new(token: &str, size: u32, now: UnixMillis) -> Self {
        let created = Cluster::create(token.parse().unwrap(), ClusterSize::new(size).unwrap(), Action::Create, now);
        Self {
            cluster: created.after.unwrap(),
            events: created.events.into_iter().map(Arc::new).collect(),
            liveness: Liveness::new(UnixMillis(now.0.saturating_sub(3_600_000))),
            last_seen: BTreeMap::new(),
            now,
        }
    }

    fn take(&mut self, step: &Step) {
        let (sketch, times) = match step {
            Step::Pass(millis) => return self.now.0 = self.now.0.saturating_add(*millis),
            Step::Clock(now) => return self.now = UnixMillis(*now),
            Step::Restart => return self.liveness = Liveness::new(self.now),
            Step::Administer(request) => return self.apply(request.transition(&self.cluster, self.now)),
            Step::CheckIn(sketch) => (sketch, 1),
            Step::CheckInRepeatedly(sketch, times) => (sketch, *times),
        };
        for _ in 0..times {
            self.now.0 = self.now.0.saturating_add(10_000);
            let report = sketch.report(&self.cluster);
            self.apply(plan(&self.cluster, &self.liveness, &report, self.now).change);
            self.liveness.record_check_in(&self.cluster, &report, self.now);
            let members = self.liveness.members.iter();
            self.last_seen.extend(members.filter_map(|(key, contact)| Some((key.clone(), contact.checked_in?))));
        }
    }

    fn apply(&mut self, transition: Option<Transition>) {
        let Some(Transition { after, events }) = transition else { return };
        self.cluster = after.expect("no step deletes the cluster");
        self.events.extend(events.into_iter().map(Arc::new));
    }

    /// The cluster with its last `events` events.
    fn into_dump(self, events: usize) -> ClusterDump {
        let events = self.events[self.events.len().saturating_sub(events)..].to_vec();
        let on_record = |key: &_| self.cluster.record.iter().any(|member| member.key == *key);
        let last_seen = self.last_seen.into_iter().filter(|(key, _)| on_record(key)).collect();
        ClusterDump { cluster: self.cluster, events, last_seen }
    }
}

fn start() -> impl Strategy<Value = UnixMillis> {
    prop_oneof![8 => Just(NOW.0), 1 => Just(i64::MIN), 1 => Just(i64::MAX), 1 => any::<i64>()].prop_map(UnixMillis)
}

proptest! {
    // The same histories in each run.
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_history_is_read_as_it_was_written_and_written_the_same_again(
        size in 1_u32..=5,
        start in start(),
        steps in prop::collection::vec(step(), 1..60),
        events in 1_usize..200,
    ) {
        let mut history = History::new("6c007a14875d53d9bf0ef5a6fc0257c8", size, start);
        steps.iter().for_each(|step| history.take(step));
        let registry = dump_of(vec![History::new("other", 3, start).into_dump(1), history.into_dump(events)]);
        let text = written(&registry);
        let again = read(&text);
        prop_assert!(again.is_ok(), "{}", again.unwrap_err());
        let again = again.unwrap();
        prop_assert_eq!(written(&again), text);
        prop_assert_eq!(again, registry);
    }
}

/// Two members, one of them removed, of a cluster that has not formed.
fn eventful() -> ClusterDump {
    let mut history = History::new("6c007a14875d53d9bf0ef5a6fc0257c8", 3, NOW);
    for n in 1..=3 {
        let registration = Registration::parse(&format!("infra{n}=http://10.0.0.{n}:2380")).unwrap();
        let key = n.to_string().parse().unwrap();
        history.apply(history.cluster.register(key, registration, Discovery::V2, Action::Create, NOW).ok());
        if n == 1 {
            history.apply(history.cluster.remove(&"1".parse().unwrap(), Discovery::V2, Action::Delete, NOW));
        }
    }
    history.last_seen.insert("2".parse().unwrap(), NOW);
    history.into_dump(1_000)
}

#[test]
fn each_member_and_each_event_has_a_line_of_its_own() {
    let text = written(&dump_of(vec![eventful()]));
    let lines: Vec<&str> = text.lines().collect();
    let begin = [
        "{",
        r#"  "format": "convene-registry","#,
        r#"  "format_version": 1,"#,
        concat!(r#"  "convene_version": ""#, env!("CARGO_PKG_VERSION"), r#"","#),
        r#"  "exported_at": "2026-08-01T12:00:00.000Z","#,
        r#"  "registry_id": "01a2b3c4d5e6f708","#,
        r#"  "used_tokens": ["#,
        r#"    {"token": "gone", "at": "2026-08-01T12:00:00.000Z"},"#,
        r#"    {"token": "long-gone", "at": -1}"#,
        "  ],",
        r#"  "clusters": ["#,
        "    {",
        r#"      "token": "6c007a14875d53d9bf0ef5a6fc0257c8","#,
        r#"      "id": "cl-0000000000000000","#,
        r#"      "name": null,"#,
    ];
    assert_eq!(lines[..begin.len()], begin);
    assert!(lines.contains(
        &r#"      "policy": {"strategy": "replace", "dead_after_ms": 60000, "learner": true, "check_in_every_ms": 10000, "paused": false, "max_failed_starts": 5, "witnesses": 2, "stock_writes": "refuse", "join": "open"},"#
    ));
    let of_second = |line: &&&str| line.starts_with(r#"        {"id": "2", "name": "infra2", "peer_urls": ["http"#);
    assert_eq!(lines.iter().filter(of_second).count(), 1, "{text}");
    assert_eq!(lines.iter().filter(|line| line.starts_with(r#"        {"revision": "#)).count(), 5);
    assert_eq!(lines[lines.len() - 4..], ["      ]", "    }", "  ]", "}"]);
}

#[test]
fn an_empty_registry_has_a_document() {
    let empty = RegistryDump { used_tokens: Vec::new(), ..dump_of(Vec::new()) };
    let text = written(&empty);
    assert!(text.ends_with("  \"used_tokens\": [],\n  \"clusters\": []\n}\n"), "{text}");
    assert_eq!(read(&text).unwrap(), empty);
}

/// The error for a document with another value in one place.
fn error_with(place: &str, value: Value) -> String {
    let mut document: Value = serde_json::from_str(&written(&dump_of(vec![eventful(), eventful_other()]))).unwrap();
    let (parent, field) = place.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap();
    match (parent, value) {
        (Value::Object(fields), Value::String(text)) if text == "(nothing)" => drop(fields.remove(field)),
        (Value::Object(fields), value) => drop(fields.insert(field.to_owned(), value)),
        (Value::Array(items), value) => items[field.parse::<usize>().unwrap()] = value,
        (other, _) => panic!("{place} is in {other}"),
    }
    read(&document.to_string()).map_or_else(|problem| problem.to_string(), |_| "nothing".to_owned())
}

fn eventful_other() -> ClusterDump {
    let dump = History::new("prod", 5, NOW).into_dump(1);
    ClusterDump { cluster: Cluster { name: Some("prod".parse().unwrap()), ..dump.cluster }, ..dump }
}

#[test]
fn an_error_names_the_cluster_the_field_and_the_expected_value() {
    assert_eq!(error_with("/clusters/0/name", json!("any")), "nothing");
    for (place, value, expected) in [
        ("/registry_id", json!("01A2"), "the document: registry_id: must be 16 hexadecimal digits in lower case"),
        (
            "/used_tokens/0/token",
            json!("a/b"),
            "used_tokens[0]: token: must be 1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-', and neither '.' nor '..'",
        ),
        (
            "/used_tokens/0/token",
            json!("long-gone"),
            "used_tokens[1] (long…): token: is also the token of used_tokens[0] (long…); a token names one cluster",
        ),
        (
            "/clusters/1/token",
            json!("gone"),
            "clusters[1] (go…): token: is also the token of used_tokens[0] (go…); a token names one cluster",
        ),
        (
            "/clusters/1/token",
            json!("6c007a14875d53d9bf0ef5a6fc0257c8"),
            "clusters[1] (6c007a…): token: is also the token of clusters[0] (6c007a…); a token names one cluster",
        ),
        (
            "/clusters/1/token",
            json!("."),
            "clusters[1]: token: must be 1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-', and neither '.' nor '..'",
        ),
        ("/clusters/1/size", json!(0), "clusters[1] (pr…): size: must be 1 or more"),
        (
            "/clusters/1/created_at",
            json!("today"),
            "clusters[1] (pr…): created_at: must be a time in UTC with milliseconds, such as 2026-08-01T12:00:00.000Z",
        ),
        ("/clusters/1/epoch", json!(0), "clusters[1] (pr…): epoch: is 0 and must be 1 or more"),
        ("/clusters/1/face", json!("v4"), "clusters[1] (pr…): face: \"v4\" must be v2, v3, check_in or null"),
        (
            "/clusters/1/size_version",
            json!(0),
            "clusters[1] (pr…): size_version: is 0 and must be from 1 to 9223372036854775807",
        ),
        (
            "/clusters/1/cluster_id",
            json!("xyz"),
            "clusters[1] (pr…): cluster_id: must be an ID as etcd prints it: 1 to 16 hexadecimal digits, such as 8e9e05c52164694d",
        ),
        (
            "/clusters/1/cluster_id",
            json!("ab"),
            "clusters[1] (pr…): cluster_id: must be null while formed_revision is null",
        ),
        (
            "/clusters/1/earlier",
            json!(["ab", ""]),
            "clusters[1] (pr…): earlier[1]: must be an ID as etcd prints it: 1 to 16 hexadecimal digits, such as 8e9e05c52164694d",
        ),
        (
            "/clusters/1/policy/strategy",
            json!("pray"),
            "clusters[1] (pr…): policy.strategy: must be one of prepared, add, replace and prune",
        ),
        (
            "/clusters/1/policy/dead_after_ms",
            json!(0),
            "clusters[1] (pr…): policy.dead_after_ms: is 0 and must be from 5000 to 604800000",
        ),
        (
            "/clusters/1/policy/dead_after_ms",
            json!("6c007a14875d53d9bf0ef5a6fc0257c8"),
            "clusters[1] (pr…): policy.dead_after_ms: must be a whole number from 5000 to 604800000",
        ),
        ("/clusters/1/policy/learner", json!(1), "clusters[1] (pr…): policy.learner: must be true or false"),
        ("/clusters/1/policy/paused", json!("(nothing)"), "clusters[1] (pr…): policy.paused: is missing"),
        ("/clusters/1/policy/brave", json!(true), "clusters[1] (pr…): policy.brave: is not a field of a policy"),
        (
            "/clusters/1/ticket",
            json!({"number": 1, "holder": "a", "purpose": "remove", "member_id": "1", "peer_urls": null, "granted_at": 5}),
            "clusters[1] (pr…): ticket.number: is 1 and must be 0, the value of tickets: only the last ticket can be held",
        ),
        (
            "/clusters/1/ticket",
            json!({"number": 0, "holder": "a", "purpose": "remove", "member_id": null, "peer_urls": null, "granted_at": 5}),
            "clusters[1] (pr…): ticket.purpose: \"remove\" must be join or update with peer_urls, or remove or promote without; all but join need a member_id",
        ),
        (
            "/clusters/0/first_registered_at",
            json!(null),
            "clusters[0] (6c007a…): first_registered_at: is null, but there are members; must be the time of the first registration",
        ),
        (
            "/clusters/0/formed_revision",
            json!(6),
            "clusters[0] (6c007a…): formed_revision: is 6 and must be at most revision, 5",
        ),
        (
            "/clusters/0/size_modified_revision",
            json!(9),
            "clusters[0] (6c007a…): size_modified_revision: is 9 and must be at most revision, 5",
        ),
        (
            "/clusters/0/size_lowered_revision",
            json!(5),
            "clusters[0] (6c007a…): size_lowered_revision: is 5 and must be at most size_modified_revision, 1",
        ),
        (
            "/clusters/0/members/1/id",
            json!("1"),
            "clusters[0] (6c007a…): members[1].id: 1 is also the id of members[0]",
        ),
        (
            "/clusters/0/members/2/name",
            json!("infra2"),
            "clusters[0] (6c007a…): members[2].name: infra2 is also the name of members[1]; while the cluster forms, names must be unique",
        ),
        (
            "/clusters/0/members/2/peer_urls",
            json!(["http://10.0.0.2:2380"]),
            "clusters[0] (6c007a…): members[2].peer_urls: http://10.0.0.2:2380 is also a peer URL of members[1]; while the cluster forms, peer URLs must be unique",
        ),
        (
            "/clusters/0/members/2/peer_urls",
            json!([]),
            "clusters[0] (6c007a…): members[2].name and peer_urls: a member has at least one peer URL",
        ),
        (
            "/clusters/0/members/2/peer_urls",
            json!(["http://x"]),
            "clusters[0] (6c007a…): members[2].name and peer_urls: peer URL \"http://x\" needs a port from 1 to 65535, such as :2380",
        ),
        (
            "/clusters/0/members/2/name",
            json!("a=http://x:1,a"),
            "clusters[0] (6c007a…): members[2].name and peer_urls: must not contain ',' or '='",
        ),
        (
            "/clusters/0/members/2/registered_revision",
            json!(6),
            "clusters[0] (6c007a…): members[2].registered_revision: is 6 and must be at most modified_revision, 5",
        ),
        (
            "/clusters/0/members/0/removed/revision",
            json!(1),
            "clusters[0] (6c007a…): members[0].created_revision: is 2 and must be at most removed.revision, 1",
        ),
        (
            "/clusters/0/members/2/created_revision",
            json!(4),
            "clusters[0] (6c007a…): members[2].created_revision: is 4 and must be greater than that of the previous \
             member, 4",
        ),
        (
            "/clusters/0/members/2/version",
            json!(0),
            "clusters[0] (6c007a…): members[2].version: is 0 and must be from 1 to 9223372036854775807",
        ),
        (
            "/clusters/0/members/2/created_revision",
            json!(u64::MAX),
            "clusters[0] (6c007a…): members[2].created_revision: is 18446744073709551615 and must be from 1 to 9223372036854775807",
        ),
        (
            "/clusters/0/events",
            json!([]),
            "clusters[0] (6c007a…): events: must contain at least the last event of the cluster",
        ),
        (
            "/clusters/1/revision",
            json!(2),
            "clusters[1] (pr…): events[0].revision: is 1 and must be the cluster's revision, 2",
        ),
        (
            "/clusters/0/events/1/kind",
            json!("miracle"),
            "clusters[0] (6c007a…): events[1].kind: \"miracle\" is not a kind of event",
        ),
        (
            "/clusters/0/events/1/action",
            json!("pray"),
            "clusters[0] (6c007a…): events[1].action: \"pray\" is not an action",
        ),
        (
            "/clusters/0/events/1/subject",
            json!("size"),
            "clusters[0] (6c007a…): events[1].subject: \"size\" must be cluster or size without a member_id, member with one, or lifecycle",
        ),
        (
            "/clusters/0/events/0/value",
            json!("many"),
            "clusters[0] (6c007a…): events[0].value: \"many\" must be a size, such as \"3\"",
        ),
        (
            "/clusters/0/events/1/value",
            json!("infra1"),
            "clusters[0] (6c007a…): events[1].value: \"infra1\" is not NAME=PEER-URL, such as \
             infra0=http://10.0.0.1:2380",
        ),
        (
            "/clusters/0/events/2/previous/modified_revision",
            json!(4),
            "clusters[0] (6c007a…): events[2].previous.modified_revision: is 4 and must be at most the event's revision, 3",
        ),
        ("/clusters/0/sise", json!(1), "clusters[0] (6c007a…): sise: line 1: unknown field `sise`, expected one of"),
        (
            "/clusters/0/members/1/tags",
            json!([]),
            "clusters[0] (6c007a…): members[1].tags: line 1: unknown field `tags`, expected one of",
        ),
        ("/clusters/1/name", json!("(nothing)"), "clusters[1] (pr…): line 1: missing field `name`"),
        (
            "/clusters/1/tickets",
            json!("6c007a14875d53d9bf0ef5a6fc0257c8"),
            "clusters[1] (pr…): tickets: line 1: invalid type: string, expected a whole number",
        ),
        (
            "/clusters/1",
            json!("6c007a14875d53d9bf0ef5a6fc0257c8"),
            "clusters[1]: line 1: invalid type: string, expected an object",
        ),
        (
            "/used_tokens",
            json!("6c007a14875d53d9bf0ef5a6fc0257c8"),
            "line 1: invalid type: string, expected a sequence",
        ),
    ] {
        let error = error_with(place, value.clone());
        assert!(error.starts_with(expected), "{place} = {value}:\n{error}\nis not\n{expected}");
        assert!(!error.contains("6c007a1"), "{error}");
    }
}

#[test]
fn a_missing_event_is_detected() {
    let mut dump = eventful();
    dump.events.remove(2);
    let error = read(&written(&dump_of(vec![dump]))).unwrap_err().to_string();
    assert_eq!(
        error,
        "clusters[0] (6c007a…): events[2].revision: is 4 and must be 3, the one after the previous event"
    );
}

#[test]
fn another_format_or_version_is_rejected_as_such() {
    let text = written(&dump_of(Vec::new()));
    let later = text.replace("\"format_version\": 1", "\"format_version\": 2,\n  \"users\": []");
    assert!(matches!(read(&later), Err(DocumentError::Version { version: 2, .. })));
    let other = text.replace("convene-registry", "convene-users");
    assert_eq!(read(&other).unwrap_err().to_string(), "format is \"convene-users\" and must be \"convene-registry\"");
    for text in ["", "{}", "[]", "{\"format\": 1}", &text[..text.len() / 2]] {
        assert!(matches!(read(text), Err(DocumentError::NoDocument { .. })), "{text}");
    }
}

#[test]
fn an_error_in_the_middle_names_its_line() {
    let text = written(&dump_of(vec![eventful()]));
    let place = text.lines().position(|line| line.contains("\"id\": \"2\"")).unwrap() + 1;
    let wrong = text.replace("{\"id\": \"2\"", "{\"key\": \"2\"");
    let error = read(&wrong).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("clusters[0] (6c007a…): members[1].key: line {place}: unknown field `key`")),
        "{error}"
    );
}
