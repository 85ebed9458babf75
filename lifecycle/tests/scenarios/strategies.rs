use crate::*;

#[test]
fn prepared_waits_for_an_administrator_to_add_the_node() {
    let mut world = World::running("a b c");
    world.size(4).strategy(Strategy::Prepared).observe("d", "wait: strategy");
    world.etcdctl_adds("d").observe("d", "join a b c d: added + member_added member_updated");
}

#[test]
fn prepared_replaces_no_member() {
    World::running("a b c").strategy(Strategy::Prepared).dies("c").watch(120, "a b d").observe("d", "wait: strategy");
}

#[test]
fn prepared_promotes_no_learner() {
    let mut world = World::running("a b c");
    world.size(4).strategy(Strategy::Prepared).take_view("d").etcdctl_adds("d").check_ins("d").execute("d");
    world.observe("d", "wait: healthy + member_updated");
}

#[test]
fn add_takes_free_places() {
    World::running("a b c")
        .strategy(Strategy::Add)
        .size(4)
        .observe("d", "add learner d #1 of a b c: below_size + ticket_granted");
}

#[test]
fn add_replaces_no_member() {
    World::running("a b c").strategy(Strategy::Add).dies("c").watch(120, "a b d").observe("d", "wait: strategy");
}

#[test]
fn add_does_not_shrink_a_cluster() {
    World::running("a b c").strategy(Strategy::Add).size(2).observe("c", "wait: healthy");
}

#[test]
fn replace_removes_no_member_without_a_spare() {
    World::running("a b c").dies("c").watch(120, "a b").observe("a", "wait: dead").members("a b c");
}

#[test]
fn prune_removes_a_dead_member_without_a_spare() {
    World::running("a b c")
        .strategy(Strategy::Prune)
        .are_dead_to("c", "a b")
        .step("a", "remove c #1 of a b c: dead + ticket_granted")
        .observe("a", "wait: healthy + member_removed ticket_released");
}

#[test]
fn prune_keeps_a_quorum_of_the_size() {
    let mut world = World::running("a b c d e");
    world.strategy(Strategy::Prune).are_dead_to("d e", "a b c");
    world
        .step("a", "remove d #1 of a b c d e: dead + ticket_granted")
        .step("a", "remove e #2 of a b c e: dead + member_removed ticket_released ticket_granted")
        .observe("a", "wait: healthy + member_removed ticket_released")
        .dies("c")
        .watch(120, "a b")
        .observe("a", "wait: dead")
        .members("a b c");
}

#[test]
fn a_pruned_member_that_returns_takes_its_place_again() {
    World::running("a b c")
        .strategy(Strategy::Prune)
        .are_dead_to("c", "a b")
        .step("a", "remove c #1 of a b c: dead + ticket_granted")
        .observe("a", "wait: healthy + member_removed ticket_released")
        .returns("c")
        .observe("c", "archive_data: removed_member")
        .execute("c")
        .observe("c", "add learner c #2 of a b: below_size + ticket_granted");
}

#[test]
fn a_change_of_the_strategy_ends_a_pruning() {
    let mut world = World::running("a b c");
    world.strategy(Strategy::Prune).are_dead_to("c", "a b d");
    world
        .observe("a", "remove c #1 of a b c: dead + ticket_granted")
        .strategy(Strategy::Replace)
        .observe("a", "wait: dead + ticket_released")
        .observe("d", "remove c #2 of a b c: dead + ticket_granted");
}
