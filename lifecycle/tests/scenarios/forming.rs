use std::sync::Arc;

use convene_lifecycle::{MAX_MEMBERS, Member, Removal, Revision};

use crate::*;

#[test]
fn a_cluster_of_one_bootstraps_at_once() {
    World::new(1).ask("a", "bootstrap a in epoch 1: roster_complete + member_registered formed bootstrap_told");
}

#[test]
fn a_cluster_of_two_bootstraps_once_both_have_registered() {
    World::new(2)
        .ask("a", "wait: forming + member_registered")
        .ask("b", "bootstrap a b in epoch 1: roster_complete + member_registered formed bootstrap_told")
        .ask("a", "bootstrap a b in epoch 1: roster_complete + bootstrap_told");
}

#[test]
fn a_cluster_of_three_bootstraps_once_all_have_registered() {
    World::new(3)
        .ask("a", "wait: forming + member_registered")
        .with_message("waiting for 2 more")
        .ask("b", "wait: forming + member_registered")
        .with_message("waiting for 1 more")
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
fn a_cluster_of_five_forms_in_any_order_of_its_nodes() {
    World::new(5)
        .check_ins("e c a d")
        .ask("b", "bootstrap e c a d b in epoch 1: roster_complete + member_registered formed bootstrap_told")
        .ask("e", "bootstrap e c a d b in epoch 1: roster_complete + bootstrap_told");
}

#[test]
fn a_latecomer_with_a_view_is_a_spare() {
    World::running("a b c").ask("d", "observe: look_needed").observe("d", "stand_by: full");
}

#[test]
fn a_latecomer_before_the_first_etcd_runs_waits_for_the_quorum() {
    World::new(3).check_ins("a b c").ask("d", "observe: look_needed").observe("d", "wait: no_quorum");
}

#[test]
fn a_latecomer_with_once_is_refused() {
    World::running("a b c").once("d").observe("d", "refuse: full");
}

#[test]
fn a_silent_registrant_is_dropped() {
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
fn a_dropped_registrant_registers_again_when_it_returns() {
    World::new(3)
        .ask("a", "wait: forming + member_registered")
        .pass(60)
        .ask("b", "wait: forming + member_removed member_registered")
        .ask("a", "wait: forming + member_registered");
}

#[test]
fn a_founder_that_fell_silent_after_the_roster_was_frozen_keeps_its_place() {
    World::new(3)
        .check_ins("a b c")
        .pass(600)
        .ask("a", "bootstrap a b c in epoch 1: roster_complete + bootstrap_told")
        .members("a b c");
}

#[test]
fn a_lost_instruction_to_bootstrap_is_given_again() {
    let bootstrap = "bootstrap a b c in epoch 1: roster_complete";
    World::new(3).check_ins("a b c").ask("c", bootstrap).ask("c", bootstrap);
}

#[test]
fn the_same_run_is_instructed_again_even_if_the_others_run() {
    let mut world = World::new(3);
    world.check_ins("a b c").check_ins("a b").execute("a").execute("b").check_ins("a b");
    world.ask("c", "bootstrap a b c in epoch 1: roster_complete");
}

#[test]
fn a_founder_that_was_never_instructed_bootstraps_after_the_others() {
    let mut world = World::new(2);
    world.check_ins("a b").execute("b").pass(600).check_ins("b");
    world.ask("a", "bootstrap a b in epoch 1: roster_complete + bootstrap_told");
}

#[test]
fn a_founder_in_another_run_without_data_waits_for_the_others() {
    World::new(3)
        .check_ins("a b c")
        .check_ins("a b")
        .returns("c")
        .ask("c", "observe: look_needed")
        .observe("c", "wait: founders_missing");
}

#[test]
fn an_epoch_starts_once_all_founders_check_in_without_data() {
    World::new(3)
        .check_ins("a b c a b")
        .returns("a")
        .returns("b")
        .returns("c")
        .pass(1)
        .observe("a", "wait: founders_missing")
        .observe("b", "wait: founders_missing")
        .observe("c", "wait: founders_missing")
        .pass(28)
        .observe("c", "wait: founders_missing")
        .pass(1)
        .observe(
            "c",
            "bootstrap a b c in epoch 2: roster_complete + member_removed member_removed member_removed epoch_begun \
             member_registered member_registered member_registered formed bootstrap_told",
        )
        .ask("a", "bootstrap a b c in epoch 2: roster_complete + bootstrap_told");
}

#[test]
fn no_epoch_starts_while_a_founder_may_be_bootstrapping() {
    World::new(3)
        .check_ins("a b c a b")
        .pass(1)
        // The answers were lost, so both check in again. Now both may execute their instructions.
        .ask("a", "bootstrap a b c in epoch 1: roster_complete")
        .ask("b", "bootstrap a b c in epoch 1: roster_complete")
        .returns("c")
        .observe("c", "wait: founders_missing");
}

#[test]
fn a_founder_without_data_never_bootstraps_once_the_cluster_runs() {
    let mut world = World::new(3);
    world.check_ins("a b c a b").execute("a").execute("b").check_ins("a b").returns("c");
    world.observe("c", "remove c #1 of a b c: lost_disk + ticket_granted");
}

#[test]
fn a_founders_view_of_the_running_cluster_prevents_another_bootstrap() {
    let mut world = World::new(3);
    world.check_ins("a b c a b").execute("a").execute("b").returns("c");
    world.observe(
        "c",
        "remove c #1 of a b c: lost_disk + bootstrapped member_updated member_updated ticket_granted member_updated",
    );
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
fn a_node_that_moves_while_the_cluster_forms_registers_again() {
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
fn a_leaving_registrant_frees_its_place() {
    World::new(2)
        .ask("a", "wait: forming + member_registered")
        .starts_to_leave("a")
        .ask("a", "stand_by: left + member_removed")
        .ask("b", "wait: forming + member_registered");
}

#[test]
fn a_joining_node_is_a_spare_after_the_size_is_lowered() {
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
fn data_of_an_unknown_member_is_started_while_the_cluster_forms() {
    World::new(3)
        .returns_with("a", FOREIGN)
        .ask("a", "observe: look_needed + founding_held")
        .observe("a", "start: uncertain");
}

#[test]
fn unreadable_data_does_not_count_as_none_while_the_cluster_forms() {
    World::new(3)
        .returns_with("a", Data::Unreadable)
        .ask("a", "refuse: unreadable_data + founding_held")
        .with_message("torn.wal");
}

#[test]
fn the_registrations_of_a_token_are_bounded() {
    let mut world = World::new(3);
    let registrant = world.check_ins("a").cluster.record[0].clone();
    let gone = |n: usize| {
        let removed = Some(Removal { at: Revision(2), confirmed: true, given_up: false });
        Arc::new(Member { key: format!("gone-{n}").parse().unwrap(), removed, ..Member::clone(&registrant) })
    };
    world.cluster.record.extend((1..MAX_MEMBERS).map(gone));
    world.ask("b", "refuse: too_many_members").ask("a", "wait: forming");
}
