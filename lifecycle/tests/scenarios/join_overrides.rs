use crate::*;

/// A running cluster that whoever knows its discovery token may change.
fn elastic(names: &str) -> World {
    let mut world = World::running(names);
    world.cluster.policy.stock_writes = StockWrites::Allow;
    world
}

/// With a mere discovery token, or with a join token for one node, nobody changes the cluster for all others.
#[test]
fn a_node_with_a_larger_size_of_its_own_does_not_raise_the_size_of_a_formed_cluster() {
    let mut world = World::running("a b c");
    world.joins_for("d", 5).observe("d", "stand_by: full").size_is(3);
    world.with_message("--cluster-size 5 of this node does not raise the size of a formed cluster");
    world.once("d").observe("d", "refuse: full").size_is(3);
    world.size(4).observe("d", "add learner d #1 of a b c: below_size + ticket_granted").size_is(4);
}

#[test]
fn a_node_with_a_larger_size_of_its_own_raises_the_size() {
    elastic("a b c")
        .joins_for("d", 5)
        .ask("d", "observe: look_needed")
        .observe("d", "add learner d #1 of a b c: below_size + size_set ticket_granted")
        .size_is(5);
}

#[test]
fn the_event_of_a_raised_size_names_the_node() {
    let mut world = elastic("a b c");
    world.joins_for("d", 5).leaves_event("d", "size raised from 3 to 5: d joins a cluster of 5");
}

#[test]
fn the_largest_own_size_counts() {
    elastic("a b c")
        .joins_for("d", 5)
        .joins_for("e", 4)
        .check_ins("d e")
        .size_is(5)
        .joins_for("f", 7)
        .observe("f", "wait: ticket_held + size_set")
        .size_is(7);
}

/// Five voters run at size 3, because an administrator has added d and e with etcdctl.
#[test]
fn a_join_override_requests_no_removal() {
    for size in [4, 5] {
        let mut world = elastic("a b c");
        world.etcdctl_adds_voter("d").etcdctl_adds_voter("e").check_ins("a b c d e");
        world.joins_for("f", size).observe("f", "stand_by: full + size_set").size_is(size);
        for node in ["a", "b", "c", "d", "e"] {
            world.observe(node, "wait: healthy");
        }
        world.observe("spare", "stand_by: full").members("a b c d e");
    }
}

#[test]
fn the_size_is_raised_also_while_another_node_joins_or_a_member_is_down() {
    let mut world = elastic("a b c");
    world.size(4).check_ins("e").joins_for("d", 5).observe("d", "wait: ticket_held + size_set");
    let mut world = elastic("a b c");
    world.dies("c").joins_for("d", 5).observe("d", "wait: not_dead_yet + size_set");
}

#[test]
fn members_do_not_raise_the_size() {
    let mut world = elastic("a b c");
    world
        .joins_for("a b c", 5)
        .observe("a", "wait: healthy")
        .returns("c")
        .observe("c", "start a b c: own_data")
        .size_is(3);
}

#[test]
fn a_join_override_does_not_raise_the_size_of_a_paused_cluster() {
    let mut world = elastic("a b c");
    world.pause().joins_for("d", 5).observe("d", "wait: paused").size_is(3);
    world.resume().observe("d", "add learner d #1 of a b c: below_size + size_set ticket_granted");
}

#[test]
fn a_join_override_does_not_raise_the_size_under_the_strategy_prepared() {
    let mut world = elastic("a b c");
    world.strategy(Strategy::Prepared).joins_for("d", 5).observe("d", "wait: strategy").size_is(3);
}

#[test]
fn a_node_that_may_not_join_does_not_raise_the_size() {
    let mut world = elastic("a b c");
    world.joins_for("c@x", 5).observe("c@x", "refuse: name_taken").size_is(3);
    world.starts_to_leave("d").joins_for("d", 5).observe("d", "stand_by: left").size_is(3);
    world.evict("c").step("c", "leave c #1 of a b c: evicted + ticket_granted");
    world.returns_empty("c").joins_for("c", 5);
    world.observe("c", "stand_by: evicted + member_removed ticket_released").size_is(3);
}

#[test]
fn a_join_override_does_not_raise_the_size_without_a_quorum() {
    elastic("a b c").dies("a b").joins_for("d", 5).observe("d", "wait: no_quorum").size_is(3);
}

#[test]
fn stock_etcds_that_form_a_cluster_keep_its_size() {
    let mut world = World::formed_by_v2("a b c");
    world.dies("a b c").joins_for("d", 5).observe("d", "wait: no_quorum").size_is(3);
}

#[test]
fn a_join_override_does_not_raise_the_size_of_a_forming_cluster() {
    let mut world = World::new(3);
    world.joins_for("a", 5).joins_for("b", 1).ask("a", "wait: forming + member_registered");
    world.ask("b", "wait: forming + member_registered");
    world.ask("c", "bootstrap a b c in epoch 1: roster_complete + member_registered formed bootstrap_told").size_is(3);
    world.ask("a", "bootstrap a b c in epoch 1: roster_complete + bootstrap_told");
    world.ask("b", "bootstrap a b c in epoch 1: roster_complete + bootstrap_told").size_is(3);
}

#[test]
fn a_node_takes_no_place_beyond_its_own_size() {
    World::running("a b c")
        .size(5)
        .joins_for("d", 3)
        .observe("d", "stand_by: full")
        .with_message("joins only while the cluster has fewer than 3 voters")
        .observe("e", "add learner e #1 of a b c: below_size + ticket_granted");
}

#[test]
fn a_node_with_once_is_refused_a_place_beyond_its_own_size() {
    World::running("a b c").size(5).joins_for("d", 3).once("d").observe("d", "refuse: full");
}

#[test]
fn a_node_takes_a_dead_members_place_up_to_its_own_size() {
    let mut world = World::running("a b c");
    world.are_dead_to("c", "a b d").size(5);
    world.joins_for("d", 2).observe("d", "stand_by: full");
    world.joins_for("d", 3).observe("d", "remove c #1 of a b c: dead + ticket_granted");
}

#[test]
fn a_member_that_lost_its_disk_rejoins_up_to_its_own_size() {
    let mut world = World::running("a b c");
    world.returns_empty("c").joins_for("c", 2).observe("c", "stand_by: full").members("a b c");
    world.joins_for("c", 3).observe("c", "remove c #1 of a b c: lost_disk + ticket_granted");
}

#[test]
fn a_node_that_lowers_its_own_size_releases_its_ticket() {
    let mut world = World::running("a b c");
    world.size(5).observe("d", "add learner d #1 of a b c: below_size + ticket_granted");
    world.joins_for("d", 3).observe("d", "stand_by: full + ticket_released");
}

#[test]
fn a_node_that_was_added_joins_at_any_size_of_its_own() {
    let mut world = World::running("a b c");
    world.size(5).step("d", "add learner d #1 of a b c: below_size + ticket_granted");
    world.joins_for("d", 3).observe("d", "join a b c d: added + member_added member_updated");
}

#[test]
fn the_stricter_of_two_strategies_counts() {
    let mut world = World::running("a b c");
    world.are_dead_to("c", "a b d e");
    world.joins_by("d", Strategy::Add).observe("d", "wait: strategy").with_message("strategy add removes no members");
    world.joins_by("d", Strategy::Prepared).observe("d", "wait: strategy");
    world.joins_by("d", Strategy::Prune).observe("d", "remove c #1 of a b c: dead + ticket_granted");

    let mut world = World::running("a b c");
    world.strategy(Strategy::Add).are_dead_to("c", "a b d").joins_by("d", Strategy::Replace);
    world.observe("d", "wait: strategy");
}

#[test]
fn a_node_that_joins_as_prepared_is_added_by_an_administrator() {
    let mut world = World::running("a b c");
    world.size(4).joins_by("d", Strategy::Prepared).observe("d", "wait: strategy");
    world.etcdctl_adds("d").step("d", "join a b c d: added + member_added member_updated");
    world
        .check_ins("d")
        .execute("d")
        .observe("d", "wait: healthy + member_promoted ticket_released")
        .members("a add1 b c");
}

#[test]
fn a_node_that_only_adds_does_not_replace_itself() {
    let mut world = World::running("a b c");
    world.returns_empty("c").joins_by("c", Strategy::Add).observe("c", "wait: strategy").members("a b c");
}

#[test]
fn a_members_own_strategy_changes_nothing_while_it_runs() {
    let mut world = World::running("a b c");
    world.joins_by("a", Strategy::Prepared).evict("c").pass(60);
    world.observe("a", "remove c #1 of a b c: evicted + ticket_granted");
}

#[test]
fn a_node_that_became_stricter_releases_its_ticket() {
    let mut world = World::running("a b c");
    world.are_dead_to("c", "a b d").observe("d", "remove c #1 of a b c: dead + ticket_granted");
    world.joins_by("d", Strategy::Add).observe("d", "wait: strategy + ticket_released");
    world.joins_by("d", Strategy::Replace).observe("d", "remove c #2 of a b c: dead + ticket_granted");
    world.joins_by("d", Strategy::Prepared).observe("d", "wait: strategy + ticket_released");
}
