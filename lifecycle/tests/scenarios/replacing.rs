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
        .step("d", "join a b d: added + member_added member_updated")
        .step("d", "promote d #1 of a b ~d: caught_up + member_updated")
        .observe("d", "wait: healthy + member_promoted ticket_released")
        .members("a b d");
}

#[test]
fn a_removed_member_that_returns_archives_its_data_and_is_a_spare() {
    let mut world = with_dead_c();
    for _ in 0..5 {
        world.check_ins("d").execute("d");
    }
    world.returns("c").observe("c", "archive_data: removed_member").execute("c").observe("c", "stand_by: full");
}

#[test]
fn a_removed_member_whose_etcd_still_runs_archives_its_data() {
    let mut world = with_dead_c();
    world.check_ins("d").execute("d").check_ins("d").runs("c").observe("c", "archive_data: removed_member");
}

#[test]
fn running_members_wait_for_a_node_to_replace_a_dead_one() {
    World::running("a b c")
        .dies("c")
        .watch(60, "a b")
        .observe("a", "wait: not_dead_yet")
        .pass(5)
        .observe("a", "wait: dead");
}

#[test]
fn one_failed_probe_proves_nothing() {
    World::running("a b c").dies("c").pass(61).observe("d", "wait: not_dead_yet").with_message("c (");
}

#[test]
fn the_message_says_since_when_a_member_is_silent_and_when_it_counts_as_dead() {
    World::running("a b c")
        .dies("c")
        .watch(30, "a b d")
        .observe("d", "wait: not_dead_yet")
        .with_message("has not answered since 08:00:00Z; it will count as dead at 08:01:05Z if it stays silent")
        .watch(30, "a b d")
        .observe("d", "wait: not_dead_yet")
        .with_message("08:01:05Z")
        .pass(5)
        .observe("d", "remove c #1 of a b c: dead + ticket_granted");
}

#[test]
fn two_failed_probes_with_a_long_gap_prove_nothing() {
    World::running("a b c").dies("c").observe("d", "wait: not_dead_yet").pass(3_600).observe("d", "wait: not_dead_yet");
}

#[test]
fn an_answer_in_between_resets_the_failed_probes() {
    World::running("a b c")
        .dies("c")
        .watch(55, "a b d")
        .runs("c")
        .check_ins("d")
        .dies("c")
        .watch(55, "a b d")
        .observe("d", "wait: not_dead_yet");
}

#[test]
fn no_member_is_dead_to_a_server_that_just_started() {
    let mut world = with_dead_c();
    world.server_restarts().observe("d", "wait: not_dead_yet");
    world.watch(55, "a b d").observe("d", "wait: not_dead_yet");
    world.pass(5).observe("d", "remove c #1 of a b c: dead + ticket_granted");
}

#[test]
fn a_dead_member_that_answers_before_its_removal_stays() {
    let mut world = with_dead_c();
    world.observe("d", "remove c #1 of a b c: dead + ticket_granted");
    world.runs("c").observe("d", "stand_by: full + ticket_released").members("a b c");
}

#[test]
fn a_member_that_returns_while_it_is_being_removed_waits() {
    let mut world = with_dead_c();
    world
        .observe("d", "remove c #1 of a b c: dead + ticket_granted")
        .returns("c")
        .ask("c", "observe: look_needed")
        .observe("c", "wait: being_removed")
        .execute("d")
        .observe("d", "add learner d #1 of a b: below_size + member_removed")
        .observe("c", "archive_data: removed_member");
}

#[test]
fn a_member_that_is_being_removed_starts_if_the_quorum_needs_it() {
    let mut world = with_dead_c();
    world
        .observe("d", "remove c #1 of a b c: dead + ticket_granted")
        .dies("b")
        .observe("d", "wait: no_quorum")
        .returns("c")
        .observe("c", "start a b c: own_data");
}

#[test]
fn two_spares_do_not_replace_one_member_both() {
    let mut world = World::running("a b c");
    world.are_dead_to("c", "a b d e");
    world
        .step("d", "remove c #1 of a b c: dead + ticket_granted")
        .observe("e", "wait: ticket_held + member_removed")
        .step("d", "add learner d #1 of a b: below_size")
        .observe("e", "wait: ticket_held + member_added")
        .step("d", "join a b d: added + member_updated")
        .observe("e", "stand_by: full + member_updated");
}

#[test]
fn two_dead_of_five_are_replaced_one_by_one() {
    let mut world = World::running("a b c d e");
    world.are_dead_to("d e", "a b c x y");
    world
        .step("x", "remove d #1 of a b c d e: dead + ticket_granted")
        .observe("y", "wait: ticket_held + member_removed");
    for _ in 0..4 {
        world.check_ins("x").execute("x");
    }
    world.members("a b c e x");
    world.step("y", "remove e #2 of a b c e x: dead + ticket_granted");
    for _ in 0..4 {
        world.check_ins("y").execute("y");
    }
    world.members("a b c x y");
}

#[test]
fn three_dead_of_five_leave_no_quorum_and_are_named() {
    World::running("a b c d e")
        .dies("c d e")
        .watch(120, "a b x")
        .observe("x", "wait: no_quorum")
        .with_message("c (")
        .with_message("d (")
        .with_message("e (");
}

#[test]
fn a_dead_founder_that_never_started_is_replaced() {
    let mut world = World::new(3);
    world.check_ins("a b c a b").execute("a").execute("b").check_ins("a b").are_dead_to("c", "a b");
    world.observe("d", "remove c #1 of a b c: dead + ticket_granted");
}

#[test]
fn a_dead_member_is_replaced_before_the_cluster_grows() {
    let mut world = with_dead_c();
    world.size(5).observe("d", "remove c #1 of a b c: dead + ticket_granted");
}

#[test]
fn a_dead_member_that_checks_in_is_not_removed_although_it_does_not_answer() {
    let mut world = with_dead_c();
    world.observe("d", "remove c #1 of a b c: dead + ticket_granted");
    world.partition("c").runs("c").check_ins("c").observe("d", "wait: partition + ticket_released").members("a b c");
}

#[test]
fn a_dead_member_that_returns_before_its_removal_starts() {
    let mut world = with_dead_c();
    world
        .observe("d", "remove c #1 of a b c: dead + ticket_granted")
        .returns("c")
        .pass(1)
        .observe("c", "wait: being_removed")
        .observe("d", "wait: partition + ticket_released")
        .observe("c", "start a b c: own_data");
}
