use crate::*;

#[test]
fn a_running_cluster_is_adopted_from_the_view_of_a_member() {
    World::found_running("a b c")
        .ask("a", "observe: look_needed")
        .observe("a", "wait: healthy + formed bootstrapped member_added member_added member_added")
        .members("a b c");
}

#[test]
fn a_running_cluster_is_adopted_from_the_view_of_a_spare() {
    World::found_running("a b c")
        .observe("d", "stand_by: full + formed bootstrapped member_added member_added member_added")
        .members("a b c");
}

#[test]
fn a_member_of_a_cluster_that_the_registry_has_not_seen_starts() {
    World::found_running("a b c").returns("a").ask("a", "start: uncertain");
}

#[test]
fn an_adopted_cluster_replaces_its_members() {
    let mut world = World::found_running("a b c");
    world.check_ins("a b").returns_empty("c").observe("c", "remove c #1 of a b c: lost_disk + ticket_granted");
}

#[test]
fn no_running_cluster_is_adopted_after_nodes_have_registered() {
    let mut world = World::found_running("a b c");
    world.ask("x", "wait: forming + member_registered").observe("a", "refuse: foreign_cluster").members("x");
}

#[test]
fn a_member_of_another_cluster_with_the_same_id_changes_nothing_here() {
    let elsewhere = Identity { member: MemberId(0xe0), cluster: ClusterId(0xbad) };
    let mut world = World::found_running("a b c");
    world.returns_with("d", Data::Of(elsewhere)).runs("d");
    let taken_over = "formed bootstrapped member_added member_added member_added";
    world.observe("d", &format!("refuse: foreign_cluster + {taken_over}")).observe("d", "refuse: foreign_cluster");
}
