//! Nodes that nobody checks in for once their etcd was started: other nodes without data finish what they began.

use crate::*;

/// A cluster of `a` and `b` that is to have this size, of which `c` has joined as learner and then fallen silent.
fn with_learner_c(size: u32) -> World {
    let mut world = World::running("a b");
    world
        .size(size)
        .step("c", "add learner c #1 of a b: below_size + ticket_granted")
        .step("c", "join a b c: added + member_added");
    world
}

#[test]
fn the_next_node_promotes_a_learner_once_the_ticket_has_lapsed() {
    with_learner_c(3)
        .look("d", "stand_by: full + member_updated")
        .pass(59)
        .look("d", "stand_by: full")
        .pass(1)
        .step("d", "promote c #2 of a b ~c: caught_up + ticket_released ticket_granted")
        .look("d", "stand_by: full + member_promoted ticket_released")
        .members("a b c");
}

#[test]
fn the_next_node_promotes_a_learner_and_joins_then() {
    with_learner_c(4)
        .look("d", "wait: ticket_held + member_updated")
        .pass(60)
        .step("d", "promote c #2 of a b ~c: caught_up + ticket_released ticket_granted")
        .step("d", "add learner d #3 of a b c: below_size + member_promoted ticket_released ticket_granted")
        .step("d", "join a b c d: added + member_added");
}

#[test]
fn a_cluster_gets_to_full_strength_by_nodes_that_only_join() {
    World::formed("a")
        .joins_for("b c d", 3)
        .step("b", "add learner b #1 of a: below_size + bootstrapped member_updated size_set ticket_granted")
        .step("b", "join a b: added + member_added")
        .look("c", "wait: ticket_held + member_updated")
        .pass(60)
        .step("c", "promote b #2 of a ~b: caught_up + ticket_released ticket_granted")
        .step("c", "add learner c #3 of a b: below_size + member_promoted ticket_released ticket_granted")
        .step("c", "join a b c: added + member_added")
        .pass(60)
        .step("d", "promote c #4 of a b ~c: caught_up + member_updated ticket_released ticket_granted")
        .look("d", "stand_by: full + member_promoted ticket_released")
        .members("a b c");
}

#[test]
fn a_dead_member_is_replaced_by_nodes_that_only_join() {
    World::formed("a b c")
        .are_dead_to("c", "d")
        .step("d", "remove c #1 of a b c: dead + ticket_granted")
        .step("d", "add learner d #1 of a b: below_size + member_removed")
        .step("d", "join a b d: added + member_added")
        .pass(60)
        .step("e", "promote d #2 of a b ~d: caught_up + member_updated ticket_released ticket_granted")
        .look("e", "stand_by: full + member_promoted ticket_released")
        .members("a b d");
}

#[test]
fn a_learner_that_is_behind_is_waited_for() {
    let mut world = with_learner_c(4);
    world.applied("c", Some(48_999)).pass(60);
    world.look("d", "wait: catching_up + member_updated ticket_released").saying("1001 log entries");
    world.applied("c", Some(49_000)).look("d", "promote c #2 of a b ~c: caught_up + ticket_granted");
}

#[test]
fn a_learner_that_is_behind_makes_the_cluster_full_before_it_is_promoted() {
    let mut world = with_learner_c(3);
    world.applied("c", None).pass(60).look("d", "stand_by: full + member_updated ticket_released");
    world.once("e").look("e", "refuse: full");
    world.applied("c", Some(50_000)).look("e", "promote c #2 of a b ~c: caught_up + ticket_granted");
    world.look("d", "stand_by: full").obey("e").look("e", "refuse: full + member_promoted ticket_released");
}

#[test]
fn a_learner_that_never_started_is_removed_once_it_is_dead() {
    let mut world = World::running("a b");
    world.size(3).step("c", "add learner c #1 of a b: below_size + ticket_granted").check_ins("c");
    world
        .watch(55, "d")
        .look("d", "wait: ticket_held")
        .pass(5)
        .step("d", "remove c #2 of a b ~c: abandoned_learner + ticket_released ticket_granted")
        .step("d", "add learner d #3 of a b: below_size + member_removed ticket_released ticket_granted");
}

#[test]
fn a_learner_that_died_is_removed_once_it_is_dead() {
    with_learner_c(3)
        .check_ins("d")
        .are_dead_to("c", "d")
        .step("d", "remove c #2 of a b ~c: abandoned_learner + ticket_granted")
        .step("d", "add learner d #3 of a b: below_size + member_removed ticket_released ticket_granted");
}

#[test]
fn a_voter_that_joined_and_fell_silent_has_nothing_left_to_do() {
    World::running("a b c")
        .size(5)
        .join_as_voters()
        .step("d", "add voter d #1 of a b c: below_size + ticket_granted")
        .step("d", "join a b c d: added + member_added")
        .look("e", "add voter e #2 of a b c d: below_size + member_updated ticket_released ticket_granted");
}

#[test]
fn a_learner_that_somebody_promoted_needs_no_ticket_any_more() {
    with_learner_c(4)
        .etcdctl_promotes("c")
        .look("d", "add learner d #2 of a b c: below_size + member_promoted ticket_released ticket_granted");
}

#[test]
fn a_learner_whose_node_speaks_again_is_promoted_by_it() {
    with_learner_c(4)
        .pass(600)
        .look("c", "promote c #2 of a b ~c: caught_up + member_updated ticket_released ticket_granted")
        .look("d", "wait: ticket_held")
        .obey("c")
        .look("d", "add learner d #3 of a b c: below_size + member_promoted ticket_released ticket_granted");
}

#[test]
fn a_learner_whose_node_speaks_again_waits_for_who_is_promoting_it() {
    with_learner_c(3)
        .pass(60)
        .look("d", "promote c #2 of a b ~c: caught_up + member_updated ticket_released ticket_granted")
        .look("c", "wait: ticket_held")
        .obey("d")
        .look("c", "wait: healthy + member_promoted ticket_released");
}

#[test]
fn a_node_that_vanishes_while_it_promotes_is_followed_by_the_next_one() {
    with_learner_c(3)
        .pass(60)
        .look("d", "promote c #2 of a b ~c: caught_up + member_updated ticket_released ticket_granted")
        .look("e", "stand_by: full")
        .pass(60)
        .look("e", "promote c #3 of a b ~c: caught_up + ticket_released ticket_granted");
}

#[test]
fn a_node_that_was_to_promote_a_learner_that_goes_down_gives_its_ticket_back() {
    with_learner_c(3)
        .pass(60)
        .look("d", "promote c #2 of a b ~c: caught_up + member_updated ticket_released ticket_granted")
        .dies("c")
        .look("d", "wait: learner_present + ticket_released");
}

#[test]
fn a_node_that_was_to_promote_a_learner_that_is_not_wanted_any_more_gives_its_ticket_back() {
    with_learner_c(3)
        .pass(60)
        .look("d", "promote c #2 of a b ~c: caught_up + member_updated ticket_released ticket_granted")
        .size(2)
        .look("d", "stand_by: full + ticket_released");
}

#[test]
fn a_node_without_data_leaves_a_learner_too_many_to_the_members() {
    let mut world = with_learner_c(3);
    world.pass(60).size(2).look("d", "stand_by: full + member_updated ticket_released");
    world.look("a", "remove c #2 of a b ~c: full + ticket_granted");
}

#[test]
fn a_node_without_data_promotes_no_learner_that_was_evicted() {
    let mut world = with_learner_c(3);
    world.check_ins("a").evict("c").pass(60).look("d", "stand_by: full + ticket_released");
    world.look("a", "remove c #2 of a b ~c: evicted + ticket_granted");
}

#[test]
fn a_node_without_data_promotes_nobody_while_the_cluster_is_paused_or_prepared() {
    with_learner_c(3).pass(60).pause().look("d", "wait: paused + member_updated ticket_released");
    let mut world = with_learner_c(3);
    world.pass(60).strategy(Strategy::Prepared).look("d", "wait: strategy + member_updated ticket_released");
    let mut world = with_learner_c(3);
    world.pass(60).joins_by("d", Strategy::Prepared).look("d", "wait: strategy + member_updated ticket_released");
}

#[test]
fn a_node_with_a_smaller_size_of_its_own_promotes_a_learner_all_the_same() {
    let mut world = with_learner_c(4);
    world.pass(60).joins_for("d", 2);
    world.step("d", "promote c #2 of a b ~c: caught_up + member_updated ticket_released ticket_granted");
    world.look("d", "stand_by: full + member_promoted ticket_released");
}

#[test]
fn a_node_that_was_to_join_promotes_a_learner_that_an_administrator_added_first() {
    let mut world = World::running("a b");
    world.size(4).look("d", "add learner d #1 of a b: below_size + ticket_granted");
    world.etcdctl_adds("c").look("d", "wait: learner_present + member_added ticket_released");
    world.check_ins("c").obey("c").pass(60);
    world.step("d", "promote add1 #3 of a ~add1 b: caught_up + member_updated ticket_released ticket_granted");
}
