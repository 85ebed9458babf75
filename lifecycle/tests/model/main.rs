//! Runs the real planner inside an abstract etcd, and looks at every world that can come of it.
//!
//! A [`world::World`] is the registry's [`convene_lifecycle::Cluster`] and [`convene_lifecycle::Liveness`], what etcd's
//! quorum has decided, and the nodes with their disks and with what they are about to do. Each [`steps::Step`] changes
//! one thing, in every order: so looks get stale, orders are carried out late, answers are lost at any time, and between
//! the check of what an order expects and the act anything else may happen. Machines crash at any point and come back or
//! not, disks get lost while they are down, nodes are cut off, check-ins get stuck, and administrators resize and evict;
//! of these there are as many as a configuration's budget says.
//!
//! Safety is checked in every world: one token and epoch yields one etcd cluster; no epoch begins over the
//! data of a cluster that had a quorum; no step but a failure takes a quorum away; nobody alive is removed unless somebody
//! asked for it; no member's data is set aside; asking again changes nothing. Liveness is checked once all worlds are known: if
//! nothing fails any more, then a cluster with a quorum and enough nodes becomes whole, and stays so.
//!
//! What is taken for granted, and so is asked of clients and server:
//! - A client drops an order to start or to join, and a look, before `dead_after` is over, as it drops changes of
//!   membership after `Ticket::ACT_WITHIN`. Only bootstrapping may come at any later time.
//! - A check-in that got stuck is not heard once its node has checked in again, and with a look not after `dead_after`.
//!   While a cluster forms it may be heard at any time, if one at a time gets stuck.
//! - A node that has data checks in before it starts. One that starts by itself, since the registry is down, may be
//!   removed right then.
//! - A client that ends once it has started etcd (`clients_end`) is followed by another node that looks for a place: the
//!   last node that joins can't promote itself.
//! - Without etcd's own check (`--strict-reconfig-check=false`) no machine fails between a look and the act: only that
//!   check can know of it.
//!
//! Not explored: changes of address, announced downtime, pausing, what nodes wish for themselves (to leave, a strategy, a
//! size), strategies other than `replace`, unreadable data, v2 discovery, a registry that restarts, clocks that disagree, learners that lag, an
//! etcd whose data is damaged, and more nodes or faults than are listed below.

mod canonical;
mod check;
mod clock;
mod etcd;
mod explore;
mod large;
mod mutants;
mod registry;
mod setting;
mod steps;
mod view;
mod world;

use etcd::Guard;
use setting::Setting;
use world::Broken;

#[test]
fn one_node_forms_a_cluster() {
    check::holds(Setting::forming("1 forms, 3 crashes, 2 disks, 2 stuck check-ins", 1, 1).with(3, 2).letters(2));
}

#[test]
fn one_of_two_nodes_forms_a_cluster() {
    check::holds(Setting::forming("1 of 2 forms, 2 crashes, 1 disk, 1 stuck check-in", 1, 2).with(2, 1).letters(1));
}

#[test]
fn two_nodes_form_a_cluster() {
    check::holds(Setting::forming("2 form, 2 crashes, 2 disks", 2, 2).with(2, 2));
}

#[test]
fn two_nodes_form_a_cluster_over_a_bad_network() {
    check::holds(Setting::forming("2 form, 2 crashes, 1 disk, 1 stuck check-in", 2, 2).with(2, 1).letters(1));
}

#[test]
fn two_of_three_nodes_form_a_cluster() {
    check::holds(Setting::forming("2 of 3 form, 1 crash, 1 disk", 2, 3).with(1, 1));
}

#[test]
fn three_nodes_form_a_cluster() {
    check::holds(Setting::forming("3 form", 3, 3));
}

#[test]
fn a_lost_node_is_replaced() {
    check::holds(Setting::running("3 and 1 spare, 1 crash, old etcd", 3, 4).with(1, 0).guard(Guard::Strict));
}

#[test]
fn a_lost_node_is_replaced_by_a_voter() {
    check::holds(Setting::running("3 and 1 spare, 1 crash, voters only", 3, 4).with(1, 0).as_voters());
}

#[test]
fn a_node_that_is_cut_off_is_not_replaced() {
    check::holds(Setting::running("3 and 1 spare, 2 cuts", 3, 4).cuts(2));
}

#[test]
fn a_node_that_is_cut_off_is_evicted() {
    check::holds(Setting::running("3, 1 cut, 1 eviction", 3, 3).cuts(1).evictions(1));
}

#[test]
fn two_nodes_want_one_place() {
    check::holds(Setting::running("2 and 2 spares, to 3", 2, 4).sizes(&[3]));
}

#[test]
fn two_nodes_wait_for_one_that_is_cut_off() {
    check::holds(Setting::running("3 and 2 spares, 1 cut", 3, 5).cuts(1));
}

#[test]
fn a_cluster_grows() {
    check::holds(Setting::running("1 and 2 spares, to 2, to 3", 1, 3).sizes(&[2, 3]));
}

#[test]
fn a_cluster_grows_by_voters() {
    check::holds(Setting::running("1 and 2 spares, to 2, to 3, voters", 1, 3).sizes(&[2, 3]).as_voters());
}

#[test]
fn a_voter_crashes_as_it_joins() {
    check::holds(Setting::running("2 and 1 spare, to 3, 1 crash, voters", 2, 3).sizes(&[3]).with(1, 0).as_voters());
}

#[test]
fn a_cluster_shrinks() {
    check::holds(Setting::running("3, to 1, 1 crash", 3, 3).sizes(&[1]).with(1, 0));
}

#[test]
fn a_cluster_shrinks_and_grows_again() {
    check::holds(Setting::running("3, to 1, to 3, no check", 3, 3).sizes(&[1, 3]).guard(Guard::Off));
}

#[test]
fn an_evicted_member_goes_if_that_is_safe() {
    check::holds(Setting::running("3, 1 eviction, 1 crash", 3, 3).evictions(1).with(1, 0));
}

#[test]
fn an_evicted_member_is_replaced() {
    check::holds(Setting::running("3 and 1 spare, 1 eviction", 3, 4).evictions(1));
}

#[test]
fn a_check_in_gets_stuck() {
    check::holds(Setting::running("2 and 1 spare, to 3, 1 stuck check-in", 2, 3).sizes(&[3]).letters_in_order(1));
}

#[test]
fn a_cluster_grows_by_nodes_that_only_join() {
    check::holds(Setting::running("2 and 2 spares, to 3, clients end", 2, 4).sizes(&[3]).clients_end());
}

#[test]
fn a_node_crashes_among_nodes_that_only_join() {
    check::holds(
        Setting::running("2 and 2 spares, to 3, 1 crash, clients end", 2, 4).sizes(&[3]).with(1, 0).clients_end(),
    );
}

#[test]
fn a_cluster_grows_from_one_by_nodes_that_only_join() {
    check::holds(Setting::running("1 and 3 spares, to 3, clients end", 1, 4).sizes(&[3]).clients_end());
}

#[test]
fn a_lost_node_is_replaced_by_nodes_that_only_join() {
    check::holds(Setting::running("3 and 2 spares, 1 crash, clients end", 3, 5).with(1, 0).clients_end());
}

#[test]
fn it_shows_who_adds_before_it_removes() {
    let setting = Setting::running("adds before it removes", 3, 4).with(1, 0).guard(Guard::Off);
    check::is_unsafe(setting.planner(mutants::adds_before_it_removes), Broken::QuorumLost);
}

#[test]
fn it_shows_who_trusts_one_probe() {
    let setting = Setting::running("trusts one probe", 3, 4).with(1, 0);
    check::is_unsafe(setting.planner(mutants::trusts_one_probe), Broken::AliveRemoved);
}

#[test]
fn it_shows_who_ignores_the_risk() {
    let setting = Setting::running("ignores the risk", 3, 3).with(1, 0).evictions(1).guard(Guard::Off);
    check::is_unsafe(setting.planner(mutants::ignores_the_risk), Broken::QuorumLost);
}

#[test]
fn it_shows_who_forgets_tickets() {
    let setting = Setting::running("forgets tickets", 2, 4).sizes(&[3]).as_voters().guard(Guard::Off);
    check::is_unsafe(setting.planner(mutants::forgets_tickets), Broken::QuorumLost);
}

#[test]
fn it_shows_who_forgets_who_was_told() {
    let setting = Setting::forming("forgets who was told", 1, 1).with(1, 1);
    check::is_unsafe(setting.planner(mutants::forgets_who_was_told), Broken::TwoClusters);
}

#[test]
fn it_shows_who_archives_good_data() {
    let setting = Setting::running("archives good data", 3, 3).with(1, 0);
    check::is_unsafe(setting.planner(mutants::archives_good_data), Broken::DataSetAside);
}

#[test]
fn it_shows_who_makes_room() {
    let setting = Setting::running("makes room", 3, 4);
    check::is_unsafe(setting.planner(mutants::makes_room), Broken::AliveRemoved);
}

#[test]
fn it_shows_who_adds_voters_only() {
    let setting = Setting::running("adds voters only", 1, 2).sizes(&[2]);
    check::is_unsafe(setting.planner(mutants::adds_voters_only), Broken::QuorumLost);
}

#[test]
fn it_shows_who_never_promotes() {
    let setting = Setting::running("never promotes", 1, 2).sizes(&[2]);
    check::is_stuck(setting.planner(mutants::never_promotes));
}

#[test]
fn it_shows_who_leaves_learners_alone() {
    let setting = Setting::running("leaves learners alone", 1, 3).sizes(&[2]).clients_end();
    check::is_stuck(setting.planner(mutants::leaves_learners_alone));
}
