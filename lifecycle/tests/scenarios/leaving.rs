use crate::*;

#[test]
fn a_leaving_member_leaves() {
    World::running("a b c")
        .starts_to_leave("c")
        .ask("c", "observe: look_needed")
        .step("c", "leave c #1 of a b c: leaving + ticket_granted")
        .observe("c", "stand_by: left + member_removed ticket_released")
        .ask("c", "observe: look_needed")
        .observe("c", "stand_by: left");
}

#[test]
fn a_stopped_leaving_member_removes_itself() {
    World::running("a b c")
        .returns("c")
        .starts_to_leave("c")
        .step("c", "remove c #1 of a b c: leaving + ticket_granted")
        .observe("c", "stand_by: left + member_removed ticket_released");
}

#[test]
fn a_member_that_left_archives_its_data_before_it_joins_again() {
    let mut world = World::running("a b c");
    world.starts_to_leave("c").step("c", "leave c #1 of a b c: leaving + ticket_granted").check_ins("c");
    world.stops_leaving("c").returns("c").step("c", "archive_data: removed_member");
    world.observe("c", "add learner c #2 of a b: below_size + ticket_granted");
}

#[test]
fn a_leaving_member_that_was_removed_elsewhere_has_left() {
    let mut world = World::running("a b c");
    world.starts_to_leave("c").etcdctl_removes("c").check_ins("a").observe("c", "stand_by: left");
    world.returns("c").ask("c", "observe: look_needed").observe("c", "stand_by: left");
}

#[test]
fn a_leaving_member_has_left_only_if_that_is_certain() {
    let mut world = World::formed_by_v2("a b c");
    world.check_ins("a b c").v2_deletes("c").returns("c").starts_to_leave("c");
    world.ask("c", "observe: look_needed").observe("c", "remove c #1 of a b c: leaving + member_added ticket_granted");
    let mut world = World::formed_by_v2("a b c");
    world
        .check_ins("a b c")
        .v2_deletes("c")
        .dies("a b")
        .returns("c")
        .starts_to_leave("c")
        .observe("c", "wait: no_quorum");
}

#[test]
fn a_member_that_the_registry_does_not_know_is_adopted_before_it_leaves() {
    let mut world = World::found_running("a b c");
    world.returns("c").starts_to_leave("c").ask("c", "observe: look_needed");
    world.observe(
        "c",
        "remove c #1 of a b c: leaving + formed bootstrapped member_added member_added member_added ticket_granted",
    );
}

#[test]
fn a_member_that_lost_its_disk_is_removed_before_it_has_left() {
    let mut world = World::running("a b c");
    world.returns_empty("c").starts_to_leave("c").ask("c", "observe: look_needed");
    world.step("c", "remove c #1 of a b c: leaving + ticket_granted");
    world.observe("c", "stand_by: left + member_removed ticket_released").members("a b");
}

#[test]
fn a_member_that_lost_its_disk_waits_to_leave_until_that_is_safe() {
    let mut world = World::running("a b c");
    world.returns_empty("c").starts_to_leave("c").dies("b").observe("c", "wait: no_quorum");
    let mut world = World::running("a b c");
    world.returns_empty("c").starts_to_leave("c").pause().observe("c", "wait: paused");
}

#[test]
fn a_node_without_data_does_not_leave_if_a_member_of_its_name_answers() {
    World::running("a b c").starts_to_leave("c@c").observe("c@c", "refuse: name_taken");
}

#[test]
fn a_copy_does_not_leave_while_the_member_runs_elsewhere() {
    let mut world = World::running("a b c");
    let data = world.data("a");
    world
        .returns_with("a@x", data)
        .starts_to_leave("a@x")
        .ask("a@x", "observe: look_needed")
        .observe("a@x", "refuse: runs_elsewhere")
        .with_message("etcd runs as member a (")
        .with_message("http://a:2380")
        .with_remedy("convene member evict NAME")
        .observe("a", "wait: healthy")
        .members("a b c");
}

#[test]
fn a_node_with_data_of_an_earlier_epoch_has_left() {
    World::running("a b c").reset().returns("c").starts_to_leave("c").ask("c", "stand_by: left");
}

#[test]
fn a_node_with_data_of_another_cluster_can_not_leave_this_one() {
    World::running("a b c").returns_with("d", FOREIGN).starts_to_leave("d").ask("d", "refuse: foreign_cluster");
}

#[test]
fn a_member_that_crashed_while_it_left_continues() {
    World::running("a b c")
        .starts_to_leave("c")
        .observe("c", "leave c #1 of a b c: leaving + ticket_granted")
        .returns("c")
        .ask("c", "observe: look_needed")
        .observe("c", "remove c #1 of a b c: leaving");
}

/// Anybody could have reported that it leaves, or that it has lost its disk.
#[test]
fn a_member_with_data_is_not_removed_because_of_an_earlier_report_with_its_name() {
    let mut world = World::running("a b c");
    world.starts_to_leave("c").observe("c", "leave c #1 of a b c: leaving + ticket_granted");
    world.stops_leaving("c").returns("c").observe("c", "start a b c: own_data + ticket_released");

    let mut world = World::running("a b c");
    let data = world.data("c");
    world.returns_empty("c").observe("c", "remove c #1 of a b c: lost_disk + ticket_granted");
    world.returns_with("c", data).observe("c", "wait: being_removed");
    world.pass(15).observe("c", "start a b c: own_data + ticket_released");
}

#[test]
fn a_member_that_was_leaving_starts_if_the_quorum_needs_it() {
    World::running("a b c")
        .evict("c")
        .observe("c", "leave c #1 of a b c: evicted + ticket_granted")
        .returns("c")
        .dies("b")
        .observe("c", "start a b c: own_data + ticket_released");
}

#[test]
fn the_last_member_can_not_leave() {
    World::running("a").starts_to_leave("a").observe("a", "refuse: last_member");
}

#[test]
fn a_member_that_the_quorum_needs_can_not_leave() {
    World::running("a b c").dies("b").starts_to_leave("c").observe("c", "wait: quorum_at_risk");
}

/// etcd removes members through the quorum, to which a stopped member counts.
#[test]
fn a_stopped_member_that_the_quorum_needs_has_to_run_to_leave() {
    World::running("a b")
        .returns("b")
        .starts_to_leave("b")
        .ask("b", "observe: look_needed")
        .observe("b", "refuse: no_quorum")
        .with_message("2 voters, of which 1 answers; a quorum is 2")
        .with_remedy("start etcd on this node");
    World::running("a b c").dies("b").returns("c").starts_to_leave("c").observe("c", "refuse: no_quorum");
}

#[test]
fn a_stopped_member_waits_to_leave_while_the_others_elect_a_leader() {
    let election = |view: &mut View| (view.leader, view.linearizable) = (None, false);
    World::running("a b c").returns("c").starts_to_leave("c").observe_wrongly("c", election, "wait: no_quorum");
}

/// Its start would not bring the quorum back.
#[test]
fn a_stopped_member_waits_to_leave_while_others_have_to_start_first() {
    World::running("a b c d e").dies("a b c").returns("e").starts_to_leave("e").observe("e", "wait: no_quorum");
}

#[test]
fn one_of_two_can_leave_while_the_other_answers() {
    World::running("a b").starts_to_leave("b").observe("b", "leave b #1 of a b: leaving + ticket_granted");
}

#[test]
fn a_leaving_spare_has_left() {
    World::running("a b c").starts_to_leave("d").ask("d", "stand_by: left");
}

#[test]
fn a_node_without_data_has_not_left_while_a_member_elsewhere_has_its_name() {
    World::running("a b c")
        .starts_to_leave("b@x")
        .ask("b@x", "observe: look_needed")
        .observe("b@x", "refuse: name_taken")
        .with_remedy("peer URLs, or run `convene member evict NAME`")
        .ask("b", "wait: healthy")
        .members("a b c");
}

#[test]
fn a_node_without_data_has_not_left_while_a_member_has_its_peer_url() {
    let mut world = World::running("a b c");
    world
        .starts_to_leave("z@b")
        .observe("z@b", "refuse: peer_url_taken")
        .with_remedy("peer URLs, or run `convene member evict NAME`")
        .members("a b c");
}

#[test]
fn a_node_without_data_has_not_left_while_a_dead_member_has_its_name_and_there_is_no_leader() {
    World::running("a b c").dies("a b").starts_to_leave("b@x").observe("b@x", "refuse: name_taken").members("a b c");
}

#[test]
fn a_node_without_data_has_left_once_etcd_lists_no_member_of_its_name() {
    let mut world = World::running("a b c");
    world.dies("b").etcdctl_removes("b").starts_to_leave("b@x").ask("b@x", "observe: look_needed");
    world.observe("b@x", "stand_by: left + member_removed").members("a c");
}

#[test]
fn a_node_with_unreadable_data_does_not_leave_and_archives_nothing() {
    World::running("a b c")
        .returns_with("c", Data::Unreadable)
        .starts_to_leave("c")
        .ask("c", "refuse: unreadable_data")
        .with_message("torn.wal")
        .with_remedy("run `convene member evict NAME`")
        .observe("c", "refuse: unreadable_data")
        .dies("a b")
        .observe("c", "refuse: unreadable_data")
        .members("a b c");
}

#[test]
fn a_node_with_unreadable_data_does_not_leave_while_the_cluster_forms() {
    World::new(3).returns_with("a", Data::Unreadable).starts_to_leave("a").ask("a", "refuse: unreadable_data");
}
