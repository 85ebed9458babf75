//! `/metrics`: what the agent knows about its node, in Prometheus' text format. etcd's own metrics stay etcd's.

use std::{sync::atomic::AtomicU64, time::SystemTime};

use hyper::StatusCode;
use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        prometheus_text::{CONTENT_TYPE, encode},
    },
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};

use super::{
    Answer,
    process::{self, gauge, since_epoch},
};
use crate::agent::{
    state::State,
    status::{EtcdStatus, Exit, Status},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

/// Answers with the metrics. They are made for each request, because the status has all that they show.
pub fn answer(status: &Status, started: SystemTime) -> Answer {
    let mut registered = Registry::default();
    process::register(&mut registered, started);
    let convene = registered.sub_registry_with_prefix("convene");
    convene.register("build", "The version of this agent", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    register_node(convene.sub_registry_with_prefix("node"), status);
    let mut text = String::new();
    match encode(&mut text, &registered) {
        Ok(()) => Answer { status: StatusCode::OK, content_type: CONTENT_TYPE, body: text },
        Err(_) => Answer::text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n"),
    }
}

fn register_node(node: &mut Registry, status: &Status) {
    let states = Family::<StateLabel, Gauge>::default();
    for state in State::ALL {
        let is_now = *state == status.state;
        states.get_or_create(&StateLabel { state: state.as_str() }).set(is_now.into());
    }
    node.register("state", "1 for the state that the node is in, 0 for the others", states);
    let help = "When the agent's main loop last ran, in seconds since the Unix epoch";
    let turned = SystemTime::now().checked_sub(status.turned.elapsed()).map_or(0.0, since_epoch);
    node.register_with_unit("loop_last_turn_timestamp", help, Unit::Seconds, time(turned));
    let help =
        "When the registry last answered, in seconds since the Unix epoch; 0 if it has not since the agent started";
    let answered = status.registry_answered.map_or(0.0, since_epoch);
    node.register_with_unit("registry_last_contact_timestamp", help, Unit::Seconds, time(answered));
    let etcd = node.sub_registry_with_prefix("etcd");
    etcd.register("up", "Whether etcd answers", gauge(status.etcd.is_some().into()));
    let restarts = Counter::<u64, AtomicU64>::default();
    restarts.inc_by(status.restarts);
    etcd.register("restarts", "How often the agent has started etcd again", restarts);
    if let Some(exit) = status.last_exit {
        let code = Gauge::<i64>::default();
        code.set(match exit {
            Exit::Code(code) => code.into(),
            // As shells have it.
            Exit::Signal(signal) => 128 + i64::from(signal),
        });
        etcd.register(
            "last_exit_code",
            "How etcd ended last: its exit code, or 128 and the number of the signal",
            code,
        );
    }
    // The peer port tells nothing of the database.
    if let Some(of_etcd) = status.etcd.as_ref().filter(|etcd| !etcd.version.is_empty()) {
        register_database(etcd.sub_registry_with_prefix("database"), of_etcd);
    }
}

fn register_database(database: &mut Registry, etcd: &EtcdStatus) {
    // A group can't have a metric of its own name, but its unit is one.
    database.register("bytes", "The size of etcd's database", gauge(etcd.database_bytes));
    let help = "The part of etcd's database that is in use";
    database.register_with_unit("in_use", help, Unit::Bytes, gauge(etcd.database_bytes_in_use));
    if let Some(quota) = etcd.quota_bytes {
        database.register_with_unit("quota", "The quota of etcd's database", Unit::Bytes, gauge(quota));
    }
}

fn time(seconds: f64) -> Gauge<f64, AtomicU64> {
    let time = Gauge::default();
    time.set(seconds);
    time
}
