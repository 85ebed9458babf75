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
    world.with_message("http://a:2380").with_message("it will continue at 08:01:30Z");
}

#[test]
fn a_member_that_has_moved_starts_after_its_former_check_in_is_old() {
    let mut world = World::running("a b c");
    world.dies("a b").returns("c").moves("c", "c2").pass(29).observe("c", "wait: runs_elsewhere");
    world.pass(1).observe("c", "start a b c: own_data");
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
