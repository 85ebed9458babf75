use crate::*;

#[test]
fn the_newest_follower_is_removed_first() {
    World::running("a b c d e")
        .size(3)
        .observe("a", "wait: healthy")
        .step("e", "leave e #1 of a b c d e: shrink + ticket_granted")
        .step("d", "leave d #2 of a b c d: shrink + member_removed ticket_released ticket_granted")
        .observe("a", "wait: healthy + member_removed ticket_released")
        .members("a b c");
}

#[test]
fn a_member_that_left_archives_its_data_and_is_a_spare() {
    World::running("a b c")
        .size(2)
        .step("c", "leave c #1 of a b c: shrink + ticket_granted")
        .step("c", "archive_data: removed_member + member_removed ticket_released")
        .observe("c", "stand_by: full");
}

#[test]
fn the_leader_stays_although_it_is_the_newest() {
    World::running("a b c")
        .size(2)
        .leads("c")
        .observe("c", "wait: healthy")
        .observe("b", "leave b #1 of a b c: shrink + ticket_granted");
}

#[test]
fn a_dead_member_is_removed_before_all_others() {
    World::running("a b c d e")
        .are_dead_to("b", "a c d e")
        .size(3)
        .step("a", "remove b #1 of a b c d e: shrink + ticket_granted")
        .observe("e", "leave e #2 of a c d e: shrink + member_removed ticket_released ticket_granted");
}

#[test]
fn a_member_that_does_not_answer_is_removed_before_those_that_do() {
    World::running("a b c d e").size(4).dies("b").observe("a", "remove b #1 of a b c d e: shrink + ticket_granted");
}

#[test]
fn a_dead_member_is_removed_before_one_that_only_does_not_answer() {
    let mut world = World::running("a b c d e");
    world.are_dead_to("b", "a c d e").dies("e").size(3);
    world.observe("a", "remove b #1 of a b c d e: shrink + ticket_granted");
}

#[test]
fn a_cluster_does_not_shrink_if_that_would_cost_its_quorum() {
    let mut world = World::running("a b c d");
    world.partition("d").size(3).observe("a", "remove d #1 of a b c d: shrink + ticket_granted");
    World::running("a b").partition("b").size(1).observe("a", "wait: no_quorum");
}

#[test]
fn a_surplus_member_whose_client_is_down_is_removed_by_another() {
    World::running("a b c").size(2).pass(60).observe("a", "remove c #1 of a b c: shrink + ticket_granted");
}

#[test]
fn an_evicted_member_is_removed_before_others_if_there_are_too_many() {
    World::running("a b c d")
        .size(3)
        .evict("b")
        .observe("d", "wait: healthy")
        .observe("b", "leave b #1 of a b c d: evicted + ticket_granted");
}

#[test]
fn no_node_joins_a_cluster_that_shrinks() {
    World::running("a b c").size(2).observe("d", "stand_by: full");
}

#[test]
fn a_size_that_is_raised_again_keeps_the_member() {
    World::running("a b c")
        .size(2)
        .observe("c", "leave c #1 of a b c: shrink + ticket_granted")
        .size(3)
        .observe("c", "wait: healthy + ticket_released");
}

#[test]
fn voters_that_an_administrator_adds_beyond_the_size_stay() {
    let mut world = World::running("a b c");
    world.etcdctl_adds_voter("d").observe("a", "wait: healthy + member_added").watch(300, "a b c d e");
    world.ask("a", "wait: healthy").observe("d", "wait: healthy").observe("e", "stand_by: full").members("a b c d");
}

#[test]
fn a_size_that_is_set_after_a_voter_was_added_removes_it() {
    let mut world = World::running("a b c");
    world.etcdctl_adds_voter("d").check_ins("a d").size(4).size(3);
    world.observe("d", "leave d #1 of a b c d: shrink + ticket_granted");
}

#[test]
fn only_a_smaller_size_than_the_one_before_requests_removals() {
    // Five voters run at size 3, because an administrator has added d and e with etcdctl. The sizes are set one after another.
    let rows: [(&[u32], &str); 9] = [
        (&[4], "a b c d e"),
        (&[5], "a b c d e"),
        (&[4, 5], "a b c d e"),
        (&[6, 5], "a b c d e"),
        (&[5, 4], "a b c d"),
        (&[6, 4], "a b c d"),
        (&[4, 3], "a b c"),
        // The first one requests three removals, the second one withdraws one or two of them.
        (&[2, 3], "a b c"),
        (&[2, 4], "a b c d"),
    ];
    for (sizes, members) in rows {
        let mut world = World::running("a b c");
        world.etcdctl_adds_voter("d").etcdctl_adds_voter("e").check_ins("a b c d e");
        for size in sizes {
            world.size(*size);
        }
        world.heals(120, "a b c d e", |_| {}, members);
        for node in members.split(' ') {
            world.observe(node, "wait: healthy");
        }
        world.observe("spare", "stand_by: full").members(members);
    }
}

#[test]
fn voters_stay_if_the_registry_has_lost_the_size() {
    let mut world = World::running("a b c");
    let copy = world.cluster.clone();
    world.size(5).heals(60, "a b c d e", |_| {}, "a b c d e");
    world.registry_goes_back_to(copy).check_ins("a b c d e").observe("a", "wait: healthy");
    world.observe("d", "wait: healthy").observe("e", "wait: healthy").members("a b c d e");
}

#[test]
fn a_dead_voter_beyond_the_size_is_removed_as_dead() {
    let mut world = World::running("a b c");
    world.etcdctl_adds_voter("d").check_ins("a b c d").are_dead_to("d", "a b c");
    world.observe("a", "remove d #1 of a b c d: dead + ticket_granted");
    world.execute("a").observe("a", "wait: healthy + member_removed ticket_released").members("a b c");
}
