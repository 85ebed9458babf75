use crate::*;

#[test]
fn a_stranger_with_the_name_of_a_member_that_answers_is_refused() {
    World::running("a b c").look("c@x", "refuse: name_taken");
}

#[test]
fn a_stranger_at_the_address_of_a_member_that_answers_is_refused() {
    World::running("a b c").look("d@c", "refuse: peer_url_taken");
}

#[test]
fn a_stranger_with_the_name_of_a_member_that_just_fell_silent_waits() {
    World::running("a b c").dies("c").pass(30).look("c@x", "wait: not_dead_yet");
}

#[test]
fn a_stranger_with_the_name_of_a_dead_member_replaces_it() {
    World::running("a b c")
        .are_dead_to("c", "a b d")
        .step("c@x", "remove c #1 of a b c: dead + ticket_granted")
        .step("c@x", "add learner x #1 of a b: below_size + member_removed")
        .step("c@x", "join a b c@x: added + member_added");
}

#[test]
fn a_stranger_with_the_name_of_a_member_that_is_cut_off_is_refused() {
    World::running("a b c").cut_off("c").watch(120, "a b c").look("c@x", "refuse: name_taken");
}

#[test]
fn two_strangers_with_one_name_join_one_after_the_other_at_most() {
    World::running("a b c")
        .size(4)
        .step("d", "add learner d #1 of a b c: below_size + ticket_granted")
        .step("d", "join a b c d: added + member_added")
        .look("d@x", "refuse: name_taken + member_updated ticket_released")
        .members("a b c ~d");
}

#[test]
fn a_stranger_with_the_name_of_a_dead_member_at_the_address_of_one_that_answers_is_refused() {
    World::running("a b c").are_dead_to("c", "a b").look("c@b", "refuse: peer_url_taken");
}
