use crate::*;

/// A cluster of three of which `c` has just joined as learner.
fn with_learner_c() -> World {
    let mut world = World::running("a b");
    world.size(3).check_ins("c").execute("c").check_ins("c").execute("c").check_ins("c");
    world
}

#[test]
fn a_learner_that_has_caught_up_is_promoted() {
    with_learner_c().observe("c", "promote c #1 of a b ~c: caught_up");
}

#[test]
fn a_learner_that_is_a_thousand_entries_behind_has_caught_up() {
    with_learner_c().applied("c", Some(49_000)).observe("c", "promote c #1 of a b ~c: caught_up");
}

#[test]
fn a_learner_that_is_far_behind_waits_even_if_etcd_would_promote_it() {
    with_learner_c().applied("c", Some(48_999)).observe("c", "wait: catching_up").with_message("1001 log entries");
}

#[test]
fn a_learner_that_does_not_report_its_index_waits() {
    with_learner_c().applied("c", None).observe("c", "wait: catching_up").with_message("not known");
}

#[test]
fn a_learner_waits_while_no_voter_reports_its_index() {
    with_learner_c().applied("a", None).applied("b", None).observe("c", "wait: catching_up");
}

#[test]
fn a_learner_is_not_promoted_by_others_while_its_node_has_the_ticket() {
    with_learner_c().ask("a", "wait: healthy").observe("a", "wait: ticket_held");
}

#[test]
fn a_learner_whose_client_died_is_promoted_by_a_member() {
    let mut world = with_learner_c();
    world.pass(15).observe("a", "promote c #2 of a b ~c: caught_up + ticket_released ticket_granted");
    world.execute("a").observe("a", "wait: healthy + member_promoted ticket_released");
}

#[test]
fn a_learner_that_is_promoted_while_a_voter_is_down_has_a_quorum_with_the_rest() {
    let mut world = World::running("a b c");
    world.size(4).check_ins("d").execute("d").check_ins("d").execute("d").check_ins("d").dies("c");
    world.observe("d", "promote d #1 of a b c ~d: caught_up");
}

#[test]
fn a_partitioned_learner_is_not_removed() {
    let mut world = with_learner_c();
    world.hide("c").watch(120, "a b c").pass(15).observe("a", "wait: partition + ticket_released").members("a b ~c");
}

#[test]
fn a_learner_that_restarts_starts_with_its_data() {
    with_learner_c().returns("c").observe("c", "start a b c: own_data");
}

#[test]
fn a_learner_that_lost_its_disk_replaces_itself() {
    with_learner_c()
        .returns_empty("c")
        .observe("c", "wait: runs_elsewhere")
        .pass(30)
        .step("c", "remove c #2 of a b ~c: lost_disk + ticket_released ticket_granted")
        .step("c", "add learner c #2 of a b: below_size + member_removed");
}
