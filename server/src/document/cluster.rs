use std::{collections::BTreeMap, sync::Arc};

use convene_lifecycle::{
    Cluster, ClusterId, ClusterName, ClusterSize, Discovery, DiscoveryUrl, Epoch, NewClusterToken, Protocol, PublicId,
};
use serde::{Deserialize, Serialize};

use super::{
    admission::AdmissionDocument,
    event::EventDocument,
    held::HeldDocument,
    member::MemberDocument,
    or_null,
    policy::PolicyDocument,
    problems::Place,
    refusal::RefusalDocument,
    rfc3339_millis::Rfc3339Millis,
    rules::revision,
    ticket::{SetbackDocument, TicketDocument},
};
use crate::store::ClusterDump;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterDocument {
    token: String,
    /// Null or missing: the import draws one.
    id: Option<String>,
    #[serde(deserialize_with = "or_null")]
    name: Option<String>,
    size: u32,
    size_created_revision: u64,
    size_modified_revision: u64,
    /// Null or missing: no size was smaller than the one before.
    size_lowered_revision: Option<u64>,
    size_version: u64,
    revision: u64,
    created_at: Rfc3339Millis,
    /// Null: no member has ever registered.
    #[serde(deserialize_with = "or_null")]
    first_registered_at: Option<Rfc3339Millis>,
    /// Null: still forming.
    #[serde(deserialize_with = "or_null")]
    formed_revision: Option<u64>,
    /// Null: the cluster did not form by discovery.
    #[serde(deserialize_with = "or_null")]
    formed_at: Option<Rfc3339Millis>,
    /// Null: the etcd cluster has not been seen to exist.
    #[serde(deserialize_with = "or_null")]
    bootstrapped_revision: Option<u64>,
    epoch: u32,
    /// Null: no member has registered in this epoch.
    #[serde(deserialize_with = "or_null")]
    face: Option<String>,
    /// Null or missing: no node has come by v2 discovery, or its spelling of the URL is unknown.
    discovery_url: Option<String>,
    /// Null: unknown.
    #[serde(deserialize_with = "or_null")]
    cluster_id: Option<String>,
    /// The IDs of the etcd clusters of earlier epochs.
    earlier: Vec<String>,
    /// Null or missing: the cluster may be founded, or has been.
    held: Option<HeldDocument>,
    policy: PolicyDocument,
    /// The number of the last ticket.
    tickets: u64,
    /// Null: there is no ticket.
    #[serde(deserialize_with = "or_null")]
    ticket: Option<TicketDocument>,
    /// The nodes that lost their last ticket without progress. Missing if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    setbacks: Vec<SetbackDocument>,
    /// Missing: none.
    #[serde(default)]
    refusals: Vec<RefusalDocument>,
    /// Missing: 0.
    #[serde(default)]
    refusal_count: u64,
    /// Missing: there are neither join tokens nor credentials of nodes.
    #[serde(default, skip_serializing_if = "AdmissionDocument::is_empty")]
    admission: AdmissionDocument,
    members: Vec<MemberDocument>,
    events: Vec<EventDocument>,
}

impl From<&ClusterDump> for ClusterDocument {
    fn from(dump: &ClusterDump) -> Self {
        let ClusterDump { cluster, events, last_seen } = dump;
        Self {
            token: cluster.token.as_str().to_owned(),
            id: Some(cluster.id.to_string()),
            name: cluster.name.as_ref().map(ToString::to_string),
            size: cluster.size.get(),
            size_created_revision: cluster.size_created.0,
            size_modified_revision: cluster.size_modified.0,
            size_lowered_revision: cluster.size_lowered.map(|at| at.0),
            size_version: cluster.size_version,
            revision: cluster.revision.0,
            created_at: cluster.created_at.into(),
            first_registered_at: cluster.first_registered_at.map(Into::into),
            formed_revision: cluster.formed.map(|at| at.0),
            formed_at: cluster.formed_at.map(Into::into),
            bootstrapped_revision: cluster.bootstrapped.map(|at| at.0),
            epoch: cluster.epoch.0,
            face: cluster.protocol.map(|face| face.as_str().to_owned()),
            discovery_url: cluster.discovery_url.as_ref().map(ToString::to_string),
            cluster_id: cluster.cluster_id.map(|id| id.to_string()),
            earlier: cluster.earlier_cluster_ids.iter().map(ToString::to_string).collect(),
            held: cluster.held.as_ref().map(Into::into),
            policy: (&cluster.policy).into(),
            tickets: cluster.tickets,
            ticket: cluster.ticket.as_ref().map(Into::into),
            setbacks: cluster.setbacks.iter().map(Into::into).collect(),
            refusals: cluster.refusals.iter().map(Into::into).collect(),
            refusal_count: cluster.refusal_count,
            admission: (&*cluster.admission).into(),
            members: cluster
                .record
                .iter()
                .map(|member| MemberDocument::new(member, last_seen.get(&member.key).copied()))
                .collect(),
            events: events.iter().map(|event| (&**event).into()).collect(),
        }
    }
}

impl ClusterDocument {
    /// The unchecked text in the place of the token. It must not be shown.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The cluster, if each of its fields is valid. [`super::rules`] checks them together.
    pub fn read(&self, place: &mut Place<'_>) -> Option<ClusterDump> {
        let mut last_seen = BTreeMap::new();
        let mut record = Some(Vec::with_capacity(self.members.len()));
        for (n, member) in self.members.iter().enumerate() {
            match (member.read(place.inside(format_args!("members[{n}]"))), &mut record) {
                (Some((member, last_seen_at)), Some(record)) => {
                    last_seen.extend(last_seen_at.map(|at| (member.key.clone(), at)));
                    record.push(Arc::new(member));
                }
                _ => record = None,
            }
        }
        let cluster = self.read_cluster(place);
        let token = cluster.as_ref().map(|cluster| &cluster.token)?;
        let mut events = Some(Vec::with_capacity(self.events.len()));
        for (n, event) in self.events.iter().enumerate() {
            match (event.read(token, place.inside(format_args!("events[{n}]"))), &mut events) {
                (Some(event), Some(events)) => events.push(Arc::new(event)),
                _ => events = None,
            }
        }
        Some(ClusterDump { cluster: Cluster { record: record?, ..cluster? }, events: events?, last_seen })
    }

    /// The cluster with an empty record.
    fn read_cluster(&self, place: &mut Place<'_>) -> Option<Cluster> {
        let token = place.field("token", self.token.parse::<NewClusterToken>());
        let id = place.optional("id", self.id.as_ref().map(|id| id.parse::<PublicId>()));
        let name = place.optional("name", self.name.as_ref().map(|name| name.parse::<ClusterName>()));
        let size = place.field("size", ClusterSize::new(self.size).ok_or("must be 1 or more"));
        let size_created = place.field("size_created_revision", revision(self.size_created_revision));
        let size_modified = place.field("size_modified_revision", revision(self.size_modified_revision));
        let size_lowered = place.optional("size_lowered_revision", self.size_lowered_revision.map(revision));
        let at = place.field("revision", revision(self.revision));
        let created_at = place.field("created_at", self.created_at.read());
        let first_registered = self.first_registered_at.as_ref().map(Rfc3339Millis::read);
        let first_registered_at = place.optional("first_registered_at", first_registered);
        let formed = place.optional("formed_revision", self.formed_revision.map(revision));
        let formed_at = place.optional("formed_at", self.formed_at.as_ref().map(Rfc3339Millis::read));
        let bootstrapped = place.optional("bootstrapped_revision", self.bootstrapped_revision.map(revision));
        let face = place.optional("face", self.face.as_deref().map(face));
        let discovery_url = self.discovery_url.as_ref().map(|url| url.parse::<DiscoveryUrl>());
        let discovery_url = place.optional("discovery_url", discovery_url);
        let cluster_id = place.optional("cluster_id", self.cluster_id.as_ref().map(|id| id.parse::<ClusterId>()));
        let earlier = place.list("earlier", &self.earlier, |id| id.parse::<ClusterId>());
        let held = match &self.held {
            Some(held) => held.read(place.inside("held")).map(Some),
            None => Some(None),
        };
        let policy = self.policy.read(place.inside("policy"));
        let ticket = self.ticket.as_ref().map(|ticket| ticket.read(place.inside("ticket")));
        let setbacks = self.setbacks.iter().enumerate();
        let setbacks: Vec<_> =
            setbacks.map(|(n, setback)| setback.read(place.inside(format_args!("setbacks[{n}]")))).collect();
        let mut refusals = Some(Vec::with_capacity(self.refusals.len()));
        for (n, refusal) in self.refusals.iter().enumerate() {
            match (refusal.read(place.inside(format_args!("refusals[{n}]"))), &mut refusals) {
                (Some(refusal), Some(refusals)) => refusals.push(refusal),
                _ => refusals = None,
            }
        }
        let admission = self.admission.read(place.inside("admission"));
        Some(Cluster {
            id: id?.unwrap_or(PublicId::UNASSIGNED),
            token: token?.into(),
            size: size?,
            size_created: size_created?,
            size_modified: size_modified?,
            size_lowered: size_lowered?,
            size_version: self.size_version,
            revision: at?,
            created_at: created_at?,
            first_registered_at: first_registered_at?,
            formed: formed?,
            formed_at: formed_at?,
            name: name?,
            policy: policy?,
            epoch: Epoch(self.epoch),
            protocol: face?,
            discovery_url: discovery_url?,
            cluster_id: cluster_id?,
            bootstrapped: bootstrapped?,
            earlier_cluster_ids: earlier?,
            held: held?,
            ticket: match ticket {
                Some(ticket) => Some(ticket?),
                None => None,
            },
            tickets: self.tickets,
            setbacks: setbacks.into_iter().collect::<Option<_>>()?,
            refusals: refusals?,
            refusal_count: self.refusal_count,
            admission: Arc::new(admission?),
            record: Vec::new(),
        })
    }
}

fn face(word: &str) -> Result<Protocol, String> {
    let faces = [Protocol::Discovery(Discovery::V2), Protocol::Discovery(Discovery::V3), Protocol::CheckIn];
    let found = faces.into_iter().find(|face| face.as_str() == word);
    found.ok_or_else(|| format!("{word:?} must be v2, v3, check_in or null"))
}
