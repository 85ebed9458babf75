//! The same calls of etcd's v3 API to a real etcd and to ours: the answers have to be the same, but for a short list
//! of differences that are meant to be.

mod answer;
mod call;
mod conversation;
mod intended;
mod scenario;
mod side;
mod table;

use std::{sync::Arc, time::Duration};

use convene_harness::{Place, etcd::Version, server::Server};

use crate::comparison::Comparison;
use scenario::{Ask, Scenario};
use side::Side;

/// The time limit of one call, and of one response of a watch.
const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn v3_responses_match_those_of_etcd() {
    let Some(version) = Version::find("3.6") else { return };
    let etcd = version.start(&Arc::new(Place::new()), &[]);
    etcd.wait_until_healthy(Duration::from_secs(30));
    let server = Server::start_with(&["--stock-writes", "allow"]);
    let mut reference = Side::connect(&etcd.place.client_url).await;
    let mut ours = Side::connect(&server.url).await;
    let mut comparison = Comparison::new(&intended::ALL, &[]);
    for scenario in table::scenarios() {
        replay(&scenario, &mut reference, &mut ours, &mut comparison).await;
    }
    comparison.conclude(80);
}

async fn replay(scenario: &Scenario, reference: &mut Side, ours: &mut Side, comparison: &mut Comparison) {
    reference.begin(scenario).await;
    ours.begin(scenario).await;
    for step in &scenario.steps {
        let (one, other) = match &step.ask {
            Ask::Call(call) => tokio::join!(reference.call(call), ours.call(call)),
            Ask::Watch(moves) => tokio::join!(reference.converse(moves), ours.converse(moves)),
        };
        let request = scenario.without_token(&step.ask.to_string());
        assert!(!one.is_silent(), "{}: an etcd does not say that much to {request}", scenario.title);
        comparison.compare(scenario.title, &request, step.differs.as_ref(), &one, &other);
    }
}
