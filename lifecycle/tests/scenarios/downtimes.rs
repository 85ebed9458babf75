use convene_lifecycle::Announcer::{Administrator, Node};

use crate::world::World;

#[test]
fn a_member_in_announced_downtime_is_not_dead_before_it_ends() {
    let mut world = World::running("a b c");
    world.downtime("c", 600).dies("c").watch(120, "a b d");
    world.observe("d", "wait: not_dead_yet").with_message("its announced downtime lasts until");
    world.watch(480, "a b").observe("d", "remove c #1 of a b c: dead + ticket_granted");
}

#[test]
fn a_voter_without_a_quorum_is_not_healthy_while_the_others_are_in_announced_downtimes() {
    let mut world = World::running("a b c");
    world.have_agents("a b c").downtime("b", 600).downtime("c", 600).dies("b").pass(5).ask("a", "wait: healthy");
    world.dies("c").pass(5).ask("a", "observe: look_needed").observe("a", "wait: no_quorum");
    world.runs("b").pass(5).ask("a", "wait: healthy");
}

#[test]
fn a_nodes_downtime_ends_when_its_member_is_back_and_not_before_it_was_down() {
    let mut world = World::running("a b c");
    world.own_downtime("c", 600).watch(20, "b c d").ask("c", "wait: healthy");
    world.dies("c").watch(20, "a b d").observe("d", "wait: not_dead_yet").with_message("announced downtime");
    world.runs("c").ask("c", "wait: healthy + downtime_ended").ask("c", "wait: healthy");
    world.dies("c").watch(60, "a b d").observe("d", "remove c #1 of a b c: dead");
}

#[test]
fn a_restart_through_join_ends_a_nodes_downtime() {
    let mut world = World::running("a b c");
    world.own_downtime("c", 600).returns("c").observe("c", "start a b c: own_data");
    world.runs("c").ask("c", "wait: healthy + downtime_ended");
}

#[test]
fn an_administrators_downtime_outlasts_restarts() {
    let mut world = World::running("a b c");
    world.downtime("c", 600);
    for _ in 0..2 {
        world.returns("c").observe("c", "start a b c: own_data").runs("c").ask("c", "wait: healthy");
    }
    world.dies("c").watch(120, "a b d").runs("c").watch(10, "a b c d").dies("c").watch(120, "a b d");
    world.observe("d", "wait: not_dead_yet").with_message("its announced downtime lasts until");
}

#[test]
fn a_downtime_is_off_the_record_once_its_time_is_over() {
    for announce in [World::downtime, World::own_downtime] {
        let mut world = World::running("a b c");
        announce(&mut world, "c", 60).pass(59).ask("c", "wait: healthy");
        world.pass(1).ask("b", "observe: look_needed + downtime_ended").observe("b", "wait: healthy");
        assert_eq!(world.downtime_of("c"), None);
    }
}

#[test]
fn a_node_neither_replaces_nor_ends_an_administrators_downtime() {
    let mut world = World::running("a b c");
    for seconds in [10, 6_000] {
        world.downtime("c", 600).own_downtime("c", seconds);
        assert_eq!(world.downtime_of("c"), Some((600, Administrator)), "{seconds}");
    }
    world.end_own_downtime("c");
    assert_eq!(world.downtime_of("c"), Some((600, Administrator)));
    world.end_downtime("c");
    assert_eq!(world.downtime_of("c"), None);
}

#[test]
fn a_node_announces_a_downtime_after_that_of_an_administrator_is_over() {
    let mut world = World::running("a b c");
    world.downtime("c", 600).pass(600).own_downtime("c", 60);
    assert_eq!(world.downtime_of("c"), Some((60, Node)));
}

#[test]
fn an_administrator_replaces_and_ends_a_nodes_downtime() {
    let mut world = World::running("a b c");
    world.own_downtime("c", 600).downtime("c", 60);
    assert_eq!(world.downtime_of("c"), Some((60, Administrator)));
    world.end_downtime("c").own_downtime("c", 600).own_downtime("c", 60);
    assert_eq!(world.downtime_of("c"), Some((60, Node)));
    world.end_downtime("c");
    assert_eq!(world.downtime_of("c"), None);
}

#[test]
fn an_administrator_makes_the_downtime_of_a_stopped_node_last() {
    let mut world = World::running("a b c");
    world.own_downtime("c", 600).returns("c").downtime("c", 600).observe("c", "start a b c: own_data");
    world.runs("c").ask("c", "wait: healthy");
    assert_eq!(world.downtime_of("c"), Some((600, Administrator)));
}
