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
    world.pass(8).observe("d", "wait: last_in_line").with_message("made no progress").pass(7);
    world.observe("a", "remove c #2 of a b c: evicted + ticket_released ticket_granted");
}
