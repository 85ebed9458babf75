use crate::*;

#[test]
fn a_node_with_the_name_of_a_member_that_answers_is_refused() {
    World::running("a b c").observe("c@x", "refuse: name_taken");
}

#[test]
fn a_node_with_the_peer_urls_of_a_member_that_answers_is_refused() {
    World::running("a b c").observe("d@c", "refuse: peer_url_taken");
}

#[test]
fn a_node_with_the_name_of_a_member_that_just_fell_silent_waits() {
    World::running("a b c").dies("c").pass(30).observe("c@x", "wait: not_dead_yet");
}

#[test]
fn a_node_with_the_name_of_a_dead_member_replaces_it() {
    World::running("a b c")
        .are_dead_to("c", "a b d")
        .step("c@x", "remove c #1 of a b c: dead + ticket_granted")
        .step("c@x", "add learner x #1 of a b: below_size + member_removed")
        .step("c@x", "join a b c@x: added + member_added member_updated");
}

#[test]
fn a_node_with_the_name_of_a_partitioned_member_is_refused() {
    World::running("a b c").partition("c").watch(120, "a b c").observe("c@x", "refuse: name_taken");
}

#[test]
fn two_nodes_with_one_name_join_one_by_one_at_most() {
    World::running("a b c")
        .size(4)
        .step("d", "add learner d #1 of a b c: below_size + ticket_granted")
        .step("d", "join a b c d: added + member_added member_updated")
        .observe("d@x", "refuse: name_taken + member_updated ticket_released")
        .members("a b c ~d");
}

#[test]
fn a_node_with_a_dead_members_name_and_a_live_members_peer_urls_is_refused() {
    World::running("a b c").are_dead_to("c", "a b").observe("c@b", "refuse: peer_url_taken");
}
