//! Members that come back at each other's addresses, and addresses that all change at once.

use crate::*;

#[test]
fn two_members_that_have_exchanged_their_addresses_start_if_the_quorum_needs_them() {
    let mut world = World::running("a b c");
    world.returns("a").returns("b").moves("a", "b").moves("b", "a").pass(30);
    world.step("a", "start a b c: own_data").step("b", "start a b c: own_data");
    world.observe("a", "wait: peer_url_taken").with_message("http://b:2380").with_message("third peer URL");
    world.observe("b", "wait: peer_url_taken").observe("c", "wait: healthy").members("a b c");
}

#[test]
fn two_members_that_have_exchanged_their_ip_addresses_are_updated_one_after_the_other() {
    let (a, b, c) = ("10.0.0.1", "10.0.0.2", "10.0.0.3");
    let mut world = World::running(&format!("{a} {b} {c}"));
    world.returns(a).returns(b).moves(a, b).moves(b, a).pass(30);
    world.step(a, "start 10.0.0.1 10.0.0.2 10.0.0.3: own_data").step(b, "start 10.0.0.1 10.0.0.2 10.0.0.3: own_data");
    world
        .step(
            a,
            "update 10.0.0.1 to [::ffff:10.0.0.2] #1 of 10.0.0.1 10.0.0.2 10.0.0.3: address_changed + ticket_granted",
        )
        .with_message("etcd still lists them for 10.0.0.2");
    let handover = "address_changed + member_updated ticket_released ticket_granted";
    world.step(b, &format!("update 10.0.0.2 to 10.0.0.1 #2 of 10.0.0.1 10.0.0.2 10.0.0.3: {handover}"));
    world.step(a, &format!("update 10.0.0.1 to 10.0.0.2 #3 of 10.0.0.1 10.0.0.2 10.0.0.3: {handover}"));
    world.observe(a, "wait: healthy + member_updated ticket_released");
    world.observe(b, "wait: healthy").observe(c, "wait: healthy");
}

#[test]
fn two_members_that_have_exchanged_their_addresses_start_while_the_others_have_a_quorum() {
    let mut world = World::running("a b c d e");
    world.returns("a").returns("b").moves("a", "b").moves("b", "a").pass(30);
    world.step("a", "start a b c d e: own_data").step("b", "start a b c d e: own_data");
}

#[test]
fn a_member_takes_the_address_of_another_after_that_one_was_updated() {
    let mut world = World::running("a b c");
    world.returns("a").returns("b").moves("a", "b").moves("b", "b2").pass(30);
    world.step("a", "start a b c: own_data").observe("a", "wait: not_dead_yet");
    world.step("b", "update b to b2 #1 of a b c: address_changed + ticket_granted");
    world.step("b", "start a b@b2 c: own_data + member_updated ticket_released");
    world.observe("a", "update a to b #2 of a b c: address_changed + ticket_granted");
}

#[test]
fn a_new_node_at_the_address_of_a_member_that_has_moved_does_not_replace_it() {
    let mut world = World::running("a b c");
    let data = world.data("c");
    world.dies("c").check_ins("a b").pass(40).returns_with("c@x", data);
    world.ask("c@x", "observe: look_needed").loads("c@x").ask("c@x", "wait: loading");
    world.observe("d@c", "wait: peer_url_taken").with_message("which has moved").members("a b c");
}

#[test]
fn the_peer_urls_of_a_running_member_stay_while_the_quorum_needs_it() {
    World::running("a b c")
        .dies("b")
        .moves("c", "typo")
        .observe("c", "wait: not_dead_yet")
        .runs("b")
        .observe("c", "update c to typo #1 of a b c: address_changed + ticket_granted");
    World::running("a b c").downtime("b", 600).dies("b").moves("c", "typo").observe("c", "wait: not_dead_yet");
}

#[test]
fn both_of_two_members_update_their_peer_urls_while_both_answer() {
    World::running("a b").moves("b", "b2").observe("b", "update b to b2 #1 of a b: address_changed + ticket_granted");
    World::running("a").moves("a", "a2").observe("a", "update a to a2 #1 of a: address_changed + ticket_granted");
}

#[test]
fn changed_addresses_of_all_members_are_distinguished_from_silent_members() {
    let mut world = World::running("a b c");
    world.returns("a").dies("b c").moves("a", "a2").pass(30);
    world.step("a", "start a b c: own_data").with_message("all addresses may have changed at once");
    world.observe("a", "wait: all_addresses_changed").with_message("from http://a:2380 to http://a2:2380");
    world.moves("a", "a").observe("a", "wait: no_quorum").with_message("lost for good, start a new cluster");
}
