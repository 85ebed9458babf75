use crate::*;

#[test]
fn a_member_that_checks_in_but_does_not_answer_is_partitioned_and_not_dead() {
    World::running("a b c")
        .partition("c")
        .watch(600, "a b c d")
        .observe("d", "wait: partition")
        .observe("a", "wait: partition")
        .members("a b c");
}

#[test]
fn a_minority_sees_no_quorum() {
    World::running("a b c")
        .partition("c")
        .size(4)
        .starts_to_leave("c")
        .observe("c", "wait: no_quorum")
        .with_message("a (");
}

#[test]
fn a_member_that_answers_but_does_not_check_in_is_not_dead() {
    World::running("a b c").watch(600, "a b d").observe("d", "stand_by: full");
}

#[test]
fn a_spare_in_a_minority_sees_no_quorum() {
    World::running("a b c").partition("d").watch(600, "a b c d").observe("d", "wait: no_quorum");
}

#[test]
fn views_of_a_minority_make_no_member_dead() {
    let mut world = World::running("a b c");
    world.partition("c").watch(600, "c").heal("c").dies("b").observe("d", "wait: not_dead_yet");
}

#[test]
fn a_member_that_one_node_reaches_is_alive() {
    World::running("a b c").hide("c").watch(600, "a b c d").observe("d", "wait: partition");
}

#[test]
fn a_view_of_another_cluster_decides_nothing() {
    World::running("a b c").observe_wrongly("d", |view| view.cluster = Some(ClusterId(0xbad)), "wait: foreign_cluster");
}

#[test]
fn a_view_from_before_a_change_is_too_old() {
    World::running("a b c")
        .take_view("d")
        .size(4)
        .step("e", "add learner e #1 of a b c: below_size + ticket_granted")
        .observe("e", "join a b c e: added + member_added member_updated")
        .report("d", "observe: look_needed");
}

#[test]
fn a_dead_member_is_removed_on_a_recent_view_only() {
    let mut world = World::running("a b c");
    world.are_dead_to("c", "a b d").numbered("d", 1).ask("d", "observe: look_needed").take_view("d");
    world.pass(11).numbered("d", 2).report("d", "observe: look_needed").take_view("d");
    world.pass(10).numbered("d", 3).report("d", "remove c #1 of a b c: dead + ticket_granted");
}

#[test]
fn a_view_from_before_an_interruption_of_the_registry_removes_nobody() {
    let mut world = World::running("a b c");
    world.are_dead_to("c", "a b").server_restarts().watch(60, "a b").pass(5).take_view("d");
    world.numbered("d", 7).report("d", "observe: look_needed").take_view("d");
    world.numbered("d", 8).report("d", "remove c #1 of a b c: dead + ticket_granted");
}

#[test]
fn a_learner_that_was_reached_since_a_view_was_taken_stays() {
    let mut world = World::running("a b");
    world.size(3).step("c", "add learner c #1 of a b: below_size + ticket_granted");
    world.hide_peer_urls("c").step("c", "join a b c: added + member_added member_updated").check_ins("c");
    world.numbered("d", 1).observe("d", "stand_by: full").take_view("d");
    world.show_peer_urls("c").pass(20).numbered("d", 2).report("d", "observe: look_needed");
    world.numbered("d", 3).observe("d", "promote c #2 of a b ~c: caught_up + ticket_released ticket_granted");
}

#[test]
fn a_view_with_a_later_revision_is_accepted() {
    World::running("a b c").observe_wrongly("d", |view| view.since = Revision(u64::MAX), "stand_by: full");
}

#[test]
fn a_view_that_confirms_no_leader_shows_no_quorum() {
    // etcd denies the node the list, or the leader's status, or both.
    for (linearizable, has_leader) in [(true, false), (false, true), (false, false)] {
        World::running("a b c")
            .observe_wrongly(
                "d",
                |view| (view.linearizable, view.leader) = (linearizable, view.leader.filter(|_| has_leader)),
                "wait: no_quorum",
            )
            .with_message("the members answer, but this node can't confirm a leader");
    }
}
