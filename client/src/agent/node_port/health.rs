//! `/livez` and `/readyz`: named checks, in the form that Kubernetes and etcd print them in.

use hyper::StatusCode;
use url::form_urlencoded;

use super::Answer;
use crate::{
    agent::{
        state::State,
        status::{EtcdStatus, Status},
    },
    one_line::one_line,
};

/// A named check.
pub struct Check {
    pub(super) name: &'static str,
    run: fn(&Status) -> Verdict,
    /// Whether a failure fails the whole page, too.
    counts: bool,
}

/// etcd's alarms (`api/etcdserverpb/rpc.proto:AlarmType`), and what they mean.
const ALARMS: [(&str, &str); 2] = [
    ("CORRUPT", "the members' data differs, so etcd accepts no writes; replace the member whose data is wrong"),
    (
        "NOSPACE",
        "the database has reached its quota, so etcd accepts no writes; compact and defragment it, or raise \
         --quota-backend-bytes on every member, then run `etcdctl alarm disarm`",
    ),
];

/// Passed, perhaps with a remark, or failed with the reason.
type Verdict = Result<Option<String>, String>;

/// The checks of `/livez`. An agent that fails them should be started again.
pub const LIVE: &[Check] = &[Check { name: "loop", run: check_loop, counts: true }];

/// The checks of `/readyz`.
pub const READY: &[Check] = &[
    Check { name: "loop", run: check_loop, counts: true },
    Check { name: "etcd", run: check_etcd, counts: true },
    Check { name: "leader", run: |status| of_etcd(status, check_leader), counts: true },
    Check { name: "non_learner", run: |status| of_etcd(status, check_non_learner), counts: true },
    Check { name: "alarms", run: |status| of_etcd(status, check_alarms), counts: true },
    // etcd serves without the registry. If its absence counted, all nodes would leave their load balancer at once.
    Check { name: "registry", run: check_registry, counts: false },
];

/// Runs all checks, except for those that the query excludes, or a single one. A failure prints the list, and so does `?verbose`.
/// As in etcd, an unknown name may be excluded, so that one query fits every version.
pub fn answer(checks: &[Check], single: Option<&str>, query: &str, status: &Status) -> Answer {
    let is_single = single.is_some();
    let selected: Vec<&Check> = checks.iter().filter(|check| single.is_none_or(|name| check.name == name)).collect();
    if selected.is_empty() {
        let names: Vec<_> = checks.iter().map(|check| check.name).collect();
        return Answer::text(StatusCode::NOT_FOUND, format!("the checks are {}\n", names.join(", ")));
    }
    let parameters = || form_urlencoded::parse(query.as_bytes());
    let is_excluded = |name: &str| !is_single && parameters().any(|(key, value)| key == "exclude" && value == name);
    let (mut passes, mut list) = (true, String::new());
    for Check { name, run, counts } in selected {
        if is_excluded(name) {
            list += &format!("[+]{name} excluded\n");
            continue;
        }
        list += &match run(status) {
            Ok(None) => format!("[+]{name} ok\n"),
            Ok(Some(remark)) => format!("[+]{name} ok: {}\n", one_line(&remark)),
            Err(reason) if *counts || is_single => {
                passes = false;
                format!("[-]{name} failed: {}\n", one_line(&reason))
            }
            Err(reason) => format!("[!]{name} failed (ignored for this page): {}\n", one_line(&reason)),
        };
    }
    let body = match passes {
        true if parameters().any(|(key, _)| key == "verbose") => list + "ok\n",
        true => "ok\n".to_owned(),
        false => list,
    };
    Answer::ok_if(passes, body)
}

fn check_loop(status: &Status) -> Verdict {
    match status.hangs_for() {
        None => Ok(None),
        Some(elapsed) => Err(format!(
            "the agent hangs: its main loop last ran {} s ago, and should run every {} s",
            elapsed.as_secs(),
            status.period.as_secs_f64()
        )),
    }
}

fn check_etcd(status: &Status) -> Verdict {
    match status.state {
        State::Learner | State::Voter | State::Spare => of_etcd(status, |_| Ok(None)),
        _ => Err(status.to_line()),
    }
}

fn check_leader(etcd: &EtcdStatus) -> Verdict {
    match etcd.leader {
        Some(_) => Ok(None),
        None => Err("etcd knows no leader".to_owned()),
    }
}

/// etcd has the same check under this name (`server/etcdserver/api/etcdhttp/health.go`).
fn check_non_learner(etcd: &EtcdStatus) -> Verdict {
    if etcd.learner { Err("etcd is a learner, and answers no linearizable reads".to_owned()) } else { Ok(None) }
}

fn check_alarms(etcd: &EtcdStatus) -> Verdict {
    // etcd reports the lack of a leader in the same list (`server/etcdserver/errors/errors.go:ErrNoLeader`).
    let alarms: Vec<_> =
        etcd.errors.iter().map(|error| error.trim()).filter(|error| !error.ends_with("no leader")).collect();
    if alarms.is_empty() {
        return Ok(None);
    }
    let remedy = ALARMS.iter().find(|(alarm, _)| alarms.iter().any(|raised| raised.contains(alarm)));
    let remedy = remedy.map(|(_, remedy)| format!("; {remedy}")).unwrap_or_default();
    Err(format!("{}{remedy}", alarms.join(", ")))
}

fn check_registry(status: &Status) -> Verdict {
    let answered = status.registry_answered.map(humantime::format_rfc3339_seconds);
    match (&status.registry_error, answered) {
        (None, Some(_)) => Ok(None),
        (None, None) => Ok(Some("the agent has not asked it yet".to_owned())),
        (Some(error), Some(answered)) => Err(format!("the registry has not answered since {answered}: {error}")),
        (Some(error), None) => Err(format!("the registry has not answered yet: {error}")),
    }
}

/// A check of what etcd says of itself. A spare has no etcd, and is ready to become a member.
fn of_etcd(status: &Status, check: fn(&EtcdStatus) -> Verdict) -> Verdict {
    match (&status.etcd, status.state) {
        (_, State::Spare) => Ok(Some("standing by as a spare".to_owned())),
        (Some(etcd), _) => match etcd.client_port_error() {
            Some(error) => Err(error.to_owned()),
            None => check(etcd),
        },
        (None, _) => Err("etcd does not answer".to_owned()),
    }
}
