//! Several servers on one PostgreSQL act as one service, whichever of them receives a request, and also during faults
//! of servers and database.

mod database_clock;
mod database_outage;
mod discovery_client;
mod disk_full;
mod etcds;
mod failing_over;
mod faults;
mod forgotten_connections;
mod forming;
mod joining_node;
mod line;
mod locked_row;
mod lost_history;
mod packet_loss;
mod partition;
mod reading;
mod retrying_client;
mod silent_nodes;
mod starting;
mod surplus_nodes;
mod synchronous_standby;
mod tickets;
mod watching;

use std::{fmt::Display, time::Duration};

use convene_harness::{Postgres, http, server::Server};
use reqwest::RequestBuilder;
use serde_json::Value;

/// The time limit of every wait.
pub const LIMIT: Duration = Duration::from_secs(60);

/// `N` servers on a new database, each reached at its own URL, and the database's URL. Stock clients may change clusters that
/// have formed.
pub fn servers<const N: usize>(postgres: &Postgres) -> ([Server; N], String) {
    let url = postgres.create_database();
    (std::array::from_fn(|_| Server::start_on(&url, &["--stock-writes", "allow"])), url)
}

/// The registration of a member with this number by v2, in a cluster at a discovery URL.
pub fn register(cluster: &str, n: impl Display) -> RequestBuilder {
    let value = [("value", format!("infra{n}=http://infra{n}.example.com:2380"))];
    http::client().put(format!("{cluster}/{n}?prevExist=false")).form(&value)
}

/// How many members a cluster at a discovery URL has.
pub async fn members(cluster: &str) -> usize {
    let shown: Value = http::get(cluster).await.unwrap().json().await.unwrap();
    assert_eq!(shown["action"], "get", "{shown}");
    shown["node"]["nodes"].as_array().map_or(0, Vec::len)
}

/// Asserts that the database has logged no deadlock and no serialization failure.
pub fn assert_no_lock_conflicts(postgres: &Postgres) {
    for complaint in ["deadlock detected", "could not serialize"] {
        assert!(!postgres.log().contains(complaint), "{}", postgres.log());
    }
}
