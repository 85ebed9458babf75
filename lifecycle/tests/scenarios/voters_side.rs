//! A voter counts as dead only if the voters' side shows it, too, and a learner becomes a voter only if a voter reaches it.

use crate::*;

#[test]
fn a_member_that_was_heard_before_it_died_is_not_called_alive_until_it_counts_as_dead() {
    let mut world = World::running("a b c");
    world.cut("x", "c").watch(20, "x").dies("c").pass(5).observe("x", "wait: partition");
    world.watch(10, "x").observe("x", "wait: not_dead_yet").with_message("it will count as dead at");
    world.watch(50, "x").observe("x", "remove c #1 of a b c: dead");
}

#[test]
fn a_leader_that_one_spare_cannot_reach_stays() {
    World::running("a b c")
        .cut("x", "a")
        .watch(600, "x")
        .observe("x", "wait: partition")
        .with_message("but this member leads the cluster")
        .members("a b c");
}

#[test]
fn a_follower_that_one_spare_cannot_reach_stays() {
    World::running("a b c")
        .cut("x", "b")
        .watch(600, "x")
        .observe("x", "wait: partition")
        .with_message("the leader receives messages from it")
        .members("a b c");
}

#[test]
fn a_dead_leader_is_replaced_once_it_has_been_silent_to_its_successor_for_long() {
    let mut world = World::running("a b c");
    world.dies("a").watch(60, "x").observe("x", "wait: not_dead_yet").with_message("08:01:05Z");
    world.pass(5).observe("x", "remove a #1 of a b c: dead + ticket_granted");
}

#[test]
fn each_new_leader_must_not_hear_a_member_for_long() {
    let mut world = World::running("a b c d e");
    world.dies("e").watch(55, "x").leads("b").watch(55, "x").observe("x", "wait: not_dead_yet");
    world
        .pass(5)
        .observe("x", "wait: not_dead_yet")
        .pass(5)
        .observe("x", "remove e #1 of a b c d e: dead + ticket_granted");
}

#[test]
fn a_member_in_contact_just_before_its_first_failed_probe_may_be_dead() {
    let mut world = World::running("a b c");
    world.watch(5, "x").pass(2).dies("c").observe("x", "wait: not_dead_yet");
}

#[test]
fn a_member_in_contact_with_the_leader_again_is_not_dead() {
    let mut world = World::running("a b c");
    world.dies("c").watch(60, "x").hide("c").runs("c").pass(5).observe("x", "wait: partition").members("a b c");
}

#[test]
fn without_the_leaders_metrics_no_voter_is_dead_to_a_spare() {
    World::running("a b c")
        .hide_metrics()
        .dies("c")
        .watch(600, "x")
        .observe("x", "wait: no_witness")
        .with_message("c (")
        .with_message("the metrics of leader a (")
        .with_message("`witnesses`");
}

#[test]
fn a_spare_that_cannot_reach_the_leader_is_no_witness() {
    let mut world = World::running("a b c");
    world.leads("c").cut("x", "c").dies("b").watch(600, "x").observe("x", "wait: no_witness");
    world.watch(60, "y").pass(5).observe("y", "remove b #1 of a b c: dead + ticket_granted");
}

#[test]
fn a_running_voter_is_a_witness() {
    let mut world = World::running("a b c");
    world
        .hide_metrics()
        .dies("c")
        .watch(60, "x b")
        .watch(5, "b")
        .observe("x", "remove c #1 of a b c: dead + ticket_granted");
}

#[test]
fn a_voters_side_that_has_not_looked_lately_is_no_witness_for_that_time() {
    let mut world = World::running("a b c");
    world.hide_metrics().dies("c").watch(50, "x b").watch(12, "x").observe("x", "wait: not_dead_yet");
}

#[test]
fn a_running_learner_is_no_witness() {
    let mut world = World::running("a b c");
    world.size(4).check_ins("d").execute("d").check_ins("d").execute("d").check_ins("d");
    world.hide_metrics().dies("c").watch(600, "d").observe("d", "wait: peer_url_unreachable");
}

#[test]
fn one_witness_suffices_if_the_policy_says_so() {
    let mut world = World::running("a b c");
    world.hide_metrics().witnesses(1).dies("c").watch(60, "x").pass(5);
    world.observe("x", "remove c #1 of a b c: dead + ticket_granted");
}

#[test]
fn a_leader_is_alive_even_if_one_witness_suffices() {
    World::running("a b c").witnesses(1).cut("x", "a").watch(600, "x").observe("x", "wait: partition");
}

#[test]
fn a_dead_learner_needs_no_witness() {
    let mut world = World::running("a b");
    world.size(3).check_ins("c").execute("c").check_ins("c").execute("c").check_ins("c").hide_metrics();
    world.dies("c").watch(60, "a").pass(5).observe("a", "remove c #2 of a b ~c: abandoned_learner");
}

#[test]
fn a_voter_that_the_leader_does_not_hear_is_not_part_of_the_quorum() {
    let mut world = World::running("a b c");
    world.cut("b", "a").dies("c").watch(60, "x").pass(5);
    world.observe("x", "wait: quorum_at_risk").with_message("the leader receives nothing from b (");
}

#[test]
fn a_voter_in_contact_with_the_leader_is_part_of_the_quorum_although_a_spare_cannot_reach_it() {
    let mut world = World::running("a b c");
    world.cut("x", "b").dies("c").watch(64, "x");
    for _ in 0..2 {
        world.pass(4).check_ins("x");
    }
    world.observe("x", "remove c #1 of a b c: dead");
}

#[test]
fn a_node_takes_a_free_place_although_it_cannot_reach_a_voter_in_contact_with_the_leader() {
    let mut world = World::running("a b c");
    world.cut("x", "b").watch(20, "x").observe("x", "wait: partition");
    world.size(4).observe("x", "add learner x #1 of a b c: below_size + ticket_granted");
}

#[test]
fn learners_at_unreachable_peer_urls_are_not_promoted() {
    let mut world = World::running("a b");
    world.size(4).hide_peer_urls("c d").check_ins("c").execute("c").check_ins("c").execute("c");
    world.observe("c", "wait: peer_url_unreachable + member_updated").with_message("http://c:2380");
    world.show_peer_urls("c").observe("c", "promote c #1 of a b ~c: caught_up").members("a b ~c");
}

#[test]
fn a_learner_at_an_unreachable_peer_url_makes_room_for_the_next_node() {
    let mut world = World::running("a b");
    world.size(3).hide_peer_urls("c").check_ins("c").execute("c").check_ins("c").execute("c").watch(15, "c d");
    world.watch(5, "c d").observe("d", "remove c #2 of a b ~c: abandoned_learner").with_message("no voter reaches");
    world.execute("d").step("d", "add learner d #3 of a b: below_size + member_removed ticket_released ticket_granted");
    world
        .step("d", "join a b d: added + member_added member_updated")
        .observe("d", "promote d #3 of a b ~d: caught_up + member_updated");
}

#[test]
fn without_metrics_a_running_voter_promotes_a_learner() {
    let mut world = World::running("a b");
    world.size(3).check_ins("c").execute("c").check_ins("c").execute("c").hide_metrics();
    world.observe("c", "wait: peer_url_unreachable + member_updated").with_message("`witnesses`");
    world.pass(60).observe("a", "promote c #2 of a b ~c: caught_up + ticket_released ticket_granted");
}

#[test]
fn without_metrics_one_witness_promotes_a_learner() {
    let mut world = World::running("a b");
    world.size(3).check_ins("c").execute("c").check_ins("c").execute("c").hide_metrics().witnesses(1);
    world.observe("c", "promote c #1 of a b ~c: caught_up + member_updated");
}

#[test]
fn a_node_whose_etcd_is_too_old_is_refused_and_blocks_nobody() {
    let mut world = World::running("a b");
    world.size(3).have_etcd("a b", "3.6.5").have_etcd("x", "3.5.30").have_etcd("c", "3.7");
    world
        .observe("x", "refuse: version_mismatch")
        .with_message("this node's etcd is 3.5, but the lowest version among the voters is 3.6")
        .with_remedy("install an etcd");
    world.observe("c", "add learner c #1 of a b: below_size + ticket_granted").observe("x", "refuse: version_mismatch");
}

#[test]
fn a_node_whose_etcd_is_too_new_is_refused() {
    let mut world = World::running("a b");
    world.size(3).have_etcd("a", "3.5").have_etcd("b", "3.6").have_etcd("c", "3.7").have_etcd("d", "3.6");
    world.observe("c", "refuse: version_mismatch").with_message("a node can join with 3.5 or 3.6");
    world.observe("d", "add learner d #1 of a b: below_size + ticket_granted");
}

#[test]
fn a_spare_of_the_wrong_version_is_refused_before_a_member_is_removed_for_it() {
    let mut world = World::running("a b c");
    world.have_etcd("a b c", "3.6").have_etcd("x", "3.4").are_dead_to("c", "a b");
    world.observe("x", "refuse: version_mismatch").observe("y", "remove c #1 of a b c: dead + ticket_granted");
}

#[test]
fn a_member_that_lost_its_disk_and_has_the_wrong_version_keeps_its_place() {
    let mut world = World::running("a b c");
    world.have_etcd("a b", "3.6").have_etcd("c", "3.5").returns_empty("c");
    world.observe("c", "refuse: version_mismatch").members("a b c");
}
