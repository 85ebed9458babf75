use crate::*;

#[test]
fn prepared_waits_for_an_administrator_to_add_the_node() {
    let mut world = World::running("a b c");
    world.size(4).strategy(Strategy::Prepared).look("d", "wait: strategy");
    world.etcdctl_adds("d").look("d", "join a b c d: added + member_added");
}

#[test]
fn prepared_replaces_nobody() {
    World::running("a b c").strategy(Strategy::Prepared).dies("c").watch(120, "a b d").look("d", "wait: strategy");
}

#[test]
fn prepared_promotes_nobody() {
    let mut world = World::running("a b c");
    world.size(4).strategy(Strategy::Prepared).glance("d").etcdctl_adds("d").check_ins("d").obey("d");
    world.look("d", "wait: healthy + member_updated");
}

#[test]
fn add_takes_free_places() {
    World::running("a b c")
        .strategy(Strategy::Add)
        .size(4)
        .look("d", "add learner d #1 of a b c: below_size + ticket_granted");
}

#[test]
fn add_replaces_nobody() {
    World::running("a b c").strategy(Strategy::Add).dies("c").watch(120, "a b d").look("d", "wait: strategy");
}

#[test]
fn add_shrinks_no_cluster() {
    World::running("a b c").strategy(Strategy::Add).size(2).look("c", "wait: healthy");
}

#[test]
fn replace_removes_nobody_without_a_node_to_take_the_place() {
    World::running("a b c").dies("c").watch(120, "a b").look("a", "wait: dead").members("a b c");
}

#[test]
fn prune_removes_a_dead_member_with_nobody_to_take_its_place() {
    World::running("a b c")
        .strategy(Strategy::Prune)
        .are_dead_to("c", "a b")
        .step("a", "remove c #1 of a b c: dead + ticket_granted")
        .look("a", "wait: healthy + member_removed ticket_released");
}

#[test]
fn prune_leaves_a_quorum_of_the_size() {
    let mut world = World::running("a b c d e");
    world.strategy(Strategy::Prune).are_dead_to("d e", "a b c");
    world
        .step("a", "remove d #1 of a b c d e: dead + ticket_granted")
        .step("a", "remove e #2 of a b c e: dead + member_removed ticket_released ticket_granted")
        .look("a", "wait: healthy + member_removed ticket_released")
        .dies("c")
        .watch(120, "a b")
        .look("a", "wait: dead")
        .members("a b c");
}

#[test]
fn a_pruned_member_that_comes_back_takes_its_place_again() {
    World::running("a b c")
        .strategy(Strategy::Prune)
        .are_dead_to("c", "a b")
        .step("a", "remove c #1 of a b c: dead + ticket_granted")
        .look("a", "wait: healthy + member_removed ticket_released")
        .returns("c")
        .ask("c", "archive_data: removed_member")
        .obey("c")
        .look("c", "add learner c #2 of a b: below_size + ticket_granted");
}

#[test]
fn a_strategy_that_changes_while_a_member_is_being_pruned_ends_it() {
    let mut world = World::running("a b c");
    world.strategy(Strategy::Prune).are_dead_to("c", "a b d");
    world
        .look("a", "remove c #1 of a b c: dead + ticket_granted")
        .strategy(Strategy::Replace)
        .look("a", "wait: dead + ticket_released")
        .look("d", "remove c #2 of a b c: dead + ticket_granted");
}
