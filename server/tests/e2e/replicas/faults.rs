//! Clusters form while servers and their database come and go.

use std::{collections::BTreeMap, time::Duration};

use convene_harness::{Postgres, replicas::Replicas};
use tokio::task::JoinHandle;

use super::{
    LIMIT,
    forming::{everything_is_there, form},
    newcomer::Register,
    nothing_collided,
    patient::Patient,
};

const CLUSTERS: usize = 100;

/// So many form at a time, so that some always do while something happens.
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
    load.ends_well(&replicas, &postgres).await;
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
    load.ends_well(&replicas, &postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_form_while_listen_connections_are_cut() {
    let Some(postgres) = Postgres::start() else { return };
    let Some(replicas) = Replicas::start(3, &postgres) else { return };
    let load = Load::start(&replicas);
    let mut cut = 0;
    while !load.is_over() {
        cut += postgres.cut_connections(&replicas.database_url, "LISTEN%");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(cut > 0, "nothing was cut");
    let refused = load.ends_well(&replicas, &postgres).await;
    assert!(refused.is_empty(), "who can't listen can answer all the same: {refused:#?}");
}

/// Clusters that form, and who forms them.
struct Load {
    patient: Patient,
    register: Register,
    forming: JoinHandle<()>,
}

impl Load {
    fn start(replicas: &Replicas) -> Self {
        let (patient, register) = (Patient::new(), Register::default());
        let (url, asks, notes) = (replicas.url.clone(), patient.clone(), register.clone());
        let forming = tokio::spawn(async move { form(&url, CLUSTERS, AT_ONCE, &asks, &notes).await });
        Self { patient, register, forming }
    }

    /// Waits until so many have registered, or all have.
    async fn wait_for(&self, registered: usize) {
        let count = async {
            while self.register.count() < registered && !self.is_over() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LIMIT, count).await.expect("clusters form");
        assert!(!self.is_over(), "all clusters had formed before anything happened");
    }

    fn is_over(&self) -> bool {
        self.forming.is_finished()
    }

    async fn ends_well(self, replicas: &Replicas, postgres: &Postgres) -> BTreeMap<String, usize> {
        tokio::time::timeout(LIMIT * 3, self.forming).await.expect("all clusters form").unwrap();
        let refused = self.patient.was_answered_well();
        assert_eq!(self.register.count(), CLUSTERS * super::forming::SIZE);
        everything_is_there(replicas, &self.register.all()).await;
        nothing_collided(postgres);
        eprintln!("had to try again: {refused:#?}");
        refused
    }
}
