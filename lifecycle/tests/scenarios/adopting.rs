use crate::*;

#[test]
fn a_cluster_that_runs_already_is_taken_over_from_a_member_that_looks() {
    World::found_running("a b c")
        .ask("a", "observe: look_needed")
        .look("a", "wait: healthy + formed bootstrapped member_added member_added member_added")
        .members("a b c");
}

#[test]
fn a_cluster_that_runs_already_is_taken_over_from_a_node_that_looks() {
    World::found_running("a b c")
        .look("d", "stand_by: full + formed bootstrapped member_added member_added member_added")
        .members("a b c");
}

#[test]
fn a_member_of_a_cluster_that_nobody_has_seen_starts_with_its_data() {
    World::found_running("a b c").returns("a").ask("a", "start: uncertain");
}

#[test]
fn a_cluster_that_was_taken_over_mends_itself() {
    let mut world = World::found_running("a b c");
    world.check_ins("a b").returns_empty("c").look("c", "remove c #1 of a b c: lost_disk + ticket_granted");
}

#[test]
fn a_cluster_is_not_taken_over_once_others_have_registered() {
    let mut world = World::found_running("a b c");
    world.ask("x", "wait: forming + member_registered").look("a", "refuse: foreign_cluster").members("x");
}

#[test]
fn a_member_of_another_cluster_with_the_same_id_says_nothing_of_this_ones() {
    let elsewhere = Identity { member: MemberId(0xe0), cluster: ClusterId(0xbad) };
    let mut world = World::found_running("a b c");
    world.returns_with("d", Data::Of(elsewhere)).runs("d");
    let taken_over = "formed bootstrapped member_added member_added member_added";
    world.look("d", &format!("refuse: foreign_cluster + {taken_over}")).look("d", "refuse: foreign_cluster");
}
