use crate::*;

#[test]
fn a_member_that_checks_in_but_does_not_answer_is_cut_off_and_not_dead() {
    World::running("a b c")
        .cut_off("c")
        .watch(600, "a b c d")
        .look("d", "wait: partition")
        .look("a", "wait: partition")
        .members("a b c");
}

#[test]
fn a_minority_sees_no_quorum() {
    World::running("a b c").cut_off("c").size(4).wants_to_leave("c").look("c", "wait: no_quorum").saying("a (");
}

#[test]
fn a_member_that_answers_but_does_not_check_in_is_not_dead() {
    World::running("a b c").watch(600, "a b d").look("d", "stand_by: full");
}

#[test]
fn a_spare_in_a_minority_sees_no_quorum() {
    World::running("a b c").cut_off("d").watch(600, "a b c d").look("d", "wait: no_quorum");
}

#[test]
fn views_of_a_minority_do_not_make_anybody_dead() {
    let mut world = World::running("a b c");
    world.cut_off("c").watch(600, "c").heal("c").dies("b").look("d", "wait: not_dead_yet");
}

#[test]
fn a_member_that_nobody_reaches_but_that_one_reaches_is_alive() {
    World::running("a b c").hide("c").watch(600, "a b c d").look("d", "wait: partition");
}

#[test]
fn a_view_of_another_cluster_is_nothing_to_rest_on() {
    World::running("a b c").look_wrong("d", |view| view.cluster = Some(ClusterId(0xbad)), "wait: foreign_cluster");
}

#[test]
fn a_view_from_before_a_change_is_nothing_to_rest_on() {
    World::running("a b c")
        .glance("d")
        .size(4)
        .step("e", "add learner e #1 of a b c: below_size + ticket_granted")
        .look("e", "join a b c e: added + member_added")
        .report("d", "observe: look_needed");
}

#[test]
fn a_view_from_the_future_is_taken_as_it_is() {
    World::running("a b c").look_wrong("d", |view| view.since = Revision(u64::MAX), "stand_by: full");
}

#[test]
fn members_without_a_leader_have_no_quorum() {
    World::running("a b c").look_wrong("d", |view| view.leader = None, "wait: no_quorum").saying("no leader");
}
