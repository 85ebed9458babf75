use convene_lifecycle::{Action, Discovery, JoinPolicy, RegisterRefusal, Registration, UnixMillis};

use crate::*;

#[test]
fn data_of_an_unknown_cluster_holds_the_founding() {
    let mut world = World::new(3);
    world.check_ins("a b").returns_with("x", FOREIGN).ask("x", "observe: look_needed + founding_held");
    world
        .ask("c", "wait: held")
        .with_message("x has reported data of etcd cluster bad")
        .with_message("convene cluster adopt")
        .with_message("convene cluster reset")
        .ask("a", "wait: held")
        .members("a b");
}

#[test]
fn a_refused_node_with_data_or_a_later_state_holds_the_founding_of_a_lost_registry() {
    for with_data in [true, false] {
        let mut world = World::new(3);
        world.cluster.policy.join = JoinPolicy::Token;
        world.check_ins("a");
        match with_data {
            true => world.returns_with("x", FOREIGN),
            false => world.has_seen_revision("x", 70),
        };
        world.is_refused("x", "founding_held").is_refused("x", "");
        world
            .ask("b", "wait: held")
            .with_message("admit x, which is refused now (`convene cluster join-token create --node x`)");
        // An administrator who has reset the cluster knows of it, and the word of a node without a say must not stop every attempt.
        world
            .reset()
            .is_refused("x", "")
            .check_ins("a b")
            .ask("c", "bootstrap a b c in epoch 2: roster_complete + member_registered formed bootstrap_told");
    }
}

#[test]
fn a_spare_that_was_refused_shows_a_lost_registry_its_cluster_once_it_is_admitted() {
    let mut world = World::running("a b c");
    world.observe("x", "stand_by: full");
    let copy = World::new(3).cluster.clone();
    world.registry_goes_back_to(copy).cluster.policy.join = JoinPolicy::Token;
    world.has_seen_revision("x", 70).is_refused("x", "founding_held").ask("y", "wait: held");
    let adopted = "formed bootstrapped member_added member_added member_added founding_released";
    world.has_seen_revision("x", 70).report("x", &format!("stand_by: full + {adopted}")).members("a b c");
}

#[test]
fn the_name_that_a_refused_node_gives_itself_is_in_no_command() {
    let mut world = World::new(3);
    world.cluster.policy.join = JoinPolicy::Token;
    world.returns_with("x`reboot`@x", FOREIGN).is_refused("x`reboot`@x", "founding_held");
    world.ask("a", "wait: held").with_message("convene cluster adopt");
    assert!(!world.last_message().contains("--node"), "{}", world.last_message());
}

#[test]
fn a_refused_node_holds_nothing_without_evidence_or_once_the_cluster_exists() {
    let mut world = World::new(1);
    world.is_refused("x", "");
    let mut world = World::running("a b c");
    world.returns_with("x", FOREIGN).is_refused("x", "");
}

#[test]
fn another_cluster_that_answers_does_not_release_the_hold() {
    let mut world = World::found_running("a b c");
    world.returns_with("x", FOREIGN).ask("x", "observe: look_needed + founding_held").observe("x", "start: uncertain");
    world.observe("d", "wait: held").members("");
}

#[test]
fn a_node_with_other_data_does_not_adopt_the_cluster_that_answers() {
    let mut world = World::found_running("a b c");
    world.returns_with("x", FOREIGN).observe("x", "start: uncertain + founding_held").members("");
}

#[test]
fn a_node_with_unreadable_data_does_not_adopt_the_cluster_that_answers() {
    let mut world = World::found_running("a b c");
    world.returns_with("x", Data::Unreadable).observe("x", "refuse: unreadable_data + founding_held").members("");
}

#[test]
fn the_hold_stays_when_the_data_is_gone() {
    let mut world = World::new(3);
    world.returns_with("x", FOREIGN).check_ins("x").returns_empty("x").pass(3_600).ask("x", "wait: held");
}

#[test]
fn unreadable_data_holds_the_founding() {
    World::new(1)
        .returns_with("x", Data::Unreadable)
        .ask("x", "refuse: unreadable_data + founding_held")
        .ask("a", "wait: held")
        .reset()
        .ask("x", "refuse: unreadable_data")
        .ask("a", "bootstrap a in epoch 2: roster_complete + member_registered formed bootstrap_told");
}

#[test]
fn data_of_a_node_that_leaves_holds_nothing() {
    World::new(2)
        .returns_with("x", FOREIGN)
        .starts_to_leave("x")
        .check_ins("x")
        .ask("a", "wait: forming + member_registered");
}

#[test]
fn founders_that_have_not_bootstrapped_are_held() {
    World::new(2)
        .check_ins("a b")
        .returns_with("x", FOREIGN)
        .ask("x", "observe: look_needed + founding_held")
        .ask("a", "wait: held")
        .ask("b", "wait: held");
}

#[test]
fn own_data_of_a_founder_ends_the_hold() {
    let mut world = World::formed("a b");
    world.holds_after_going_back().returns_empty("b").ask("b", "wait: held");
    world.ask("a", "observe: look_needed + bootstrapped member_updated member_updated founding_released");
    world.observe("a", "wait: no_quorum");
}

#[test]
fn no_epoch_begins_while_founding_is_held() {
    let mut world = World::new(2);
    world.check_ins("a b a").returns("a").returns("b").holds_after_going_back();
    world.pass(1).check_ins("a b").pass(2).observe("a", "wait: held").observe("b", "wait: held");
}

#[test]
fn a_restored_registry_founds_no_second_cluster() {
    let mut world = World::new(3);
    let copy = world.cluster.clone();
    world.check_ins("a b c");
    for name in ["a", "b", "c"] {
        world.check_in_and_execute(name);
    }
    world.registry_goes_back_to(copy).holds_after_going_back();
    world.ask("x", "wait: held").with_message("is an older copy").ask("y", "wait: held").ask("z", "wait: held");
    // A node of the real cluster comes back.
    let adopted = "formed bootstrapped member_added member_added member_added founding_released";
    world.observe("a", &format!("wait: healthy + {adopted}")).members("a b c").observe("x", "stand_by: full");
}

#[test]
fn a_restored_registry_lets_no_founder_bootstrap_twice() {
    let mut world = World::new(3);
    world.check_ins("a b c");
    let copy = world.cluster.clone();
    for name in ["a", "b", "c"] {
        world.check_in_and_execute(name);
    }
    world.check_ins("a b c").returns_with("a", Data::Nothing).registry_goes_back_to(copy).holds_after_going_back();
    world.observe(
        "b",
        "wait: not_dead_yet + bootstrapped member_updated member_updated member_updated founding_released",
    );
    world.observe("a", "remove a #1 of a b c: lost_disk + ticket_granted");
}

#[test]
fn after_a_reset_the_nodes_found_a_new_cluster() {
    let mut world = World::new(1);
    world.returns_with("x", FOREIGN).check_ins("x").ask("a", "wait: held").reset();
    world.ask("a", "bootstrap a in epoch 2: roster_complete + member_registered formed bootstrap_told");
    assert_eq!(world.cluster.earlier_cluster_ids, [ClusterId(0xbad)]);
}

#[test]
fn a_node_that_knows_a_later_revision_holds_the_founding() {
    let mut world = World::new(3);
    let copy = world.cluster.clone();
    world.check_ins("a b").take_view("d").registry_goes_back_to(copy);
    world.report("d", "wait: held + founding_held").with_message("d has seen a later state");
    world.ask("a", "wait: held").reset().ask("a", "wait: forming + member_registered");
    world.report("d", "wait: forming + member_registered");
}

#[test]
fn a_spare_that_has_seen_the_cluster_holds_the_founding_after_a_lost_registry() {
    let mut world = World::running("a b c");
    world.observe("s", "stand_by: full").take_view("s").registry_goes_back_to(World::new(3).cluster);
    world.ask("x", "wait: forming + member_registered").ask("y", "wait: forming + member_registered");
    world.report("s", "wait: held + founding_held").with_message("s has seen a later state");
    world.ask("x", "wait: held").ask("y", "wait: held").ask("z", "wait: held").members("x y");
    // A member's own view shows which cluster exists.
    let adopted = "member_removed member_removed formed bootstrapped member_added member_added member_added";
    world.observe("a", &format!("wait: healthy + {adopted} founding_released")).observe("x", "stand_by: full");
}

#[test]
fn a_spare_that_has_seen_the_cluster_teaches_the_registry_after_its_loss() {
    let mut world = World::running("a b c");
    world.observe("s", "stand_by: full").take_view("s").registry_goes_back_to(World::new(3).cluster);
    world.report("s", "stand_by: full + formed bootstrapped member_added member_added member_added");
    world.members("a b c").observe("x", "stand_by: full");
}

#[test]
fn a_cluster_at_the_nodes_own_address_holds_the_founding() {
    let mut world = World::found_running("a b c");
    world.ask("x", "wait: forming + member_registered").returns_empty("a");
    world.observe("a", "wait: held + founding_held").with_message("a has found etcd cluster").members("x");
}

#[test]
fn after_a_lost_registry_a_member_without_its_disk_does_not_found_a_cluster() {
    let mut world = World::found_running("a b c");
    world.returns_empty("c").dies("b").returns("a").ask("a", "observe: look_needed + founding_held");
    world.ask("c", "wait: held").observe("a", "start: uncertain").execute("a").runs("b");
    world.observe(
        "a",
        "wait: not_dead_yet + formed bootstrapped member_added member_added member_added founding_released",
    );
    world.observe("c", "remove c #1 of a b c: lost_disk + ticket_granted");
}

#[test]
fn an_etcd_of_an_unknown_cluster_without_quorum_waits() {
    let mut world = World::found_running("a b c");
    world.dies("b c").observe("a", "wait: held + founding_held").with_message("a has reported data");
}

#[test]
fn an_administrator_ends_the_hold_with_the_running_cluster() {
    let mut world = World::found_running("a b c");
    world.dies("b c").check_ins("a").ask("x", "wait: held").runs("b c").adopt().members("a b c");
    world.observe("a", "wait: healthy").observe("x", "stand_by: full");
    assert_eq!((&world.cluster.held, world.cluster.epoch.0), (&None, 1));
}

#[test]
fn stock_etcds_do_not_register_while_founding_is_held() {
    let mut world = World::new(3);
    world.holds_after_going_back();
    let registration = Registration::parse("a=http://a:2380").unwrap();
    let registered =
        world.cluster.register("1".parse().unwrap(), registration, Discovery::V2, Action::Create, UnixMillis(0));
    assert!(matches!(registered, Err(RegisterRefusal::Held(_))), "{registered:?}");
}

#[test]
fn a_cluster_that_exists_is_not_held_when_the_registry_goes_back_in_time() {
    let mut world = World::running("a b c");
    assert_eq!(world.cluster.hold_after_going_back(UnixMillis(0)), None);
    assert_eq!(World::formed_by_v2("a b c").cluster.hold_after_going_back(UnixMillis(0)), None);
    let twice = world.reset().holds_after_going_back().cluster.hold_after_going_back(UnixMillis(0));
    assert_eq!(twice, None);
}

#[test]
fn a_member_that_lost_its_disk_and_registers_as_a_founder_does_not_block_the_adoption() {
    let mut world = World::new(3);
    let copy = world.cluster.clone();
    world.check_ins("a b c");
    for name in ["a", "b", "c"] {
        world.check_in_and_execute(name);
    }
    world.registry_goes_back_to(copy).returns_empty("c").ask("c", "wait: forming + member_registered");
    world.returns("a").ask("a", "observe: look_needed + founding_held").ask("c", "wait: held");
    let adopted = "formed bootstrapped member_added member_added member_updated founding_released";
    world.runs("a").observe("a", &format!("wait: not_dead_yet + {adopted}"));
    world.observe("c", "remove c #1 of a b c: lost_disk + ticket_granted");
}

/// Three founders have been instructed to bootstrap on their disks. The registry has not learned whether they did.
fn instructed_on_disks() -> World {
    let mut world = World::new(3);
    world.on_disks("a b c", "disk-a disk-b disk-c").check_ins("a b c");
    for name in ["a", "b", "c"] {
        world.check_ins(name);
    }
    world.pass(60);
    for name in ["a", "b", "c"] {
        world.returns_empty(name);
    }
    world
}

#[test]
fn founders_without_data_on_the_same_disks_bootstrap_again() {
    let mut world = instructed_on_disks();
    world.watch(10, "a b c");
    assert!(world.cluster.held.is_none());
    assert_eq!(world.cluster.epoch.0, 2);
}

#[test]
fn founders_whose_mounts_are_missing_found_no_other_cluster() {
    let mut world = instructed_on_disks();
    world.on_disks("a b c", "root-a root-b root-c").check_ins("a b c").pass(120).check_ins("a b c");
    assert!(world.cluster.held.is_some());
    world.watch(15, "a b c");
    world.ask("a", "wait: held").with_message("Mount the missing disks").with_message("convene cluster reset");
    // The first one is mounted again, and has the data of a member.
    let member = world.cluster.members().next().unwrap().key.id().unwrap();
    let data = Data::Of(Identity { member, cluster: world.cluster.cluster_id.unwrap() });
    world
        .on_disks("a", "disk-a")
        .returns_with("a", data)
        .observe("a", "start a b c: own_data + bootstrapped member_updated founding_released");
    assert_eq!(world.cluster.epoch.0, 1);
}

#[test]
fn a_founder_with_a_new_disk_holds_nothing_if_the_others_have_written_nothing() {
    let mut world = instructed_on_disks();
    world.on_disks("c", "root-c");
    world.watch(10, "a b c");
    assert!(world.cluster.held.is_none());
    assert_eq!(world.cluster.epoch.0, 2);
}

#[test]
fn disks_that_are_back_without_data_end_the_hold() {
    let mut world = instructed_on_disks();
    world.on_disks("a b c", "root-a root-b root-c").check_ins("a b c").check_ins("a");
    assert!(world.cluster.held.is_some());
    world.on_disks("a b", "disk-a disk-b").returns_empty("a").returns_empty("b");
    world.watch(15, "a b c");
    assert!(world.cluster.held.is_none());
}
