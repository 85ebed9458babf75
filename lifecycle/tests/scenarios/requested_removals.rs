//! Evictions and shrinks where no client runs beside the members: waiting nodes carry them out.

use crate::*;

#[test]
fn a_spare_removes_an_evicted_member_whose_client_has_ended() {
    let mut world = World::running("a b c");
    world.evict("c").observe("d", "stand_by: full").pass(60);
    world.step("d", "remove c #1 of a b c: evicted + ticket_granted");
    world.observe("d", "add learner d #2 of a b: below_size + member_removed ticket_released ticket_granted");
}

#[test]
fn a_spare_removes_an_evicted_member_that_is_down_at_once() {
    World::running("a b c").dies("c").evict("c").observe("d", "remove c #1 of a b c: evicted + ticket_granted");
}

#[test]
fn a_spare_shrinks_a_cluster_whose_clients_have_ended() {
    let mut world = World::running("a b c");
    world.size(2).observe("d", "stand_by: full").pass(60);
    world.step("d", "remove c #1 of a b c: shrink + ticket_granted");
    world.observe("d", "stand_by: full + member_removed ticket_released").members("a b");
}

#[test]
fn a_member_that_may_not_remove_itself_is_removed_by_another() {
    let mut world = World::running("a b c");
    world.evict("c").observe("a", "wait: healthy").observe("c", "leave c #1 of a b c: evicted + ticket_granted");
    world.pass(10).observe("c", "wait: last_in_line").pass(5).observe("c", "wait: last_in_line + ticket_released");
    world.observe("a", "remove c #2 of a b c: evicted + ticket_granted");
}

#[test]
fn a_spare_removes_a_surplus_learner_whose_own_node_can_not() {
    let mut world = World::running("a");
    world.size(2).step("b", "add learner b #1 of a: below_size + ticket_granted");
    world.step("b", "join a b: added + member_added member_updated").size(1);
    world
        .observe("b", "leave b #2 of a ~b: full + member_updated ticket_released ticket_granted")
        .observe("x", "stand_by: full");
    world.pass(10).check_ins("b x").pass(5).observe("x", "remove b #3 of a ~b: full + ticket_released ticket_granted");
}

#[test]
fn a_spare_leaves_a_removal_that_would_cost_the_quorum() {
    World::running("a b c").dies("c").evict("b").pass(60).observe("d", "wait: not_dead_yet").members("a b c");
}

#[test]
fn a_spare_that_may_not_remove_members_carries_out_evictions_only() {
    let mut world = World::running("a b c");
    world.joins_by("d", Strategy::Add).size(2).pass(60).observe("d", "stand_by: full");
    world.evict("c").observe("d", "remove c #1 of a b c: evicted + ticket_granted");
}

#[test]
fn a_spare_removes_nobody_while_the_cluster_is_paused_or_prepared() {
    World::running("a b c").pause().evict("c").pass(60).observe("d", "wait: paused");
    World::running("a b c").strategy(Strategy::Prepared).evict("c").pass(60).observe("d", "wait: strategy");
}

#[test]
fn a_restart_loop_does_not_keep_an_evicted_member() {
    let mut world = World::running("a b c");
    world.dies("c").evict("c").returns("c").check_ins("c");
    world.observe("d", "remove c #1 of a b c: evicted + ticket_granted");
}

#[test]
fn a_spare_that_gets_nowhere_with_a_removal_leaves_it_to_a_member() {
    let mut world = World::running("a b c");
    world.dies("c").evict("c").observe("d", "remove c #1 of a b c: evicted + ticket_granted");
    world.pass(8).observe("d", "wait: last_in_line").with_message("shows no progress").pass(7);
    world.observe("a", "remove c #2 of a b c: evicted + ticket_released ticket_granted");
}
