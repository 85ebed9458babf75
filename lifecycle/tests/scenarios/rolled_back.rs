//! The disk of a member goes back to an older copy.

use crate::*;

/// All members have applied index 50,000. Member `c` is down, and its data ends before.
fn rolled_back() -> World {
    let mut world = World::running("a b c");
    world.returns("c").wal_ends_at("c", 40_000);
    world
}

#[test]
fn a_member_with_older_data_is_replaced_by_its_own_node() {
    let mut world = rolled_back();
    world.ask("c", "observe: look_needed").looks_for_its_member("c");
    world.step("c", "remove c #1 of a b c: data_rolled_back + ticket_granted");
    world.step("c", "archive_data: removed_member + member_removed ticket_released");
    world.step("c", "add learner c #2 of a b: below_size + ticket_granted");
}

#[test]
fn a_member_with_older_data_does_not_start_without_a_quorum() {
    let mut world = rolled_back();
    world.dies("b").observe("c", "refuse: data_rolled_back");
    world
        .with_message("ends at index 40000")
        .with_message("had applied index 50000")
        .with_remedy("restore the newest data");
}

#[test]
fn a_member_with_older_data_waits_while_the_others_elect_a_leader() {
    let mut world = rolled_back();
    let elects = |view: &mut View| (view.linearizable, view.leader) = (false, None);
    world.observe_wrongly("c", elects, "wait: no_quorum").looks_for_its_member("c");
    world.step("c", "remove c #1 of a b c: data_rolled_back + ticket_granted");
}

#[test]
fn a_member_with_older_data_does_not_start_if_no_member_may_be_removed() {
    let mut world = rolled_back();
    world.looks_for_its_member("c");
    world.strategy(Strategy::Add).observe("c", "refuse: data_rolled_back").with_message("strategy add");
    world.strategy(Strategy::Replace).pause().observe("c", "refuse: data_rolled_back").with_message("paused");
}

#[test]
fn a_member_starts_if_no_other_shows_that_its_data_is_older() {
    let mut world = rolled_back();
    world.dies("a b").observe("c", "start a b c: own_data");
}

#[test]
fn a_member_that_was_down_while_the_others_went_on_starts() {
    let mut world = rolled_back();
    world.wal_ends_at("c", 50_000).applied("a", Some(90_000)).applied("b", Some(90_000));
    world.observe("c", "start a b c: own_data");
}

#[test]
fn a_member_whose_client_does_not_read_the_wal_starts() {
    World::running("a b c").returns("c").observe("c", "start a b c: own_data");
}

/// Members with agents, which report how far they have applied the log, and no views.
fn rolled_back_with_agents() -> World {
    let mut world = World::running("a b c").with_credentials();
    world.have_agents("a b c");
    for name in ["a", "b", "c"] {
        world.applied(name, Some(60_000));
    }
    world.checks_in("c").returns("c").wal_ends_at("c", 55_000);
    world
}

#[test]
fn the_word_of_the_members_own_agent_shows_that_its_data_is_older() {
    let mut world = rolled_back_with_agents();
    world.ask("c", "observe: look_needed").looks_for_its_member("c");
    world.observe("c", "remove c #1 of a b c: data_rolled_back + ticket_granted");
}

#[test]
fn the_word_of_an_agent_that_sees_no_quorum_shows_nothing() {
    let mut world = World::running("a b c").with_credentials();
    world.have_agents("c").applied("c", Some(60_000)).cut("c", "a").cut("c", "b").checks_in("c");
    world
        .heal("c")
        .applied("a", Some(60_000))
        .returns("c")
        .wal_ends_at("c", 55_000)
        .observe("c", "start a b c: own_data");
}

/// The server knows nothing of the past, and the leader says how much the member has confirmed.
fn rolled_back_by_the_leaders_word() -> World {
    let mut world = World::running("a b c");
    world.server_restarts().wal_ends_at("c", 30_000).matched("c", 40_000).leads("a");
    world
}

#[test]
fn the_leader_alone_shows_that_a_members_data_is_older() {
    let mut world = rolled_back_by_the_leaders_word();
    world
        .returns("c")
        .observe("c", "wait: runs_elsewhere")
        .with_message("whether the leader still receives messages from this member");
    world.pass(3).observe("c", "wait: runs_elsewhere").pass(3);
    world.observe("c", "remove c #1 of a b c: data_rolled_back + ticket_granted");
}

#[test]
fn a_copy_with_older_data_does_not_remove_a_member_that_the_leader_hears() {
    let mut with_agents = World::running("a b c").with_credentials();
    with_agents.have_agents("a b c").applied("a", Some(60_000)).applied("c", Some(60_000)).checks_in("c");
    for mut world in [rolled_back_by_the_leaders_word(), with_agents] {
        let data = world.data("c");
        world.returns_with("c@c", data).wal_ends_at("c@c", 30_000).cut("c@c", "c");
        for _ in 0..5 {
            world.observe("c@c", "wait: runs_elsewhere").pass(2).members("a b c");
        }
        world.with_message("the leader receives messages from it");
    }
}

#[test]
fn if_the_leader_does_not_tell_whom_it_hears_the_removing_node_looks_for_itself() {
    let mut world = rolled_back_by_the_leaders_word();
    let hide = |view: &mut View| view.members.iter_mut().for_each(|member| member.received_bytes = None);
    world.returns("c").observe_wrongly("c", hide, "remove c #1 of a b c: data_rolled_back + ticket_granted");
}
