use std::{
    sync::atomic::AtomicU64,
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::seconds;

/// What the store counts.
#[derive(Debug)]
pub struct DatabaseMetrics {
    transactions: Family<OutcomeLabel, Counter>,
    transaction_duration: Histogram,
    reads: Family<OutcomeLabel, Counter>,
    read_duration: Histogram,
    up: Gauge,
    down: Gauge<f64, AtomicU64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

const COMMITTED: OutcomeLabel = OutcomeLabel { outcome: "committed" };
const ROLLED_BACK: OutcomeLabel = OutcomeLabel { outcome: "rolled_back" };
const DONE: OutcomeLabel = OutcomeLabel { outcome: "done" };
const FAILED: OutcomeLabel = OutcomeLabel { outcome: "failed" };

/// A transaction that is being measured. If it is dropped without an outcome, the transaction counts as failed.
#[derive(Debug)]
pub struct TransactionMeasurement {
    transactions: Family<OutcomeLabel, Counter>,
    duration: Histogram,
    begun: Instant,
    outcome: OutcomeLabel,
}

impl Default for DatabaseMetrics {
    fn default() -> Self {
        let metrics = Self {
            transactions: Family::default(),
            transaction_duration: seconds(),
            reads: Family::default(),
            read_duration: seconds(),
            up: Gauge::default(),
            down: Gauge::default(),
        };
        // A counter that begins at 0 shows its first failure as an increase.
        for outcome in [COMMITTED, ROLLED_BACK, FAILED] {
            metrics.transactions.get_or_create_owned(&outcome);
        }
        for outcome in [DONE, FAILED] {
            metrics.reads.get_or_create_owned(&outcome);
        }
        metrics
    }
}

impl DatabaseMetrics {
    pub(super) fn register(&self, convene: &mut Registry) {
        let database = convene.sub_registry_with_prefix("database");
        let help = "Transactions that write, by outcome; one may hold the changes of many requests";
        database.register("transactions", help, self.transactions.clone());
        let help = "How long transactions take, from their begin to their commit";
        database.register_with_unit("transaction_duration", help, Unit::Seconds, self.transaction_duration.clone());
        database.register("reads", "Reads outside transactions, by outcome", self.reads.clone());
        let help = "How long reads outside transactions take, the wait for a connection included";
        database.register_with_unit("read_duration", help, Unit::Seconds, self.read_duration.clone());
        database.register("up", "Whether the last attempt to reach the database succeeded", self.up.clone());
        let help =
            "For how long the database has been down; 0 if it can be reached. Reads from memory may be as old as that";
        database.register_with_unit("down", help, Unit::Seconds, self.down.clone());
    }

    /// Measures a transaction from now on.
    pub fn begin(&self) -> TransactionMeasurement {
        TransactionMeasurement {
            transactions: self.transactions.clone(),
            duration: self.transaction_duration.clone(),
            begun: Instant::now(),
            outcome: FAILED,
        }
    }

    /// Counts a read that began at a time.
    pub fn record_read<T, E>(&self, begun: Instant, result: &Result<T, E>) {
        let outcome = if result.is_ok() { DONE } else { FAILED };
        self.reads.get_or_create(&outcome).inc();
        self.read_duration.observe(begun.elapsed().as_secs_f64());
    }

    /// Shows for how long the database has been down; `None` if it can be reached.
    pub fn set_down_for(&self, down: Option<Duration>) {
        self.up.set(down.is_none().into());
        self.down.set(down.map_or(0.0, |down| down.as_secs_f64()));
    }
}

impl TransactionMeasurement {
    /// The transaction was committed.
    pub fn committed(mut self) {
        self.outcome = COMMITTED;
    }

    /// The transaction was rolled back on purpose: there was nothing to write, or another server was faster.
    pub fn rolled_back(mut self) {
        self.outcome = ROLLED_BACK;
    }
}

impl Drop for TransactionMeasurement {
    fn drop(&mut self) {
        self.transactions.get_or_create(&self.outcome).inc();
        self.duration.observe(self.begun.elapsed().as_secs_f64());
    }
}
