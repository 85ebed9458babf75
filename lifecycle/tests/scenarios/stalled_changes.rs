//! Nodes that hold the ticket and get nowhere, with a healthy node behind them.

use crate::*;

/// A cluster of three of which `c` has been dead for long enough. `d` has the ticket to take its place, and `e` waits.
fn with_ticket_of_d() -> World {
    let mut world = World::running("a b c");
    world.are_dead_to("c", "a b d e");
    world.observe("d", "remove c #1 of a b c: dead + ticket_granted").observe("e", "wait: ticket_held");
    world
}

#[test]
fn a_node_whose_etcd_can_not_join_gives_way_to_another() {
    let mut world = World::running("a b c");
    // `d` executes everything but the start of its etcd, again and again.
    let fails_to_start = |world: &mut World| {
        world.returns("d").check_ins("d").execute_unless_it_starts("d");
    };
    world.check_ins("d e").dies("c").heals(60 + 30, "a b e", fails_to_start, "a b e");
}

#[test]
fn a_node_that_was_added_as_a_voter_and_can_not_join_gives_way_to_another() {
    let mut world = World::running("a b");
    world.size(3).join_as_voters();
    let fails_to_start = |world: &mut World| {
        world.returns("d").check_ins("d").execute_unless_it_starts("d");
    };
    world.check_ins("d").execute_unless_it_starts("d").check_ins("e").heals(300, "a b e", fails_to_start, "a b e");
}

#[test]
fn a_node_that_may_not_change_the_membership_gives_way_to_another() {
    let mut world = World::running("a b c");
    let may_not = |world: &mut World| {
        world.check_ins("d");
    };
    world.check_ins("d e").dies("c").heals(60 + 30, "a b e", may_not, "a b e");
}

#[test]
fn a_node_that_may_not_promote_another_nodes_learner_gives_way_to_that_node() {
    let mut world = World::running("a b");
    world.size(3).step("e", "add learner e #1 of a b: below_size + ticket_granted");
    world
        .step("e", "join a b e: added + member_added member_updated")
        .check_ins("d")
        .pass(20)
        .observe("d", "promote e #2 of a b ~e: caught_up + ticket_released ticket_granted");
    world.pass(9).observe("d", "wait: last_in_line").pass(6).observe("d", "stand_by: full + ticket_released");
    world.observe("e", "promote e #3 of a b ~e: caught_up + ticket_granted");
}

#[test]
fn a_node_that_reaches_only_the_registry_gives_way_to_another() {
    with_ticket_of_d().partition("d").heals(
        30,
        "a b e",
        |world| {
            world.check_ins("d");
        },
        "a b e",
    );
}

#[test]
fn a_ticket_without_progress_is_taken_away_after_fifteen_seconds() {
    let mut world = with_ticket_of_d();
    world
        .pass(14)
        .observe("e", "wait: ticket_held")
        .pass(1)
        .observe("e", "remove c #2 of a b c: dead + ticket_released ticket_granted")
        .observe("d", "wait: ticket_held");
}

#[test]
fn a_node_does_not_begin_a_change_shortly_before_it_loses_the_ticket() {
    with_ticket_of_d()
        .pass(7)
        .observe("d", "remove c #1 of a b c: dead")
        .pass(1)
        .observe("d", "wait: last_in_line")
        .with_message("ticket 1 to remove the member, but etcd's member list shows no progress")
        .observe("e", "wait: ticket_held");
}

#[test]
fn a_node_that_lost_its_ticket_is_last_in_line() {
    let mut world = with_ticket_of_d();
    world
        .pass(8)
        .check_ins("d")
        .pass(7)
        .observe("d", "wait: last_in_line + ticket_released")
        .with_message("other nodes go first");
    world.observe("e", "remove c #2 of a b c: dead + ticket_granted");
}

#[test]
fn a_node_is_not_last_in_line_for_long_behind_one_that_reaches_only_the_registry() {
    let mut world = with_ticket_of_d();
    world
        .partition("d")
        .pass(15)
        .check_ins("d")
        .observe("e", "remove c #2 of a b c: dead + ticket_released ticket_granted");
    world
        .pass(8)
        .check_ins("d e")
        .pass(7)
        .check_ins("d")
        .observe("e", "wait: last_in_line + ticket_released")
        .with_message("other nodes go first");
    world.pass(20).check_ins("d").pass(14).check_ins("d").observe("e", "wait: last_in_line");
    world.pass(1).check_ins("d").observe("e", "remove c #3 of a b c: dead + ticket_granted");
}

#[test]
fn the_turn_of_a_node_begins_when_the_ticket_is_free() {
    let mut world = with_ticket_of_d();
    world.pass(15).observe("e", "remove c #2 of a b c: dead + ticket_released ticket_granted");
    world.pass(15).observe("f", "remove c #3 of a b c: dead + ticket_released ticket_granted");
    // `g` checks in like a spare that has not taken the ticket yet.
    world.pass(15).partition("g").check_ins("g").observe("d", "wait: last_in_line + ticket_released");
    world.pass(20).check_ins("e f g").observe("d", "wait: last_in_line");
    world.pass(14).check_ins("g").observe("d", "wait: last_in_line");
    world
        .pass(1)
        .check_ins("g")
        .observe("e", "wait: last_in_line")
        .observe("d", "remove c #4 of a b c: dead + ticket_granted");
}

#[test]
fn a_node_that_is_alone_tries_again_after_ten_seconds_and_then_twenty() {
    let mut world = World::running("a b c");
    world.are_dead_to("c", "a b d").observe("d", "remove c #1 of a b c: dead + ticket_granted");
    world
        .pass(8)
        .check_ins("d")
        .pass(7)
        .observe("d", "wait: last_in_line + ticket_released")
        .with_message("this node tries again at");
    world.pass(9).observe("d", "wait: last_in_line");
    world.pass(1).observe("d", "remove c #2 of a b c: dead + ticket_granted");
    world
        .pass(8)
        .check_ins("d")
        .pass(7)
        .observe("d", "wait: last_in_line + ticket_released")
        .with_message("2 times in a row");
    world.pass(19).observe("d", "wait: last_in_line");
    world.pass(1).observe("d", "remove c #3 of a b c: dead + ticket_granted");
}

#[test]
fn each_step_gets_its_own_time() {
    let mut world = with_ticket_of_d();
    world.execute("d").pass(14).observe("d", "add learner d #1 of a b: below_size + member_removed");
    world.execute("d").pass(14).observe("d", "join a b d: added + member_added member_updated");
    world.pass(14).observe("e", "wait: ticket_held");
    world.execute("d").observe("e", "stand_by: full + member_updated");
}

#[test]
fn a_node_without_a_quorum_view_takes_no_ticket_away() {
    with_ticket_of_d()
        .partition("e")
        .pass(60)
        .observe("e", "wait: no_quorum")
        .heal("e")
        .observe("e", "remove c #2 of a b c: dead + ticket_released ticket_granted");
}

#[test]
fn a_first_start_may_take_longer_while_the_node_shows_that_its_etcd_loads() {
    let mut world = with_ticket_of_d();
    world.execute("d").check_ins("d").execute("d").check_ins("d").execute("d").loads("d");
    for _ in 0..10 {
        world.pass(10).check_ins("d").observe("e", "wait: ticket_held");
    }
}

#[test]
fn a_success_ends_the_setbacks() {
    let mut world = World::running("a b c");
    world.are_dead_to("c", "a b d").observe("d", "remove c #1 of a b c: dead + ticket_granted");
    world.pass(8).check_ins("d").pass(7).observe("d", "wait: last_in_line + ticket_released").pass(10).heals(
        10,
        "a b d",
        |_| {},
        "a b d",
    );
    world.check_ins("d a");
    assert!(world.cluster.setbacks.is_empty());
}

#[test]
fn a_member_whose_removal_of_another_does_not_progress_leaves_it_to_the_others() {
    let mut world = World::running("a b c d");
    world.dies("d").evict("d").observe("a", "remove d #1 of a b c d: evicted + ticket_granted");
    world
        .pass(8)
        .check_ins("a")
        .pass(7)
        .observe("a", "wait: last_in_line + ticket_released")
        .observe("b", "remove d #2 of a b c d: evicted + ticket_granted");
}

#[test]
fn a_learner_that_does_not_answer_after_its_node_lost_the_ticket_makes_room_at_once() {
    let mut world = World::running("a b");
    world.size(3).step("c", "add learner c #1 of a b: below_size + ticket_granted");
    world
        .observe("c", "join a b c: added + member_added member_updated")
        .observe("d", "wait: ticket_held")
        .pass(15)
        .step("d", "remove c #2 of a b ~c: abandoned_learner + ticket_released ticket_granted")
        .observe("c", "wait: last_in_line + member_removed ticket_released");
}

#[test]
fn a_learner_that_catches_up_needs_no_ticket() {
    let mut world = World::running("a b");
    world.size(3).step("c", "add learner c #1 of a b: below_size + ticket_granted");
    world
        .step("c", "join a b c: added + member_added member_updated")
        .applied("c", Some(1))
        .observe("c", "wait: catching_up + member_updated");
    world.pass(15).observe("c", "wait: catching_up + ticket_released").applied("c", Some(50_000));
    world.observe("c", "promote c #2 of a b ~c: caught_up + ticket_granted");
}

/// A cluster of `a` and `b` with room for one more, of which `c` has started as learner and then died.
fn with_dead_learner_c() -> World {
    let mut world = World::running("a b");
    world.size(3).step("c", "add learner c #1 of a b: below_size + ticket_granted");
    world.step("c", "join a b c: added + member_added member_updated").check_ins("c").dies("c");
    world
}

#[test]
fn a_learner_that_has_just_been_instructed_to_start_is_not_removed_at_once() {
    with_dead_learner_c()
        .pass(7)
        .returns("c")
        .observe("c", "start a b c: own_data")
        .pass(8)
        .observe("d", "wait: learner_present + ticket_released")
        .pass(7)
        .observe("d", "remove c #2 of a b ~c: abandoned_learner + ticket_granted");
}

#[test]
fn a_learner_in_a_restart_loop_makes_room() {
    let mut world = with_dead_learner_c();
    for _ in 0..5 {
        world.pass(3).returns("c").check_ins("c");
    }
    world.observe("d", "remove c #2 of a b ~c: abandoned_learner + ticket_granted");
}

#[test]
fn a_learner_in_contact_with_the_leader_stays_although_a_spare_cannot_reach_it() {
    let mut world = World::running("a b");
    world.size(3).check_ins("c").execute("c").check_ins("c").execute("c").check_ins("c");
    // Its client is suspended, and nobody promotes it.
    world.cut("d", "c").watch(15, "d").observe("d", "wait: learner_present").members("a b ~c");
    world.observe("a", "promote c #2 of a b ~c: caught_up + ticket_granted");
}
