use convene_lifecycle::Epoch;

use crate::*;

#[test]
fn founders_whose_wals_are_gone_do_not_found_the_cluster_anew() {
    let mut world = World::formed("a b c");
    for name in ["a", "b", "c"] {
        world.returns_with(name, Data::LeftOvers);
    }
    world
        .pass(1)
        .look("a", "wait: no_quorum + bootstrapped")
        .look("b", "wait: no_quorum")
        .look("c", "wait: no_quorum")
        .pass(2)
        .look("a", "wait: no_quorum")
        .saying("no answer from a");
}

#[test]
fn one_founder_with_left_overs_keeps_all_from_founding_anew_in_whatever_order_they_come() {
    let orders = [["a", "b", "c"], ["a", "c", "b"], ["b", "a", "c"], ["b", "c", "a"], ["c", "a", "b"], ["c", "b", "a"]];
    for (order, keeper) in orders.iter().flat_map(|order| order.map(|keeper| (order, keeper))) {
        let mut world = World::formed("a b c");
        for name in order {
            world.returns_empty(name);
        }
        world.has(keeper, Data::LeftOvers);
        for _ in 0..3 {
            for name in order {
                world.pass(1).check_ins(name);
            }
        }
        for name in order {
            world.look(name, "wait: no_quorum");
        }
        assert_eq!(world.cluster.epoch, Epoch::FIRST);
    }
}

#[test]
fn a_founder_with_left_overs_that_comes_last_does_not_begin_an_epoch() {
    let mut world = World::formed("a b");
    world
        .dies("b")
        .returns_empty("a")
        .pass(1)
        .look("a", "wait: founders_missing")
        .pass(1)
        .returns_with("b", Data::LeftOvers);
    world.look("b", "wait: no_quorum + bootstrapped").look("a", "wait: no_quorum").pass(1).look("b", "wait: no_quorum");
}

#[test]
fn left_overs_that_a_founder_has_no_more_when_it_comes_again_have_shown_enough() {
    let mut world = World::formed("a b");
    world.dies("b").returns_with("a", Data::LeftOvers).look("a", "wait: no_quorum + bootstrapped");
    world.returns_empty("a").returns_empty("b").pass(1).check_ins("a b").pass(1).check_ins("a b");
    world.look("a", "wait: no_quorum").look("b", "wait: no_quorum");
}

#[test]
fn the_only_founder_with_left_overs_waits_and_the_history_says_why() {
    World::formed("a")
        .returns_with("a", Data::LeftOvers)
        .happens("a", "etcd cluster exists: a was instructed to bootstrap it, and has a database without a WAL")
        .look("a", "wait: no_quorum");
}

#[test]
fn a_founder_with_left_overs_replaces_itself_where_the_others_run() {
    let mut world = World::formed("a b c");
    world.returns_with("c", Data::LeftOvers).ask("c", "observe: look_needed + bootstrapped");
    world.look("c", "remove c #1 of a b c: lost_disk + member_updated member_updated member_updated ticket_granted");
}

#[test]
fn left_overs_of_a_founder_that_was_never_told_show_nothing() {
    let bootstrap = "bootstrap a b in epoch 1: roster_complete + bootstrap_told";
    World::new(2).check_ins("a b").returns_with("a", Data::LeftOvers).ask("a", bootstrap);
}

#[test]
fn left_overs_that_a_node_brings_while_the_cluster_forms_show_nothing() {
    let bootstrap = "bootstrap a in epoch 1: roster_complete + member_registered formed bootstrap_told";
    World::new(1).has("a", Data::LeftOvers).ask("a", bootstrap);
}

#[test]
fn left_overs_in_the_run_that_was_told_show_nothing() {
    let bootstrap = "bootstrap a b in epoch 1: roster_complete";
    World::new(2).has("b", Data::LeftOvers).check_ins("a b").ask("b", bootstrap).look("b", bootstrap);
}

#[test]
fn left_overs_of_a_node_that_is_no_founder_show_nothing() {
    let mut world = World::formed("a b c");
    world.returns_with("d", Data::LeftOvers).ask("d", "observe: look_needed").cut_off("d").look("d", "wait: no_quorum");
}

#[test]
fn left_overs_of_before_a_reset_show_nothing() {
    World::formed("a")
        .reset()
        .returns_with("a", Data::LeftOvers)
        .ask("a", "bootstrap a in epoch 2: roster_complete + member_registered formed bootstrap_told");
}
