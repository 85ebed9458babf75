//! The first etcds of a cluster fail before they have a leader.

use crate::*;

/// The events of an epoch of three founders.
const NEXT_EPOCH: &str = "member_removed member_removed member_removed epoch_begun member_registered member_registered \
                          member_registered formed";

/// Three founders have bootstrapped, but their etcds failed before there was a leader.
fn failed() -> World {
    let mut world = World::formed("a b c");
    world.dies("a b c").have_never_led_data("a b c");
    for name in ["a", "b", "c"] {
        world.returns(name);
    }
    world
}

#[test]
fn founders_at_their_addresses_start_again() {
    let mut world = failed();
    world.ask("a", "observe: look_needed").step("a", "start a b c: own_data");
    world.step("b", "start a b c: own_data + bootstrapped member_updated");
    world.step("c", "start a b c: own_data + member_updated member_updated member_updated");
    world.observe("a", "wait: healthy");
}

#[test]
fn founders_that_have_moved_bootstrap_again_at_their_new_addresses() {
    let mut world = failed();
    world.moves("a", "a2").moves("b", "b2").moves("c", "c2");
    world.observe("a", "wait: founders_missing").with_message("has never had a leader");
    world.observe("b", "wait: founders_missing");
    world.step("c", &format!("archive_data: earlier_epoch + {NEXT_EPOCH}"));
    world.step("a", "archive_data: earlier_epoch").step("b", "archive_data: earlier_epoch");
    for name in ["a", "b", "c"] {
        world.ask(name, "bootstrap a@a2 b@b2 c@c2 in epoch 2: roster_complete + bootstrap_told");
    }
}

#[test]
fn founders_whose_etcd_failed_before_it_wrote_data_bootstrap_again() {
    let mut world = World::formed("a b c");
    world.dies("a b").check_ins("c").returns_empty("a").returns_empty("b").moves("a", "a2");
    for _ in 0..2 {
        world.pass(1).check_ins("a b");
    }
    world.observe("a", "wait: founders_missing").with_message("so c (").with_message("restart etcd there");
    world.observe("b", "wait: founders_missing");
    world.returns("c").have_never_led_data("c").step("c", &format!("archive_data: earlier_epoch + {NEXT_EPOCH}"));
    world.ask("a", "bootstrap a@a2 b c in epoch 2: roster_complete + bootstrap_told");
}

/// Without entries, etcd does not know the members, so it elects no leader.
#[test]
fn founders_whose_etcd_failed_before_it_wrote_entries_bootstrap_again() {
    let mut world = failed();
    world.wal_ends_at("a", 0).wal_ends_at("b", 0).wal_ends_at("c", 0);
    world.ask("a", "observe: look_needed");
    world.observe("a", "wait: founders_missing").with_message("before etcd had stored the member list");
    world.observe("b", "wait: founders_missing");
    world.step("c", &format!("archive_data: earlier_epoch + {NEXT_EPOCH}"));
    world.step("a", "archive_data: earlier_epoch").step("b", "archive_data: earlier_epoch");
    world.ask("a", "bootstrap a b c in epoch 2: roster_complete + bootstrap_told");
}

/// Each epoch leaves an archive on each node.
#[test]
fn founders_whose_etcds_fail_again_and_again_bootstrap_less_and_less_often() {
    let mut world = failed();
    for (epoch, pause) in [(1, 0), (2, 10), (3, 20), (4, 40)] {
        world.wal_ends_at("a", 0).wal_ends_at("b", 0).wal_ends_at("c", 0).have_never_led_data("a b c");
        for name in ["a", "b"] {
            world.observe(name, "wait: founders_missing");
        }
        if pause > 0 {
            world.watch(pause - 5, "a b c");
            world.observe("c", "wait: founders_missing").with_message("bootstrap again at").pass(5);
        }
        world.step("c", &format!("archive_data: earlier_epoch + {NEXT_EPOCH}"));
        world.step("a", "archive_data: earlier_epoch").step("b", "archive_data: earlier_epoch");
        for name in ["a", "b", "c"] {
            world.ask(name, &format!("bootstrap a b c in epoch {}: roster_complete + bootstrap_told", epoch + 1));
            world.execute(name).dies(name).returns(name);
        }
    }
}

#[test]
fn founders_without_entries_start_if_a_founder_that_runs_lists_them() {
    let mut world = failed();
    world.wal_ends_at("a", 0).wal_ends_at("b", 0).runs("c").check_ins("c");
    world
        .step("a", "start a b c: own_data + member_updated")
        .observe("b", "start a b c: own_data + member_updated member_updated");
}

#[test]
fn founders_without_entries_that_have_moved_name_the_founder_to_restart() {
    let mut world = failed();
    world.wal_ends_at("a", 0).wal_ends_at("b", 0).moves("a", "a2").moves("b", "b2").runs("c").check_ins("c");
    world.observe("a", "wait: founders_missing").observe("b", "wait: founders_missing");
    world.observe("a", "wait: founders_missing").with_message("so c (").with_message("restart etcd there");
    world.returns("c").step("c", &format!("archive_data: earlier_epoch + {NEXT_EPOCH}"));
    world
        .step("a", "archive_data: earlier_epoch")
        .ask("a", "bootstrap a@a2 b@b2 c in epoch 2: roster_complete + bootstrap_told");
}

/// It takes part once another member has started that lists it.
#[test]
fn a_member_without_entries_waits_for_members_that_may_have_had_a_leader() {
    let mut world = World::formed("a b c");
    world.dies("a b c").have_never_led_data("c").wal_ends_at("c", 0).returns("a").returns("b").returns("c");
    world.observe("c", "wait: founders_missing");
    world.step("a", "start a b c: own_data + bootstrapped member_updated");
    world.observe("c", "start a b c: own_data + member_updated");
}

#[test]
fn no_epoch_begins_over_a_founder_whose_wal_is_gone() {
    let mut world = World::formed("a b c");
    world.dies("a b c").have_never_led_data("c").returns_empty("a").returns_with("b", Data::Leftover).returns("c");
    for _ in 0..2 {
        world.pass(1).check_ins("a b");
    }
    world.observe("c", "start a b c: own_data + member_updated");
}

#[test]
fn no_epoch_begins_while_a_founder_runs() {
    let mut world = failed();
    world.moves("a", "a2").moves("b", "b2").runs("c").check_ins("c");
    world.observe("a", "start a b c: own_data + member_updated");
}

#[test]
fn no_epoch_begins_before_every_founder_has_reported() {
    let mut world = failed();
    world.moves("a", "a2").moves("b", "b2").observe("a", "wait: founders_missing").pass(60);
    world.observe("b", "wait: founders_missing");
}

#[test]
fn no_epoch_begins_over_data_that_may_have_had_a_leader() {
    let mut world = World::formed("a b c");
    world.dies("a b c").have_never_led_data("a").moves("a", "a2").returns("a");
    world.returns_empty("b").returns("c");
    world.pass(1).check_ins("c b").pass(1).check_ins("b").observe("a", "wait: founders_missing");
}

#[test]
fn founders_without_data_do_not_show_that_the_cluster_never_had_a_leader() {
    let mut world = World::running("a b c");
    world.returns_empty("a").returns_empty("b").returns_empty("c");
    for _ in 0..2 {
        for name in ["a", "b", "c"] {
            world.pass(1).observe(name, "wait: no_quorum");
        }
    }
}
