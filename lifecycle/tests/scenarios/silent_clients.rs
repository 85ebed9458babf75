//! Nodes whose client exits after it started etcd: other nodes without data finish the change.

use crate::*;

/// A cluster of `a` and `b` that is to have this size, of which `c` has joined as learner and then fallen silent.
fn with_learner_c(size: u32) -> World {
    let mut world = World::running("a b");
    world
        .size(size)
        .step("c", "add learner c #1 of a b: below_size + ticket_granted")
        .step("c", "join a b c: added + member_added member_updated");
    world
}

#[test]
fn the_next_node_promotes_a_learner_once_the_lease_has_expired() {
    with_learner_c(3)
        .observe("d", "stand_by: full + member_updated")
        .pass(14)
        .observe("d", "stand_by: full")
        .pass(1)
        .step("d", "promote c #2 of a b ~c: caught_up + ticket_released ticket_granted")
        .observe("d", "stand_by: full + member_promoted ticket_released")
        .members("a b c");
}

#[test]
fn the_next_node_promotes_a_learner_and_joins_then() {
    with_learner_c(4)
        .observe("d", "wait: ticket_held + member_updated")
        .pass(60)
        .step("d", "promote c #2 of a b ~c: caught_up + ticket_released ticket_granted")
        .step("d", "add learner d #3 of a b c: below_size + member_promoted ticket_released ticket_granted")
        .step("d", "join a b c d: added + member_added member_updated");
}

#[test]
fn a_cluster_reaches_its_size_with_nodes_that_only_join() {
    let mut world = World::formed("a");
    world.cluster.policy.stock_writes = StockWrites::Allow;
    world
        .joins_for("b c d", 3)
        .step(
            "b",
            "add learner b #1 of a: below_size + bootstrapped member_updated size_set ticket_granted member_updated",
        )
        .step("b", "join a b: added + member_added member_updated")
        .observe("c", "wait: ticket_held + member_updated")
        .pass(60)
        .step("c", "promote b #2 of a ~b: caught_up + ticket_released ticket_granted")
        .step("c", "add learner c #3 of a b: below_size + member_promoted ticket_released ticket_granted")
        .step("c", "join a b c: added + member_added member_updated")
        .pass(60)
        .step("d", "promote c #4 of a b ~c: caught_up + member_updated ticket_released ticket_granted")
        .observe("d", "stand_by: full + member_promoted ticket_released")
        .members("a b c");
}

#[test]
fn a_dead_member_is_replaced_by_nodes_that_only_join() {
    World::formed("a b c")
        .are_dead_to("c", "d")
        .step("d", "remove c #1 of a b c: dead + ticket_granted")
        .step("d", "add learner d #1 of a b: below_size + member_removed")
        .step("d", "join a b d: added + member_added member_updated")
        .pass(60)
        .step("e", "promote d #2 of a b ~d: caught_up + member_updated ticket_released ticket_granted")
        .observe("e", "stand_by: full + member_promoted ticket_released")
        .members("a b d");
}

#[test]
fn a_spare_waits_for_a_learner_that_is_behind() {
    let mut world = with_learner_c(4);
    world.applied("c", Some(48_999)).pass(60);
    world.observe("d", "wait: catching_up + member_updated ticket_released").with_message("1001 log entries");
    world.applied("c", Some(49_000)).observe("d", "promote c #2 of a b ~c: caught_up + ticket_granted");
}

#[test]
fn a_learner_that_is_behind_makes_the_cluster_full_before_it_is_promoted() {
    let mut world = with_learner_c(3);
    world.applied("c", None).pass(60).observe("d", "stand_by: full + member_updated ticket_released");
    world.once("e").observe("e", "refuse: full");
    world.applied("c", Some(50_000)).observe("e", "promote c #2 of a b ~c: caught_up + ticket_granted");
    world.observe("d", "stand_by: full").execute("e").observe("e", "refuse: full + member_promoted ticket_released");
}

#[test]
fn a_learner_that_never_started_is_removed_once_its_node_lost_the_ticket() {
    let mut world = World::running("a b");
    world.size(3).step("c", "add learner c #1 of a b: below_size + ticket_granted").check_ins("c");
    world
        .pass(14)
        .observe("d", "wait: ticket_held")
        .pass(1)
        .step("d", "remove c #2 of a b ~c: abandoned_learner + ticket_released ticket_granted")
        .step("d", "add learner d #3 of a b: below_size + member_removed ticket_released ticket_granted");
}

#[test]
fn a_learner_that_died_is_removed_once_its_node_lost_the_ticket() {
    with_learner_c(3)
        .check_ins("d")
        .dies("c")
        .pass(15)
        .step("d", "remove c #2 of a b ~c: abandoned_learner + ticket_released ticket_granted")
        .step("d", "add learner d #3 of a b: below_size + member_removed ticket_released ticket_granted");
}

#[test]
fn the_ticket_of_a_voter_that_joined_and_fell_silent_is_done() {
    World::running("a b c")
        .size(5)
        .join_as_voters()
        .step("d", "add voter d #1 of a b c: below_size + ticket_granted")
        .step("d", "join a b c d: added + member_added member_updated")
        .observe("e", "add voter e #2 of a b c d: below_size + member_updated ticket_released ticket_granted");
}

#[test]
fn the_ticket_of_a_learner_that_was_promoted_elsewhere_is_done() {
    with_learner_c(4)
        .etcdctl_promotes("c")
        .observe("d", "add learner d #2 of a b c: below_size + member_promoted ticket_released ticket_granted");
}

#[test]
fn a_learner_whose_node_checks_in_again_is_promoted_by_that_node() {
    with_learner_c(4)
        .pass(600)
        .observe("c", "promote c #2 of a b ~c: caught_up + member_updated ticket_released ticket_granted")
        .observe("d", "wait: ticket_held")
        .execute("c")
        .observe("d", "add learner d #3 of a b c: below_size + member_promoted ticket_released ticket_granted");
}

#[test]
fn a_learner_whose_node_checks_in_again_waits_for_the_node_that_promotes_it() {
    with_learner_c(3)
        .pass(60)
        .observe("d", "promote c #2 of a b ~c: caught_up + member_updated ticket_released ticket_granted")
        .observe("c", "wait: ticket_held")
        .execute("d")
        .observe("c", "wait: healthy + member_promoted ticket_released");
}

#[test]
fn the_next_node_promotes_after_a_node_that_died_while_it_promoted() {
    with_learner_c(3)
        .pass(60)
        .observe("d", "promote c #2 of a b ~c: caught_up + member_updated ticket_released ticket_granted")
        .observe("e", "stand_by: full")
        .pass(60)
        .observe("e", "promote c #3 of a b ~c: caught_up + ticket_released ticket_granted");
}

#[test]
fn a_node_releases_its_ticket_if_the_learner_that_it_promotes_goes_down() {
    with_learner_c(3)
        .pass(60)
        .observe("d", "promote c #2 of a b ~c: caught_up + member_updated ticket_released ticket_granted")
        .dies("c")
        .observe("d", "wait: learner_present + ticket_released");
}

#[test]
fn a_node_releases_its_ticket_if_the_learner_that_it_promotes_is_evicted() {
    with_learner_c(3)
        .pass(60)
        .observe("d", "promote c #2 of a b ~c: caught_up + member_updated ticket_released ticket_granted")
        .size(2)
        .observe("d", "stand_by: full + ticket_released");
}

#[test]
fn a_node_without_data_does_not_remove_a_surplus_learner() {
    let mut world = with_learner_c(3);
    world.pass(60).size(2).observe("d", "stand_by: full + member_updated ticket_released");
    world.observe("a", "remove c #2 of a b ~c: full + ticket_granted");
}

#[test]
fn a_node_without_data_removes_a_learner_that_was_evicted() {
    let mut world = with_learner_c(3);
    world.check_ins("a").evict("c").pass(60);
    world.observe("d", "remove c #2 of a b ~c: evicted + ticket_released ticket_granted");
}

#[test]
fn a_node_without_data_promotes_no_learner_while_the_cluster_is_paused_or_prepared() {
    with_learner_c(3).pass(60).pause().observe("d", "wait: paused + member_updated ticket_released");
    let mut world = with_learner_c(3);
    world.pass(60).strategy(Strategy::Prepared).observe("d", "wait: strategy + member_updated ticket_released");
    let mut world = with_learner_c(3);
    world.pass(60).joins_by("d", Strategy::Prepared).observe("d", "wait: strategy + member_updated ticket_released");
}

#[test]
fn a_node_with_a_smaller_size_of_its_own_promotes_a_learner() {
    let mut world = with_learner_c(4);
    world.pass(60).joins_for("d", 2);
    world.step("d", "promote c #2 of a b ~c: caught_up + member_updated ticket_released ticket_granted");
    world.observe("d", "stand_by: full + member_promoted ticket_released");
}

#[test]
fn a_joining_node_first_promotes_a_learner_that_an_administrator_added() {
    let mut world = World::running("a b");
    world.size(4).observe("d", "add learner d #1 of a b: below_size + ticket_granted");
    world.etcdctl_adds("c").observe("d", "wait: learner_present + member_added ticket_released");
    world.check_ins("c").execute("c").pass(60);
    world.step("d", "promote add1 #3 of a ~add1 b: caught_up + member_updated ticket_released ticket_granted");
}
