use std::sync::Arc;

use convene_lifecycle::{MAX_MEMBERS, Member, Removal, Revision};

use crate::*;

#[test]
fn a_cluster_of_one_bootstraps_at_once() {
    World::new(1).ask("a", "bootstrap a in epoch 1: roster_complete + member_registered formed bootstrap_told");
}

#[test]
fn a_cluster_of_two_bootstraps_once_both_are_there() {
    World::new(2)
        .ask("a", "wait: forming + member_registered")
        .ask("b", "bootstrap a b in epoch 1: roster_complete + member_registered formed bootstrap_told")
        .ask("a", "bootstrap a b in epoch 1: roster_complete + bootstrap_told");
}

#[test]
fn a_cluster_of_three_bootstraps_once_all_are_there() {
    World::new(3)
        .ask("a", "wait: forming + member_registered")
        .saying("waiting for 2 more")
        .ask("b", "wait: forming + member_registered")
        .saying("waiting for 1 more")
        .ask("c", "bootstrap a b c in epoch 1: roster_complete + member_registered formed bootstrap_told")
        .ask("b", "bootstrap a b c in epoch 1: roster_complete + bootstrap_told")
        .ask("a", "bootstrap a b c in epoch 1: roster_complete + bootstrap_told");
}

#[test]
fn a_cluster_of_an_even_size_forms_like_any_other() {
    World::new(4)
        .check_ins("a b c")
        .ask("d", "bootstrap a b c d in epoch 1: roster_complete + member_registered formed bootstrap_told");
}

#[test]
fn a_cluster_of_five_forms_in_whatever_order_its_nodes_come() {
    World::new(5)
        .check_ins("e c a d")
        .ask("b", "bootstrap e c a d b in epoch 1: roster_complete + member_registered formed bootstrap_told")
        .ask("e", "bootstrap e c a d b in epoch 1: roster_complete + bootstrap_told");
}

#[test]
fn a_latecomer_looks_and_becomes_a_spare() {
    World::running("a b c").ask("d", "observe: look_needed").look("d", "stand_by: full");
}

#[test]
fn a_latecomer_before_the_first_etcd_runs_waits_for_the_quorum() {
    World::new(3).check_ins("a b c").ask("d", "observe: look_needed").look("d", "wait: no_quorum");
}

#[test]
fn a_latecomer_that_would_rather_be_refused_is_refused() {
    World::running("a b c").once("d").look("d", "refuse: full");
}

#[test]
fn a_registrant_that_vanishes_makes_room() {
    World::new(3)
        .ask("a", "wait: forming + member_registered")
        .pass(30)
        .ask("b", "wait: forming + member_registered")
        .pass(30)
        .ask("c", "wait: forming + member_removed member_registered")
        .members("b c")
        .ask("d", "bootstrap b c d in epoch 1: roster_complete + member_registered formed bootstrap_told");
}

#[test]
fn a_registrant_that_vanished_registers_again_when_it_comes_back() {
    World::new(3)
        .ask("a", "wait: forming + member_registered")
        .pass(60)
        .ask("b", "wait: forming + member_removed member_registered")
        .ask("a", "wait: forming + member_registered");
}

#[test]
fn a_founder_that_vanishes_after_the_roster_is_frozen_keeps_its_place() {
    World::new(3)
        .check_ins("a b c")
        .pass(600)
        .ask("a", "bootstrap a b c in epoch 1: roster_complete + bootstrap_told")
        .members("a b c");
}

#[test]
fn a_lost_answer_to_bootstrap_is_given_again() {
    let bootstrap = "bootstrap a b c in epoch 1: roster_complete";
    World::new(3).check_ins("a b c").ask("c", bootstrap).ask("c", bootstrap);
}

#[test]
fn the_same_run_is_told_again_even_when_the_others_run() {
    let mut world = World::new(3);
    world.check_ins("a b c").check_ins("a b").obey("a").obey("b").check_ins("a b");
    world.ask("c", "bootstrap a b c in epoch 1: roster_complete");
}

#[test]
fn a_founder_that_was_never_told_bootstraps_with_those_that_run_already() {
    let mut world = World::new(2);
    world.check_ins("a b").obey("b").pass(600).check_ins("b");
    world.ask("a", "bootstrap a b in epoch 1: roster_complete + bootstrap_told");
}

#[test]
fn a_founder_in_another_run_without_data_waits_for_the_others() {
    World::new(3)
        .check_ins("a b c")
        .check_ins("a b")
        .returns("c")
        .ask("c", "observe: look_needed")
        .look("c", "wait: founders_missing");
}

#[test]
fn a_new_epoch_begins_once_all_founders_are_back_without_data() {
    World::new(3)
        .check_ins("a b c a b")
        .returns("a")
        .returns("b")
        .returns("c")
        .pass(1)
        .look("a", "wait: founders_missing")
        .look("b", "wait: founders_missing")
        .look("c", "wait: founders_missing")
        .pass(2)
        .look(
            "c",
            "bootstrap a b c in epoch 2: roster_complete + member_removed member_removed member_removed epoch_begun \
             member_registered member_registered member_registered formed bootstrap_told",
        )
        .ask("a", "bootstrap a b c in epoch 2: roster_complete + bootstrap_told");
}

#[test]
fn no_epoch_begins_while_a_founder_may_be_doing_what_it_was_told() {
    World::new(3)
        .check_ins("a b c a b")
        .pass(1)
        // The answers got lost, so both ask again; and both will now do what they are told.
        .ask("a", "bootstrap a b c in epoch 1: roster_complete")
        .ask("b", "bootstrap a b c in epoch 1: roster_complete")
        .returns("c")
        .look("c", "wait: founders_missing");
}

#[test]
fn a_founder_without_data_is_never_told_to_bootstrap_once_the_cluster_runs() {
    let mut world = World::new(3);
    world.check_ins("a b c a b").obey("a").obey("b").check_ins("a b").returns("c");
    world.look("c", "remove c #1 of a b c: lost_disk + ticket_granted");
}

#[test]
fn what_a_founder_sees_of_a_running_cluster_is_enough_to_never_bootstrap_again() {
    let mut world = World::new(3);
    world.check_ins("a b c a b").obey("a").obey("b").returns("c");
    world.look("c", "remove c #1 of a b c: lost_disk + bootstrapped member_updated member_updated ticket_granted");
}

#[test]
fn two_nodes_with_one_name_do_not_both_register() {
    World::new(3)
        .ask("a", "wait: forming + member_registered")
        .ask("a@x", "refuse: name_taken")
        .ask("a@x", "refuse: name_taken")
        .members("a");
}

#[test]
fn two_nodes_with_one_peer_url_do_not_both_register() {
    World::new(3).ask("a", "wait: forming + member_registered").ask("b@a", "refuse: peer_url_taken");
}

#[test]
fn a_node_that_moves_while_the_cluster_forms_registers_anew() {
    World::new(2)
        .ask("a", "wait: forming + member_registered")
        .moves("a", "a2")
        .ask("a", "wait: forming + member_removed member_registered")
        .ask("b", "bootstrap a@a2 b in epoch 1: roster_complete + member_registered formed bootstrap_told");
}

#[test]
fn a_node_that_moves_to_the_address_of_another_registrant_is_refused() {
    World::new(3).check_ins("a b").moves("a", "b").ask("a", "refuse: peer_url_taken").members("a b");
}

#[test]
fn a_registrant_that_wants_to_leave_gives_its_place_away() {
    World::new(2)
        .ask("a", "wait: forming + member_registered")
        .wants_to_leave("a")
        .ask("a", "stand_by: left + member_removed")
        .ask("b", "wait: forming + member_registered");
}

#[test]
fn whoever_is_one_too_many_when_the_size_is_lowered_is_a_spare() {
    World::new(3)
        .ask("a", "wait: forming + member_registered")
        .ask("b", "wait: forming + member_registered")
        .size(1)
        .ask("b", "observe: look_needed + member_removed formed")
        .ask("a", "bootstrap a in epoch 1: roster_complete + bootstrap_told");
}

#[test]
fn a_paused_cluster_does_not_form() {
    World::new(1)
        .pause()
        .ask("a", "wait: paused")
        .resume()
        .ask("a", "bootstrap a in epoch 1: roster_complete + member_registered formed bootstrap_told");
}

#[test]
fn data_of_nobody_knows_whom_is_started_while_the_cluster_forms() {
    World::new(3).returns_with("a", FOREIGN).ask("a", "start: uncertain");
}

#[test]
fn unreadable_data_is_not_taken_for_none_while_the_cluster_forms() {
    World::new(3).returns_with("a", Data::Unreadable).ask("a", "refuse: unreadable_data").saying("torn.wal");
}

#[test]
fn a_token_takes_no_more_registrations_than_any_cluster_has() {
    let mut world = World::new(3);
    let registrant = world.check_ins("a").cluster.record[0].clone();
    let gone = |n: usize| {
        let removed = Some(Removal { at: Revision(2), confirmed: true });
        Arc::new(Member { key: format!("gone-{n}").parse().unwrap(), removed, ..Member::clone(&registrant) })
    };
    world.cluster.record.extend((1..MAX_MEMBERS).map(gone));
    world.ask("b", "refuse: too_many_members").ask("a", "wait: forming");
}
