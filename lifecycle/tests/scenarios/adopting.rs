use crate::*;

#[test]
fn a_running_cluster_is_adopted_from_the_view_of_a_member() {
    World::found_running("a b c")
        .ask("a", "observe: look_needed + founding_held")
        .observe("a", "wait: healthy + formed bootstrapped member_added member_added member_added founding_released")
        .members("a b c");
}

#[test]
fn the_view_of_a_new_node_without_data_holds_the_founding() {
    let mut world = World::found_running("a b c");
    world.observe("d", "wait: held + founding_held").with_message("d has found etcd cluster").members("");
    world.ask("x", "wait: held").ask("d", "wait: held");
    let adopted = "formed bootstrapped member_added member_added member_added founding_released";
    world.observe("a", &format!("wait: healthy + {adopted}")).observe("d", "stand_by: full");
}

#[test]
fn a_member_of_a_cluster_without_quorum_that_the_registry_has_not_seen_starts() {
    let mut world = World::found_running("a b c");
    world.dies("b c").returns("a").ask("a", "observe: look_needed + founding_held").observe("a", "start: uncertain");
}

#[test]
fn a_running_cluster_is_adopted_before_a_member_starts() {
    let mut world = World::found_running("a b c");
    world.returns("a").ask("a", "observe: look_needed + founding_held");
    world
        .observe(
            "a",
            "start a b c: own_data + formed bootstrapped member_added member_added member_added founding_released",
        )
        .members("a b c");
}

#[test]
fn an_adopted_cluster_keeps_all_its_voters() {
    let mut world = World::found_running("a b c");
    world.size(1).observe("a", "wait: healthy + formed bootstrapped size_set member_added member_added member_added");
    world.size_is(3);
}

#[test]
fn an_adopted_cluster_replaces_its_members() {
    let mut world = World::found_running("a b c");
    world.check_ins("a b").returns_empty("c").observe("c", "remove c #1 of a b c: lost_disk + ticket_granted");
}

#[test]
fn after_nodes_have_registered_a_running_cluster_is_adopted_from_the_view_of_its_member() {
    let mut world = World::found_running("a b c");
    world.ask("x", "wait: forming + member_registered");
    world
        .observe("a", "wait: healthy + member_removed formed bootstrapped member_added member_added member_added")
        .members("a b c")
        .observe("x", "stand_by: full");
}

#[test]
fn after_nodes_have_registered_the_view_of_a_spare_does_not_suffice() {
    let mut world = World::found_running("a b c");
    world
        .ask("x", "wait: forming + member_registered")
        .observe("y", "wait: forming + member_registered")
        .members("x y");
}

#[test]
fn a_restored_cluster_is_adopted_by_an_administrator() {
    let mut world = World::running("a b c");
    let before = world.cluster.cluster_id;
    world.etcd_is_restored("a b c").adopt().members("a' b' c'").observe("a", "wait: healthy");
    assert_eq!(world.cluster.earlier_cluster_ids, Vec::from_iter(before));
    assert_eq!(world.cluster.epoch.0, 2);
}

#[test]
fn to_adopt_the_present_cluster_changes_nothing() {
    let mut world = World::running("a b c");
    let revision = world.cluster.revision;
    world.adopt();
    assert_eq!(world.cluster.revision, revision);
}

#[test]
fn to_adopt_the_present_cluster_corrects_its_members() {
    World::running("a b c").etcdctl_removes("c").etcdctl_adds("d").adopt().members("a ~add1 b");
}

#[test]
fn a_cluster_of_an_earlier_epoch_can_be_adopted_again() {
    let mut world = World::running("a b c");
    world.reset().ask("x", "wait: forming + member_registered").adopt().members("a b c").observe("a", "wait: healthy");
    assert_eq!(world.cluster.earlier_cluster_ids, []);
}

#[test]
fn a_member_of_another_cluster_with_the_same_id_changes_nothing_here() {
    let elsewhere = Identity { member: MemberId(0xe0), cluster: ClusterId(0xbad) };
    let mut world = World::found_running("a b c");
    world.returns_with("d", Data::Of(elsewhere)).runs("d");
    world.check_ins("a").members("a b c").observe("d", "refuse: foreign_cluster");
}

/// Member `a` of three has been forced to be a new cluster, which an administrator has adopted. `b` and `c` still have their old data.
fn adopted_after_a_forced_new_cluster() -> World {
    let mut world = World::running("a b c");
    world.dies("b c").etcdctl_removes("b").etcdctl_removes("c").adopt().members("a");
    world
}

#[test]
fn members_that_an_adopted_list_lacks_do_not_start_without_a_quorum() {
    let mut world = adopted_after_a_forced_new_cluster();
    world.dies("a").returns("b").ask("b", "observe: look_needed");
    world.observe("b", "wait: given_up").with_message("Start a (").with_message("convene cluster adopt");
    world.returns("a").observe("a", "start a: own_data").execute("a").pass(60);
    world.observe("b", "archive_data: removed_member");
}

/// The etcds of `b` and `c` were started without the registry, and have elected a leader.
#[test]
fn the_list_of_members_that_were_given_up_does_not_replace_the_record() {
    let mut world = World::running("a b c");
    let before = world.etcd.clone();
    world.dies("b c").etcdctl_removes("b").etcdctl_removes("c").adopt().members("a").dies("a").pass(60);
    world.etcd = before;
    world.runs("b c").observe("b", "wait: member_mismatch").with_message("adopt` has excluded").members("a");
    world.observe("d", "wait: member_mismatch").members("a");
}

#[test]
fn an_adoption_of_too_few_members_is_corrected_by_a_member_that_sees_all() {
    let mut world = World::running("a b c");
    let before = world.etcd.clone();
    world.etcdctl_removes("b").etcdctl_removes("c").adopt().members("a");
    world.etcd = before;
    world.observe("b", "wait: healthy + member_added member_added").members("a b c");
}
