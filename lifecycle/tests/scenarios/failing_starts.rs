//! Members whose etcd does not answer after a start.

use crate::*;

/// `c` is started again every two seconds, and its etcd ends at once.
fn restarts_c(world: &mut World) {
    world.returns("c").check_ins("c");
}

#[test]
fn a_member_in_a_restart_loop_is_replaced_by_a_spare() {
    let mut world = World::running("a b c");
    world.check_ins("d").dies("c").heals(60 + 30, "a b d", restarts_c, "a b d");
}

#[test]
fn the_fifth_start_in_vain_makes_a_member_failing_and_leaves_one_event() {
    let mut world = World::running("a b c");
    world.dies("c").pass(2);
    for _ in 0..4 {
        world.returns("c").observe("c", "start a b c: own_data").report("c", "start a b c: own_data");
    }
    world
        .returns("c")
        .observe("c", "start a b c: own_data + member_failing")
        .report("c", "start a b c: own_data")
        .returns("c")
        .observe("c", "start a b c: own_data");
    world.observe("d", "wait: not_dead_yet").with_message("is failing: its etcd was started 6 times");
}

/// `d` has the ticket to remove `c`, which is down, so `c` must not start now.
fn with_ticket_to_remove_c() -> World {
    let mut world = World::running("a b c");
    world.dies("c").evict("c").observe("d", "remove c #1 of a b c: evicted + ticket_granted");
    world
}

#[test]
fn runs_that_wait_are_no_failed_starts() {
    let mut world = with_ticket_to_remove_c();
    for _ in 0..6 {
        world.returns("c").observe("c", "wait: being_removed");
    }
}

#[test]
fn a_server_restart_counts_no_start_of_a_run_that_waits() {
    let mut world = with_ticket_to_remove_c();
    world.max_failed_starts(1).returns("c").observe("c", "wait: being_removed");
    world.server_restarts().observe("c", "wait: being_removed");
}

#[test]
fn restarts_below_the_bound_hold_off_death() {
    let mut world = World::running("a b c");
    world.dies("c");
    for _ in 0..4 {
        world.returns("c").check_ins("c").watch(50, "a b d");
    }
    world.observe("d", "wait: partition");
}

#[test]
fn an_answer_resets_the_failed_starts() {
    let mut world = World::running("a b c");
    world.dies("c");
    for _ in 0..4 {
        world.returns("c").check_ins("c");
    }
    world.runs("c").check_ins("d").dies("c");
    world.returns("c").observe("c", "start a b c: own_data");
}

/// `c` is started again every four seconds, and answers the other nodes for two of them.
#[test]
fn a_member_that_answers_between_its_failures_is_replaced_by_a_spare() {
    let mut world = World::running("a b c");
    world.check_ins("d");
    for _ in 0..14 {
        world.returns("c").check_ins("c").runs("c").check_ins("c").pass(2).check_ins("d").dies("c").pass(2);
    }
    world.observe("d", "wait: not_dead_yet").with_message("is failing: its etcd was started 13 times");
    world.returns("c").check_ins("c").pass(4).observe("d", "remove c #1 of a b c: dead + ticket_granted");
}

#[test]
fn a_member_that_stays_up_after_a_few_restarts_is_not_failing() {
    let mut world = World::running("a b c");
    for _ in 0..8 {
        world.returns("c").check_ins("c").runs("c").pass(10).check_ins("d");
    }
    world.dies("c").pass(2).observe("d", "wait: not_dead_yet").with_message("has not answered since");
}

#[test]
fn an_administrator_sets_how_often_a_member_may_start_in_vain() {
    let mut world = World::running("a b c");
    world.max_failed_starts(1).dies("c").returns("c").observe("c", "start a b c: own_data + member_failing");
}

#[test]
fn a_failing_member_whose_removal_would_cost_the_quorum_stays() {
    let mut world = World::running("a b c");
    world.dies("c");
    for _ in 0..5 {
        world.returns("c").check_ins("c");
    }
    world.watch(60, "a b d").dies("b").pass(5).observe("d", "wait: no_quorum").members("a b c");
}

#[test]
fn a_member_that_loads_its_data_is_not_dead() {
    let mut world = World::running("a b c");
    world.dead_after(5).loads("c").watch(600, "a b c d");
    world.observe("d", "wait: not_dead_yet").with_message("is loading its data").members("a b c");
}

#[test]
fn a_member_that_loads_its_data_in_a_restart_loop_is_failing() {
    let mut world = World::running("a b c");
    let loops = |world: &mut World| {
        world.returns("c").stops_loading("c").check_ins("c").loads("c").check_ins("c");
    };
    world.check_ins("d").dies("c").heals(60 + 30, "a b d", loops, "a b d");
}
