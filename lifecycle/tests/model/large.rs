//! Configurations of several hundred thousand states and more, which `scripts/test --all` explores.

use crate::{check, etcd::Guard, setting::Setting};

#[test]
fn a_lost_node_is_replaced() {
    check::holds(Setting::running("3 and 1 spare, 1 crash, old etcd", 3, 4).with(1, 0).guard(Guard::Strict));
}

#[test]
fn a_lost_node_is_replaced_by_a_voter() {
    check::holds(Setting::running("3 and 1 spare, 1 crash, voters only", 3, 4).with(1, 0).as_voters());
}

#[test]
fn an_evicted_member_is_replaced() {
    check::holds(Setting::running("3 and 1 spare, 1 eviction", 3, 4).evictions(1));
}

#[test]
fn a_lost_node_is_replaced_whose_disk_may_be_lost() {
    check::holds(Setting::running("3 and 1 spare, 1 crash, 1 disk, old etcd", 3, 4).with(1, 1).guard(Guard::Strict));
}

#[test]
fn a_lost_node_is_replaced_without_etcds_own_check() {
    check::holds(Setting::running("3 and 1 spare, 1 crash, no check", 3, 4).with(1, 0).guard(Guard::Off));
}

#[test]
fn two_nodes_want_one_place() {
    check::holds(Setting::running("2 and 2 spares, to 3", 2, 4).sizes(&[3]));
}

#[test]
fn two_nodes_want_one_place_of_four() {
    check::holds(Setting::running("3 and 2 spares, to 4", 3, 5).sizes(&[4]));
}
