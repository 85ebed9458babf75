use std::borrow::Cow;

use convene_lifecycle::{Action, Actor, Event, EventKind, MemberKey, Previous, Revision, Subject, Token, UnixMillis};

use super::{Column, Columns, Stored, column};
use crate::store::{StoreError, connection::Row, statement::Value};

/// The columns of `event`, apart from the `cluster` that the event belongs to. An event never changes.
pub(in crate::store) static EVENT: Columns<Event, EventParts> = Columns { table: "event", columns: COLUMNS };

#[rustfmt::skip]
const COLUMNS: &[Column<Event, EventParts>] = &[
    column("revision", |e| e.revision.to_value(), |e, _, cell| cell.read(&mut e.revision)),
    column("at", |e| e.at.to_value(), |e, _, cell| cell.read(&mut e.at)),
    column("action", |e| e.action.to_value(), |e, _, cell| cell.read(&mut e.action)),
    column("value", |e| e.value.to_value(), |e, _, cell| cell.read(&mut e.value)),
    column("created_revision", |e| e.created.to_value(), |e, _, cell| cell.read(&mut e.created)),
    column("version", |e| e.version.to_value(), |e, _, cell| cell.read(&mut e.version)),
    column("while_forming", |e| e.while_forming.to_value(), |e, _, cell| cell.read(&mut e.while_forming)),
    column("kind", |e| e.kind.to_value(), |e, _, cell| cell.read(&mut e.kind)),
    column("message", |e| (*e.message).into(), |e, _, cell| read_message(cell, &mut e.message)),

    column("subject", |e| subject_words(&e.subject).0.into(), |_, parts, cell| cell.read(&mut parts.subject)),
    // Null: the subject is not a member.
    column("member_key", member_key, |_, parts, cell| cell.read(&mut parts.member_key)),

    // Null: not known; the address also if the server itself made the change.
    column("actor", |e| of_actor(e, |actor| Some(String::from(&*actor.by))), |_, parts, cell| cell.read(&mut parts.actor)),
    column("actor_address", |e| of_actor(e, |actor| actor.from.map(|from| from.to_string())), |_, parts, cell| cell.read(&mut parts.actor_address)),

    // Null, apart from the value: the subject was not there before.
    column("previous_value", |e| of_previous(e, |previous| previous.value.as_ref()), |_, parts, cell| cell.read(&mut parts.previous_value)),
    column("previous_created_revision", |e| of_previous(e, |previous| Some(&previous.created)), |_, parts, cell| cell.read(&mut parts.previous_created)),
    column("previous_modified_revision", |e| of_previous(e, |previous| Some(&previous.modified)), |_, parts, cell| cell.read(&mut parts.previous_modified)),
    column("previous_version", |e| of_previous(e, |previous| Some(&previous.version)), |_, parts, cell| cell.read(&mut parts.previous_version)),
];

/// What is not yet a field of the event.
#[derive(Default)]
pub(in crate::store) struct EventParts {
    subject: String,
    member_key: Option<MemberKey>,
    actor: Option<String>,
    actor_address: Option<String>,
    previous_value: Option<String>,
    previous_created: Option<Revision>,
    previous_modified: Option<Revision>,
    previous_version: Option<u64>,
}

/// Reads an event from a row that has the columns from an index on.
pub(in crate::store) fn read_event(token: Token, row: &Row, first: usize) -> Result<Event, StoreError> {
    let mut event = unread(token);
    let parts = EVENT.read(row, first, &mut event)?;
    let subject = subject_from_words(&parts.subject, parts.member_key);
    event.subject = subject.ok_or_else(|| StoreError::corrupt("event", "subject", parts.subject))?;
    event.actor = read_actor(parts.actor, parts.actor_address)?;
    event.previous = match (parts.previous_created, parts.previous_modified, parts.previous_version) {
        (Some(created), Some(modified), Some(version)) => {
            Some(Previous { value: parts.previous_value, created, modified, version })
        }
        (None, None, None) => None,
        _ => {
            return Err(StoreError::corrupt(
                "event",
                "previous_version",
                "only a part of the previous state is stored",
            ));
        }
    };
    Ok(event)
}

/// The words for a subject, as the database and an export have them: what it is, and which member if it is one.
pub fn subject_words(subject: &Subject) -> (&'static str, Option<&MemberKey>) {
    match subject {
        Subject::Cluster => ("cluster", None),
        Subject::Size => ("size", None),
        Subject::Member(key) => ("member", Some(key)),
        Subject::Lifecycle(key) => ("lifecycle", key.as_ref()),
    }
}

/// The subject of [`subject_words`].
pub fn subject_from_words(word: &str, member: Option<MemberKey>) -> Option<Subject> {
    match (word, member) {
        ("cluster", None) => Some(Subject::Cluster),
        ("size", None) => Some(Subject::Size),
        ("member", Some(key)) => Some(Subject::Member(key)),
        ("lifecycle", key) => Some(Subject::Lifecycle(key)),
        _ => None,
    }
}

/// An event whose fields all stand for what is about to be read.
fn unread(token: Token) -> Event {
    Event {
        token,
        revision: Revision::FIRST,
        at: UnixMillis(0),
        action: Action::Create,
        subject: Subject::Cluster,
        value: None,
        created: Revision::FIRST,
        version: 0,
        previous: None,
        // Not stored: only those who are connected when a cluster is deleted need it.
        also_deleted: Vec::new(),
        while_forming: false,
        kind: EventKind::ClusterCreated,
        message: Cow::Borrowed(""),
        actor: None,
    }
}

fn read_message(cell: super::Cell<'_>, into: &mut Cow<'static, str>) -> Result<(), StoreError> {
    *into = String::from_cell(cell)?.into();
    Ok(())
}

fn read_actor(by: Option<String>, from: Option<String>) -> Result<Option<Actor>, StoreError> {
    let Some(by) = by else { return Ok(None) };
    let from = from.map(|from| from.parse().map_err(|error| StoreError::corrupt("event", "actor_address", error)));
    Ok(Some(Actor { by: by.into(), from: from.transpose()? }))
}

fn of_actor<'a>(event: &'a Event, part: impl FnOnce(&'a Actor) -> Option<String>) -> Value<'a> {
    event.actor.as_ref().and_then(part).into()
}

fn member_key(event: &Event) -> Value<'_> {
    subject_words(&event.subject).1.map_or(MemberKey::NULL, MemberKey::to_value)
}

fn of_previous<'a, T: Stored>(event: &'a Event, part: impl FnOnce(&'a Previous) -> Option<&'a T>) -> Value<'a> {
    event.previous.as_ref().and_then(part).map_or(T::NULL, T::to_value)
}
