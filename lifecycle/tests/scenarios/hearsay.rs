//! What others report never makes a node set its data aside, and a false list never replaces the record.

use crate::*;

/// A list without any member that the registry knows.
fn only_a_stranger(view: &mut View) {
    view.members.truncate(1);
    view.members[0].id = MemberId(0xbad);
    view.leader = Some(MemberId(0xbad));
}

/// The list of a copy of member `a` that was started with `--force-new-cluster`: the same IDs, and no other member.
fn only_a(view: &mut View) {
    view.members.truncate(1);
}

/// A member's identity in a cluster with another ID.
fn in_another_cluster(data: Data) -> Data {
    let Data::Of(identity) = data else { unreachable!() };
    Data::Of(Identity { cluster: ClusterId(0xbad), ..identity })
}

#[test]
fn a_list_of_strangers_removes_nobody_and_archives_nothing() {
    let mut world = World::running("a b c");
    world
        .observe_wrongly("x", only_a_stranger, "wait: member_mismatch")
        .with_message("lacks a (")
        .with_message("convene cluster adopt")
        .members("a b c")
        .dies("a b c");
    for name in ["a", "b", "c"] {
        world.returns(name).observe(name, "start a b c: own_data");
    }
}

#[test]
fn a_forced_copy_of_one_member_removes_nobody() {
    let mut world = World::running("a b c");
    let data = world.data("a");
    world.returns_with("a@x", data).runs("a@x").pass(30);
    world.observe_wrongly("a@x", only_a, "wait: member_mismatch").members("a b c");
    world.observe_wrongly("d", only_a, "wait: member_mismatch").members("a b c");
}

#[test]
fn a_forced_copy_that_has_applied_more_does_not_make_the_original_look_rolled_back() {
    let mut world = World::running("a b c");
    let data = world.data("a");
    world.returns_with("a@x", data).runs("a@x").pass(30);
    let ahead = |view: &mut View| {
        only_a(view);
        view.members[0].applied_index = Some(60_000);
        view.members[0].identified = true;
    };
    world.observe_wrongly("a@x", ahead, "wait: member_mismatch").pass(90);
    world.returns("a").wal_ends_at("a", 55_000).applied("b", Some(70_000)).applied("c", Some(70_000));
    world.observe("a", "start a b c: own_data").members("a b c");
}

#[test]
fn a_member_starts_although_it_sees_a_forced_copy_of_another() {
    let mut world = World::running("a b c");
    world.returns("b").observe_wrongly("b", only_a, "start a b c: own_data").members("a b c");
    world.execute("b").observe("c", "wait: healthy").members("a b c");
}

#[test]
fn a_list_that_lacks_one_of_two_members_is_believed_once_that_one_is_silent() {
    let mut world = World::running("a b");
    world.dies("b").etcdctl_removes("b").observe("a", "wait: member_mismatch").pass(60);
    world.observe("a", "wait: healthy + member_removed").members("a");
}

#[test]
fn a_forced_new_cluster_is_taken_over_by_adopting_it_and_not_by_evictions() {
    let mut world = World::running("a b c");
    world.dies("b c").etcdctl_removes("b").etcdctl_removes("c");
    world.observe("a", "wait: member_mismatch").with_message("convene cluster adopt").evict("b").evict("c").pass(60);
    world.observe("a", "wait: member_mismatch").members("a b c").adopt().observe("a", "wait: healthy").members("a");
}

#[test]
fn a_forced_copy_does_not_remove_evicted_members() {
    let mut world = World::running("a b c");
    world.evict("b").evict("c").pass(120).observe_wrongly("d", only_a, "wait: member_mismatch").members("a b c");
}

#[test]
fn a_member_that_a_quorum_has_removed_is_removed_from_the_record() {
    let mut world = World::running("a b c");
    world.etcdctl_removes("c").observe("a", "wait: healthy + member_removed").members("a b");
}

#[test]
fn one_wrong_cluster_id_archives_nothing_and_is_corrected() {
    let mut world = World::formed_by_v2("a b c");
    let wrong = in_another_cluster(world.data("a"));
    world.returns_with("x", wrong).ask("x", "observe: look_needed + bootstrapped member_updated");
    world.dies("a b c").returns("a").ask("a", "observe: look_needed");
    world.observe("a", "start: uncertain").with_message("convene cluster adopt").with_message("bad");
    world.execute("a").returns("b").observe("b", "start: uncertain").execute("b");
    world.returns("c").observe("c", "start a b c: own_data + cluster_id_corrected member_updated member_updated");
}

#[test]
fn foreign_data_stays_without_a_quorum_of_the_registrys_cluster() {
    World::running("a b c")
        .dies("a b")
        .returns_with("d", FOREIGN)
        .ask("d", "observe: look_needed")
        .observe("d", "start: uncertain")
        .with_message("bad");
}

#[test]
fn members_that_were_restored_from_a_snapshot_start_and_wait_for_an_administrator() {
    let mut world = World::running("a b c");
    world.dies("a b c").restore_snapshot();
    for name in ["a", "b", "c"] {
        world.step(name, "start: uncertain").with_message("convene cluster adopt");
    }
    for name in ["a", "b", "c"] {
        world.observe(name, "refuse: foreign_cluster").with_remedy("convene cluster adopt");
    }
}

#[test]
fn names_that_v2_clients_have_rotated_do_not_keep_members_from_starting() {
    let mut world = World::formed_by_v2("a b c");
    world.check_ins("a b c").v2_deletes("a").v2_deletes("b").v2_deletes("c");
    world.v2_writes("a", "b").v2_writes("b", "c").v2_writes("c", "a").dies("a b c");
    for name in ["a", "b", "c"] {
        world.returns(name);
    }
    for name in ["a", "b"] {
        world.check_ins(name).execute(name);
    }
    world.observe("c", "start a b c: own_data + member_updated member_updated member_updated");
}

#[test]
fn a_forged_report_of_a_running_member_changes_neither_its_name_nor_its_client_urls() {
    let mut world = World::formed("a b c");
    for name in ["a", "b", "c"] {
        world.serves_clients_at(name, name).check_ins(name);
    }
    let before = world.cluster.clone();
    let data = world.data("b");
    world.returns_with("z@b", data).serves_clients_at("z@b", "evil").runs("z@b").partition("z@b");
    world.ask("z@b", "observe: look_needed").observe("z@b", "wait: no_quorum");
    assert_eq!(world.cluster, before);
    world.observe("b", "wait: healthy");
}

/// Somebody who knows the token reports all members as data without an entry, at addresses that include the members' own.
#[test]
fn no_epoch_begins_over_a_cluster_that_has_had_a_leader() {
    let mut world = World::running("a b c");
    for name in ["a", "b", "c"] {
        let data = world.data(name);
        let forged = &format!("{name}@{name}");
        world.returns_with(forged, data).have_never_led_data(forged).wal_ends_at(forged, 0).partition(forged);
    }
    for _ in 0..2 {
        for forged in ["a@a", "b@b", "c@c"] {
            world.pass(1).observe(forged, "wait: founders_missing");
        }
    }
    world.returns("a").observe("a", "start a b c: own_data").members("a b c");
}

/// Somebody who knows the token reports the members, from their own addresses and in runs of his own.
const FORGED: [&str; 3] = ["a@a", "b@b", "c@c"];

/// The founders are reported without data, some time after they were instructed to bootstrap.
fn forge_founders_without_data(world: &mut World) {
    for forged in FORGED {
        world.returns_empty(forged).partition(forged);
    }
}

/// The founders are reported with data without an entry.
fn forge_founders_without_entries(world: &mut World) {
    for (name, forged) in ["a", "b", "c"].into_iter().zip(FORGED) {
        let data = world.data(name);
        world.returns_with(forged, data).have_never_led_data(forged).wal_ends_at(forged, 0).partition(forged);
    }
}

/// The forged reports that make the registry give up the attempt to form the cluster, although its etcds run. Their nodes have
/// sent no view that shows a leader.
fn give_up_a_running_cluster(forge: impl Fn(&mut World)) -> World {
    let mut world = World::formed("a b c");
    world.pass(30);
    forge(&mut world);
    for forged in [FORGED, FORGED].concat() {
        world.pass(1).take_view(forged).check_ins(forged);
    }
    assert_eq!(world.cluster.epoch.0, 2);
    world
}

#[test]
fn founders_can_report_their_etcds_before_others_report_them_without_data() {
    let mut world = World::formed("a b c");
    forge_founders_without_data(&mut world);
    for forged in [FORGED, FORGED].concat() {
        world.pass(1).observe(forged, "wait: founders_missing");
    }
    world.loads("a").ask("a", "wait: loading + bootstrapped").pass(60);
    for forged in [FORGED, FORGED].concat() {
        world.pass(1).observe(forged, "wait: no_quorum");
    }
}

#[test]
fn members_start_and_found_nothing_after_forged_reports_have_begun_an_epoch() {
    for forge in [forge_founders_without_data, forge_founders_without_entries] {
        let mut world = give_up_a_running_cluster(forge);
        world
            .dies("a b c")
            .returns("a")
            .ask("a", "observe: look_needed + founding_held")
            .observe("a", "start: uncertain");
        world.with_message("convene cluster adopt").execute("a");
        for name in ["b", "c"] {
            world.returns(name).step(name, "start: uncertain");
        }
        for name in ["a", "b", "c"] {
            world.observe(name, "refuse: foreign_cluster").with_remedy("convene cluster adopt");
        }
        world.returns_empty("c@c").ask("c@c", "wait: held").adopt().members("a b c");
        for name in ["a", "b", "c"] {
            world.observe(name, "wait: healthy");
        }
    }
}

#[test]
fn founding_is_held_once_a_quorum_answers_after_forged_reports_have_begun_an_epoch() {
    for forge in [forge_founders_without_data, forge_founders_without_entries] {
        let mut world = give_up_a_running_cluster(forge);
        world.ask("b", "observe: look_needed").observe("b", "refuse: foreign_cluster + founding_held");
        world.returns_empty("c@c").ask("c@c", "wait: held").with_message("b has reported data");
    }
}
