use crate::*;

/// A cluster of three with a free place, which `c` has the ticket to take.
fn with_ticket() -> World {
    let mut world = World::running("a b");
    world.size(3).look("c", "add learner c #1 of a b: below_size + ticket_granted");
    world
}

#[test]
fn one_of_two_joiners_gets_the_ticket_and_the_other_waits() {
    with_ticket().look("d", "wait: ticket_held").look("c", "add learner c #1 of a b: below_size");
}

#[test]
fn a_ticket_lasts_as_long_as_its_holder_checks_in() {
    with_ticket().watch(600, "c").look("d", "wait: ticket_held").look("c", "add learner c #1 of a b: below_size");
}

#[test]
fn a_holder_that_dies_before_it_acts_loses_the_ticket_after_a_minute() {
    with_ticket()
        .pass(59)
        .look("d", "wait: ticket_held")
        .pass(1)
        .look("d", "add learner d #2 of a b: below_size + ticket_released ticket_granted");
}

#[test]
fn a_server_that_just_started_waits_a_minute_for_the_holder() {
    with_ticket().pass(60).server_restarts().look("d", "wait: ticket_held");
}

#[test]
fn a_holder_that_dies_after_it_removed_leaves_a_free_place() {
    let mut world = World::running("a b c");
    world.are_dead_to("c", "a b d e").step("d", "remove c #1 of a b c: dead + ticket_granted");
    world.pass(60).look("e", "add learner e #2 of a b: below_size + member_removed ticket_released ticket_granted");
}

#[test]
fn a_holder_that_comes_back_after_it_removed_goes_on() {
    let mut world = World::running("a b c");
    world.are_dead_to("c", "a b d").step("d", "remove c #1 of a b c: dead + ticket_granted");
    world.returns("d").ask("d", "observe: look_needed");
    world.look("d", "add learner d #1 of a b: below_size + member_removed");
}

#[test]
fn a_holder_that_dies_after_it_was_added_leaves_a_learner_that_is_removed_when_it_is_dead() {
    let mut world = with_ticket();
    world
        .obey("c")
        .watch(55, "d")
        .look("d", "wait: ticket_held")
        .pass(5)
        .look("d", "wait: learner_present + ticket_released")
        .pass(5)
        .step("d", "remove c #2 of a b ~c: abandoned_learner + ticket_granted")
        .step("d", "add learner d #3 of a b: below_size + member_removed ticket_released ticket_granted");
}

#[test]
fn an_abandoned_learner_is_removed_by_a_member_if_nobody_else_is_there() {
    let mut world = with_ticket();
    world.obey("c").watch(60, "a b").pass(5);
    world
        .step("a", "remove c #2 of a b ~c: abandoned_learner + ticket_granted")
        .look("a", "wait: healthy + member_removed ticket_released")
        .members("a b");
}

#[test]
fn a_holder_that_comes_back_after_it_was_added_joins() {
    with_ticket().obey("c").check_ins("a").returns("c").look("c", "join a b c: added");
}

#[test]
fn a_holder_that_comes_back_after_its_ticket_lapsed_joins_with_another() {
    with_ticket().obey("c").check_ins("a").pass(600).look("c", "join a b c: added + ticket_released ticket_granted");
}

#[test]
fn a_learner_that_is_back_before_it_is_given_up_stays() {
    let mut world = with_ticket();
    world.obey("c").watch(60, "a b").pass(5);
    world
        .look("d", "remove c #2 of a b ~c: abandoned_learner + ticket_granted")
        .look("c", "wait: ticket_held")
        .look("d", "wait: learner_present + ticket_released")
        .look("c", "join a b c: added + ticket_granted");
}

#[test]
fn a_holder_that_dies_as_a_started_learner_is_given_up_when_it_is_dead() {
    let mut world = with_ticket();
    world.obey("c").check_ins("c").obey("c").check_ins("c").are_dead_to("c", "a b");
    world.look("a", "remove c #2 of a b ~c: abandoned_learner").look("d", "wait: ticket_held");
}

#[test]
fn a_holder_that_dies_once_it_was_promoted_has_nothing_left_to_do() {
    let mut world = with_ticket();
    world.obey("c").check_ins("c").obey("c").check_ins("c").obey("c");
    world.look("a", "wait: healthy + member_promoted ticket_released").members("a b c");
}

#[test]
fn a_late_member_of_a_lapsed_ticket_is_taken_as_it_is() {
    with_ticket()
        .pass(60)
        .look("d", "add learner d #2 of a b: below_size + ticket_released ticket_granted")
        .look("c", "wait: ticket_held");
}

#[test]
fn a_check_in_that_was_overtaken_by_the_next_one_takes_no_ticket_back() {
    let mut world = World::running("a b");
    world.size(3).numbered("c", 7).look("c", "add learner c #1 of a b: below_size + ticket_granted");
    world.numbered("c", 6).wants_to_leave("c").report("c", "wait: overtaken");
    world.look("d", "wait: ticket_held");
}
