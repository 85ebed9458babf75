use humantime::parse_rfc3339;
use serde_json::{Value, json};

use super::*;

const JUST_NOW: &str = "2026-05-03T22:28:37Z";
const BEFORE: &str = "2026-05-03T22:27:37Z";

fn clock() -> Clock {
    Clock(parse_rfc3339("2026-05-03T22:28:45Z").unwrap())
}

fn member(id: &str, name: &str) -> Value {
    json!({ "id": id, "name": name, "peer_urls": [], "client_urls": [], "role": "voter", "removed": false })
}

fn node(name: &str, member_id: Option<&str>, checked_in_at: &str, reachability: &[Value]) -> Value {
    json!({
        "name": name, "state": if member_id.is_some() { "running" } else { "empty" }, "member_id": member_id, "peer_urls": [],
        "checked_in_at": checked_in_at, "reachability": reachability,
    })
}

fn reaches(member: &str, peer: impl Into<Value>, client: impl Into<Value>) -> Value {
    json!({ "member": member, "peer": peer.into(), "client": client.into() })
}

/// The members a, b and c, and these nodes.
fn crosscheck(nodes: &[Value]) -> Crosscheck {
    crosscheck_of(&[member("1f", "a"), member("2f", "b"), member("3f", "c")], nodes)
}

fn crosscheck_of(members: &[Value], nodes: &[Value]) -> Crosscheck {
    let cluster = json!({
        "size": 3, "revision": 12, "epoch": 1, "created_at": BEFORE, "phase": "bootstrapped", "voter_count": 3, "learner_count": 0,
        "policy": {
            "strategy": "replace", "dead_after_seconds": 60, "learner": true, "check_in_every_seconds": 10, "paused": false,
        },
    });
    Crosscheck::new(&Overview::of(&cluster, members, nodes), clock())
}

#[test]
fn the_matrix_has_a_row_for_each_member_and_each_spare_that_looks() {
    let found = crosscheck(&[
        node("a", Some("1f"), JUST_NOW, &[reaches("2f", true, true), reaches("3f", true, false)]),
        node("b", Some("2f"), JUST_NOW, &[reaches("1f", false, true), reaches("3f", false, Value::Null)]),
        node("c", Some("3f"), JUST_NOW, &[]),
        node("spare", None, JUST_NOW, &[reaches("1f", true, Value::Null), reaches("2f", Value::Null, Value::Null)]),
        node("idle", None, JUST_NOW, &[]),
    ]);
    let expected = "\
        FROM    AGE   TO a          TO b        TO c\n\
        a       8s    -             ok          peer only\n\
        b       8s    client only   -           NO\n\
        c       -     no report     no report   no report\n\
        spare   8s    ok            -           -\n";
    assert_eq!(found.to_text(clock()), expected);
    assert_eq!(found.failures(), ["a does not reach c", "b does not reach a, c"]);
}

#[test]
fn an_old_report_is_no_success() {
    let all = |own: &str| {
        let others = ["1f", "2f", "3f"].into_iter().filter(|member| *member != own);
        others.map(|member| reaches(member, true, true)).collect::<Vec<_>>()
    };
    let found = crosscheck(&[
        node("a", Some("1f"), JUST_NOW, &all("1f")),
        node("b", Some("2f"), BEFORE, &all("2f")),
        node("spare", None, BEFORE, &all("")),
    ]);
    let expected = "\
        FROM   AGE     TO a        TO b        TO c\n\
        a      8s      -           ok          ok\n\
        b      1m 8s   old         old         old\n\
        c      -       no report   no report   no report\n";
    assert_eq!(found.to_text(clock()), expected);
    assert_eq!(found.failures(), [format!("b has not checked in since {BEFORE}")]);

    let dead = crosscheck(&[node("a", Some("1f"), BEFORE, &all("1f")), node("b", Some("2f"), BEFORE, &all("2f"))]);
    assert_eq!(dead.failures(), ["no node reports now which members it reaches; `convene run` does so while it runs"]);
}

#[test]
fn a_cluster_of_which_no_node_looks_is_a_failure() {
    let nobody = "no node reports now which members it reaches; `convene run` does so while it runs";
    assert_eq!(crosscheck(&[]).failures(), [nobody]);
    assert_eq!(crosscheck(&[node("a", Some("1f"), JUST_NOW, &[])]).failures(), [nobody]);
}

#[test]
fn the_node_of_the_only_member_has_nobody_to_reach() {
    let found = |checked_in_at: &str| crosscheck_of(&[member("1f", "a")], &[node("a", Some("1f"), checked_in_at, &[])]);
    assert_eq!(found(JUST_NOW).to_text(clock()), "FROM   AGE   TO a\na      8s    -\n");
    assert_eq!(found(JUST_NOW).failures(), Vec::<String>::new());
    assert_eq!(found(BEFORE).failures().len(), 1);
}

#[test]
fn the_node_of_a_removed_member_has_no_row() {
    let found = crosscheck(&[
        node("a", Some("1f"), JUST_NOW, &[reaches("2f", true, true), reaches("3f", true, true)]),
        // `b` has lost its disk and joined again; its node has not checked in as the new member.
        node("b", Some("8f"), JUST_NOW, &[reaches("1f", false, false)]),
        node("gone", Some("9f"), JUST_NOW, &[reaches("1f", true, true)]),
    ]);
    let names: Vec<&str> = found.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(found.nodes[1].reaches, [Reach::NoReport; 3]);
    assert_eq!(found.failures(), Vec::<String>::new());
}
