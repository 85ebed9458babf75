//! Nodes refuse what contradicts their own view. The registry shows that, and decides nothing from it.

use crate::*;

#[test]
fn a_refusal_is_recorded_once_for_each_node_and_content() {
    let mut world = World::running("a b c");
    world.refuses("a", "remove_member", "b answers").observe("a", "wait: healthy + node_refused");
    world.observe("a", "wait: healthy").pass(60).observe("a", "wait: healthy");
    world.refuses("b", "remove_member", "b answers").observe("b", "wait: healthy + node_refused");
    world.refuses("a", "remove_member", "b leads").observe("a", "wait: healthy + node_refused");
    world.observe("b", "wait: healthy").refusals("b: b answers, a: b leads", 3);
}

#[test]
fn a_refusal_that_goes_on_is_recorded_again_after_an_hour() {
    let mut world = World::running("a");
    world.refuses("a", "start", "it runs elsewhere").observe("a", "wait: healthy + node_refused");
    world.pass(3_599).observe("a", "wait: healthy").pass(1).observe("a", "wait: healthy + node_refused");
    world.refusals("a: it runs elsewhere", 2);
}

#[test]
fn a_node_can_not_fill_the_record() {
    let mut world = World::running("a");
    for number in 0..20 {
        let name = format!("node{number:02}");
        world.refuses(&name, "join", &"x".repeat(10_000)).observe(&name, "stand_by: full + node_refused");
    }
    let cluster = &world.cluster;
    assert_eq!(cluster.refusals.len(), 16);
    assert_eq!(cluster.refusals[0].node.as_str(), "node04");
    assert!(cluster.refusals.iter().all(|recorded| recorded.refusal.found.len() == 400));
}
