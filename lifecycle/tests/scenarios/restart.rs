use crate::*;

#[test]
fn a_member_starts_with_its_data() {
    World::running("a b c").returns("c").ask("c", "observe: look_needed").observe("c", "start a b c: own_data");
}

#[test]
fn a_member_that_was_removed_behind_the_registry_archives_its_data() {
    let mut world = World::running("a b c");
    world.dies("c").etcdctl_removes("c").returns("c");
    world.ask("c", "observe: look_needed").observe("c", "archive_data: removed_member + member_removed");
}

#[test]
fn a_member_starts_without_a_quorum_that_shows_its_membership() {
    World::running("a b c")
        .dies("a b")
        .returns("c")
        .ask("c", "observe: look_needed")
        .observe("c", "start a b c: own_data");
}

#[test]
fn all_members_start_with_their_data() {
    let mut world = World::running("a b c");
    for name in ["a", "b", "c"] {
        world.returns(name);
    }
    for name in ["a", "b", "c"] {
        world.observe(name, "start a b c: own_data");
    }
}

#[test]
fn a_member_starts_with_its_data_after_a_year() {
    World::running("a b c").pass(365 * 86_400).returns("b").observe("b", "start a b c: own_data");
}

#[test]
fn the_first_start_of_a_member_is_recorded() {
    World::formed("a b c").returns("a").ask("a", "observe: look_needed + bootstrapped member_updated");
}

#[test]
fn the_only_member_starts_with_its_data() {
    World::running("a").returns("a").ask("a", "observe: look_needed").observe("a", "start a: own_data");
}

#[test]
fn a_running_member_has_nothing_to_do() {
    World::running("a b c").ask("a", "wait: healthy").observe("b", "wait: healthy");
}

#[test]
fn foreign_data_is_archived() {
    World::running("a b c").returns_with("d", FOREIGN).observe("d", "archive_data: foreign_data");
}

#[test]
fn an_etcd_of_another_cluster_is_not_touched() {
    let mut world = World::running("a b c");
    world.returns_with("d", FOREIGN).runs("d").ask("d", "observe: look_needed").observe("d", "refuse: foreign_cluster");
}

#[test]
fn a_member_with_the_name_of_another_is_refused() {
    let mut world = World::running("a b c");
    let data = world.data("c");
    world.dies("c").returns_with("b@c", data).ask("b@c", "observe: look_needed");
    world.observe("b@c", "refuse: name_taken");
}

#[test]
fn the_flags_of_a_start_list_members_that_have_not_started() {
    let mut world = World::running("a b c");
    world.size(4).step("d", "add learner d #1 of a b c: below_size + ticket_granted").check_ins("a");
    world.returns("c").observe("c", "start a b c d: own_data");
}
