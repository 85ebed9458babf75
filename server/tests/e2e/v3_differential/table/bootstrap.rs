//! What etcd's own client of v3 discovery asks, in its order.

use convene_etcd::wire::WatchCreateRequest;

use crate::v3_differential::{
    conversation::Move::{self, Create, Do, Receive},
    scenario::{Keys, Scenario, Step, once, scenario, watch},
};

pub fn bootstrap() -> Vec<Scenario> {
    vec![
        scenario("an unknown cluster", |keys| vec![once(keys.size().get()), once(keys.members().get())]),
        scenario("the first of three", |keys| {
            let mut steps = vec![keys.create(3)];
            steps.extend(joins(keys, "a"));
            // A client that has seen revision 2 watches from 3 on.
            let meanwhile =
                vec![Do(keys.registration("b").into()), Receive(1), Do(keys.registration("c").into()), Receive(1)];
            steps.push(waits(keys, 3, meanwhile));
            steps
        }),
        scenario("the second reads before the third registers, and waits afterwards", |keys| {
            let mut steps = vec![keys.create(3), keys.register("a")];
            steps.extend(joins(keys, "b"));
            steps.push(keys.register("c"));
            steps.push(waits(keys, 4, vec![Receive(1)]));
            steps
        }),
        scenario("the last of three does not wait", |keys| {
            let mut steps = vec![keys.create(3), keys.register("a"), keys.register("b")];
            steps.extend(joins(keys, "c"));
            steps
        }),
        scenario("a member that is started again finds itself", |keys| {
            let mut steps = vec![keys.create(1), keys.register("a")];
            steps.extend(joins(keys, "a"));
            steps
        }),
        scenario("a fourth of three sees that the cluster is full", |keys| {
            let mut steps = vec![keys.create(3), keys.register("a"), keys.register("b"), keys.register("c")];
            steps.extend(looks(keys));
            steps
        }),
    ]
}

/// The size and the members.
fn looks(keys: &Keys) -> Vec<Step> {
    vec![once(keys.size().get()), once(keys.members().get())]
}

/// Reads, registers and reads again.
fn joins(keys: &Keys, id: &str) -> Vec<Step> {
    let before = looks(keys);
    before.into_iter().chain([keys.register(id)]).chain(looks(keys)).collect()
}

/// Waits for the others.
fn waits(keys: &Keys, start_revision: i64, meanwhile: Vec<Move>) -> Step {
    let members = WatchCreateRequest { start_revision, ..keys.members().watch() };
    watch([Create(members), Receive(1)].into_iter().chain(meanwhile).collect())
}
