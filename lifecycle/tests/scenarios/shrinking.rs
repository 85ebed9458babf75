use crate::*;

#[test]
fn the_newest_follower_is_removed_first() {
    World::running("a b c d e")
        .size(3)
        .observe("a", "wait: healthy")
        .step("e", "leave e #1 of a b c d e: shrink + ticket_granted")
        .step("d", "leave d #2 of a b c d: shrink + member_removed ticket_released ticket_granted")
        .observe("a", "wait: healthy + member_removed ticket_released")
        .members("a b c");
}

#[test]
fn a_member_that_left_archives_its_data_and_is_a_spare() {
    World::running("a b c")
        .size(2)
        .step("c", "leave c #1 of a b c: shrink + ticket_granted")
        .step("c", "archive_data: removed_member + member_removed ticket_released")
        .observe("c", "stand_by: full");
}

#[test]
fn the_leader_stays_although_it_is_the_newest() {
    World::running("a b c")
        .size(2)
        .leads("c")
        .observe("c", "wait: healthy")
        .observe("b", "leave b #1 of a b c: shrink + ticket_granted");
}

#[test]
fn a_dead_member_is_removed_before_all_others() {
    World::running("a b c d e")
        .are_dead_to("b", "a c d e")
        .size(3)
        .step("a", "remove b #1 of a b c d e: shrink + ticket_granted")
        .observe("e", "leave e #2 of a c d e: shrink + member_removed ticket_released ticket_granted");
}

#[test]
fn a_member_that_does_not_answer_is_removed_before_those_that_do() {
    World::running("a b c d e").size(4).dies("b").observe("a", "remove b #1 of a b c d e: shrink + ticket_granted");
}

#[test]
fn a_dead_member_is_removed_before_one_that_only_does_not_answer() {
    let mut world = World::running("a b c d e");
    world.are_dead_to("b", "a c d e").dies("e").size(3);
    world.observe("a", "remove b #1 of a b c d e: shrink + ticket_granted");
}

#[test]
fn a_cluster_does_not_shrink_if_that_would_cost_its_quorum() {
    let mut world = World::running("a b c d");
    world.partition("d").size(3).observe("a", "remove d #1 of a b c d: shrink + ticket_granted");
    World::running("a b").partition("b").size(1).observe("a", "wait: no_quorum");
}

#[test]
fn a_surplus_member_whose_client_is_down_is_removed_by_another() {
    World::running("a b c").size(2).pass(60).observe("a", "remove c #1 of a b c: shrink + ticket_granted");
}

#[test]
fn an_evicted_member_is_removed_before_others_if_there_are_too_many() {
    World::running("a b c d")
        .size(3)
        .evict("b")
        .observe("d", "wait: healthy")
        .observe("b", "leave b #1 of a b c d: evicted + ticket_granted");
}

#[test]
fn no_node_joins_a_cluster_that_shrinks() {
    World::running("a b c").size(2).observe("d", "stand_by: full");
}

#[test]
fn a_size_that_is_raised_again_keeps_the_member() {
    World::running("a b c")
        .size(2)
        .observe("c", "leave c #1 of a b c: shrink + ticket_granted")
        .size(3)
        .observe("c", "wait: healthy + ticket_released");
}
