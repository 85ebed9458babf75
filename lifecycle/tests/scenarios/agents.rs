//! The agents beside running voters tell whom they reach: witnesses of a death, and of a learner that can be reached.

use convene_lifecycle::JoinPolicy;

use crate::*;

/// Three members and their agents.
fn with_agents() -> World {
    let mut world = World::running("a b c").with_credentials();
    world.have_agents("a b c");
    world
}

/// Time passes. The agents check in without a view, and `x` with one.
fn watch(world: &mut World, seconds: i64, agents: &str) {
    for _ in 0..seconds / 5 {
        world.pass(5);
        for agent in agents.split_whitespace() {
            world.checks_in(agent);
        }
        world.check_ins("x");
    }
}

#[test]
fn the_agent_beside_a_voter_is_a_witness() {
    let mut world = with_agents();
    world.hide_metrics().dies("c");
    watch(&mut world, 60, "b");
    world.pass(5).checks_in("b").observe("x", "remove c #1 of a b c: dead + ticket_granted");
}

#[test]
fn a_new_leader_need_not_lead_for_long_while_an_agent_looks() {
    let mut world = World::running("a b c d e").with_credentials();
    world.have_agents("a b c d e").dies("e");
    watch(&mut world, 55, "b c d");
    world.leads("b");
    watch(&mut world, 5, "b c d");
    world.pass(5).checks_in("b").observe("x", "remove e #1 of a b c d e: dead + ticket_granted");
}

#[test]
fn an_agent_that_does_not_reach_a_quorum_is_no_witness() {
    let mut world = with_agents();
    world.hide_metrics().dies("c").cut("b", "a");
    watch(&mut world, 600, "b");
    world.observe("x", "wait: no_witness").members("a b c");
}

#[test]
fn an_agent_without_a_say_is_no_witness() {
    // Whoever knows the discovery token of an open cluster can make up the name of another node.
    let mut world = World::running("a b c").with_credentials();
    world.size(4).check_ins("d").execute("d").check_ins("d").execute("d").check_ins("d").execute("d").check_ins("d");
    world.members("a b c d").cluster.policy.join = JoinPolicy::Open;
    world.have_agents("d").hide_metrics().dies("c");
    watch(&mut world, 600, "d");
    world.observe("x", "wait: no_witness").members("a b c d");
}

#[test]
fn without_credentials_an_agent_is_believed_as_views_are() {
    let mut world = World::running("a b c");
    world.have_agents("a b c").hide_metrics().dies("c");
    watch(&mut world, 60, "b");
    world.pass(5).checks_in("b").observe("x", "remove c #1 of a b c: dead + ticket_granted");
}

#[test]
fn the_agent_of_a_spare_is_no_witness() {
    let mut world = with_agents();
    world.hide_metrics().have_agents("x y").dies("c").watch(600, "x y");
    world.observe("x", "wait: no_witness").members("a b c");
}

#[test]
fn a_member_that_an_agent_reaches_is_not_dead() {
    let mut world = with_agents();
    world.hide_metrics().cut("x", "c").cut("b", "c");
    watch(&mut world, 600, "a b");
    world.observe("x", "wait: partition").with_message("the node of another voter reaches it").members("a b c");
}

#[test]
fn a_learner_that_the_agent_beside_the_leader_reaches_is_promoted() {
    let mut world = with_agents();
    world.size(4).check_ins("d").execute("d").check_ins("d").execute("d").are_unprobed("d");
    world.observe("d", "wait: peer_url_unreachable + member_updated");
    world.checks_in("b").observe("d", "wait: peer_url_unreachable");
    world.checks_in("a").observe("d", "promote d #1 of a b c ~d: caught_up");
}

#[test]
fn nodes_with_nothing_to_do_look_more_often_while_a_member_is_unreached_or_changes() {
    let mut world = with_agents();
    world.ask("a", "wait: healthy").again_after(10);
    world.dies("c").ask("a", "wait: healthy").again_after(2).ask("b", "wait: healthy").again_after(2);
    world.runs("c").pass(60).ask("a", "wait: healthy").again_after(10);
    world.size(4).check_ins("d").ask("a", "wait: healthy").again_after(2);
}

#[test]
fn what_an_agent_saw_long_ago_promotes_nobody() {
    let mut world = with_agents();
    world.size(4).check_ins("d").execute("d").check_ins("d").execute("d").are_unprobed("d");
    world.checks_in("a").pass(21).observe("d", "wait: peer_url_unreachable + member_updated ticket_released");
}

#[test]
fn a_learner_whose_peer_urls_lead_to_another_member_is_not_promoted_and_makes_room() {
    // The leader's own probes get an answer there.
    let mut world = with_agents();
    world.size(4).check_ins("d").execute("d").check_ins("d").execute("d").misleads("d");
    world.checks_in("a").observe("d", "wait: peer_url_unreachable + member_updated");
    for _ in 0..4 {
        world.pass(5).checks_in("a b c").check_ins("d x");
    }
    world.observe("x", "remove d #2 of a b c ~d: abandoned_learner");
}

#[test]
fn a_learner_at_wrong_peer_urls_is_not_promoted() {
    let mut world = with_agents();
    world.size(4).check_ins("d").execute("d").check_ins("d").execute("d").hide_peer_urls("d");
    world.checks_in("a b c").observe("d", "wait: peer_url_unreachable + member_updated");
}
