//! What the agent does before it stops etcd.

use std::time::Duration;

use convene_lifecycle::Identity;
use tokio::time::timeout;

use crate::{cli::RunArgs, deadline::Deadline, leadership, leave, local_etcd, observe::LIST_TIMEOUT, session::Session};

/// How long the registry may take to record the downtime.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long moving the leadership may take.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(8);

/// How long `--leave-on-stop` may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(60);

/// Prepares the stop of this node's etcd, and returns whether the node has left the cluster. Whatever fails, etcd is stopped all the
/// same.
pub async fn prepare(session: &Session, arguments: &RunArgs) -> bool {
    if arguments.leave_on_stop && leave(session).await {
        return true;
    }
    if let Some(identity) = session.own_member() {
        announce_downtime(session, identity, arguments.downtime).await;
        hand_over_leadership(session, identity).await;
    }
    false
}

/// Prepares the end of an agent whose etcd does not run, but would start again.
pub async fn prepare_without_etcd(session: &Session, arguments: &RunArgs) {
    if let Some(identity) = session.own_member() {
        announce_downtime(session, identity, arguments.downtime).await;
    }
}

/// Leaves the cluster, and returns whether that succeeded.
async fn leave(session: &Session) -> bool {
    session.forget_looks();
    let left = leave::leave(session, Deadline::after(Some(LEAVE_TIMEOUT))).await;
    if let Err(error) = &left {
        session.progress.step("warning", &format!("{error}; the member stays in the cluster"));
    }
    left.is_ok()
}

/// Announces that this node is away, so that it does not count as dead. The downtime ends when its etcd answers again.
async fn announce_downtime(session: &Session, identity: Identity, lasts: Duration) {
    if lasts.is_zero() {
        return;
    }
    let announced = timeout(ANNOUNCE_TIMEOUT, session.announce_downtime(identity.member, lasts)).await;
    let message = match announced {
        Ok(Ok(())) => format!(
            "announced to the registry: this node does not count as dead for the next {}",
            humantime::format_duration(lasts)
        ),
        Ok(Err(error)) => format!("no downtime is announced: {error}"),
        Err(_) => "no downtime is announced: the registry does not answer in time".to_owned(),
    };
    session.progress.step("downtime", &message);
}

/// Moves the leadership away if this node's member leads. etcd does so itself when it ends, to the voter that is connected for the
/// longest time, but that may be one that lags behind.
async fn hand_over_leadership(session: &Session, identity: Identity) {
    let work = async {
        let urls = local_etcd::client_urls(session, identity).await.into_iter().collect();
        let (_, list) = session.connections.list(&urls, Some(identity.cluster), LIST_TIMEOUT).await.ok()?;
        Some(leadership::hand_over(session, &list, identity.member).await)
    };
    let message = match timeout(HAND_OVER_TIMEOUT, work).await {
        Ok(None | Some(Ok(None))) => return,
        Ok(Some(Ok(Some(leader)))) => format!("member {leader} leads now"),
        Ok(Some(Err(found))) => format!("the leadership stays until etcd ends: {found}"),
        Err(_) => "the leadership stays until etcd ends: no voter took over in time".to_owned(),
    };
    session.progress.step("leadership", &message);
}
