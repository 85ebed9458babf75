use crate::*;

/// A cluster of three with a free place, which `c` has the ticket to take.
fn with_ticket() -> World {
    let mut world = World::running("a b");
    world.size(3).observe("c", "add learner c #1 of a b: below_size + ticket_granted");
    world
}

#[test]
fn one_of_two_joining_nodes_gets_the_ticket_and_the_other_waits() {
    with_ticket().observe("d", "wait: ticket_held").observe("c", "add learner c #1 of a b: below_size");
}

#[test]
fn a_holder_that_dies_before_its_first_step_loses_the_ticket_after_fifteen_seconds() {
    with_ticket()
        .pass(14)
        .observe("d", "wait: ticket_held")
        .pass(1)
        .observe("d", "add learner d #2 of a b: below_size + ticket_released ticket_granted");
}

#[test]
fn the_time_before_a_server_start_does_not_count() {
    with_ticket()
        .pass(60)
        .server_restarts()
        .observe("d", "wait: ticket_held")
        .pass(15)
        .observe("d", "add learner d #2 of a b: below_size + ticket_released ticket_granted");
}

#[test]
fn a_holder_that_dies_after_its_removal_step_leaves_a_free_place() {
    let mut world = World::running("a b c");
    world.are_dead_to("c", "a b d e").step("d", "remove c #1 of a b c: dead + ticket_granted");
    world.pass(60).observe("e", "add learner e #2 of a b: below_size + member_removed ticket_released ticket_granted");
}

#[test]
fn a_holder_that_returns_after_its_removal_step_continues() {
    let mut world = World::running("a b c");
    world.are_dead_to("c", "a b d").step("d", "remove c #1 of a b c: dead + ticket_granted");
    world.returns("d").ask("d", "observe: look_needed");
    world.observe("d", "add learner d #1 of a b: below_size + member_removed");
}

#[test]
fn a_holder_that_dies_after_it_was_added_leaves_a_learner_that_makes_room() {
    let mut world = with_ticket();
    world
        .execute("c")
        .observe("d", "wait: ticket_held + member_added")
        .pass(14)
        .observe("d", "wait: ticket_held")
        .pass(1)
        .step("d", "remove c #2 of a b ~c: abandoned_learner + ticket_released ticket_granted")
        .step("d", "add learner d #3 of a b: below_size + member_removed ticket_released ticket_granted");
}

#[test]
fn a_dead_learner_is_removed_by_a_member_if_there_is_no_spare() {
    let mut world = with_ticket();
    world.execute("c").watch(60, "a b").pass(5);
    world
        .step("a", "remove c #2 of a b ~c: abandoned_learner + ticket_granted")
        .observe("a", "wait: healthy + member_removed ticket_released")
        .members("a b");
}

#[test]
fn a_holder_that_returns_after_it_was_added_joins() {
    with_ticket().execute("c").check_ins("a").returns("c").observe("c", "join a b c: added + member_updated");
}

#[test]
fn a_holder_that_returns_after_its_lease_joins_with_another_ticket() {
    with_ticket()
        .execute("c")
        .check_ins("a")
        .pass(600)
        .observe("c", "join a b c: added + ticket_released ticket_granted member_updated");
}

#[test]
fn a_learner_whose_node_only_checks_in_before_its_removal_is_removed() {
    let mut world = with_ticket();
    world.execute("c").check_ins("a").pass(15);
    world
        .observe("d", "remove c #2 of a b ~c: abandoned_learner + ticket_released ticket_granted")
        .observe("c", "wait: ticket_held")
        .observe("d", "remove c #2 of a b ~c: abandoned_learner");
}

#[test]
fn a_learner_that_answers_before_its_removal_is_promoted() {
    let mut world = with_ticket();
    world.execute("c").check_ins("c a").pass(15);
    world
        .observe("d", "remove c #2 of a b ~c: abandoned_learner + ticket_released ticket_granted")
        .execute("c")
        .observe("d", "promote c #3 of a b ~c: caught_up + member_updated ticket_released ticket_granted");
}

#[test]
fn a_holder_that_dies_as_a_started_learner_is_removed_when_it_is_dead() {
    let mut world = with_ticket();
    world.execute("c").check_ins("c").execute("c").check_ins("c").are_dead_to("c", "a b");
    world.observe("a", "remove c #2 of a b ~c: abandoned_learner").observe("d", "wait: ticket_held");
}

#[test]
fn the_ticket_of_a_holder_that_dies_after_its_promotion_is_done() {
    let mut world = with_ticket();
    world.execute("c").check_ins("c").execute("c").check_ins("c").execute("c");
    world.observe("a", "wait: healthy + member_promoted ticket_released").members("a b c");
}

#[test]
fn a_member_that_was_added_after_its_lease_is_accepted() {
    with_ticket()
        .pass(60)
        .observe("d", "add learner d #2 of a b: below_size + ticket_released ticket_granted")
        .observe("c", "wait: ticket_held");
}

#[test]
fn a_check_in_that_was_overtaken_releases_no_ticket() {
    let mut world = World::running("a b");
    world.size(3).numbered("c", 7).observe("c", "add learner c #1 of a b: below_size + ticket_granted");
    world.numbered("c", 6).starts_to_leave("c").report("c", "wait: overtaken");
    world.observe("d", "wait: ticket_held");
}
