use std::net::IpAddr;

use convene_lifecycle::{Actor, Event, MemberKey, Previous, Token};
use serde::{Deserialize, Serialize};

use super::{or_null, problems::Place, rfc3339_millis::Rfc3339Millis, rules::revision};
use crate::store::{subject_from_words, subject_words};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventDocument {
    revision: u64,
    at: Rfc3339Millis,
    kind: String,
    message: String,
    action: String,
    subject: String,
    /// Null: the subject is not a member.
    #[serde(deserialize_with = "or_null")]
    member_id: Option<String>,
    /// Null: the subject was deleted or has no value.
    #[serde(deserialize_with = "or_null")]
    value: Option<String>,
    created_revision: u64,
    version: u64,
    /// Null: the subject did not exist before.
    #[serde(deserialize_with = "or_null")]
    previous: Option<PreviousDocument>,
    while_forming: bool,
    /// Missing: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    /// Missing: not known, or the server itself made the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<IpAddr>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PreviousDocument {
    #[serde(deserialize_with = "or_null")]
    value: Option<String>,
    created_revision: u64,
    modified_revision: u64,
    version: u64,
}

impl From<&Event> for EventDocument {
    fn from(event: &Event) -> Self {
        let (subject, member) = subject_words(&event.subject);
        Self {
            revision: event.revision.0,
            at: event.at.into(),
            kind: event.kind.as_str().to_owned(),
            message: event.message.to_string(),
            action: event.action.as_str().to_owned(),
            subject: subject.to_owned(),
            member_id: member.map(ToString::to_string),
            value: event.value.clone(),
            created_revision: event.created.0,
            version: event.version,
            previous: event.previous.as_ref().map(|previous| PreviousDocument {
                value: previous.value.clone(),
                created_revision: previous.created.0,
                modified_revision: previous.modified.0,
                version: previous.version,
            }),
            while_forming: event.while_forming,
            by: event.actor.as_ref().map(|actor| actor.by.to_string()),
            from: event.actor.as_ref().and_then(|actor| actor.from),
        }
    }
}

impl EventDocument {
    pub fn read(&self, token: &Token, mut place: Place<'_>) -> Option<Event> {
        let at_revision = place.field("revision", revision(self.revision));
        let at = place.field("at", self.at.read());
        let action = place.field("action", self.action.parse());
        let kind = place.field("kind", self.kind.parse());
        let member = place.optional("member_id", self.member_id.as_ref().map(|id| id.parse::<MemberKey>()));
        let created = place.field("created_revision", revision(self.created_revision));
        let previous = self.previous.as_ref().map(|previous| previous.read(place.inside("previous")));
        let Some(subject) = subject_from_words(&self.subject, member?) else {
            place.inside("subject").wrong(format_args!(
                "{:?} must be cluster or size without a member_id, member with one, or lifecycle",
                self.subject
            ));
            return None;
        };
        Some(Event {
            token: token.clone(),
            revision: at_revision?,
            at: at?,
            action: action?,
            subject,
            value: self.value.clone(),
            created: created?,
            version: self.version,
            previous: match previous {
                Some(previous) => Some(previous?),
                None => None,
            },
            also_deleted: Vec::new(),
            actor: self.by.as_deref().map(|by| Actor { by: by.into(), from: self.from }),
            while_forming: self.while_forming,
            kind: kind?,
            message: self.message.clone().into(),
        })
    }
}

impl PreviousDocument {
    fn read(&self, mut place: Place<'_>) -> Option<Previous> {
        let created = place.field("created_revision", revision(self.created_revision));
        let modified = place.field("modified_revision", revision(self.modified_revision));
        Some(Previous { value: self.value.clone(), created: created?, modified: modified?, version: self.version })
    }
}
