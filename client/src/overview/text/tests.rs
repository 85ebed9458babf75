use convene_lifecycle::{ClusterId, Identity};
use humantime::parse_rfc3339;
use serde_json::{Value, json};

use super::*;
use crate::registry::{ObservedMember, View};

const HOUR_BEFORE: &str = "2026-08-01T11:00:00.000Z";

fn clock() -> Clock {
    Clock(parse_rfc3339("2026-08-01T12:00:00Z").unwrap())
}

fn cluster(phase: &str) -> Value {
    json!({
        "token": "6c007a14875d53d9bf0ef5a6fc0257c8", "name": "prod", "size": 3, "revision": 12, "epoch": 1,
        "created_at": HOUR_BEFORE, "phase": phase, "cluster_id": "cdf818194e3a8c32", "voter_count": 1,
        "learner_count": 2, "ticket": null, "discovery_url": "http://corp/6c007a14875d53d9bf0ef5a6fc0257c8",
        "policy": {
            "strategy": "replace", "dead_after_seconds": 90, "learner": true, "check_in_every_seconds": 10,
            "paused": false, "max_failed_starts": 5, "witnesses": 2,
        },
    })
}

fn member(id: &str, name: &str) -> Value {
    json!({
        "id": id, "name": name, "peer_urls": [format!("http://{name}:2380")],
        "client_urls": [format!("http://{name}:2379")], "role": "voter", "started": true, "removed": false,
        "heard_of_at": HOUR_BEFORE, "answered_at": null, "unreachable_since": null, "failed_starts": 0,
        "evicted_at": null, "downtime_until": null, "downtime_by": null,
    })
}

fn node(name: &str, state: &str, member_id: Option<&str>, checked_in_at: &str) -> Value {
    json!({
        "name": name, "state": state, "member_id": member_id, "peer_urls": [format!("http://{name}:2380")],
        "checked_in_at": checked_in_at, "run_started_at": HOUR_BEFORE,
    })
}

fn overview(cluster: Value, members: &[Value], nodes: &[Value]) -> Overview {
    Overview::of(&cluster, members, nodes)
}

/// A view with these members, and whether each answers.
fn view(linearizable: bool, members: &[(&str, bool)]) -> View {
    let observed = |(id, identified): &(&str, bool)| ObservedMember {
        id: id.parse().unwrap(),
        name: "infra0".to_owned(),
        peer_urls: Vec::new(),
        client_urls: Vec::new(),
        learner: false,
        reachable: *identified,
        identified: *identified,
        received_bytes: Some(7),
        round_trips: None,
        version: None,
        applied_index: None,
        matched_index: None,
        instead: None,
    };
    View {
        since: 12,
        cluster_id: None,
        linearizable,
        leader: linearizable.then(|| members[0].0.parse().unwrap()),
        term: None,
        members: members.iter().map(observed).collect(),
    }
}

/// NAME, HEALTH, AGE and NOTES of each member.
fn health(overview: &Overview) -> Vec<[String; 4]> {
    let table = member_table(overview, clock());
    let cells = |line: &str| -> Vec<String> {
        line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    };
    table.lines().skip(1).map(cells).map(|row| [0, 3, 4, 7].map(|n| row[n].clone())).collect()
}

#[test]
fn a_summary_has_no_secret() {
    let shown = summary(&overview(cluster("forming"), &[], &[]), clock());
    let expected = "\
Name:         prod
ID:           6c007a…
Phase:        forming
Size:         3 (has 1 voter and 2 learners)
Epoch:        1
Revision:     12
Cluster ID:   cdf818194e3a8c32
Policy:       replace, dead after 1m 30s of silence, confirmed by 2 witnesses, check-in every 10s, nodes join as learners with the discovery URL alone
Paused:       no
Ticket:       none
";
    assert_eq!(shown, expected);
}

#[test]
fn a_ticket_is_shown_with_its_holder_time_purpose_and_progress() {
    let shown = |purpose: &str, member_id: Option<&str>, progress: &str| {
        let held = json!({
            "number": 4, "holder": "infra3", "purpose": purpose, "member_id": member_id, "granted_at": HOUR_BEFORE,
            "progress_at": progress,
        });
        let overview = overview(cluster("bootstrapped"), &[member("1f", "infra0")], &[]);
        ticket(&serde_json::from_value(held).unwrap(), &overview, clock())
    };
    let held = format!("4, held by infra3 since {HOUR_BEFORE}");
    assert_eq!(shown("join", None, HOUR_BEFORE), format!("{held} to join"));
    assert_eq!(shown("join", Some("1f"), HOUR_BEFORE), format!("{held} to join in place of infra0 (1f)"));
    assert_eq!(shown("remove", Some("2f"), HOUR_BEFORE), format!("{held} to remove 2f"));
    assert_eq!(shown("defragment", Some("1f"), HOUR_BEFORE), format!("{held} to defragment infra0 (1f)"));
    let progress = shown("join", None, "2026-08-01T11:59:55.000Z");
    assert_eq!(progress, format!("{held} to join; last progress 5s ago"));
}

#[test]
fn a_view_shows_who_is_healthy_and_since_when_the_others_are_silent() {
    let members = [member("1f", "infra0"), member("2f", "infra1"), member("3f", "infra2")];
    let mut seen = overview(cluster("bootstrapped"), &members, &[]);
    seen.view = Some(view(true, &[("1f", true), ("2f", false)]));
    let row = |name: &str, health: &str, age: &str, notes: &str| [name, health, age, notes].map(str::to_owned);
    let expected = [
        row("infra0", "healthy", "0s", "leader"),
        row("infra1", "silent", "1h", "-"),
        row("infra2", "unlisted", "1h", "-"),
    ];
    assert_eq!(health(&seen), expected);
    let text = to_text(&seen, clock());
    assert!(text.contains("Quorum:       yes, seen from here: 1 of 2 voters answer, the leader is infra0\n"), "{text}");
}

#[test]
fn another_clusters_quorum_is_not_shown_as_the_clusters_own() {
    let mut seen = overview(cluster("bootstrapped"), &[member("1f", "infra0")], &[]);
    seen.view = Some(View { cluster_id: Some(ClusterId(7)), ..view(false, &[]) });
    let text = to_text(&seen, clock());
    assert!(
        text.contains("Quorum:       unknown: of the addresses on record, only those of etcd cluster 7 answer"),
        "{text}"
    );
    assert_eq!(health(&seen)[0][1], "unknown");
}

#[test]
fn notes_name_the_other_member_that_answers_at_a_members_address() {
    let members = [member("1f", "infra0"), member("2f", "infra1"), member("3f", "infra2")];
    let mut found = view(true, &[("1f", true), ("2f", false), ("3f", false)]);
    let other =
        |member: &str, cluster: u64| Some(Identity { member: member.parse().unwrap(), cluster: ClusterId(cluster) });
    found.cluster_id = Some(ClusterId(7));
    (found.members[1].instead, found.members[1].reachable) = (other("1f", 7), true);
    found.members[2].instead = other("1f", 8);
    let mut seen = overview(cluster("bootstrapped"), &members, &[]);
    seen.view = Some(found);
    let rows = health(&seen);
    assert_eq!(rows[1], ["infra1", "answers", "1h", "infra0 (1f) answers there"]);
    assert_eq!(rows[2], ["infra2", "silent", "1h", "member 1f of cluster 8 answers there"]);
}

#[test]
fn without_a_view_health_is_what_nodes_have_reported() {
    let mut failing = member("2f", "infra1");
    (failing["failed_starts"], failing["answered_at"]) = (5.into(), "2026-08-01T11:58:00.000Z".into());
    let mut silent = member("3f", "infra2");
    silent["unreachable_since"] = HOUR_BEFORE.into();
    let members = [member("1f", "infra0"), failing, silent, member("4f", "infra3"), member("5f", "infra4")];
    let nodes = [
        node("infra3", "running", Some("4f"), "2026-08-01T11:59:55.000Z"),
        node("infra4", "starting", Some("5f"), "2026-08-01T11:59:55.000Z"),
    ];
    let found = health(&overview(cluster("bootstrapped"), &members, &nodes));
    let words: Vec<&str> = found.iter().map(|row| row[1].as_str()).collect();
    assert_eq!(words, ["unknown", "failing", "silent", "healthy", "starting"]);
    assert_eq!((found[1][2].as_str(), found[1][3].as_str()), ("2m", "5 failed starts"));
}

#[test]
fn notes_show_removals_evictions_and_downtimes() {
    let mut member = member("1f", "infra0");
    (member["removed"], member["evicted_at"], member["downtime_until"]) =
        (true.into(), HOUR_BEFORE.into(), HOUR_BEFORE.into());
    let found = health(&overview(cluster("bootstrapped"), std::slice::from_ref(&member), &[]));
    assert_eq!(found[0][1], "-");
    assert_eq!(found[0][3], format!("removed, evicted since {HOUR_BEFORE}, downtime until {HOUR_BEFORE}"));
    (member["evicted_at"], member["downtime_by"]) = (Value::Null, "node".into());
    let found = health(&overview(cluster("bootstrapped"), &[member], &[]));
    assert_eq!(found[0][3], format!("removed, downtime until {HOUR_BEFORE} or until it is back"));
}

#[test]
fn a_cluster_that_nobody_watches_shows_what_to_run() {
    let members = [member("1f", "infra0")];
    let shown = |phase: &str, nodes: &[Value]| to_text(&overview(cluster(phase), &members, nodes), clock());
    let spare = node("infra3", "empty", None, "2026-08-01T11:59:58.000Z");
    let gone = node("infra3", "empty", None, HOUR_BEFORE);
    assert!(shown("bootstrapped", &[]).contains("Watched by:   nobody"));
    assert!(shown("bootstrapped", &[gone]).contains("start `convene run` on one more node"));
    assert!(!shown("forming", &[]).contains("Watched by"));
    let text = shown("bootstrapped", &[spare]);
    assert!(text.contains(&format!("Watched by:   infra3 since {HOUR_BEFORE} (last check-in 2s ago)\n")), "{text}");
    assert!(text.contains("\nSPARE") && text.contains("\ninfra3"), "{text}");
}

#[test]
fn a_spare_whose_last_member_was_evicted_is_shown_as_evicted() {
    let spare = node("infra3", "empty", None, "2026-08-01T11:59:58.000Z");
    let mut seen = overview(cluster("bootstrapped"), &[member("1f", "infra0")], &[spare]);
    let mut former = |evicted_at: Value| {
        let mut former = member("4f", "infra3");
        (former["removed"], former["evicted_at"]) = (true.into(), evicted_at);
        seen.former_members.push(serde_json::from_value(former).unwrap());
        let text = to_text(&seen, clock());
        let line = text.lines().find(|line| line.starts_with("infra3")).unwrap();
        (line.split_whitespace().nth(1).unwrap().to_owned(), seen.has_ready_spare(clock()))
    };
    assert_eq!(former(HOUR_BEFORE.into()), ("evicted".to_owned(), false));
    assert_eq!(former(Value::Null), ("empty".to_owned(), true));
    // The list of members may have removed ones, too.
    let mut removed = member("5f", "infra3");
    removed["removed"] = true.into();
    seen.members.push(serde_json::from_str(&removed.to_string()).unwrap());
    assert!(seen.has_ready_spare(clock()));
    seen.nodes.clear();
    assert!(!seen.has_ready_spare(clock()));
}

#[test]
fn a_removal_that_waits_is_shown_with_what_the_nodes_report() {
    let reports = |name: &str, id: &str, reason: &str| {
        let mut node = node(name, "running", Some(id), "2026-08-01T11:59:58.000Z");
        node["etcd"] = json!({ "errors": [], "state": "voter", "reason": reason });
        node
    };
    let nodes = [
        reports("infra0", "1f", "without member 1f, 1 of 2 voters would answer"),
        reports("infra1", "2f", "nothing to do"),
        reports("infra2", "3f", "without member 1f, 1 of 2 voters would answer"),
        reports("infra3", "4f", "the cluster has 3 of 4 voters; nodes with `convene` can join"),
        reports("infra4", "5f", "standing by as a spare: the cluster has all 3 voters"),
    ];
    let shown = |cluster: Value, evicted_at: Value| {
        let mut members = [member("1f", "infra0"), member("2f", "infra1"), member("3f", "infra2")];
        members[0]["evicted_at"] = evicted_at;
        let text = to_text(&overview(cluster, &members, &nodes), clock());
        text.lines().find(|line| line.starts_with("Waiting:")).map(|line| line["Waiting:".len()..].trim().to_owned())
    };
    let reason = Some("infra0, infra2: without member 1f, 1 of 2 voters would answer".to_owned());
    let mut surplus = cluster("bootstrapped");
    surplus["voter_count"] = 5.into();
    assert_eq!(shown(cluster("bootstrapped"), HOUR_BEFORE.into()), reason);
    assert_eq!(shown(surplus, Value::Null), reason);
    assert_eq!(shown(cluster("bootstrapped"), Value::Null), None);
    let mut changing = cluster("bootstrapped");
    changing["ticket"] = json!({
        "number": 2, "holder": "infra0", "purpose": "remove", "step": "remove", "member_id": "1f", "granted_at": HOUR_BEFORE,
        "progress_at": HOUR_BEFORE, "expires_at": HOUR_BEFORE,
    });
    assert_eq!(shown(changing, HOUR_BEFORE.into()), None);
}

#[test]
fn a_cluster_of_which_nobody_answers_is_silent_and_shows_whom_to_start() {
    let mut just_seen = member("1f", "infra0");
    (just_seen["answered_at"], just_seen["heard_of_at"]) =
        ("2026-08-01T11:59:53.000Z".into(), "2026-08-01T11:59:53.000Z".into());
    let members = [just_seen, member("2f", "infra1")];
    let stopped = node("infra0", "stopped", Some("1f"), "2026-08-01T11:59:53.000Z");
    let mut seen = overview(cluster("bootstrapped"), &members, std::slice::from_ref(&stopped));
    // Nobody has looked yet.
    assert_eq!(health(&seen)[0][1], "healthy");
    seen.view = Some(view(false, &[]));
    let rows = health(&seen);
    assert_eq!([&rows[0][1..3], &rows[1][1..3]], [["silent", "7s"], ["silent", "1h"]]);
    let text = to_text(&seen, clock());
    let advice = "; no member answers from here, and no node of a member has checked in recently: first start the \
                  nodes of infra0, infra1\n";
    assert!(text.contains(&format!("Watched by:   nobody{advice}")) && !text.contains("spare"), "{text}");

    // Its etcd may run, and this machine may be the one that reaches nobody.
    seen.nodes[0].value.state = "running".to_owned();
    assert_eq!(health(&seen)[0][1..3], ["unknown", "7s"]);
    let text = to_text(&seen, clock());
    assert!(text.contains("(last check-in 7s ago)\n") && !text.contains("start"), "{text}");

    seen.nodes[0].value.state = "stopped".to_owned();
    seen.view = Some(view(true, &[("1f", true), ("2f", false)]));
    assert!(to_text(&seen, clock()).contains("start `convene run` on one more node"));
}

#[test]
fn a_cluster_of_stock_etcds_does_not_look_broken() {
    let mut stock = overview(cluster("formed"), &[member("1f", "infra0")], &[]);
    stock.view = Some(view(true, &[("1f", true)]));
    let text = to_text(&stock, clock());
    assert!(text.contains("formed (no node has checked in, as with stock etcd)") && text.contains("healthy"), "{text}");
}

#[test]
fn a_node_that_has_moved_is_warned_of() {
    let mut moved = node("infra0", "running", Some("1f"), HOUR_BEFORE);
    moved["peer_urls"] = json!(["http://10.1.0.1:2380"]);
    let text = to_text(&overview(cluster("bootstrapped"), &[member("1f", "infra0")], &[moved]), clock());
    assert!(text.contains("\nWarning: infra0 now reports the peer URLs http://10.1.0.1:2380"), "{text}");

    let mut member = member("1f", "infra0");
    member["client_urls"] = json!(["http://10.1.0.1:2379"]);
    let mut unreachable = overview(cluster("bootstrapped"), &[member], &[]);
    assert!(!to_text(&unreachable, clock()).contains("Warning"));
    unreachable.view = Some(view(false, &[("1f", false)]));
    assert!(to_text(&unreachable, clock()).contains("\nWarning: infra0 does not answer, and its peer URLs"));
}

#[test]
fn a_leader_whose_metrics_cannot_be_read_is_warned_of() {
    let members = [member("1f", "infra0"), member("2f", "infra1")];
    let mut seen = overview(cluster("bootstrapped"), &members, &[]);
    let mut with_metrics = view(true, &[("1f", true), ("2f", true)]);
    with_metrics.members[0].received_bytes = None;
    seen.view = Some(with_metrics);
    assert!(!to_text(&seen, clock()).contains("Warning"));
    seen.view.as_mut().unwrap().members[1].received_bytes = None;
    assert!(to_text(&seen, clock()).contains("\nWarning: the metrics of the leader infra0 can't be read from here"));
}

#[test]
fn what_a_node_reports_of_its_etcd_is_shown() {
    let mut full = node("infra0", "running", Some("1f"), "2026-08-01T11:59:58Z");
    full["etcd"] = json!({ "errors": ["memberID:31 alarm:NOSPACE "], "version": "3.6.5" });
    let shown = to_text(&overview(cluster("running"), &[member("1f", "infra0")], &[full]), clock());
    assert!(shown.ends_with("\nWarning: infra0 reported 2s ago: memberID:31 alarm:NOSPACE\n"), "{shown}");
}

#[test]
fn a_held_cluster_shows_why_and_what_ends_it() {
    let mut held = cluster("forming");
    held["held"] = json!({"since": HOUR_BEFORE, "reason": "data_reported", "node": "infra0", "cluster_id": null});
    let text = to_text(&overview(held, &[], &[]), clock());
    assert!(
        text.contains(&format!(
            "Held:         since {HOUR_BEFORE}: data_reported by infra0; run `convene cluster adopt`"
        )),
        "{text}"
    );
}
