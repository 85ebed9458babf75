//! Clusters form while servers and their database restart.

use std::{collections::BTreeMap, time::Duration};

use convene_harness::{Postgres, replicas::Replicas};
use tokio::task::JoinHandle;

use super::{
    LIMIT, assert_no_lock_conflicts,
    discovery_client::Registrations,
    forming::{assert_every_server_has, form},
    retrying_client::RetryingClient,
};

const CLUSTERS: usize = 100;

/// The number of clusters that form at a time, so that some are always forming when a fault occurs.
const AT_ONCE: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn clusters_form_while_a_server_is_killed_and_comes_back() {
    let Some(postgres) = Postgres::start() else { return };
    let Some(mut replicas) = Replicas::start(3, &postgres) else { return };
    let load = Load::start(&replicas);
    for (index, registered) in [(0, 40), (1, 120), (2, 200)] {
        load.wait_for(registered).await;
        replicas.crash(index);
        load.wait_for(registered + 40).await;
        replicas.restart(index);
    }
    load.finish(&replicas, &postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_form_while_the_database_is_restarted_and_crashes() {
    let Some(postgres) = Postgres::start() else { return };
    let Some(replicas) = Replicas::start(3, &postgres) else { return };
    let load = Load::start(&replicas);
    for (end, registered) in [(Postgres::stop as fn(&Postgres), 50), (Postgres::crash, 150), (Postgres::stop, 220)] {
        load.wait_for(registered).await;
        end(&postgres);
        postgres.start_again();
    }
    load.finish(&replicas, &postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_form_while_listen_connections_are_cut() {
    let Some(postgres) = Postgres::start() else { return };
    let Some(replicas) = Replicas::start(3, &postgres) else { return };
    let load = Load::start(&replicas);
    let mut cut = 0;
    while !load.is_complete() {
        cut += postgres.cut_connections(&replicas.database_url, "LISTEN%");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(cut > 0, "nothing was cut");
    let refused = load.finish(&replicas, &postgres).await;
    assert!(refused.is_empty(), "a server without LISTEN connections can still answer: {refused:#?}");
}

/// Clusters that are forming, with the clients that form them.
struct Load {
    client: RetryingClient,
    register: Registrations,
    forming: JoinHandle<()>,
}

impl Load {
    fn start(replicas: &Replicas) -> Self {
        let (client, register) = (RetryingClient::new(), Registrations::default());
        let (url, asks, notes) = (replicas.url.clone(), client.clone(), register.clone());
        let forming = tokio::spawn(async move { form(&url, CLUSTERS, AT_ONCE, &asks, &notes).await });
        Self { client, register, forming }
    }

    /// Waits until this number of nodes has registered.
    async fn wait_for(&self, registered: usize) {
        let count = async {
            while self.register.count() < registered && !self.is_complete() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LIMIT, count).await.expect("clusters form");
        assert!(!self.is_complete(), "all clusters had formed before the fault");
    }

    fn is_complete(&self) -> bool {
        self.forming.is_finished()
    }

    async fn finish(self, replicas: &Replicas, postgres: &Postgres) -> BTreeMap<String, usize> {
        tokio::time::timeout(LIMIT * 3, self.forming).await.expect("all clusters form").unwrap();
        let refused = self.client.assert_no_unexpected_errors();
        assert_eq!(self.register.count(), CLUSTERS * super::forming::SIZE);
        assert_every_server_has(replicas, &self.register.all()).await;
        assert_no_lock_conflicts(postgres);
        eprintln!("retried: {refused:#?}");
        refused
    }
}
