use crate::*;

const YEAR: i64 = 365 * 86_400;

#[test]
fn a_clock_that_jumps_ahead_makes_nobody_dead() {
    let mut world = World::running("a b c");
    world.dies("c").check_ins("a b d").pass(YEAR).look("d", "wait: not_dead_yet");
}

#[test]
fn a_clock_that_jumps_ahead_does_not_unseat_those_who_answer() {
    World::running("a b c").pass(YEAR).look("d", "stand_by: full").look("a", "wait: healthy");
}

#[test]
fn a_clock_that_jumps_back_makes_nobody_dead() {
    let mut world = World::running("a b c");
    world.dies("c").watch(55, "a b d").pass(-YEAR).look("d", "wait: not_dead_yet");
}

#[test]
fn a_member_dies_for_good_after_a_clock_that_jumped_ahead() {
    let mut world = World::running("a b c");
    world.pass(YEAR).check_ins("a b c").are_dead_to("c", "a b d");
    world.look("d", "remove c #1 of a b c: dead + ticket_granted");
}

#[test]
fn a_clock_that_jumps_ahead_takes_a_ticket_back_and_gives_it_anew() {
    World::running("a b c")
        .size(4)
        .look("d", "add learner d #1 of a b c: below_size + ticket_granted")
        .pass(YEAR)
        .look("d", "add learner d #2 of a b c: below_size + ticket_released ticket_granted");
}

#[test]
fn a_clock_that_jumps_back_leaves_a_ticket_with_its_holder() {
    World::running("a b c")
        .size(4)
        .look("d", "add learner d #1 of a b c: below_size + ticket_granted")
        .pass(-YEAR)
        .look("e", "wait: ticket_held")
        .look("d", "add learner d #1 of a b c: below_size");
}
