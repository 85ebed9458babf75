use crate::*;

/// A second machine has the configuration of `c`, and no data. `c` restarts.
#[test]
fn a_copy_of_a_members_configuration_does_not_take_its_place_while_the_member_restarts() {
    let mut world = World::running("a b c");
    world.observe("c@c", "refuse: name_taken").pass(5).observe("c@c", "refuse: name_taken");
    world.dies("c").pass(2).observe("c@c", "wait: not_dead_yet");
    world.returns("c").observe("c", "start a b c: own_data").pass(2).observe("c@c", "wait: not_dead_yet");
    world.execute("c").observe("c@c", "refuse: name_taken").members("a b c");
}

/// Somebody runs `convene join` for an empty directory on the machine of `c`, whose etcd has been loading for longer than `dead_after`.
#[test]
fn a_run_without_data_does_not_take_the_place_of_a_member_that_loads() {
    let mut world = World::running("a b c");
    world.dies("c").returns("c").observe("c", "start a b c: own_data").loads("c");
    for _ in 0..9 {
        world.pass(10).check_ins("c a b");
    }
    world.observe("c@c", "wait: partition").members("a b c");
}

#[test]
fn a_member_that_lost_its_disk_replaces_itself_at_once() {
    World::running("a b c")
        .returns_empty("c")
        .ask("c", "observe: look_needed")
        .step("c", "remove c #1 of a b c: lost_disk + ticket_granted")
        .step("c", "add learner c #1 of a b: below_size + member_removed")
        .step("c", "join a b c: added + member_added member_updated")
        .step("c", "promote c' #1 of a b ~c': caught_up + member_updated")
        .observe("c", "wait: healthy + member_promoted ticket_released")
        .members("a b c'");
}

/// No instruction is on record for a member that stock etcds have formed, or that was adopted.
#[test]
fn a_member_waits_if_its_node_last_reported_its_data_on_another_disk() {
    let waiting = || {
        let mut world = World::running("a b c");
        world.on_disks("c", "disk-c").ask("c", "wait: healthy").returns_empty("c").on_disks("c", "root-c").pass(10);
        world.observe("c", "wait: not_dead_yet").with_message("had its data on another disk").pass(30).check_ins("c");
        world
    };
    waiting().pass(30).observe("c", "remove c #1 of a b c: lost_disk + ticket_granted");
    // The disk is mounted, and has no data.
    waiting().on_disks("c", "disk-c").observe("c", "remove c #1 of a b c: lost_disk + ticket_granted");
}

#[test]
fn a_founder_that_loses_its_disk_before_its_own_client_reports_its_etcd_replaces_itself_at_once() {
    let mut world = World::new(3);
    world.check_ins("a b c a b").execute("a").execute("b").execute("c").pass(1).check_ins("a").pass(1);
    // The leader has heard it since the look of `a`.
    world.returns_empty("c").observe("c", "wait: not_dead_yet").pass(1);
    world.observe("c", "remove c #1 of a b c: lost_disk + ticket_granted");
}

#[test]
fn a_member_that_was_replaced_before_can_lose_its_disk_again() {
    let mut world = World::running("a b c");
    for ticket in ["#1", "#2"] {
        let gone = if ticket == "#1" { "c" } else { "c'" };
        world
            .returns_empty("c")
            .pass(30)
            .step("c", &format!("remove {gone} {ticket} of a b {gone}: lost_disk + ticket_granted"));
        for _ in 0..4 {
            world.check_ins("c").execute("c");
        }
        world.observe("c", "wait: healthy");
    }
    world.members("a b c''");
}

#[test]
fn a_lost_disk_without_a_quorum_waits_and_names_the_silent_members() {
    World::running("a b c")
        .dies("b")
        .returns_empty("c")
        .observe("c", "wait: no_quorum")
        .with_message("no answer from b");
}

#[test]
fn a_node_that_observes_an_election_is_not_sent_to_restore_a_snapshot() {
    let mut world = World::running("a b c");
    world.dies("c");
    world.observe_wrongly("d", |view| (view.linearizable, view.leader) = (false, None), "wait: no_quorum");
    world.with_message("enough voters answer, but this node can't confirm a leader. If an election is in progress");
}

#[test]
fn the_only_member_that_lost_its_disk_sees_no_quorum() {
    World::running("a").returns_empty("a").observe("a", "wait: no_quorum").with_message("no answer from a");
}

#[test]
fn unreadable_data_is_archived_if_the_cluster_has_a_quorum() {
    World::running("a b c")
        .returns_with("c", Data::Unreadable)
        .ask("c", "observe: look_needed")
        .step("c", "archive_data: unreadable_data")
        .observe("c", "remove c #1 of a b c: lost_disk + ticket_granted");
}

#[test]
fn unreadable_data_stays_without_a_quorum() {
    World::running("a b c").dies("b").returns_with("c", Data::Unreadable).observe("c", "wait: no_quorum");
}

#[test]
fn unreadable_data_stays_if_a_member_of_the_nodes_name_answers() {
    World::running("a b c").returns_with("c@x", Data::Unreadable).observe("c@x", "refuse: name_taken");
}

#[test]
fn a_member_with_foreign_data_archives_it_and_replaces_itself() {
    World::running("a b c")
        .returns_with("c", FOREIGN)
        .observe("c", "archive_data: foreign_data")
        .execute("c")
        .observe("c", "remove c #1 of a b c: lost_disk + ticket_granted");
}

#[test]
fn a_lost_disk_waits_under_a_strategy_that_removes_no_members() {
    World::running("a b c").strategy(Strategy::Add).returns_empty("c").observe("c", "wait: strategy");
}

#[test]
fn a_renamed_node_at_a_members_address_replaces_that_member_once_it_is_dead() {
    // It may also be another machine, with the member's address by mistake.
    let mut world = World::running("a b c");
    world.returns_empty("c").observe("z@c", "wait: not_dead_yet").watch(65, "a b z@c");
    world.observe("z@c", "remove c #1 of a b c: dead");
}

#[test]
fn a_member_that_lost_its_disk_and_was_evicted_is_removed_and_stays_a_spare() {
    World::running("a b c")
        .evict("c")
        .returns_empty("c")
        .step("c", "remove c #1 of a b c: evicted + ticket_granted")
        .observe("c", "stand_by: evicted + member_removed ticket_released");
}

#[test]
fn an_eviction_ends_a_replacement_of_a_nodes_own_member() {
    World::running("a b c")
        .returns_empty("c")
        .observe("c", "remove c #1 of a b c: lost_disk + ticket_granted")
        .evict("c")
        .execute("c")
        .observe("c", "stand_by: evicted + member_removed ticket_released");
}

/// Members that have bootstrapped on these disks.
fn running_on_disks() -> World {
    let mut world = World::new(3);
    world.on_disks("a b c", "disk-a disk-b disk-c").check_ins("a b c");
    for _ in 0..2 {
        for name in ["a", "b", "c"] {
            world.check_in_and_execute(name);
        }
    }
    world.check_ins("a b c a b c");
    assert!(world.cluster.members().any(|member| member.bootstrap_issued().is_none()), "the founding has ended");
    world
}

#[test]
fn a_member_whose_mount_may_be_missing_is_given_up_only_if_that_lasts() {
    for (name, others) in [("a", "b c"), ("b", "a c"), ("c", "a b")] {
        let mut world = running_on_disks();
        world.returns_empty(name).on_disks(name, "root");
        world.observe(name, "wait: not_dead_yet").with_message("if a disk is not mounted, mount it");
        world.pass(58).check_ins(others).observe(name, "wait: not_dead_yet").members("a b c");
        world.pass(2).observe(name, &format!("remove {name} #1 of a b c: lost_disk + ticket_granted"));
    }
}

#[test]
fn a_member_that_was_dead_before_its_mount_was_missed_is_not_given_up_at_once() {
    let mut world = running_on_disks();
    world.dies("c").watch(600, "a b");
    world.returns_empty("c").on_disks("c", "root-c").observe("c", "wait: not_dead_yet");
    let data = world.cluster.members().last().unwrap().key.id().unwrap();
    let data = Data::Of(Identity { member: data, cluster: world.cluster.cluster_id.unwrap() });
    world.pass(30).on_disks("c", "disk-c").returns_with("c", data).observe("c", "start a b c: own_data");
}

#[test]
fn a_missing_mount_has_until_the_end_of_an_administrators_downtime() {
    let mut world = running_on_disks();
    world.downtime("c", 600).returns_empty("c").on_disks("c", "root-c").observe("c", "wait: not_dead_yet");
    world.watch(590, "a b c").observe("c", "wait: not_dead_yet").members("a b c");
    world.pass(10).observe("c", "remove c #1 of a b c: lost_disk + downtime_ended ticket_granted");
}

#[test]
fn a_member_whose_data_was_moved_to_another_disk_is_missed_there() {
    for name in ["a", "b", "c"] {
        let mut world = running_on_disks();
        world.returns(name).on_disks(name, "new").observe(name, "start a b c: own_data + member_updated");
        world.observe(name, "start a b c: own_data");
        world.returns_empty(name).on_disks(name, &format!("disk-{name}"));
        world.observe(name, "wait: not_dead_yet").with_message("if a disk is not mounted, mount it");
    }
}
