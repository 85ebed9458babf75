//! What is asked of both.

mod bootstrap;
mod edges;
mod ranges;
mod refusals;
mod streams;
mod txns;
mod watches;
mod writes;

use super::scenario::Scenario;

pub fn scenarios() -> Vec<Scenario> {
    let keys = [bootstrap::bootstrap(), ranges::ranges(), writes::writes(), txns::txns()];
    let watching = [watches::watches(), streams::streams()];
    keys.into_iter().chain(watching).chain([edges::edges(), refusals::refusals()]).flatten().collect()
}
