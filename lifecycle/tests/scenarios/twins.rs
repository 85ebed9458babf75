//! Two machines with the same name and peer URLs, and without data: both come from one template, or a node was rescheduled.

use crate::*;

/// `d` and `d@d` have one configuration, and `d` was instructed to join. Its etcd has not started.
fn d_may_be_starting() -> World {
    let mut world = World::running("a b c");
    world.size(4).observe("d", "add learner d #1 of a b c: below_size + ticket_granted").execute("d");
    world.observe("d", "join a b c d: added + member_added member_updated");
    world
}

#[test]
fn only_one_of_two_twins_is_instructed_to_join() {
    let mut world = d_may_be_starting();
    world.pass(6).observe("d@d", "wait: runs_elsewhere").with_message("was instructed to join as member");
    world.with_message("give each machine its own name and peer URLs");
    world.execute("d").observe("d@d", "refuse: name_taken + member_updated ticket_released").members("a b c ~d");
}

#[test]
fn the_run_that_was_instructed_to_join_is_instructed_again() {
    let mut world = d_may_be_starting();
    world.observe("d", "join a b c d: added").pass(2).observe("d", "join a b c d: added");
}

#[test]
fn a_repeated_instruction_to_join_counts_from_its_repetition() {
    let mut world = d_may_be_starting();
    world.pass(8).observe("d", "join a b c d: added + member_updated");
    world.pass(24).observe("d@d", "wait: runs_elsewhere + ticket_released").pass(6);
    world.observe("d@d", "remove d #2 of a b c ~d: lost_disk + ticket_granted");
}

#[test]
fn another_run_joins_as_another_member_after_the_first_has_had_its_time() {
    let mut world = d_may_be_starting();
    world.returns_empty("d").pass(29).observe("d", "wait: runs_elsewhere + ticket_released");
    world.pass(1).observe("d", "remove d #2 of a b c ~d: lost_disk + ticket_granted").execute("d");
}

#[test]
fn a_twin_waits_although_another_node_removed_the_member_that_was_added() {
    let mut world = d_may_be_starting();
    world.etcdctl_removes("d").observe("d@d", "wait: runs_elsewhere + member_removed");
}

#[test]
fn a_started_learner_is_not_removed_for_its_twin_while_its_node_may_be_starting() {
    let mut world = d_may_be_starting();
    world.execute("d").cut("d@d", "d").observe("d@d", "wait: runs_elsewhere + member_updated").members("a b c ~d");
}

#[test]
fn a_started_learner_that_the_leader_hears_is_not_removed_for_its_twin() {
    let mut world = d_may_be_starting();
    world.execute("d").cut("d@d", "d").watch(40, "d@d").observe("d@d", "wait: partition").members("a b c ~d");
}

#[test]
fn a_run_has_its_time_once_more_after_the_registry_was_away_and_the_node_says_until_when() {
    let mut world = d_may_be_starting();
    world.pass(60).server_restarts().observe("d@d", "wait: runs_elsewhere").with_message("continues at 08:01:30Z");
    world.pass(29).observe("d@d", "wait: runs_elsewhere + ticket_released").pass(1);
    world.observe("d@d", "remove d #2 of a b c ~d: lost_disk + ticket_granted");
}

/// Its agent has had other runs meanwhile. What an earlier one was instructed to do is done: that member had started.
#[test]
fn a_spare_that_was_a_member_is_one_at_once_after_the_registry_was_away() {
    let mut world = d_may_be_starting();
    world.execute("d").observe("d", "promote d #1 of a b c ~d: caught_up + member_updated").execute("d").check_ins("d");
    world.size(3).step("d", "leave d #2 of a b c d: shrink + ticket_granted");
    world.step("d", "archive_data: removed_member + member_removed ticket_released").returns_empty("d");
    world.observe("d", "stand_by: full").pass(60).server_restarts().observe("d", "stand_by: full");
}
