use convene_lifecycle::Epoch;

use crate::*;

#[test]
fn founders_whose_wals_are_gone_start_no_epoch() {
    let mut world = World::formed("a b c");
    for name in ["a", "b", "c"] {
        world.returns_with(name, Data::Leftover);
    }
    world
        .pass(1)
        .observe("a", "wait: no_quorum + bootstrapped")
        .observe("b", "wait: no_quorum")
        .observe("c", "wait: no_quorum")
        .pass(2)
        .observe("a", "wait: no_quorum")
        .with_message("no answer from a");
}

#[test]
fn a_leftover_of_one_founder_prevents_an_epoch_in_any_order() {
    let orders = [["a", "b", "c"], ["a", "c", "b"], ["b", "a", "c"], ["b", "c", "a"], ["c", "a", "b"], ["c", "b", "a"]];
    for (order, keeper) in orders.iter().flat_map(|order| order.map(|keeper| (order, keeper))) {
        let mut world = World::formed("a b c");
        for name in order {
            world.returns_empty(name);
        }
        world.has(keeper, Data::Leftover);
        for _ in 0..3 {
            for name in order {
                world.pass(1).check_ins(name);
            }
        }
        for name in order {
            world.observe(name, "wait: no_quorum");
        }
        assert_eq!(world.cluster.epoch, Epoch::FIRST);
    }
}

#[test]
fn a_founder_with_a_leftover_that_checks_in_last_starts_no_epoch() {
    let mut world = World::formed("a b");
    world
        .dies("b")
        .returns_empty("a")
        .pass(1)
        .observe("a", "wait: founders_missing")
        .pass(1)
        .returns_with("b", Data::Leftover);
    world
        .observe("b", "wait: no_quorum + bootstrapped")
        .observe("a", "wait: no_quorum")
        .pass(1)
        .observe("b", "wait: no_quorum");
}

#[test]
fn a_leftover_that_was_reported_once_is_enough() {
    let mut world = World::formed("a b");
    world.dies("b").returns_with("a", Data::Leftover).observe("a", "wait: no_quorum + bootstrapped");
    world.returns_empty("a").returns_empty("b").pass(1).check_ins("a b").pass(1).check_ins("a b");
    world.observe("a", "wait: no_quorum").observe("b", "wait: no_quorum");
}

#[test]
fn the_only_founder_with_a_leftover_waits_and_an_event_explains_it() {
    World::formed("a")
        .returns_with("a", Data::Leftover)
        .leaves_event("a", "etcd cluster exists: a was instructed to bootstrap it, and has a database without a WAL")
        .observe("a", "wait: no_quorum");
}

#[test]
fn a_founder_with_a_leftover_replaces_itself_if_the_others_run() {
    let mut world = World::formed("a b c");
    world.returns_with("c", Data::Leftover).ask("c", "observe: look_needed + bootstrapped");
    world.observe("c", "remove c #1 of a b c: lost_disk + member_updated member_updated ticket_granted member_updated");
}

#[test]
fn a_leftover_of_a_founder_that_was_never_instructed_proves_nothing() {
    let bootstrap = "bootstrap a b in epoch 1: roster_complete + bootstrap_told";
    World::new(2).check_ins("a b").returns_with("a", Data::Leftover).ask("a", bootstrap);
}

#[test]
fn a_leftover_while_the_cluster_forms_proves_nothing() {
    let bootstrap = "bootstrap a in epoch 1: roster_complete + member_registered formed bootstrap_told";
    World::new(1).has("a", Data::Leftover).ask("a", bootstrap);
}

#[test]
fn a_leftover_in_the_instructed_run_proves_nothing() {
    let bootstrap = "bootstrap a b in epoch 1: roster_complete";
    World::new(2).has("b", Data::Leftover).check_ins("a b").ask("b", bootstrap).observe("b", bootstrap);
}

#[test]
fn a_leftover_of_a_node_that_is_no_founder_proves_nothing() {
    let mut world = World::formed("a b c");
    world
        .returns_with("d", Data::Leftover)
        .ask("d", "observe: look_needed")
        .partition("d")
        .observe("d", "wait: no_quorum");
}

#[test]
fn a_leftover_from_before_a_reset_proves_nothing() {
    World::formed("a")
        .reset()
        .returns_with("a", Data::Leftover)
        .ask("a", "bootstrap a in epoch 2: roster_complete + member_registered formed bootstrap_told");
}
