//! Several servers on one PostgreSQL are one service: whichever of them a request comes to, and whatever becomes of them
//! and of their database.

mod away;
mod crowd;
mod cut_off;
mod etcds;
mod faults;
mod forming;
mod joiner;
mod newcomer;
mod patient;
mod reading;
mod starting;
mod tickets;
mod watching;

use std::time::Duration;

use convene_harness::{Postgres, server::Server};

/// How long anything may take that has to happen.
pub const LIMIT: Duration = Duration::from_secs(60);

/// So many servers on a new database, each of which is reached alone, and the database's URL.
pub fn servers<const N: usize>(postgres: &Postgres) -> ([Server; N], String) {
    let url = postgres.create_database();
    (std::array::from_fn(|_| Server::start_on(&url, &[])), url)
}

/// The database has logged no deadlock and no serialization failure.
pub fn nothing_collided(postgres: &Postgres) {
    for complaint in ["deadlock detected", "could not serialize"] {
        assert!(!postgres.log().contains(complaint), "{}", postgres.log());
    }
}
