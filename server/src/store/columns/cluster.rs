use std::{collections::BTreeMap, sync::Arc};

use convene_lifecycle::{
    Admission, Cluster, ClusterId, ClusterSize, Epoch, Held, HoldReason, MemberKey, MemberName, PeerUrl, Policy,
    PublicId, Purpose, Revision, Ticket, Token, UnixMillis,
};

use super::{Column, Columns, Stored, column};
use crate::store::{StoreError, connection::Row, statement::Value};

/// The columns of `cluster` that change. `id`, `token` and `created_at` stay as they were inserted.
pub(in crate::store) static CLUSTER: Columns<Cluster, Parts> = Columns { table: "cluster", columns: COLUMNS };

#[rustfmt::skip]
const COLUMNS: &[Column<Cluster, Parts>] = &[
    column("size", |c| c.size.to_value(), |c, _, cell| cell.read(&mut c.size)),
    column("size_created_revision", |c| c.size_created.to_value(), |c, _, cell| cell.read(&mut c.size_created)),
    column("size_modified_revision", |c| c.size_modified.to_value(), |c, _, cell| cell.read(&mut c.size_modified)),
    // Null: no size was smaller than the one before.
    column("size_lowered_revision", |c| c.size_lowered.to_value(), |c, _, cell| cell.read(&mut c.size_lowered)),
    column("size_version", |c| c.size_version.to_value(), |c, _, cell| cell.read(&mut c.size_version)),
    column("revision", |c| c.revision.to_value(), |c, _, cell| cell.read(&mut c.revision)),
    column("first_registered_at", |c| c.first_registered_at.to_value(), |c, _, cell| cell.read(&mut c.first_registered_at)),
    column("formed_revision", |c| c.formed.to_value(), |c, _, cell| cell.read(&mut c.formed)),
    column("formed_at", |c| c.formed_at.to_value(), |c, _, cell| cell.read(&mut c.formed_at)),
    column("name", |c| c.name.to_value(), |c, _, cell| cell.read(&mut c.name)),
    column("epoch", |c| c.epoch.to_value(), |c, _, cell| cell.read(&mut c.epoch)),
    column("face", |c| c.protocol.to_value(), |c, _, cell| cell.read(&mut c.protocol)),
    // Null: no node has come by v2 discovery, or its spelling of the URL is unknown.
    column("discovery_url", |c| c.discovery_url.to_value(), |c, _, cell| cell.read(&mut c.discovery_url)),
    column("cluster_id", |c| c.cluster_id.to_value(), |c, _, cell| cell.read(&mut c.cluster_id)),
    column("bootstrapped_revision", |c| c.bootstrapped.to_value(), |c, _, cell| cell.read(&mut c.bootstrapped)),
    column("earlier", |c| c.earlier_cluster_ids.to_value(), |c, _, cell| cell.read(&mut c.earlier_cluster_ids)),

    column("strategy", |c| c.policy.strategy.to_value(), |c, _, cell| cell.read(&mut c.policy.strategy)),
    column("dead_after_ms", |c| c.policy.dead_after.to_value(), |c, _, cell| cell.read(&mut c.policy.dead_after)),
    column("learner", |c| c.policy.learner.to_value(), |c, _, cell| cell.read(&mut c.policy.learner)),
    column("check_in_every_ms", |c| c.policy.check_in_every.to_value(), |c, _, cell| cell.read(&mut c.policy.check_in_every)),
    column("paused", |c| c.policy.paused.to_value(), |c, _, cell| cell.read(&mut c.policy.paused)),
    column("max_failed_starts", |c| c.policy.max_failed_starts.to_value(), |c, _, cell| cell.read(&mut c.policy.max_failed_starts)),
    column("witnesses", |c| c.policy.witnesses.to_value(), |c, _, cell| cell.read(&mut c.policy.witnesses)),
    column("stock_writes", |c| c.policy.stock_writes.to_value(), |c, _, cell| cell.read(&mut c.policy.stock_writes)),
    column("join_policy", |c| c.policy.join.to_value(), |c, _, cell| cell.read(&mut c.policy.join)),

    column("setbacks", |c| c.setbacks.to_value(), |c, _, cell| cell.read(&mut c.setbacks)),
    column("tickets", |c| c.tickets.to_value(), |c, _, cell| cell.read(&mut c.tickets)),
    // Null if there is no ticket; the last two also if the ticket's purpose has no such part.
    column("ticket_holder", |c| of_ticket(c, |ticket| Some(&ticket.holder)), |_, parts, cell| cell.read(&mut parts.ticket.holder)),
    column("ticket_granted_at", |c| of_ticket(c, |ticket| Some(&ticket.granted_at)), |_, parts, cell| cell.read(&mut parts.ticket.granted_at)),
    column("ticket_progress_at", |c| of_ticket(c, |ticket| Some(&ticket.progress_at)), |_, parts, cell| cell.read(&mut parts.ticket.progress_at)),
    column("ticket_purpose", purpose_word, |_, parts, cell| cell.read(&mut parts.ticket.purpose)),
    column("ticket_member", |c| of_ticket(c, |ticket| member(&ticket.purpose)), |_, parts, cell| cell.read(&mut parts.ticket.member)),
    column("ticket_peer_urls", |c| of_ticket(c, |ticket| peer_urls(&ticket.purpose)), |_, parts, cell| cell.read(&mut parts.ticket.peer_urls)),

    // Null: there is neither a join token nor a credential.
    column("admission_revision", |c| c.admission.modified.to_value(), |_, parts, cell| cell.read(&mut parts.admission.modified)),
    column("turned_away", |c| c.admission.turned_away.to_value(), |_, parts, cell| cell.read(&mut parts.admission.turned_away)),

    column("refusals", |c| c.refusals.to_value(), |c, _, cell| cell.read(&mut c.refusals)),
    column("refusal_count", |c| c.refusal_count.to_value(), |c, _, cell| cell.read(&mut c.refusal_count)),

    // Null if founding is not held; the last two also if that part is not known.
    column("held_since", |c| of_hold(c, |held| Some(&held.since)), |_, parts, cell| cell.read(&mut parts.held.since)),
    column("held_reason", |c| of_hold(c, |held| Some(&held.reason)), |_, parts, cell| cell.read(&mut parts.held.reason)),
    column("held_node", |c| of_hold(c, |held| held.node.as_ref()), |_, parts, cell| cell.read(&mut parts.held.node)),
    column("held_cluster_id", |c| of_hold(c, |held| held.cluster.as_ref()), |_, parts, cell| cell.read(&mut parts.held.cluster)),
];

/// The columns that make up one field together.
#[derive(Default)]
pub(in crate::store) struct Parts {
    ticket: TicketParts,
    held: HeldParts,
    admission: Admission,
}

#[derive(Default)]
struct HeldParts {
    since: Option<UnixMillis>,
    reason: Option<HoldReason>,
    node: Option<MemberName>,
    cluster: Option<ClusterId>,
}

#[derive(Default)]
struct TicketParts {
    holder: Option<MemberName>,
    granted_at: Option<UnixMillis>,
    progress_at: Option<UnixMillis>,
    purpose: Option<String>,
    member: Option<MemberKey>,
    peer_urls: Option<Vec<PeerUrl>>,
}

/// Reads a cluster with an empty record, without its join tokens and credentials, from a row that has the columns from an index on.
pub(in crate::store) fn read_cluster(
    id: PublicId,
    token: Token,
    created_at: UnixMillis,
    row: &Row,
    first: usize,
) -> Result<Cluster, StoreError> {
    let mut cluster = unread(id, token, created_at);
    let parts = CLUSTER.read(row, first, &mut cluster)?;
    cluster.ticket = parts.ticket.put_together(cluster.tickets)?;
    cluster.held = parts.held.put_together()?;
    cluster.admission = Arc::new(parts.admission);
    Ok(cluster)
}

/// A cluster whose fields all stand for what is about to be read.
fn unread(id: PublicId, token: Token, created_at: UnixMillis) -> Cluster {
    Cluster {
        id,
        token,
        size: ClusterSize::DEFAULT,
        size_created: Revision::FIRST,
        size_modified: Revision::FIRST,
        size_lowered: None,
        size_version: 0,
        revision: Revision::FIRST,
        created_at,
        first_registered_at: None,
        formed: None,
        formed_at: None,
        name: None,
        policy: Policy::default(),
        epoch: Epoch::FIRST,
        protocol: None,
        discovery_url: None,
        cluster_id: None,
        bootstrapped: None,
        earlier_cluster_ids: Vec::new(),
        held: None,
        ticket: None,
        tickets: 0,
        setbacks: BTreeMap::new(),
        refusals: Vec::new(),
        refusal_count: 0,
        admission: Arc::default(),
        record: Vec::new(),
    }
}

impl HeldParts {
    fn put_together(self) -> Result<Option<Held>, StoreError> {
        let Some(since) = self.since else { return Ok(None) };
        let is_null = || StoreError::corrupt("cluster", "held_reason", "it is null, although held_since is not");
        let reason = self.reason.ok_or_else(is_null)?;
        Ok(Some(Held { since, reason, node: self.node, cluster: self.cluster }))
    }
}

impl TicketParts {
    fn put_together(self, number: u64) -> Result<Option<Ticket>, StoreError> {
        let Some(holder) = self.holder else { return Ok(None) };
        let is_null = |column| StoreError::corrupt("cluster", column, "it is null, although there is a ticket");
        let word = self.purpose.ok_or_else(|| is_null("ticket_purpose"))?;
        let granted_at = self.granted_at.ok_or_else(|| is_null("ticket_granted_at"))?;
        let peer_urls = self.peer_urls.unwrap_or_default();
        let purpose = match (word.as_str(), self.member) {
            ("join", replaces) => Purpose::Join { peer_urls, replaces },
            ("remove", Some(member)) => Purpose::Remove { member },
            ("update", Some(member)) => Purpose::Update { member, peer_urls },
            ("promote", Some(member)) => Purpose::Promote { member },
            ("remove" | "update" | "promote", None) => return Err(is_null("ticket_member")),
            (other, _) => return Err(StoreError::corrupt("cluster", "ticket_purpose", other)),
        };
        // A server of the version before leaves the time as it was for an earlier ticket.
        let progress_at = self.progress_at.map_or(granted_at, |at| at.max(granted_at));
        Ok(Some(Ticket { number, holder, purpose, granted_at, progress_at }))
    }
}

fn of_ticket<'a, T: Stored>(cluster: &'a Cluster, part: impl FnOnce(&'a Ticket) -> Option<&'a T>) -> Value<'a> {
    cluster.ticket.as_ref().and_then(part).map_or(T::NULL, T::to_value)
}

fn of_hold<'a, T: Stored>(cluster: &'a Cluster, part: impl FnOnce(&'a Held) -> Option<&'a T>) -> Value<'a> {
    cluster.held.as_ref().and_then(part).map_or(T::NULL, T::to_value)
}

fn purpose_word(cluster: &Cluster) -> Value<'_> {
    cluster.ticket.as_ref().map(|ticket| ticket.purpose.as_str()).into()
}

fn member(purpose: &Purpose) -> Option<&MemberKey> {
    match purpose {
        Purpose::Join { replaces, .. } => replaces.as_ref(),
        Purpose::Update { member, .. } | Purpose::Remove { member } | Purpose::Promote { member } => Some(member),
    }
}

fn peer_urls(purpose: &Purpose) -> Option<&Vec<PeerUrl>> {
    match purpose {
        Purpose::Join { peer_urls, .. } | Purpose::Update { peer_urls, .. } => Some(peer_urls),
        Purpose::Remove { .. } | Purpose::Promote { .. } => None,
    }
}
