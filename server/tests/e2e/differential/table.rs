//! What is asked of both.

mod edges;
mod keys;
mod waits;

use super::scenario::Scenario;

const A: &str = "value=infra0=http://10.0.0.1:2380";
const A_MOVED: &str = "value=infra0=http://10.0.0.11:2380";
const B: &str = "value=infra1=http://10.0.0.2:2380";
const C: &str = "value=infra2=http://10.0.0.3:2380";
const D: &str = "value=infra3=http://10.0.0.4:2380";

pub fn scenarios() -> Vec<Scenario> {
    let keys = [keys::bootstrap(), keys::reads(), keys::writes(), keys::removals(), keys::sizes()];
    let edges = [edges::fields(), edges::routes(), edges::pages(), edges::refusals()];
    keys.into_iter().chain([waits::waits()]).chain(edges).flatten().collect()
}
