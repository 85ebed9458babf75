use crate::*;

#[test]
fn no_node_joins_a_paused_cluster() {
    World::running("a b c").size(4).pause().observe("d", "wait: paused");
}

#[test]
fn a_dead_member_of_a_paused_cluster_is_not_replaced() {
    World::running("a b c").pause().dies("c").watch(120, "a b d").observe("d", "wait: paused").members("a b c");
}

#[test]
fn a_lost_disk_in_a_paused_cluster_waits() {
    World::running("a b c").pause().returns_empty("c").observe("c", "wait: paused");
}

#[test]
fn no_member_leaves_a_paused_cluster() {
    World::running("a b c").pause().starts_to_leave("c").observe("c", "wait: paused");
}

#[test]
fn no_stopped_member_leaves_a_paused_cluster() {
    World::running("a b c").pause().returns("c").starts_to_leave("c").observe("c", "wait: paused");
}

#[test]
fn no_member_is_evicted_from_a_paused_cluster() {
    World::running("a b c").pause().evict("c").observe("c", "wait: paused").observe("a", "wait: paused");
}

#[test]
fn peer_urls_are_not_updated_in_a_paused_cluster() {
    World::running("a b c").pause().moves("c", "c2").observe("c", "wait: paused");
}

#[test]
fn a_member_of_a_paused_cluster_starts_with_its_data() {
    World::running("a b c").pause().returns("c").observe("c", "start a b c: own_data");
}

#[test]
fn a_member_that_was_leaving_starts_while_the_cluster_is_paused() {
    World::running("a b c")
        .evict("c")
        .observe("c", "leave c #1 of a b c: evicted + ticket_granted")
        .pause()
        .returns("c")
        .observe("c", "start a b c: own_data + ticket_released");
}

#[test]
fn a_learner_that_was_added_before_the_pause_still_joins() {
    World::running("a b c")
        .size(4)
        .step("d", "add learner d #1 of a b c: below_size + ticket_granted")
        .pause()
        .step("d", "join a b c d: added + member_added member_updated")
        .observe("d", "wait: paused + member_updated")
        .resume()
        .observe("d", "promote d #1 of a b c ~d: caught_up");
}

#[test]
fn a_node_that_was_joining_before_the_pause_continues_afterwards() {
    World::running("a b c")
        .size(4)
        .observe("d", "add learner d #1 of a b c: below_size + ticket_granted")
        .pause()
        .observe("d", "wait: paused")
        .resume()
        .observe("d", "add learner d #1 of a b c: below_size");
}

#[test]
fn a_founder_that_was_not_instructed_before_the_pause_waits() {
    World::new(2).check_ins("a b").pause().ask("a", "wait: paused");
}
