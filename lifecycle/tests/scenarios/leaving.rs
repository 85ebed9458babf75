use crate::*;

#[test]
fn a_member_that_wants_to_leave_leaves() {
    World::running("a b c")
        .wants_to_leave("c")
        .ask("c", "observe: look_needed")
        .step("c", "leave c #1 of a b c: leaving + ticket_granted")
        .look("c", "stand_by: left + member_removed ticket_released")
        .ask("c", "stand_by: left");
}

#[test]
fn a_stopped_member_that_wants_to_leave_removes_itself() {
    World::running("a b c")
        .returns("c")
        .wants_to_leave("c")
        .step("c", "remove c #1 of a b c: leaving + ticket_granted")
        .look("c", "stand_by: left + member_removed ticket_released");
}

#[test]
fn a_member_that_left_and_wants_back_sets_its_data_aside_first() {
    let mut world = World::running("a b c");
    world.wants_to_leave("c").step("c", "leave c #1 of a b c: leaving + ticket_granted").check_ins("c");
    world.wants_to_stay("c").returns("c").step("c", "archive_data: removed_member");
    world.look("c", "add learner c #2 of a b: below_size + ticket_granted");
}

#[test]
fn a_member_that_somebody_else_removed_has_left_if_it_wanted_to() {
    let mut world = World::running("a b c");
    world.wants_to_leave("c").etcdctl_removes("c").check_ins("a").look("c", "stand_by: left");
    world.returns("c").ask("c", "stand_by: left");
}

#[test]
fn a_member_that_wants_to_leave_has_left_only_if_that_is_certain() {
    let mut world = World::formed_by_v2("a b c");
    world.check_ins("a b c").v2_deletes("c").returns("c").wants_to_leave("c");
    world.ask("c", "observe: look_needed").look("c", "remove c #1 of a b c: leaving + member_added ticket_granted");
    let mut world = World::formed_by_v2("a b c");
    world.check_ins("a b c").v2_deletes("c").dies("a b").returns("c").wants_to_leave("c").look("c", "wait: no_quorum");
}

#[test]
fn a_member_that_the_registry_does_not_know_is_found_before_it_leaves() {
    let mut world = World::found_running("a b c");
    world.returns("c").wants_to_leave("c").ask("c", "observe: look_needed");
    world.look(
        "c",
        "remove c #1 of a b c: leaving + formed bootstrapped member_added member_added member_added ticket_granted",
    );
}

#[test]
fn a_member_that_lost_its_disk_is_removed_before_it_has_left() {
    let mut world = World::running("a b c");
    world.returns_empty("c").wants_to_leave("c").ask("c", "observe: look_needed");
    world.step("c", "remove c #1 of a b c: leaving + ticket_granted");
    world.look("c", "stand_by: left + member_removed ticket_released").members("a b");
}

#[test]
fn a_member_that_lost_its_disk_waits_to_leave_until_that_is_safe() {
    let mut world = World::running("a b c");
    world.returns_empty("c").wants_to_leave("c").dies("b").look("c", "wait: no_quorum");
    let mut world = World::running("a b c");
    world.returns_empty("c").wants_to_leave("c").pause().look("c", "wait: paused");
}

#[test]
fn a_node_without_data_does_not_leave_for_one_of_its_name_that_answers() {
    World::running("a b c").wants_to_leave("c@c").look("c@c", "refuse: name_taken");
}

#[test]
fn a_node_with_data_of_an_earlier_epoch_has_left() {
    World::running("a b c").reset().returns("c").wants_to_leave("c").ask("c", "stand_by: left");
}

#[test]
fn a_node_with_data_of_another_cluster_can_not_leave_this_one() {
    World::running("a b c").returns_with("d", FOREIGN).wants_to_leave("d").ask("d", "refuse: foreign_cluster");
}

#[test]
fn a_member_that_crashed_while_it_left_goes_on() {
    World::running("a b c")
        .wants_to_leave("c")
        .look("c", "leave c #1 of a b c: leaving + ticket_granted")
        .returns("c")
        .ask("c", "observe: look_needed")
        .look("c", "remove c #1 of a b c: leaving");
}

#[test]
fn a_member_that_was_about_to_leave_starts_if_the_quorum_needs_it() {
    World::running("a b c")
        .evict("c")
        .look("c", "leave c #1 of a b c: evicted + ticket_granted")
        .returns("c")
        .dies("b")
        .look("c", "start a b c: own_data + ticket_released");
}

#[test]
fn the_last_member_can_not_leave() {
    World::running("a").wants_to_leave("a").look("a", "refuse: last_member");
}

#[test]
fn a_member_that_the_quorum_needs_can_not_leave() {
    World::running("a b c").dies("b").wants_to_leave("c").look("c", "wait: quorum_at_risk");
}

#[test]
fn one_of_two_can_leave_while_the_other_answers() {
    World::running("a b").wants_to_leave("b").look("b", "leave b #1 of a b: leaving + ticket_granted");
}

#[test]
fn a_spare_that_wants_to_leave_has_left() {
    World::running("a b c").wants_to_leave("d").ask("d", "stand_by: left");
}

#[test]
fn a_node_without_data_has_not_left_while_a_member_elsewhere_has_its_name() {
    World::running("a b c")
        .wants_to_leave("b@x")
        .ask("b@x", "observe: look_needed")
        .look("b@x", "refuse: name_taken")
        .advising("peer URLs, or evict")
        .ask("b", "wait: healthy")
        .members("a b c");
}

#[test]
fn a_node_without_data_has_not_left_while_a_member_has_its_peer_url() {
    let mut world = World::running("a b c");
    world.wants_to_leave("z@b").look("z@b", "refuse: peer_url_taken").advising("peer URLs, or evict").members("a b c");
}

#[test]
fn a_node_without_data_has_not_left_while_a_dead_member_has_its_name_and_nobody_leads() {
    World::running("a b c").dies("a b").wants_to_leave("b@x").look("b@x", "refuse: name_taken").members("a b c");
}

#[test]
fn a_node_without_data_has_left_once_etcd_lists_nobody_of_its_name() {
    let mut world = World::running("a b c");
    world.dies("b").etcdctl_removes("b").wants_to_leave("b@x").ask("b@x", "observe: look_needed");
    world.look("b@x", "stand_by: left + member_removed").members("a c");
}

#[test]
fn a_node_whose_data_can_not_be_read_does_not_leave_and_sets_nothing_aside() {
    World::running("a b c")
        .returns_with("c", Data::Unreadable)
        .wants_to_leave("c")
        .ask("c", "refuse: unreadable_data")
        .saying("torn.wal")
        .advising("evict the member by its name (PUT …/members/ID/eviction)")
        .look("c", "refuse: unreadable_data")
        .dies("a b")
        .look("c", "refuse: unreadable_data")
        .members("a b c");
}

#[test]
fn a_node_whose_data_can_not_be_read_does_not_leave_while_the_cluster_forms() {
    World::new(3).returns_with("a", Data::Unreadable).wants_to_leave("a").ask("a", "refuse: unreadable_data");
}
