use crate::*;

#[test]
fn an_evicted_follower_leaves() {
    World::running("a b c")
        .evict("c")
        .ask("c", "observe: look_needed")
        .observe("a", "wait: healthy")
        .step("c", "leave c #1 of a b c: evicted + ticket_granted")
        .step("c", "archive_data: removed_member + member_removed ticket_released")
        .observe("c", "stand_by: evicted");
}

#[test]
fn an_evicted_leader_leaves() {
    World::running("a b c").leads("a").evict("a").observe("a", "leave a #1 of a b c: evicted + ticket_granted");
}

#[test]
fn an_evicted_member_that_is_down_is_removed_by_another_at_once() {
    World::running("a b c").dies("c").evict("c").observe("a", "remove c #1 of a b c: evicted + ticket_granted");
}

#[test]
fn an_evicted_member_whose_client_is_down_is_removed_by_another() {
    World::running("a b c").evict("c").pass(60).observe("a", "remove c #1 of a b c: evicted + ticket_granted");
}

#[test]
fn an_eviction_that_would_cost_the_quorum_waits() {
    World::running("a b c").dies("b").evict("c").observe("c", "wait: quorum_at_risk");
}

#[test]
fn the_last_member_is_not_evicted() {
    World::running("a").evict("a").observe("a", "refuse: last_member");
}

#[test]
fn a_spare_takes_an_evicted_members_place() {
    World::running("a b c")
        .evict("c")
        .observe("d", "stand_by: full")
        .step("c", "leave c #1 of a b c: evicted + ticket_granted")
        .observe("d", "add learner d #2 of a b: below_size + member_removed ticket_released ticket_granted");
}

#[test]
fn an_eviction_that_is_withdrawn_before_the_removal_changes_nothing() {
    World::running("a b c")
        .evict("c")
        .observe("c", "leave c #1 of a b c: evicted + ticket_granted")
        .withdraw_eviction("c")
        .observe("c", "wait: healthy + ticket_released");
}

#[test]
fn an_eviction_that_is_withdrawn_after_the_removal_lets_the_node_join_again() {
    World::running("a b c")
        .evict("c")
        .step("c", "leave c #1 of a b c: evicted + ticket_granted")
        .step("c", "archive_data: removed_member + member_removed ticket_released")
        .observe("c", "stand_by: evicted")
        .withdraw_eviction("c")
        .observe("c", "add learner c #2 of a b: below_size + ticket_granted");
}

#[test]
fn an_evicted_member_that_restarts_starts_first_and_leaves_in_order() {
    World::running("a b c")
        .evict("c")
        .returns("c")
        .step("c", "start a b c: own_data")
        .observe("c", "leave c #1 of a b c: evicted + ticket_granted");
}

#[test]
fn an_evicted_learner_is_not_promoted() {
    let mut world = World::running("a b");
    world.size(3).check_ins("c").execute("c").check_ins("c").execute("c").check_ins("c").evict("c").watch(60, "a b");
    world.observe("a", "remove c #2 of a b ~c: evicted");
}
