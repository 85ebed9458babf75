use crate::*;

const YEAR: i64 = 365 * 86_400;

#[test]
fn a_clock_that_jumps_ahead_makes_no_member_dead() {
    let mut world = World::running("a b c");
    world.dies("c").check_ins("a b d").pass(YEAR).observe("d", "wait: not_dead_yet");
}

#[test]
fn a_clock_that_jumps_ahead_removes_no_member_that_answers() {
    World::running("a b c").pass(YEAR).observe("d", "stand_by: full").observe("a", "wait: healthy");
}

#[test]
fn a_clock_that_jumps_back_makes_no_member_dead() {
    let mut world = World::running("a b c");
    world.dies("c").watch(55, "a b d").pass(-YEAR).observe("d", "wait: not_dead_yet");
}

#[test]
fn a_member_can_count_as_dead_after_a_clock_jumped_ahead() {
    let mut world = World::running("a b c");
    world.pass(YEAR).check_ins("a b c").are_dead_to("c", "a b d");
    world.observe("d", "remove c #1 of a b c: dead + ticket_granted");
}

#[test]
fn a_clock_that_jumps_ahead_ends_a_lease_and_the_ticket_is_granted_again() {
    World::running("a b c")
        .size(4)
        .observe("d", "add learner d #1 of a b c: below_size + ticket_granted")
        .pass(YEAR)
        .observe("d", "add learner d #2 of a b c: below_size + ticket_released ticket_granted");
}

#[test]
fn a_clock_that_jumps_back_ends_no_lease() {
    World::running("a b c")
        .size(4)
        .observe("d", "add learner d #1 of a b c: below_size + ticket_granted")
        .pass(-YEAR)
        .observe("e", "wait: ticket_held")
        .observe("d", "add learner d #1 of a b c: below_size");
}

#[test]
fn a_refusal_is_recorded_again_after_a_clock_jumped_back() {
    let mut world = World::running("a");
    world.refuses("a", "start", "it runs elsewhere").observe("a", "wait: healthy + node_refused");
    world.pass(-YEAR).observe("a", "wait: healthy + node_refused").observe("a", "wait: healthy");
}
