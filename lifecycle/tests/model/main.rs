//! Model-checks the real planner in an abstract etcd: explores every reachable state of small configurations.
//!
//! A [`state::State`] is the registry's [`convene_lifecycle::Cluster`] and [`convene_lifecycle::Liveness`], the member lists
//! that etcd's quorum has committed, and the nodes with their disks and tasks. Each [`steps::Step`] is one change, and steps
//! happen in every order: views become stale, instructions are executed late, answers are lost, and anything may happen
//! between the check of the terms and the membership change. Machines crash and restart or not, disks are lost while machines
//! are down, nodes are cut off, check-ins are delayed, and administrators resize and evict. The budget of a configuration
//! limits the number of these.
//!
//! Safety holds in every state: one token and epoch yields one etcd cluster; no epoch begins over the data of a cluster that
//! had a quorum; only a failure takes a quorum away; no live member is removed without a request; no member's data is set
//! aside; a repeated check-in changes nothing. Liveness is checked on all states together: if nothing fails any more, a
//! cluster with a quorum and enough nodes becomes whole, and stays so.
//!
//! The model assumes this of clients and server:
//! - A client drops a view, and an instruction to start or to join, before `dead_after` has passed, and membership changes
//!   after `Ticket::ACT_WITHIN`. Only a bootstrap may happen at any later time.
//! - The server ignores a delayed check-in once its node has checked in again, and one with a view after `dead_after`.
//!   While a cluster forms, a delayed check-in may arrive at any time, but only one is delayed at a time.
//! - A node that has data checks in before it starts. One that starts on its own, because the registry is down, may be
//!   removed at that moment.
//! - After a client that ends once it has started etcd (`clients_end`), another node that looks for a place follows: the last
//!   node that joins can't promote itself.
//! - Without etcd's own check (`--strict-reconfig-check=false`), no machine fails between a view and the membership change:
//!   only that check could detect the failure.
//!
//! Not modelled here: address changes, announced downtime, pausing, join overrides, leaving nodes, strategies other than
//! `replace`, unreadable data, v2 discovery, restarts of the registry, clocks that disagree, learners that lag, damaged data, and
//! more nodes or faults than in the configurations below. [`hostile`] has a larger world with forged reports, copied disks, one-way
//! cuts, suspended clients, late requests, restart loops and a registry that goes back in time, which histories of a few steps
//! cover completely and random walks in part.

mod canonical;
mod check;
mod clock;
mod etcd;
mod explore;
mod hostile;
mod large;
mod mutants;
mod registry;
mod setting;
mod state;
mod steps;
mod view;

use etcd::Guard;
use setting::Setting;
use state::Broken;

#[test]
fn one_node_forms_a_cluster() {
    check::holds(
        Setting::forming("1 forms, 3 crashes, 2 disks, 2 delayed check-ins", 1, 1).with(3, 2).delayed_check_ins(2),
    );
}

#[test]
fn one_of_two_nodes_forms_a_cluster() {
    check::holds(
        Setting::forming("1 of 2 forms, 2 crashes, 1 disk, 1 delayed check-in", 1, 2).with(2, 1).delayed_check_ins(1),
    );
}

#[test]
fn two_nodes_form_a_cluster() {
    check::holds(Setting::forming("2 form, 2 crashes, 2 disks", 2, 2).with(2, 2));
}

#[test]
fn two_nodes_form_a_cluster_over_a_bad_network() {
    check::holds(
        Setting::forming("2 form, 2 crashes, 1 disk, 1 delayed check-in", 2, 2).with(2, 1).delayed_check_ins(1),
    );
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
fn a_node_that_is_cut_off_is_not_replaced() {
    check::holds(Setting::running("3 and 1 spare, 2 cuts", 3, 4).cuts(2));
}

#[test]
fn a_node_that_is_cut_off_is_evicted() {
    check::holds(Setting::running("3, 1 cut, 1 eviction", 3, 3).cuts(1).evictions(1));
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
fn a_check_in_is_delayed() {
    check::holds(
        Setting::running("2 and 1 spare, to 3, 1 delayed check-in", 2, 3).sizes(&[3]).delayed_check_ins_in_order(1),
    );
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
fn a_planner_that_adds_before_it_removes_is_caught() {
    let setting = Setting::running("adds before it removes", 3, 4).with(1, 0).guard(Guard::Off);
    check::is_unsafe(setting.planner(mutants::adds_before_it_removes), Broken::QuorumLost);
}

#[test]
fn a_planner_that_trusts_one_probe_is_caught() {
    let setting = Setting::running("trusts one probe", 3, 4).with(1, 0);
    check::is_unsafe(setting.planner(mutants::trusts_one_probe), Broken::AliveRemoved);
}

#[test]
fn a_planner_that_ignores_the_risk_is_caught() {
    let setting = Setting::running("ignores the risk", 3, 3).with(1, 0).evictions(1).guard(Guard::Off);
    check::is_unsafe(setting.planner(mutants::ignores_the_risk), Broken::QuorumLost);
}

#[test]
fn a_planner_that_forgets_tickets_is_caught() {
    let setting = Setting::running("forgets tickets", 2, 4).sizes(&[3]).as_voters().guard(Guard::Off);
    check::is_unsafe(setting.planner(mutants::forgets_tickets), Broken::QuorumLost);
}

#[test]
fn a_planner_that_reissues_bootstraps_is_caught() {
    let setting = Setting::forming("reissues bootstraps", 1, 1).with(1, 1);
    check::is_unsafe(setting.planner(mutants::reissues_bootstraps), Broken::TwoClusters);
}

#[test]
fn a_planner_that_archives_good_data_is_caught() {
    let setting = Setting::running("archives good data", 3, 3).with(1, 0);
    check::is_unsafe(setting.planner(mutants::archives_good_data), Broken::DataSetAside);
}

#[test]
fn a_planner_that_makes_room_is_caught() {
    let setting = Setting::running("makes room", 3, 4);
    check::is_unsafe(setting.planner(mutants::makes_room), Broken::AliveRemoved);
}

#[test]
fn a_planner_that_adds_voters_only_is_caught() {
    let setting = Setting::running("adds voters only", 1, 2).sizes(&[2]);
    check::is_unsafe(setting.planner(mutants::adds_voters_only), Broken::QuorumLost);
}

#[test]
fn a_planner_that_never_promotes_is_caught() {
    let setting = Setting::running("never promotes", 1, 2).sizes(&[2]);
    check::is_stuck(setting.planner(mutants::never_promotes));
}

#[test]
fn a_planner_that_leaves_learners_alone_is_caught() {
    let setting = Setting::running("leaves learners alone", 1, 3).sizes(&[2]).clients_end();
    check::is_stuck(setting.planner(mutants::leaves_learners_alone));
}
