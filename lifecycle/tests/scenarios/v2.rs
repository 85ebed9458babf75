use convene_lifecycle::Discovery;

use crate::*;

#[test]
fn a_node_that_checks_in_while_stock_etcds_form_the_cluster_is_refused() {
    World::new(3).v2_registers(&"8e9e05c52164694d".parse().unwrap(), "a").ask("b", "refuse: forms_by_discovery");
}

#[test]
fn a_node_that_checks_in_while_stock_etcds_form_the_cluster_by_v3_is_refused_as_well() {
    World::new(3)
        .registers_by(Discovery::V3, &"8e9e05c52164694d".parse().unwrap(), "a")
        .ask("b", "refuse: forms_by_discovery");
}

#[test]
fn the_check_in_of_a_member_with_data_shows_its_cluster() {
    World::formed_by_v2("a b c").returns("a").ask("a", "observe: look_needed + bootstrapped member_updated");
}

#[test]
fn the_check_in_of_a_running_member_shows_its_cluster() {
    World::formed_by_v2("a b c").ask("a", "observe: look_needed + bootstrapped member_updated");
}

#[test]
fn a_member_that_lost_its_disk_replaces_itself() {
    World::formed_by_v2("a b c").returns_empty("c").ask("c", "observe: look_needed").observe(
        "c",
        "remove c #1 of a b c: lost_disk + formed bootstrapped member_updated member_updated member_updated \
         ticket_granted",
    );
}

#[test]
fn a_latecomer_is_a_spare() {
    World::formed_by_v2("a b c")
        .ask("d", "observe: look_needed")
        .observe("d", "stand_by: full + formed bootstrapped member_updated member_updated member_updated");
}

#[test]
fn etcds_that_registered_after_the_last_place_was_taken_do_not_count_for_the_quorum() {
    let mut world = World::formed_by_v2("a b c");
    world.cluster.policy.stock_writes = StockWrites::Allow;
    for (key, name) in [("d1", "d"), ("d2", "e"), ("d3", "f")] {
        world.v2_registers(&key.parse().unwrap(), name);
    }
    world.ask("a", "observe: look_needed + bootstrapped member_updated");
    world.observe("a", "wait: healthy + member_removed member_removed member_removed member_updated member_updated");
}

#[test]
fn a_founder_without_data_waits_before_the_etcds_answer() {
    World::formed_by_v2("a b c").dies("a b c").observe("d", "wait: no_quorum");
}

#[test]
fn a_removal_that_only_v2_reports_is_checked_before_data_is_archived() {
    let mut world = World::formed_by_v2("a b c");
    world.check_ins("a b c").v2_deletes("c").returns("c").ask("c", "observe: look_needed");
    world.observe("c", "start a b c: own_data + member_added");
}

#[test]
fn a_removal_that_v2_reports_and_etcd_shows_archives_data() {
    let mut world = World::formed_by_v2("a b c");
    world.check_ins("a b c").v2_deletes("c").etcdctl_removes("c").returns("c");
    world.observe("c", "archive_data: removed_member");
}

#[test]
fn a_removal_that_only_v2_reports_archives_nothing_without_a_quorum() {
    let mut world = World::formed_by_v2("a b c");
    world.check_ins("a b c").v2_deletes("c").dies("b").returns("c").observe("c", "start: uncertain");
}

#[test]
fn another_cluster_at_the_members_addresses_decides_nothing() {
    World::formed_by_v2("a b c").observe_wrongly(
        "d",
        |view| {
            view.cluster = Some(ClusterId(0xbad));
            view.members.clear();
        },
        "wait: foreign_cluster",
    );
}
