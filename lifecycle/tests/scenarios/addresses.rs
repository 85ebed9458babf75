use crate::*;

#[test]
fn a_member_that_moved_gets_its_new_address_before_it_starts() {
    World::running("a b c")
        .returns("c")
        .moves("c", "c2")
        .ask("c", "observe: look_needed")
        .step("c", "update c to c2 #1 of a b c: address_changed + ticket_granted")
        .look("c", "start a b c@c2: own_data + member_updated ticket_released");
}

#[test]
fn a_running_member_that_moved_gets_its_new_address() {
    World::running("a b c")
        .moves("c", "c2")
        .step("c", "update c to c2 #1 of a b c: address_changed + ticket_granted")
        .look("c", "wait: healthy + member_updated ticket_released");
}

#[test]
fn a_member_that_moved_back_in_time_needs_no_ticket_any_more() {
    World::running("a b c")
        .moves("c", "c2")
        .look("c", "update c to c2 #1 of a b c: address_changed + ticket_granted")
        .moves("c", "c")
        .look("c", "wait: healthy + ticket_released");
}

#[test]
fn a_member_that_moved_starts_without_a_quorum() {
    World::running("a b c").dies("b").returns("c").moves("c", "c2").look("c", "start a b c: own_data");
}

#[test]
fn a_member_that_moved_waits_while_the_others_elect_a_leader() {
    let mut world = World::running("a b c");
    world.returns("c").moves("c", "c2");
    world.look_wrong("c", |view| (view.linearizable, view.leader) = (false, None), "wait: no_quorum");
}

#[test]
fn a_learner_that_moved_joins_anew_because_it_can_not_be_updated_safely() {
    let mut world = World::running("a b");
    world.size(3).check_ins("c").obey("c").check_ins("c").obey("c").check_ins("c");
    world
        .moves("c", "c2")
        .step("c", "leave c #2 of a b ~c: address_changed + ticket_released ticket_granted")
        .step("c", "archive_data: removed_member + member_removed ticket_released")
        .step("c", "add learner c2 #3 of a b: below_size + ticket_granted")
        .step("c", "join a b c@c2: added + member_added");
}

#[test]
fn when_all_have_moved_they_start_and_are_updated_one_after_the_other() {
    let mut world = World::running("a b c");
    for (name, host) in [("a", "a2"), ("b", "b2"), ("c", "c2")] {
        world.returns(name).moves(name, host);
    }
    world.step("a", "start a b c: own_data").step("b", "start a b c: own_data");
    world
        .look("a", "update a to a2 #1 of a b c: address_changed + ticket_granted")
        .look("b", "wait: ticket_held")
        .look("c", "wait: ticket_held")
        .obey("a")
        .step("b", "update b to b2 #2 of a b c: address_changed + member_updated ticket_released ticket_granted")
        .step("c", "update c to c2 #3 of a b c: address_changed + member_updated ticket_released ticket_granted")
        .look("c", "start a@a2 b@b2 c@c2: own_data + member_updated ticket_released");
}

#[test]
fn an_address_of_another_member_is_refused() {
    World::running("a b c").returns("c").moves("c", "b").ask("c", "refuse: peer_url_taken");
}

#[test]
fn an_address_is_not_followed_under_the_strategy_prepared() {
    World::running("a b c")
        .strategy(Strategy::Prepared)
        .returns("c")
        .moves("c", "c2")
        .look("c", "start a b c: own_data");
}

#[test]
fn an_empty_node_that_moved_waits_until_its_former_self_is_dead() {
    World::running("a b c")
        .returns_empty("c")
        .moves("c", "c2")
        .look("c", "wait: not_dead_yet")
        .watch(55, "a b c")
        .look("c", "wait: not_dead_yet")
        .pass(5)
        .look("c", "remove c #1 of a b c: dead + ticket_granted");
}
