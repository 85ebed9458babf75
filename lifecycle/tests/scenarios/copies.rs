//! Copies of a member's data directory: Raft allows one process per member.

use crate::*;

#[test]
fn a_copy_of_a_running_member_does_not_start_elsewhere() {
    let mut world = World::running("a b c");
    let data = world.data("a");
    world
        .returns_with("a@x", data)
        .ask("a@x", "observe: look_needed")
        .observe("a@x", "refuse: runs_elsewhere")
        .with_message("must not start as the same member")
        .with_message("http://a:2380")
        .observe("a", "wait: healthy")
        .members("a b c");
}

#[test]
fn a_copy_with_another_name_does_not_start_either() {
    let mut world = World::running("a b c");
    let data = world.data("a");
    world.returns_with("z@x", data).observe("z@x", "refuse: runs_elsewhere");
}

#[test]
fn a_copy_of_the_only_member_does_not_start() {
    let mut world = World::running("a");
    let data = world.data("a");
    world.returns_with("a@x", data).ask("a@x", "observe: look_needed").observe("a@x", "refuse: runs_elsewhere");
}

#[test]
fn copies_of_all_members_do_not_start() {
    let mut world = World::running("a b c");
    for name in ["a", "b", "c"] {
        let (copy, data) = (format!("{name}@x{name}"), world.data(name));
        world.returns_with(&copy, data).observe(&copy, "refuse: runs_elsewhere");
    }
    world.observe("a", "wait: healthy").members("a b c");
}

#[test]
fn a_copy_that_can_not_reach_the_member_waits_while_the_member_checks_in() {
    let mut world = World::running("a b c");
    let data = world.data("a");
    world.returns_with("a@x", data).partition("a@x");
    for _ in 0..6 {
        world.pass(10).check_ins("a").ask("a@x", "observe: look_needed").observe("a@x", "wait: runs_elsewhere");
    }
    world.with_message("http://a:2380").with_message("this node continues at 08:01:30Z");
}

#[test]
fn a_member_that_has_moved_starts_after_its_former_check_in_is_old() {
    let mut world = World::running("a b c");
    world.dies("a b").returns("c").moves("c", "c2").pass(29).observe("c", "wait: runs_elsewhere");
    world.pass(1).observe("c", "start a b c: own_data");
}

#[test]
fn a_copy_of_the_leader_does_not_start_although_it_reaches_only_the_others() {
    let mut world = World::running("a b c");
    let data = world.data("a");
    world.returns_with("a@x", data).cut("a@x", "a").pass(40).observe("a@x", "refuse: runs_elsewhere").members("a b c");
}

#[test]
fn a_copy_of_a_member_that_the_quorum_needs_does_not_start_although_it_reaches_only_the_other() {
    let mut world = World::running("a b");
    let data = world.data("b");
    world.returns_with("b@x", data).cut("b@x", "b").pass(40).observe("b@x", "refuse: runs_elsewhere").members("a b");
}

#[test]
fn of_two_stopped_copies_only_one_starts() {
    let mut world = World::running("a b c");
    let data = world.data("a");
    world.dies("a").returns("a").observe("a", "start a b c: own_data");
    // The other copy asks before the first one has executed its instruction.
    world.returns_with("a@x", data).observe("a@x", "wait: runs_elsewhere").with_message("http://a:2380");
    world.execute("a").ask("a", "wait: healthy").observe("a@x", "refuse: runs_elsewhere");
}

#[test]
fn a_copy_that_may_not_start_does_not_keep_the_member_from_starting() {
    let mut world = World::running("a b c");
    let data = world.data("a");
    world.dies("a c").pass(40).returns_with("a@x", data).wal_ends_at("a@x", 40_000);
    world.observe("a@x", "refuse: data_rolled_back").returns("a").observe("a", "start a b c: own_data");
}

#[test]
fn a_copy_that_runs_already_moves_no_member() {
    let mut world = World::running("a b c");
    let data = world.data("a");
    world.returns_with("a@x", data).runs("a@x").ask("a@x", "observe: look_needed");
    world.observe("a@x", "wait: runs_elsewhere").observe("a", "wait: healthy").members("a b c");
}

#[test]
fn a_member_does_not_leave_by_its_copy() {
    let mut world = World::running("a b c");
    let data = world.data("a");
    world.returns_with("a@x", data).starts_to_leave("a@x").observe("a@x", "refuse: runs_elsewhere").members("a b c");
}

#[test]
fn a_copy_does_not_extend_the_life_of_a_dead_member() {
    let mut world = World::running("a b c");
    let data = world.data("a");
    world.returns_with("a@x", data).dies("a");
    world.watch(25, "a@x b c d").watch(35, "b c d").pass(5);
    world.observe("d", "remove a #1 of a b c: dead + ticket_granted");
}

#[test]
fn the_older_disk_of_a_member_that_has_moved_does_not_replace_it() {
    let mut world = World::running("a b c");
    let data = world.data("c");
    world
        .dies("c")
        .pass(40)
        .returns_with("c@x", data)
        .step("c@x", "update c to x #1 of a b c: address_changed + ticket_granted");
    world.step("c@x", "start a b c@x: own_data + member_updated ticket_released").ask("c@x", "wait: healthy");
    // The new machine is suspended when the old one is switched on again.
    world
        .dies("c@x")
        .returns("c")
        .wal_ends_at("c", 40_000)
        .pass(35)
        .observe("c", "wait: not_dead_yet")
        .members("a b c");
    world.pass(25).observe("c", "remove c #2 of a b c: data_rolled_back + ticket_granted");
}
