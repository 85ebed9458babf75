//! `/status`: everything that the agent knows about its node, as JSON.

use std::time::SystemTime;

use convene_lifecycle::{ClusterId, MemberId};
use humantime::format_rfc3339_seconds;
use hyper::StatusCode;
use serde::{Serialize, Serializer};

use super::{Answer, JSON};
use crate::{
    agent::status::{EtcdStatus, Exit, Status},
    one_line::json_line,
};

/// docs/reference/node-port.md describes the fields. Clients accept fields that they don't know, so that more may follow.
#[derive(Serialize)]
struct Body<'a> {
    agent_version: &'static str,
    name: &'a str,
    cluster: &'a str,
    state: &'static str,
    reason: &'a str,
    message: &'a str,
    since: String,
    registry: Registry<'a>,
    #[serde(rename = "loop")]
    turns: Loop,
    process: Option<u32>,
    restarts: u64,
    last_exit: Option<LastExit>,
    complaint: Option<&'a str>,
    etcd: Option<Etcd<'a>>,
}

#[derive(Serialize)]
struct Registry<'a> {
    answered: Option<String>,
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct Loop {
    turned: String,
    period_seconds: f64,
    hangs: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum LastExit {
    Code(i32),
    Signal(i32),
}

#[derive(Serialize)]
struct Etcd<'a> {
    #[serde(serialize_with = "as_etcd_prints_it")]
    member: MemberId,
    #[serde(serialize_with = "as_etcd_prints_it")]
    cluster: ClusterId,
    version: Option<&'a str>,
    leader: Option<String>,
    is_leader: bool,
    learner: bool,
    applied_index: u64,
    database_bytes: u64,
    database_bytes_in_use: u64,
    quota_bytes: Option<u64>,
    errors: &'a [String],
}

/// Answers with the status.
pub fn answer(status: &Status) -> Answer {
    let hangs = status.hangs_for().is_some();
    // Each field has its place here, or does not compile.
    let Status {
        name,
        cluster,
        state,
        reason,
        message,
        since,
        registry_answered,
        registry_error,
        process,
        restarts,
        last_exit,
        etcd,
        complaint,
        turned,
        period,
    } = status;
    let turned = SystemTime::now()
        .checked_sub(turned.elapsed())
        .map_or(SystemTime::UNIX_EPOCH, |turned| turned.max(SystemTime::UNIX_EPOCH));
    let body = Body {
        agent_version: env!("CARGO_PKG_VERSION"),
        name: name.as_str(),
        cluster,
        state: state.as_str(),
        reason,
        message,
        since: time(*since),
        registry: Registry { answered: registry_answered.map(time), error: registry_error.as_deref() },
        turns: Loop { turned: time(turned), period_seconds: period.as_secs_f64(), hangs },
        process: *process,
        restarts: *restarts,
        last_exit: last_exit.map(|exit| match exit {
            Exit::Code(code) => LastExit::Code(code),
            Exit::Signal(signal) => LastExit::Signal(signal),
        }),
        complaint: complaint.as_deref(),
        etcd: etcd.as_ref().map(Etcd::of),
    };
    let json = serde_json::to_string(&body).expect("a status can be written as JSON");
    Answer { status: StatusCode::OK, content_type: JSON, body: format!("{}\n", json_line(&json)) }
}

impl<'a> Etcd<'a> {
    fn of(etcd: &'a EtcdStatus) -> Self {
        let is_leader = etcd.is_leader();
        let EtcdStatus {
            member,
            cluster,
            version,
            leader,
            learner,
            applied_index,
            database_bytes,
            database_bytes_in_use,
            quota_bytes,
            errors,
        } = etcd;
        Self {
            member: *member,
            cluster: *cluster,
            version: Some(version.as_str()).filter(|version| !version.is_empty()),
            leader: leader.map(|leader| leader.to_string()),
            is_leader,
            learner: *learner,
            applied_index: *applied_index,
            database_bytes: *database_bytes,
            database_bytes_in_use: *database_bytes_in_use,
            quota_bytes: *quota_bytes,
            errors,
        }
    }
}

fn time(time: SystemTime) -> String {
    format_rfc3339_seconds(time).to_string()
}

fn as_etcd_prints_it<T: ToString, S: Serializer>(id: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&id.to_string())
}
