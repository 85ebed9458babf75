//! Founders that start later than the others. etcd lists their names before they run.

use crate::*;

/// `a` and `b` have bootstrapped and run. `c` is a founder, too, and has not been instructed yet.
fn without_c() -> World {
    let mut world = World::new(3);
    world.check_ins("a c b a").execute("a").execute("b").check_ins("a b");
    world
}

#[test]
fn a_founder_that_has_not_run_is_instructed_to_bootstrap() {
    without_c()
        .pass(30)
        .observe("d", "wait: not_dead_yet")
        .step("c", "bootstrap a c b in epoch 1: roster_complete + bootstrap_told");
}

#[test]
fn a_slow_founder_is_not_replaced_by_a_spare() {
    let founder = |world: &mut World| {
        world.check_ins("d");
    };
    without_c().pass(6).heals(20, "c a b", founder, "a b c").members("a b c");
}

#[test]
fn a_founder_that_was_instructed_and_has_run_replaces_itself_once_its_data_is_gone() {
    without_c()
        .step("c", "bootstrap a c b in epoch 1: roster_complete + bootstrap_told")
        .observe("a", "wait: healthy + member_updated")
        .returns_empty("c")
        .observe("c", "remove c #1 of a b c: lost_disk + ticket_granted");
}
