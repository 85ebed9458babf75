use crate::*;

#[test]
fn data_of_an_earlier_epoch_stays_without_consent_on_its_node() {
    World::running("a b c")
        .reset()
        .returns("a")
        .ask("a", "refuse: earlier_epoch")
        .with_remedy("start this node with `--accept-reset 2`")
        .observe("a", "refuse: earlier_epoch");
}

#[test]
fn data_of_an_earlier_epoch_is_archived_with_consent_to_this_epoch() {
    let mut world = World::running("a b c");
    world.reset().returns("a").accepts_reset("a", 2).ask("a", "archive_data: earlier_epoch");
    world.reset().ask("a", "refuse: earlier_epoch").with_remedy("--accept-reset 3");
}

#[test]
fn data_of_an_earlier_epoch_that_never_had_a_leader_is_archived() {
    World::running("a b c").reset().returns("a").have_never_led_data("a").ask("a", "archive_data: earlier_epoch");
}

#[test]
fn data_of_an_earlier_epoch_stays_while_the_cluster_of_this_epoch_has_no_quorum() {
    let mut world = World::running("a b c");
    world.reset().returns_empty("a").returns_empty("b").check_ins("a b d").returns("c");
    world.ask("c", "observe: look_needed").observe("c", "refuse: earlier_epoch");
}

#[test]
fn an_etcd_of_an_earlier_epoch_is_not_touched_while_it_runs() {
    World::running("a b c").reset().ask("a", "refuse: foreign_cluster");
}

#[test]
fn the_nodes_of_a_cluster_that_was_reset_form_it_again() {
    World::running("a b c")
        .reset()
        .returns_empty("a")
        .returns_empty("b")
        .returns_empty("c")
        .ask("a", "wait: forming + member_registered")
        .ask("b", "wait: forming + member_registered")
        .ask("c", "bootstrap a b c in epoch 2: roster_complete + member_registered formed bootstrap_told");
}

#[test]
fn data_of_an_earlier_epoch_is_archived_after_the_cluster_has_formed_again() {
    let mut world = World::running("a b c");
    world.reset().returns_empty("a").returns_empty("b").check_ins("a b d").check_ins("a b").returns("c");
    for name in ["a", "b", "d"] {
        world.execute(name);
    }
    world.ask("c", "observe: look_needed");
    world.observe(
        "c",
        "archive_data: earlier_epoch + bootstrapped member_updated member_updated member_updated member_updated",
    );
}

#[test]
fn the_etcd_of_an_earlier_epoch_is_not_adopted() {
    World::running("a b c").reset().observe("d", "wait: forming + member_registered");
}
