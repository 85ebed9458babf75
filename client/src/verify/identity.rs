//! Before etcd starts as a member, and before a member gets other peer URLs.

use std::{collections::BTreeSet, fmt::Display, time::Duration};

use convene_etcd::{EtcdError, ListedMember, MemberList, PeerClient, PeerMetrics, PeerPort, Status};
use convene_lifecycle::{ClientUrl, ClusterId, Identity, MemberId, PeerUrl};
use futures_util::future::{join_all, try_join_all};
use tokio::time::timeout;

use super::{PROBE_TIMEOUT, distinct, own, peer_lists, removal};
use crate::{
    data_dir::Contents,
    local_etcd,
    node::Node,
    observe::LIST_TIMEOUT,
    registry::{ObservedMember, Start, State},
    session::Session,
};

/// How long an etcd that may be another process of this node's member may take at its peer port. Nobody else sees such a process
/// while it knows no leader, so a slow one gets more time.
///
/// A TCP proxy accepts connections while no etcd runs behind it, and closes them in the end: HAProxy with its default of three
/// retries after 3.05 s. A ticket or an instruction to join leaves no time for slower ones.
const PEER_PORT_TIMEOUT: Duration = Duration::from_millis(3_500);

/// [`PEER_PORT_TIMEOUT`] before a start on existing data, which has no deadline. So a slower proxy is told from a suspended etcd,
/// which never closes a connection.
const PEER_PORT_TIMEOUT_OF_START: Duration = Duration::from_secs(10);

/// Checks that the data directory holds what this node has reported: the same member's data for a start, or no data. A file
/// system may have been mounted meanwhile, and etcd must not start without its log.
pub fn verify_data(session: &Session, reported: &State, starts_on_data: bool) -> Result<(), String> {
    let found = session.node.data.read().map_err(|error| error.to_string())?;
    let data_path = session.node.data_path.display();
    match (reported, found) {
        (State::Empty { .. }, Contents::Fresh) if !starts_on_data => Ok(()),
        (State::Stopped { member_id, cluster_id, .. }, Contents::Member(found)) if starts_on_data => {
            match (found.member, found.cluster) == (*member_id, *cluster_id) {
                true => Ok(()),
                false => Err(format!("{data_path} holds the data of member {} now", found.member)),
            }
        }
        (State::Stopped { .. }, Contents::Fresh) => Err(format!("{data_path} is empty now")),
        (State::Empty { .. }, Contents::Member(found)) => {
            Err(format!("{data_path} holds the data of member {} now", found.member))
        }
        _ => Err(format!("the instruction does not fit the contents of {data_path}")),
    }
}

/// Checks that no etcd runs as the member of this node's data. This node's own etcd is stopped.
pub async fn verify_start(session: &Session, state: &State) -> Result<(), String> {
    let State::Stopped { member_id, cluster_id, .. } = state else { return Ok(()) };
    let own = Identity { member: *member_id, cluster: *cluster_id };
    let does_not_run = check_does_not_run(session, own, PEER_PORT_TIMEOUT_OF_START);
    tokio::try_join!(does_not_run, check_is_not_heard(session, own))?;
    Ok(())
}

/// Checks that the leader hears nothing from this node's member, if a quorum answers. The member may run at an address that this
/// node can't reach.
///
/// The leader is not asked if this machine itself has the member's addresses in etcd's list and nothing listens there: the check
/// takes two seconds, and most restarts are on the same machine. If the leader's metrics can't be read, etcd starts all the same,
/// or no restart would be possible where nobody may read metrics.
async fn check_is_not_heard(session: &Session, own: Identity) -> Result<(), String> {
    let listed = session.connections.list(&client_urls(session), Some(own.cluster), LIST_TIMEOUT).await;
    let Some(list) = listed.ok().map(|(_, list)| list).filter(|list| list.cluster == own.cluster) else {
        return Ok(());
    };
    let Some(member) = list.members.iter().find(|member| member.id == own.member) else { return Ok(()) };
    if are_free_here(&member.peer_urls).await {
        return Ok(());
    }
    check_silence_at_leader(session, &list, own.member, true).await
}

/// Whether this machine has all addresses of these peer URLs, and no process listens there.
async fn are_free_here(urls: &[PeerUrl]) -> bool {
    let ports: Option<Vec<PeerPort>> = urls.iter().map(PeerPort::of).collect();
    let Some(ports) = ports else { return false };
    join_all(ports.iter().map(|port| port.is_free_here(PROBE_TIMEOUT))).await.into_iter().all(|is_free| is_free)
}

/// Checks, before this node's member leaves, that it does not run unless on this node's data. The data may be a copy, and the member
/// that runs elsewhere has not asked to leave.
pub async fn verify_leave(session: &Session, list: &MemberList, member: MemberId) -> Result<(), String> {
    let data = &session.node.data;
    let runs_here = session.runs_as().is_some();
    let is_own = session.own_member().is_some_and(|own| own.member == member);
    if is_own && (runs_here || data.is_in_use().map_err(|error| error.to_string())?) {
        return Ok(());
    }
    check_does_not_run(session, Identity { member, cluster: list.cluster }, PEER_PORT_TIMEOUT).await
}

/// Checks that no etcd runs as this node's member, whose own etcd is stopped. `within` is for the peer ports.
async fn check_does_not_run(session: &Session, own: Identity, within: Duration) -> Result<(), String> {
    tokio::try_join!(
        check_runs_nowhere(session, own.member, client_urls(session)),
        check_answers_nowhere(session, own, peer_urls(session, own.member), within),
    )?;
    Ok(())
}

/// Checks that no etcd runs as a member at this node's own peer URLs. It may be suspended, or still be loading its log: then nobody
/// hears it, and its data is on this machine.
pub async fn verify_is_gone_here(session: &Session, list: &MemberList, member: &ListedMember) -> Result<(), String> {
    let here = member.peer_urls.iter().filter(|url| session.node.peer_urls.contains(url)).cloned().collect();
    let own = Identity { member: member.id, cluster: list.cluster };
    check_answers_nowhere(session, own, here, PEER_PORT_TIMEOUT).await
}

/// Checks that a member was added for this node, that it has never run, and that no etcd runs as it.
pub async fn verify_join(session: &Session, start: &Start) -> Result<(), String> {
    own::check_start(session, start, true)?;
    let own = &start.initial_advertise_peer_urls;
    let not_added =
        || "etcd's member list, as this node has seen it, has no member at this node's peer URLs".to_owned();
    let view = session.last_view().ok_or_else(not_added)?;
    let is_at_own = |member: &ObservedMember| member.peer_urls.iter().any(|url| own.contains(url));
    let added = view.members.into_iter().find(is_at_own).ok_or_else(not_added)?;
    // etcd publishes its name when it has started.
    if !added.name.is_empty() {
        return Err(format!(
            "member {} at this node's peer URLs has run before, and this node has no data of it",
            added.id
        ));
    }
    let Some(cluster) = view.cluster_id else { return Err(not_added()) };
    let added_as = Identity { member: added.id, cluster };
    check_answers_nowhere(session, added_as, added.peer_urls, PEER_PORT_TIMEOUT).await
}

/// Checks that no etcd runs as the founder that this node will be, that this node has not archived data of it, that the founders
/// do not run another cluster, and that no member of a cluster whose database is left over in the data directory answers.
pub async fn verify_bootstrap(session: &Session, start: &Start) -> Result<(), String> {
    own::check_start(session, start, true)?;
    let founder = MemberId::of_founder(&start.initial_advertise_peer_urls, &start.initial_cluster_token);
    check_is_not_archived(session, founder)?;
    // All at once, because the answer of the registry must not become too old.
    tokio::try_join!(
        check_runs_nowhere(session, founder, client_urls(session)),
        check_founders_run_no_other_cluster(session, start),
        check_left_over_cluster_is_gone(session),
    )?;
    Ok(())
}

/// Checks that no etcd of another cluster answers at the founders' peer URLs. Reports can make the registry give up a cluster that
/// runs.
async fn check_founders_run_no_other_cluster(session: &Session, start: &Start) -> Result<(), String> {
    let founders = own::members(&start.initial_cluster)?;
    let ids = founders.values().map(|urls| MemberId::of_founder(urls, &start.initial_cluster_token));
    let own = ClusterId::of_founders(ids);
    let lists = peer_lists(session, founders.into_values().flatten()).await;
    match lists.iter().find(|(_, list)| list.cluster != own) {
        Some((url, list)) => Err(format!(
            "the etcd at the founder's peer URL {url} belongs to cluster {}, and this node was instructed to found another one, {own}. If \
             cluster {} is the right one, run `convene cluster adopt`; otherwise stop that etcd",
            list.cluster, list.cluster
        )),
        None => Ok(()),
    }
}

/// Checks that no member answers of the cluster whose database is left over in the data directory.
async fn check_left_over_cluster_is_gone(session: &Session) -> Result<(), String> {
    let known = session.node.data.members();
    let peer_urls = known.iter().flat_map(|member| member.peer_urls.clone());
    for (url, list) in peer_lists(session, peer_urls).await {
        if let Some(member) = list.members.iter().find(|listed| known.iter().any(|known| known.id == listed.id)) {
            return Err(format!(
                "the database in {} belongs to cluster {}, which runs: the etcd at {url} lists member {} of it",
                session.node.data_path.display(),
                list.cluster,
                member.id
            ));
        }
    }
    Ok(())
}

/// Checks that this node has not archived data of the founder. The member may have voted or acknowledged entries, and it would
/// start without them. Each epoch gives a founder another ID, so a new attempt to form the cluster is not concerned.
fn check_is_not_archived(session: &Session, founder: MemberId) -> Result<(), String> {
    match session.node.data.archived().into_iter().find(|(_, archived)| archived.member == founder) {
        Some((path, archived)) => Err(format!(
            "member {founder} would start without its data, which this node has archived in {}; if nobody needs etcd cluster {} \
             any more, move that archive to another directory",
            path.display(),
            archived.cluster
        )),
        None => Ok(()),
    }
}

/// Checks that the new peer URLs of this node's member are its own. An etcd that runs must answer there as this member, and
/// be the only one; one that is stopped must not run elsewhere.
///
/// `is_silence_enough`: nobody but this node needs to confirm that a stopped member does not run elsewhere.
pub async fn verify_update(
    session: &Session,
    list: &MemberList,
    member: MemberId,
    peer_urls: &[PeerUrl],
    is_silence_enough: bool,
) -> Result<(), String> {
    let node = &session.node;
    let own = session.own_member().filter(|own| own.member == member);
    let own = own.ok_or_else(|| format!("member {member} is not that of this node's data"))?;
    if session.runs_as().is_none() && !node.data.is_in_use().unwrap_or(false) {
        // Both at once, because the change must begin within seconds.
        let silence = check_silence_at_leader(session, list, member, is_silence_enough);
        return tokio::try_join!(check_does_not_run(session, own, PEER_PORT_TIMEOUT), silence).map(|_| ());
    }
    for url in peer_urls {
        match session.connections.peers().runs_as(as_configured(node, url), own, PROBE_TIMEOUT).await {
            Ok(true) => {}
            Ok(false) => {
                return Err(format!(
                    "this node's etcd runs, but the etcd at the new peer URL {url} is not member {member} of its cluster"
                ));
            }
            Err(error) => {
                return Err(format!("this node's etcd runs, but does not answer at the new peer URL {url}: {error}"));
            }
        }
    }
    check_is_only_one(session, own).await
}

/// Checks that the leader hears nothing from a member whose etcd is stopped on this node.
async fn check_silence_at_leader(
    session: &Session,
    list: &MemberList,
    member: MemberId,
    is_silence_enough: bool,
) -> Result<(), String> {
    match removal::heard_by_leader(session, list, member).await {
        Some(true) => Err(format!(
            "the leader receives messages from member {member} although etcd is stopped on this node, so the member \
             runs elsewhere, and this node's data is a copy"
        )),
        None if !is_silence_enough => Err(format!(
            "the leader's metrics can't be read, so no voter confirms that member {member} does not run elsewhere. Make them \
             readable (`--listen-metrics-urls`), or set the policy `witnesses` to 1"
        )),
        _ => Ok(()),
    }
}

/// This peer URL as the node's configuration spells it. A certificate is for that spelling.
fn as_configured<'a>(node: &'a Node, url: &'a PeerUrl) -> &'a PeerUrl {
    node.peer_urls.iter().find(|own| own.other_spelling().as_ref() == Some(url)).unwrap_or(url)
}

/// Checks that the etcd which runs on this node's data is the only one with its ID. It follows the leader of the others, or
/// knows no leader while the leader hears nothing from this member. Otherwise it may be a copy, even one that was started
/// with `--force-new-cluster`.
async fn check_is_only_one(session: &Session, own: Identity) -> Result<(), String> {
    let statuses = statuses(session, client_urls(session)).await;
    let (as_own, others): (Vec<_>, Vec<_>) = statuses.into_iter().partition(|(_, status)| status.member == own.member);
    let own_urls = local_etcd::client_urls(session, own).await;
    let (here, elsewhere): (Vec<_>, Vec<_>) = as_own.into_iter().partition(|(url, _)| own_urls.contains(url));
    let Some((own_url, own_status)) = here.into_iter().next() else {
        return match elsewhere.first() {
            Some((url, _)) => Err(runs_elsewhere(own.member, url)),
            None => check_is_unheard(session, own).await,
        };
    };
    for (url, _) in elsewhere {
        let (one, other) = tokio::join!(
            session.connections.metrics(&own_url, PROBE_TIMEOUT),
            session.connections.metrics(&url, PROBE_TIMEOUT)
        );
        let started_at = |metrics: Option<PeerMetrics>| metrics.and_then(|metrics| metrics.started_at);
        if started_at(one).zip(started_at(other)).is_none_or(|(one, other)| one != other) {
            return Err(runs_elsewhere(own.member, &url));
        }
    }
    let leads = |status: &Status| status.leader.map(|leader| (status.raft_term, leader));
    let led = others.iter().filter(|(_, status)| status.cluster == own.cluster);
    match led.filter_map(|(_, status)| leads(status)).max_by_key(|(term, _)| *term) {
        Some(leader) if leads(&own_status) != Some(leader) => Err(format!(
            "the etcd on this node does not follow the leader of the other members, {}; it may be a copy of member {}",
            leader.1, own.member
        )),
        _ => Ok(()),
    }
}

/// Checks that the leader hears nothing from this node's member. etcd does not serve clients before it knows a leader, and a
/// member whose peer URLs are wrong in etcd's list may never learn of one.
async fn check_is_unheard(session: &Session, own: Identity) -> Result<(), String> {
    let known = session.addresses().client_urls;
    let (_, list) = session.connections.list(&known, Some(own.cluster), LIST_TIMEOUT).await.map_err(|failures| {
        format!("this node's etcd does not answer as member {}, and no quorum answers: {failures}", own.member)
    })?;
    match removal::heard_by_leader(session, &list, own.member).await {
        Some(false) => Ok(()),
        Some(true) => Err(format!(
            "this node's etcd does not answer as member {}, but the leader receives messages from that member; \
             the member may run elsewhere",
            own.member
        )),
        None => Err(format!(
            "this node's etcd does not answer as member {}, and the leader's metrics do not show whether that member runs \
             elsewhere",
            own.member
        )),
    }
}

/// The status of each etcd that answers at these URLs.
async fn statuses(session: &Session, urls: BTreeSet<ClientUrl>) -> Vec<(ClientUrl, Status)> {
    let clients = urls.into_iter().filter_map(|url| Some((session.connections.client(&url).ok()?, url)));
    let answers = clients.map(|(client, url)| async move { Some((url, client.status(PROBE_TIMEOUT).await.ok()?)) });
    join_all(answers).await.into_iter().flatten().collect()
}

async fn check_runs_nowhere(session: &Session, member: MemberId, urls: BTreeSet<ClientUrl>) -> Result<(), String> {
    match statuses(session, urls).await.iter().find(|(_, status)| status.member == member) {
        Some((url, _)) => Err(runs_elsewhere(member, url)),
        None => Ok(()),
    }
}

/// Checks that no etcd answers as this member at these peer URLs. Its client port is closed until it knows a leader
/// (`server/embed/serve.go:serve`), and may reject this node.
async fn check_answers_nowhere(
    session: &Session,
    own: Identity,
    urls: Vec<PeerUrl>,
    within: Duration,
) -> Result<(), String> {
    let peers = session.connections.peers();
    try_join_all(urls.iter().map(|url| check_does_not_run_at(peers, own, url, within))).await.map(|_| ())
}

/// Checks that no etcd runs as this member at this peer URL. A process there that may be this member's etcd counts as one: it may
/// be suspended, loading its log, or reject this node. A connection that is only closed proves nothing: proxies do that if nothing
/// runs behind them.
async fn check_does_not_run_at(
    peers: &PeerClient,
    own: Identity,
    url: &PeerUrl,
    within: Duration,
) -> Result<(), String> {
    let member = own.member;
    let runs_as = timeout(within, peers.runs_as(url, own, within));
    match tokio::join!(runs_as, accepts_connections(url)) {
        (Ok(Ok(true)), _) => Err(runs_elsewhere(member, url)),
        (Ok(Err(error)), _) if matches!(error, EtcdError::Unidentified { .. }) || error.shows_tls_peer() => {
            Err(may_run(member, url, &error.to_string()))
        }
        (Err(_) | Ok(Err(EtcdError::TimedOut { .. })), true) => {
            let found = format!(
                "a process accepts connections, and has neither answered nor closed them within {within:?}. If that is a \
                 proxy, lower its connect timeout and its retries"
            );
            Err(may_run(member, url, &found))
        }
        (Ok(Err(error @ EtcdError::ClearText { .. })), true) => {
            Err(may_run(member, url, &format!("a process accepts connections, and {error}")))
        }
        _ => Ok(()),
    }
}

async fn accepts_connections(url: &PeerUrl) -> bool {
    match PeerPort::of(url) {
        Some(port) => port.accepts_connections(PROBE_TIMEOUT).await,
        None => false,
    }
}

fn may_run(member: MemberId, url: &PeerUrl, found: &str) -> String {
    format!(
        "a process at {url}, a peer URL of member {member}, may be an etcd that runs as this member: {found}. If it is \
         another program, free the address. If it is this member, the data of this node is a copy"
    )
}

/// Where another etcd of this member might answer its peers: at the peer URLs that this node has seen for it, that its data
/// has, and that are configured.
fn peer_urls(session: &Session, member: MemberId) -> Vec<PeerUrl> {
    let seen = session.last_view().into_iter().flat_map(|view| view.members);
    let seen = seen.filter(|seen| seen.id == member).flat_map(|seen| seen.peer_urls);
    let known = session.node.data.members().into_iter().filter(|known| known.id == member);
    distinct(session.node.peer_urls.iter().cloned().chain(seen).chain(known.flat_map(|known| known.peer_urls)))
}

fn runs_elsewhere(member: MemberId, url: impl Display) -> String {
    format!("an etcd already runs as member {member} at {url}; two etcd processes must never run as one member")
}

/// Where an etcd of this node's member might answer: at all URLs of the registry, at this node's own, and at those in its data.
fn client_urls(session: &Session) -> BTreeSet<ClientUrl> {
    session.addresses().client_urls.into_iter().chain(session.own_addresses().client_urls).collect()
}
