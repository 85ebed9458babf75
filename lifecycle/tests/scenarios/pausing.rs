use crate::*;

#[test]
fn nobody_joins_a_paused_cluster() {
    World::running("a b c").size(4).pause().look("d", "wait: paused");
}

#[test]
fn a_dead_member_of_a_paused_cluster_is_not_replaced() {
    World::running("a b c").pause().dies("c").watch(120, "a b d").look("d", "wait: paused").members("a b c");
}

#[test]
fn a_lost_disk_in_a_paused_cluster_waits() {
    World::running("a b c").pause().returns_empty("c").look("c", "wait: paused");
}

#[test]
fn nobody_leaves_a_paused_cluster() {
    World::running("a b c").pause().wants_to_leave("c").look("c", "wait: paused");
}

#[test]
fn no_stopped_member_leaves_a_paused_cluster() {
    World::running("a b c").pause().returns("c").wants_to_leave("c").look("c", "wait: paused");
}

#[test]
fn nobody_is_evicted_from_a_paused_cluster() {
    World::running("a b c").pause().evict("c").look("c", "wait: paused").look("a", "wait: paused");
}

#[test]
fn no_address_is_followed_in_a_paused_cluster() {
    World::running("a b c").pause().moves("c", "c2").look("c", "wait: paused");
}

#[test]
fn a_member_of_a_paused_cluster_starts_with_its_data() {
    World::running("a b c").pause().returns("c").look("c", "start a b c: own_data");
}

#[test]
fn a_member_that_was_about_to_leave_starts_with_its_data_while_the_cluster_is_paused() {
    World::running("a b c")
        .evict("c")
        .look("c", "leave c #1 of a b c: evicted + ticket_granted")
        .pause()
        .returns("c")
        .look("c", "start a b c: own_data + ticket_released");
}

#[test]
fn a_learner_that_was_added_before_the_pause_still_joins() {
    World::running("a b c")
        .size(4)
        .step("d", "add learner d #1 of a b c: below_size + ticket_granted")
        .pause()
        .step("d", "join a b c d: added + member_added")
        .look("d", "wait: paused + member_updated")
        .resume()
        .look("d", "promote d #1 of a b c ~d: caught_up");
}

#[test]
fn a_joiner_that_was_not_added_before_the_pause_goes_on_afterwards() {
    World::running("a b c")
        .size(4)
        .look("d", "add learner d #1 of a b c: below_size + ticket_granted")
        .pause()
        .look("d", "wait: paused")
        .resume()
        .look("d", "add learner d #1 of a b c: below_size");
}

#[test]
fn a_founder_that_was_not_told_before_the_pause_waits() {
    World::new(2).check_ins("a b").pause().ask("a", "wait: paused");
}
