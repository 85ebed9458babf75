use crate::*;

#[test]
fn a_member_that_lost_its_disk_replaces_itself_at_once() {
    World::running("a b c")
        .returns_empty("c")
        .ask("c", "observe: look_needed")
        .step("c", "remove c #1 of a b c: lost_disk + ticket_granted")
        .step("c", "add learner c #1 of a b: below_size + member_removed")
        .step("c", "join a b c: added + member_added")
        .step("c", "promote c' #1 of a b ~c': caught_up + member_updated")
        .look("c", "wait: healthy + member_promoted ticket_released")
        .members("a b c'");
}

#[test]
fn a_lost_disk_of_a_member_that_was_replaced_before_makes_no_difference() {
    let mut world = World::running("a b c");
    for ticket in ["#1", "#2"] {
        let gone = if ticket == "#1" { "c" } else { "c'" };
        world
            .returns_empty("c")
            .step("c", &format!("remove {gone} {ticket} of a b {gone}: lost_disk + ticket_granted"));
        for _ in 0..4 {
            world.check_ins("c").obey("c");
        }
        world.look("c", "wait: healthy");
    }
    world.members("a b c''");
}

#[test]
fn a_lost_disk_without_a_quorum_waits_and_names_who_is_missing() {
    World::running("a b c").dies("b").returns_empty("c").look("c", "wait: no_quorum").saying("no answer from b");
}

#[test]
fn the_only_member_that_lost_its_disk_is_told_that_there_is_no_quorum() {
    World::running("a").returns_empty("a").look("a", "wait: no_quorum").saying("no answer from a");
}

#[test]
fn unreadable_data_is_set_aside_when_the_cluster_has_its_quorum() {
    World::running("a b c")
        .returns_with("c", Data::Unreadable)
        .ask("c", "observe: look_needed")
        .step("c", "archive_data: unreadable_data")
        .look("c", "remove c #1 of a b c: lost_disk + ticket_granted");
}

#[test]
fn unreadable_data_may_be_all_that_is_left_when_there_is_no_quorum() {
    World::running("a b c").dies("b").returns_with("c", Data::Unreadable).look("c", "wait: no_quorum");
}

#[test]
fn unreadable_data_under_the_name_of_a_member_that_answers_is_not_touched() {
    World::running("a b c").returns_with("c@x", Data::Unreadable).look("c@x", "refuse: name_taken");
}

#[test]
fn a_member_with_foreign_data_sets_it_aside_and_replaces_itself() {
    World::running("a b c")
        .returns_with("c", FOREIGN)
        .ask("c", "archive_data: foreign_data")
        .obey("c")
        .look("c", "remove c #1 of a b c: lost_disk + ticket_granted");
}

#[test]
fn a_lost_disk_is_not_mended_under_a_strategy_that_removes_nobody() {
    World::running("a b c").strategy(Strategy::Add).returns_empty("c").look("c", "wait: strategy");
}

#[test]
fn a_renamed_node_at_a_members_address_replaces_that_member() {
    World::running("a b c").returns_empty("c").look("z@c", "remove c #1 of a b c: lost_disk + ticket_granted");
}

#[test]
fn a_member_that_lost_its_disk_and_was_evicted_is_removed_and_stays_a_spare() {
    World::running("a b c")
        .evict("c")
        .returns_empty("c")
        .step("c", "remove c #1 of a b c: evicted + ticket_granted")
        .look("c", "stand_by: evicted + member_removed ticket_released");
}

#[test]
fn an_eviction_in_the_middle_of_replacing_oneself_ends_it() {
    World::running("a b c")
        .returns_empty("c")
        .look("c", "remove c #1 of a b c: lost_disk + ticket_granted")
        .evict("c")
        .obey("c")
        .look("c", "stand_by: evicted + member_removed ticket_released");
}
