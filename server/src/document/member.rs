use convene_lifecycle::{
    Announcer, ClientUrl, DiskId, Downtime, Founder, Member, MemberKey, Registration, Removal, Role, RunId,
    StartIssued, UnixMillis,
};
use serde::{Deserialize, Serialize};

use super::{or_null, problems::Place, rfc3339_millis::Rfc3339Millis, rules::revision};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberDocument {
    id: String,
    name: String,
    peer_urls: Vec<String>,
    client_urls: Vec<String>,
    role: RoleWord,
    started: bool,
    /// Null: not a founder of a cluster that forms by check-ins.
    #[serde(deserialize_with = "or_null")]
    founder: Option<FounderDocument>,
    /// Null or missing: no run was instructed to join as the member.
    join_told: Option<ToldDocument>,
    #[serde(deserialize_with = "or_null")]
    evicted_at: Option<Rfc3339Millis>,
    #[serde(deserialize_with = "or_null")]
    downtime_until: Option<Rfc3339Millis>,
    /// Missing: an administrator announced the downtime, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    downtime_by: Option<String>,
    /// When the member was last seen; null: never.
    #[serde(rename = "heard_of_at", deserialize_with = "or_null")]
    last_seen_at: Option<Rfc3339Millis>,
    created_revision: u64,
    registered_revision: u64,
    modified_revision: u64,
    version: u64,
    /// Null: the member has not been removed.
    #[serde(deserialize_with = "or_null")]
    removed: Option<RemovalDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RoleWord {
    Voter,
    Learner,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FounderDocument {
    /// Null: the founder has not got the instruction to bootstrap.
    #[serde(deserialize_with = "or_null")]
    told: Option<ToldDocument>,
    /// Missing: there is an instruction, or the founder's disk is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disk: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldDocument {
    run: String,
    at: Rfc3339Millis,
    /// Missing: the node did not report its disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RemovalDocument {
    revision: u64,
    confirmed: bool,
    /// Missing: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    given_up: bool,
}

impl MemberDocument {
    pub fn new(member: &Member, last_seen_at: Option<UnixMillis>) -> Self {
        let told = |told: &StartIssued| ToldDocument {
            run: told.run.to_string(),
            at: told.at.into(),
            disk: told.disk.as_ref().map(ToString::to_string),
        };
        Self {
            id: member.key.to_string(),
            name: member.name().to_string(),
            peer_urls: member.registration.peer_urls.iter().map(ToString::to_string).collect(),
            client_urls: member.client_urls.iter().map(ToString::to_string).collect(),
            role: match member.role {
                Role::Voter => RoleWord::Voter,
                Role::Learner => RoleWord::Learner,
            },
            started: member.started,
            founder: member.founder.as_ref().map(|founder| FounderDocument {
                told: founder.issued.as_ref().map(told),
                disk: founder.disk.as_ref().map(ToString::to_string),
            }),
            join_told: member.join_issued.as_ref().map(told),
            evicted_at: member.eviction.map(Into::into),
            downtime_until: member.downtime.map(|downtime| downtime.until.into()),
            downtime_by: member
                .downtime
                .filter(|downtime| downtime.by != Announcer::Administrator)
                .map(|downtime| downtime.by.to_string()),
            last_seen_at: last_seen_at.map(Into::into),
            created_revision: member.created.0,
            registered_revision: member.registered.0,
            modified_revision: member.modified.0,
            version: member.version,
            removed: member.removed.map(|Removal { at, confirmed, given_up }| RemovalDocument {
                revision: at.0,
                confirmed,
                given_up,
            }),
        }
    }

    /// The member, and when it was last seen.
    pub fn read(&self, mut place: Place<'_>) -> Option<(Member, Option<UnixMillis>)> {
        let key = place.field("id", self.id.parse::<MemberKey>());
        let registration = place.field("name and peer_urls", self.registration());
        let client_urls = place.list("client_urls", &self.client_urls, |url| url.parse::<ClientUrl>());
        let founder = self.founder.as_ref().map(|founder| founder.read(place.inside("founder")));
        let join_issued = self.join_told.as_ref().map(|told| told.read(place.inside("join_told")));
        let eviction = place.optional("evicted_at", self.evicted_at.as_ref().map(Rfc3339Millis::read));
        let downtime_until = place.optional("downtime_until", self.downtime_until.as_ref().map(Rfc3339Millis::read));
        let downtime_by = self.downtime_by.as_deref().map_or(Ok(Announcer::Administrator), str::parse);
        let downtime_by = place.field("downtime_by", downtime_by);
        let last_seen_at = place.optional("heard_of_at", self.last_seen_at.as_ref().map(Rfc3339Millis::read));
        let created = place.field("created_revision", revision(self.created_revision));
        let registered = place.field("registered_revision", revision(self.registered_revision));
        let modified = place.field("modified_revision", revision(self.modified_revision));
        let removed = self.removed.as_ref();
        let removed_at = place.optional("removed.revision", removed.map(|removed| revision(removed.revision)));
        let member = Member {
            key: key?,
            registration: registration?,
            client_urls: client_urls?,
            role: match self.role {
                RoleWord::Voter => Role::Voter,
                RoleWord::Learner => Role::Learner,
            },
            started: self.started,
            join_issued: match join_issued {
                Some(issued) => Some(issued?),
                None => None,
            },
            founder: match founder {
                Some(founder) => Some(founder?),
                None => None,
            },
            eviction: eviction?,
            downtime: downtime_until?.zip(downtime_by).map(|(until, by)| Downtime { until, by }),
            created: created?,
            modified: modified?,
            registered: registered?,
            version: self.version,
            removed: removed_at?.zip(removed).map(|(at, removed)| Removal {
                at,
                confirmed: removed.confirmed,
                given_up: removed.given_up,
            }),
        };
        Some((member, last_seen_at?))
    }

    /// The registration. It is stored as one text, so neither the name nor a URL may contain a comma or an equals sign.
    fn registration(&self) -> Result<Registration, String> {
        if self.peer_urls.is_empty() {
            return Err("a member has at least one peer URL".to_owned());
        }
        let pairs: Vec<String> = self.peer_urls.iter().map(|url| format!("{}={url}", self.name)).collect();
        let registration = Registration::parse_of_any_length(&pairs.join(",")).map_err(|error| error.to_string())?;
        let is_same = registration.name.as_str() == self.name && registration.peer_urls.len() == self.peer_urls.len();
        if is_same { Ok(registration) } else { Err("must not contain ',' or '='".to_owned()) }
    }
}

impl FounderDocument {
    fn read(&self, mut place: Place<'_>) -> Option<Founder> {
        let issued = match &self.told {
            Some(told) => Some(told.read(place.inside("told"))?),
            None => None,
        };
        let disk = place.optional("disk", self.disk.as_ref().map(|disk| disk.parse::<DiskId>()));
        Some(Founder { issued, disk: disk? })
    }
}

impl ToldDocument {
    fn read(&self, mut place: Place<'_>) -> Option<StartIssued> {
        let run = place.field("run", self.run.parse::<RunId>());
        let at = place.field("at", self.at.read());
        let disk = place.optional("disk", self.disk.as_ref().map(|disk| disk.parse::<DiskId>()));
        Some(StartIssued { run: run?, at: at?, disk: disk? })
    }
}
