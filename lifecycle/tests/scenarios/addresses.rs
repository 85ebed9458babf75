use crate::*;

#[test]
fn the_peer_urls_of_a_member_that_moved_are_updated_before_it_starts() {
    World::running("a b c")
        .returns("c")
        .moves("c", "c2")
        .pass(30)
        .ask("c", "observe: look_needed")
        .step("c", "update c to c2 #1 of a b c: address_changed + ticket_granted")
        .observe("c", "start a b c@c2: own_data + member_updated ticket_released");
}

#[test]
fn the_peer_urls_of_a_running_member_that_moved_are_updated() {
    World::running("a b c")
        .moves("c", "c2")
        .step("c", "update c to c2 #1 of a b c: address_changed + ticket_granted")
        .observe("c", "wait: healthy + member_updated ticket_released");
}

#[test]
fn a_member_that_moves_back_releases_its_ticket() {
    World::running("a b c")
        .moves("c", "c2")
        .observe("c", "update c to c2 #1 of a b c: address_changed + ticket_granted")
        .moves("c", "c")
        .observe("c", "wait: healthy + ticket_released");
}

#[test]
fn a_member_that_moved_starts_without_a_quorum() {
    World::running("a b c").dies("b").returns("c").moves("c", "c2").pass(30).observe("c", "start a b c: own_data");
}

#[test]
fn a_member_that_moved_waits_while_the_others_elect_a_leader() {
    let mut world = World::running("a b c");
    world.returns("c").moves("c", "c2").pass(30);
    world.observe_wrongly("c", |view| (view.linearizable, view.leader) = (false, None), "wait: no_quorum");
}

#[test]
fn a_learner_that_moved_is_removed_and_joins_again() {
    let mut world = World::running("a b");
    world.size(3).check_ins("c").execute("c").check_ins("c").execute("c").check_ins("c");
    world
        .moves("c", "c2")
        .step("c", "leave c #2 of a b ~c: address_changed + ticket_released ticket_granted")
        .step("c", "archive_data: removed_member + member_removed ticket_released")
        .step("c", "add learner c2 #3 of a b: below_size + ticket_granted")
        .step("c", "join a b c@c2: added + member_added member_updated");
}

#[test]
fn members_that_have_all_moved_start_and_are_updated_one_by_one() {
    let mut world = World::running("a b c");
    for (name, host) in [("a", "a2"), ("b", "b2"), ("c", "c2")] {
        world.returns(name).moves(name, host);
    }
    world.pass(30);
    world.step("a", "start a b c: own_data").step("b", "start a b c: own_data");
    world
        .observe("a", "wait: not_dead_yet")
        .observe("c", "update c to c2 #1 of a b c: address_changed + ticket_granted")
        .observe("a", "wait: ticket_held")
        .execute("c")
        .step("c", "start a b c@c2: own_data + member_updated ticket_released")
        .observe("a", "update a to a2 #2 of a b c: address_changed + ticket_granted")
        .observe("b", "wait: ticket_held")
        .execute("a")
        .step("b", "update b to b2 #3 of a b c: address_changed + member_updated ticket_released ticket_granted")
        .observe("b", "wait: healthy + member_updated ticket_released");
}

#[test]
fn a_peer_url_of_another_member_is_refused() {
    World::running("a b c").returns("c").moves("c", "b").pass(30).observe("c", "refuse: peer_url_taken");
}

#[test]
fn peer_urls_are_not_updated_under_the_strategy_prepared() {
    World::running("a b c")
        .strategy(Strategy::Prepared)
        .returns("c")
        .moves("c", "c2")
        .pass(30)
        .observe("c", "start a b c: own_data");
}

#[test]
fn a_node_without_data_that_moved_waits_until_its_former_member_is_dead() {
    World::running("a b c")
        .returns_empty("c")
        .moves("c", "c2")
        .observe("c", "wait: not_dead_yet")
        .watch(55, "a b c")
        .observe("c", "wait: not_dead_yet")
        .pass(5)
        .observe("c", "remove c #1 of a b c: dead + ticket_granted");
}
