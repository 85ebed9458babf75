use convene_lifecycle::{MemberKey, MemberName, PeerUrl, Purpose, Setback, Ticket};
use serde::{Deserialize, Serialize};

use super::{or_null, problems::Place, rfc3339_millis::Rfc3339Millis};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketDocument {
    number: u64,
    holder: String,
    purpose: String,
    #[serde(deserialize_with = "or_null")]
    member_id: Option<String>,
    /// Null if the purpose has none.
    #[serde(deserialize_with = "or_null")]
    peer_urls: Option<Vec<String>>,
    granted_at: Rfc3339Millis,
    /// Missing in documents of earlier versions.
    #[serde(default)]
    progress_at: Option<Rfc3339Millis>,
}

impl From<&Ticket> for TicketDocument {
    fn from(ticket: &Ticket) -> Self {
        let (member, peer_urls) = match &ticket.purpose {
            Purpose::Join { peer_urls, replaces } => (replaces.as_ref(), Some(peer_urls)),
            Purpose::Update { member, peer_urls } => (Some(member), Some(peer_urls)),
            Purpose::Remove { member } | Purpose::Promote { member } => (Some(member), None),
        };
        Self {
            number: ticket.number,
            holder: ticket.holder.to_string(),
            purpose: ticket.purpose.as_str().to_owned(),
            member_id: member.map(ToString::to_string),
            peer_urls: peer_urls.map(|urls| urls.iter().map(ToString::to_string).collect()),
            granted_at: ticket.granted_at.into(),
            progress_at: Some(ticket.progress_at.into()),
        }
    }
}

impl TicketDocument {
    pub fn read(&self, mut place: Place<'_>) -> Option<Ticket> {
        let holder = place.field("holder", self.holder.parse::<MemberName>());
        let member = place.optional("member_id", self.member_id.as_ref().map(|id| id.parse::<MemberKey>()));
        let peer_urls = match &self.peer_urls {
            Some(urls) => place.list("peer_urls", urls, |url| PeerUrl::parse(url)).map(Some),
            None => Some(None),
        };
        let granted_at = place.field("granted_at", self.granted_at.read());
        let progress_at = place.optional("progress_at", self.progress_at.as_ref().map(Rfc3339Millis::read));
        let purpose = match (self.purpose.as_str(), member?, peer_urls?) {
            ("join", replaces, Some(peer_urls)) => Purpose::Join { peer_urls, replaces },
            ("remove", Some(member), None) => Purpose::Remove { member },
            ("update", Some(member), Some(peer_urls)) => Purpose::Update { member, peer_urls },
            ("promote", Some(member), None) => Purpose::Promote { member },
            (purpose, _, _) => {
                place.inside("purpose").wrong(format_args!(
                    "{purpose:?} must be join or update with peer_urls, or remove or promote without; all but join need \
                     a member_id"
                ));
                return None;
            }
        };
        let granted_at = granted_at?;
        let progress_at = progress_at?.unwrap_or(granted_at);
        Some(Ticket { number: self.number, holder: holder?, purpose, granted_at, progress_at })
    }
}

/// A node that lost its last ticket without progress.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetbackDocument {
    node: String,
    /// How many tickets in a row the node has lost like that.
    count: u32,
    at: Rfc3339Millis,
}

impl From<(&MemberName, &Setback)> for SetbackDocument {
    fn from((node, setback): (&MemberName, &Setback)) -> Self {
        Self { node: node.to_string(), count: setback.count, at: setback.at.into() }
    }
}

impl SetbackDocument {
    pub fn read(&self, mut place: Place<'_>) -> Option<(MemberName, Setback)> {
        let node = place.field("node", self.node.parse::<MemberName>());
        let at = place.field("at", self.at.read());
        Some((node?, Setback { count: self.count, at: at? }))
    }
}
