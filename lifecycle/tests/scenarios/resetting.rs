use crate::*;

#[test]
fn data_of_an_earlier_epoch_is_archived() {
    World::running("a b c").reset().returns("a").ask("a", "archive_data: earlier_epoch");
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
    world.reset().returns_empty("a").returns_empty("b").check_ins("a b d").returns("c");
    world.ask("c", "archive_data: earlier_epoch");
}

#[test]
fn the_etcd_of_an_earlier_epoch_is_not_adopted() {
    World::running("a b c").reset().observe("d", "wait: forming + member_registered");
}
