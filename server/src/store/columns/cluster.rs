use convene_lifecycle::{
    Cluster, ClusterSize, Epoch, MemberKey, MemberName, PeerUrl, Policy, Purpose, Revision, Ticket, Token, UnixMillis,
};

use super::{Column, Columns, Stored, column};
use crate::store::{StoreError, connection::Row, statement::Value};

/// The columns of `cluster` that change. `id`, `token` and `created_at` stay as they were inserted.
pub(in crate::store) static CLUSTER: Columns<Cluster, TicketParts> = Columns { table: "cluster", columns: COLUMNS };

#[rustfmt::skip]
const COLUMNS: &[Column<Cluster, TicketParts>] = &[
    column("size", |c| c.size.to_value(), |c, _, cell| cell.read(&mut c.size)),
    column("size_created_revision", |c| c.size_created.to_value(), |c, _, cell| cell.read(&mut c.size_created)),
    column("size_modified_revision", |c| c.size_modified.to_value(), |c, _, cell| cell.read(&mut c.size_modified)),
    column("size_version", |c| c.size_version.to_value(), |c, _, cell| cell.read(&mut c.size_version)),
    column("revision", |c| c.revision.to_value(), |c, _, cell| cell.read(&mut c.revision)),
    column("first_registered_at", |c| c.first_registered_at.to_value(), |c, _, cell| cell.read(&mut c.first_registered_at)),
    column("formed_revision", |c| c.formed.to_value(), |c, _, cell| cell.read(&mut c.formed)),
    column("formed_at", |c| c.formed_at.to_value(), |c, _, cell| cell.read(&mut c.formed_at)),
    column("name", |c| c.name.to_value(), |c, _, cell| cell.read(&mut c.name)),
    column("epoch", |c| c.epoch.to_value(), |c, _, cell| cell.read(&mut c.epoch)),
    column("face", |c| c.protocol.to_value(), |c, _, cell| cell.read(&mut c.protocol)),
    column("cluster_id", |c| c.cluster_id.to_value(), |c, _, cell| cell.read(&mut c.cluster_id)),
    column("bootstrapped_revision", |c| c.bootstrapped.to_value(), |c, _, cell| cell.read(&mut c.bootstrapped)),
    column("earlier", |c| c.earlier_cluster_ids.to_value(), |c, _, cell| cell.read(&mut c.earlier_cluster_ids)),

    column("strategy", |c| c.policy.strategy.to_value(), |c, _, cell| cell.read(&mut c.policy.strategy)),
    column("dead_after_ms", |c| c.policy.dead_after.to_value(), |c, _, cell| cell.read(&mut c.policy.dead_after)),
    column("learner", |c| c.policy.learner.to_value(), |c, _, cell| cell.read(&mut c.policy.learner)),
    column("check_in_every_ms", |c| c.policy.check_in_every.to_value(), |c, _, cell| cell.read(&mut c.policy.check_in_every)),
    column("paused", |c| c.policy.paused.to_value(), |c, _, cell| cell.read(&mut c.policy.paused)),
    column("max_failed_starts", |c| c.policy.max_failed_starts.to_value(), |c, _, cell| cell.read(&mut c.policy.max_failed_starts)),

    column("tickets", |c| c.tickets.to_value(), |c, _, cell| cell.read(&mut c.tickets)),
    // Null if there is no ticket; the last two also if the ticket's purpose has no such part.
    column("ticket_holder", |c| of_ticket(c, |ticket| Some(&ticket.holder)), |_, ticket, cell| cell.read(&mut ticket.holder)),
    column("ticket_granted_at", |c| of_ticket(c, |ticket| Some(&ticket.granted_at)), |_, ticket, cell| cell.read(&mut ticket.granted_at)),
    column("ticket_purpose", purpose_word, |_, ticket, cell| cell.read(&mut ticket.purpose)),
    column("ticket_member", |c| of_ticket(c, |ticket| member(&ticket.purpose)), |_, ticket, cell| cell.read(&mut ticket.member)),
    column("ticket_peer_urls", |c| of_ticket(c, |ticket| peer_urls(&ticket.purpose)), |_, ticket, cell| cell.read(&mut ticket.peer_urls)),
];

/// The columns of the ticket.
#[derive(Default)]
pub(in crate::store) struct TicketParts {
    holder: Option<MemberName>,
    granted_at: Option<UnixMillis>,
    purpose: Option<String>,
    member: Option<MemberKey>,
    peer_urls: Option<Vec<PeerUrl>>,
}

/// Reads a cluster with an empty record from a row that has the columns from an index on.
pub(in crate::store) fn read_cluster(
    token: Token,
    created_at: UnixMillis,
    row: &Row,
    first: usize,
) -> Result<Cluster, StoreError> {
    let mut cluster = unread(token, created_at);
    let ticket = CLUSTER.read(row, first, &mut cluster)?;
    cluster.ticket = ticket.put_together(cluster.tickets)?;
    Ok(cluster)
}

/// A cluster whose fields all stand for what is about to be read.
fn unread(token: Token, created_at: UnixMillis) -> Cluster {
    Cluster {
        token,
        size: ClusterSize::DEFAULT,
        size_created: Revision::FIRST,
        size_modified: Revision::FIRST,
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
        cluster_id: None,
        bootstrapped: None,
        earlier_cluster_ids: Vec::new(),
        ticket: None,
        tickets: 0,
        record: Vec::new(),
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
        Ok(Some(Ticket { number, holder, purpose, granted_at }))
    }
}

fn of_ticket<'a, T: Stored>(cluster: &'a Cluster, part: impl FnOnce(&'a Ticket) -> Option<&'a T>) -> Value<'a> {
    cluster.ticket.as_ref().and_then(part).map_or(T::NULL, T::to_value)
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
