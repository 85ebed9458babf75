use crate::*;

#[test]
fn a_cluster_grows_by_two_one_node_at_a_time() {
    World::running("a b c")
        .size(5)
        .step("d", "add learner d #1 of a b c: below_size + ticket_granted")
        .observe("e", "wait: ticket_held + member_added")
        .step("d", "join a b c d: added + member_updated")
        .step("d", "promote d #1 of a b c ~d: caught_up + member_updated")
        .step("e", "add learner e #2 of a b c d: below_size + member_promoted ticket_released ticket_granted")
        .step("e", "join a b c d e: added + member_added member_updated")
        .step("e", "promote e #2 of a b c d ~e: caught_up + member_updated")
        .observe("e", "wait: healthy + member_promoted ticket_released")
        .observe("f", "stand_by: full")
        .members("a b c d e");
}

#[test]
fn a_cluster_of_one_grows_to_two_and_to_three() {
    World::running("a")
        .size(3)
        .step("b", "add learner b #1 of a: below_size + ticket_granted")
        .step("b", "join a b: added + member_added member_updated")
        .step("b", "promote b #1 of a ~b: caught_up + member_updated")
        .step("c", "add learner c #2 of a b: below_size + member_promoted ticket_released ticket_granted")
        .step("c", "join a b c: added + member_added member_updated")
        .step("c", "promote c #2 of a b ~c: caught_up + member_updated")
        .observe("c", "wait: healthy + member_promoted ticket_released")
        .members("a b c");
}

#[test]
fn a_node_joins_as_voter_if_the_others_are_a_quorum_without_it() {
    World::running("a b c")
        .size(5)
        .join_as_voters()
        .step("d", "add voter d #1 of a b c: below_size + ticket_granted")
        .step("d", "join a b c d: added + member_added member_updated")
        .observe("d", "wait: healthy + member_updated ticket_released");
}

#[test]
fn a_second_member_always_joins_as_learner() {
    World::running("a").size(2).join_as_voters().observe("b", "add learner b #1 of a: below_size + ticket_granted");
}

#[test]
fn a_node_joins_as_learner_if_the_others_are_not_a_quorum_without_it() {
    World::running("a b c")
        .size(4)
        .join_as_voters()
        .strategy(Strategy::Add)
        .dies("c")
        .observe("d", "add learner d #1 of a b c: below_size + ticket_granted");
}

#[test]
fn a_cluster_does_not_grow_while_a_member_may_be_dying() {
    World::running("a b c").size(5).dies("c").observe("d", "wait: not_dead_yet");
}

#[test]
fn a_cluster_grows_during_an_announced_downtime() {
    let mut world = World::running("a b c");
    world.size(5).dies("c").downtime("c", 8 * 3_600);
    world.observe("d", "add learner d #1 of a b c: below_size + ticket_granted");
}

#[test]
fn a_cluster_grows_while_only_the_joining_node_does_not_reach_a_voter() {
    let mut world = World::running("a b c");
    world.size(4).cut("d", "c").observe("d", "wait: not_dead_yet").pass(5).ask("c", "wait: healthy");
    world.observe("d", "add learner d #1 of a b c: below_size + ticket_granted");
}

#[test]
fn a_cluster_grows_while_no_voters_side_shows_that_a_voter_is_dead() {
    let mut world = World::running("a b c");
    world.hide_metrics().pass(100).dies("c").watch(120, "d").observe("d", "wait: no_witness").size(4);
    world.observe("d", "add learner d #1 of a b c: below_size + ticket_granted");
}

#[test]
fn a_cluster_grows_while_a_voter_loads_its_data() {
    let mut world = World::running("a b c");
    world.size(4).loads("c").check_ins("c").observe("d", "add learner d #1 of a b c: below_size + ticket_granted");
}

#[test]
fn a_cluster_does_not_grow_without_a_quorum() {
    World::running("a b c").size(5).dies("b c").observe("d", "wait: no_quorum");
}

#[test]
fn a_joining_node_becomes_a_spare_if_the_size_is_lowered() {
    World::running("a b c")
        .size(4)
        .observe("d", "add learner d #1 of a b c: below_size + ticket_granted")
        .size(3)
        .observe("d", "stand_by: full + ticket_released");
}

#[test]
fn a_learner_leaves_when_the_size_is_lowered() {
    World::running("a b c")
        .size(4)
        .step("d", "add learner d #1 of a b c: below_size + ticket_granted")
        .step("d", "join a b c d: added + member_added member_updated")
        .size(3)
        .step("d", "leave d #2 of a b c ~d: full + member_updated ticket_released ticket_granted")
        .step("d", "archive_data: removed_member + member_removed ticket_released")
        .observe("d", "stand_by: full");
}
