use crate::*;

/// A cluster of three in which `c` has been dead for long enough, as `d` has seen.
fn with_dead_c() -> World {
    let mut world = World::running("a b c");
    world.are_dead_to("c", "a b d");
    world
}

#[test]
fn a_spare_takes_a_dead_members_place() {
    with_dead_c()
        .step("d", "remove c #1 of a b c: dead + ticket_granted")
        .step("d", "add learner d #1 of a b: below_size + member_removed")
        .step("d", "join a b d: added + member_added")
        .step("d", "promote d #1 of a b ~d: caught_up + member_updated")
        .look("d", "wait: healthy + member_promoted ticket_released")
        .members("a b d");
}

#[test]
fn a_removed_member_that_comes_back_sets_its_data_aside_and_is_a_spare() {
    let mut world = with_dead_c();
    for _ in 0..5 {
        world.check_ins("d").obey("d");
    }
    world.returns("c").ask("c", "archive_data: removed_member").obey("c").look("c", "stand_by: full");
}

#[test]
fn a_removed_member_whose_etcd_still_runs_is_told_to_set_its_data_aside() {
    let mut world = with_dead_c();
    world.check_ins("d").obey("d").check_ins("d").runs("c").ask("c", "archive_data: removed_member");
}

#[test]
fn running_members_wait_for_a_node_to_replace_a_dead_one() {
    World::running("a b c").dies("c").watch(60, "a b").look("a", "wait: not_dead_yet").pass(5).look("a", "wait: dead");
}

#[test]
fn one_failed_probe_proves_nothing() {
    World::running("a b c").dies("c").pass(61).look("d", "wait: not_dead_yet").saying("c (");
}

#[test]
fn two_failed_probes_with_a_long_gap_prove_nothing() {
    World::running("a b c").dies("c").look("d", "wait: not_dead_yet").pass(3_600).look("d", "wait: not_dead_yet");
}

#[test]
fn an_answer_in_between_begins_the_wait_anew() {
    World::running("a b c")
        .dies("c")
        .watch(55, "a b d")
        .runs("c")
        .check_ins("d")
        .dies("c")
        .watch(55, "a b d")
        .look("d", "wait: not_dead_yet");
}

#[test]
fn a_server_that_just_started_takes_nobody_for_dead() {
    let mut world = with_dead_c();
    world.server_restarts().look("d", "wait: not_dead_yet");
    world.watch(55, "a b d").look("d", "wait: not_dead_yet");
    world.pass(5).look("d", "remove c #1 of a b c: dead + ticket_granted");
}

#[test]
fn a_member_in_announced_downtime_is_not_dead_before_it_ends() {
    let mut world = World::running("a b c");
    world.downtime("c", 600).dies("c").watch(120, "a b d");
    world.look("d", "wait: not_dead_yet").saying("its downtime lasts until");
    world.watch(480, "a b").look("d", "remove c #1 of a b c: dead + ticket_granted");
}

#[test]
fn a_dead_member_that_is_back_before_it_is_removed_stays() {
    let mut world = with_dead_c();
    world.look("d", "remove c #1 of a b c: dead + ticket_granted");
    world.runs("c").look("d", "stand_by: full + ticket_released").members("a b c");
}

#[test]
fn a_dead_member_that_is_back_while_it_is_being_removed_waits_for_the_outcome() {
    let mut world = with_dead_c();
    world
        .look("d", "remove c #1 of a b c: dead + ticket_granted")
        .returns("c")
        .ask("c", "observe: look_needed")
        .look("c", "wait: being_removed")
        .obey("d")
        .look("d", "add learner d #1 of a b: below_size + member_removed")
        .ask("c", "archive_data: removed_member");
}

#[test]
fn a_member_that_is_being_removed_starts_if_the_quorum_needs_it() {
    let mut world = with_dead_c();
    world
        .look("d", "remove c #1 of a b c: dead + ticket_granted")
        .dies("b")
        .look("d", "wait: no_quorum")
        .returns("c")
        .look("c", "start a b c: own_data");
}

#[test]
fn two_spares_do_not_replace_one_member_both() {
    let mut world = World::running("a b c");
    world.are_dead_to("c", "a b d e");
    world
        .step("d", "remove c #1 of a b c: dead + ticket_granted")
        .look("e", "wait: ticket_held + member_removed")
        .step("d", "add learner d #1 of a b: below_size")
        .look("e", "wait: ticket_held + member_added")
        .step("d", "join a b d: added")
        .look("e", "stand_by: full + member_updated");
}

#[test]
fn two_dead_of_five_are_replaced_one_after_the_other() {
    let mut world = World::running("a b c d e");
    world.are_dead_to("d e", "a b c x y");
    world.step("x", "remove d #1 of a b c d e: dead + ticket_granted").look("y", "wait: ticket_held + member_removed");
    for _ in 0..4 {
        world.check_ins("x").obey("x");
    }
    world.members("a b c e x");
    world.step("y", "remove e #2 of a b c e x: dead + ticket_granted");
    for _ in 0..4 {
        world.check_ins("y").obey("y");
    }
    world.members("a b c x y");
}

#[test]
fn three_dead_of_five_leave_no_quorum_and_are_named() {
    World::running("a b c d e")
        .dies("c d e")
        .watch(120, "a b x")
        .look("x", "wait: no_quorum")
        .saying("c (")
        .saying("d (")
        .saying("e (");
}

#[test]
fn a_dead_founder_that_never_started_is_replaced() {
    let mut world = World::new(3);
    world.check_ins("a b c a b").obey("a").obey("b").check_ins("a b").are_dead_to("c", "a b");
    world.look("d", "remove c #1 of a b c: dead + ticket_granted");
}

#[test]
fn a_dead_member_is_replaced_before_the_cluster_grows() {
    let mut world = with_dead_c();
    world.size(5).look("d", "remove c #1 of a b c: dead + ticket_granted");
}

#[test]
fn a_dead_member_that_checks_in_before_it_is_removed_is_not_removed_though_it_does_not_answer() {
    let mut world = with_dead_c();
    world.look("d", "remove c #1 of a b c: dead + ticket_granted");
    world.cut_off("c").runs("c").check_ins("c").look("d", "wait: partition + ticket_released").members("a b c");
}

#[test]
fn a_dead_member_that_is_back_with_its_data_before_it_is_removed_starts() {
    let mut world = with_dead_c();
    world
        .look("d", "remove c #1 of a b c: dead + ticket_granted")
        .returns("c")
        .pass(1)
        .look("c", "wait: being_removed")
        .look("d", "wait: partition + ticket_released")
        .look("c", "start a b c: own_data");
}
