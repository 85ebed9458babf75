//! The walks at full length, which `scripts/test --all` takes.

use super::{
    AGAINST_LIES, OBEDIENT, WITHOUT_FORGERIES,
    rules::Rules,
    walk::{Kind, walk},
};

#[test]
fn a_long_random_walk_through_all_faults_breaks_nothing() {
    walk("all faults", 1_000_000, 20_000_000, &Kind::ALL, &Rules::REAL);
}

#[test]
fn a_long_random_walk_with_obedient_clients_breaks_nothing() {
    walk("obedient clients", 2_000_000, 5_000_000, &WITHOUT_FORGERIES, &OBEDIENT);
}

#[test]
fn a_long_random_walk_with_a_lying_server_breaks_nothing() {
    walk("a lying server", 3_000_000, 5_000_000, &Kind::ALL, &AGAINST_LIES);
}
