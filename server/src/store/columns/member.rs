use convene_lifecycle::{
    Announcer, DiskId, Downtime, Founder, Member, MemberKey, Registration, Removal, Revision, Role, RunId, StartIssued,
    UnixMillis,
};

use super::{Column, Columns, Stored, column};
use crate::store::{StoreError, connection::Row, statement::Value};

/// The columns of `member` that change. `cluster` and `key` stay as they were inserted.
pub(in crate::store) static MEMBER: Columns<Member, MemberParts> = Columns { table: "member", columns: COLUMNS };

#[rustfmt::skip]
const COLUMNS: &[Column<Member, MemberParts>] = &[
    column("registration", |m| m.registration.to_value(), |m, _, cell| cell.read(&mut m.registration)),
    column("created_revision", |m| m.created.to_value(), |m, _, cell| cell.read(&mut m.created)),
    column("modified_revision", |m| m.modified.to_value(), |m, _, cell| cell.read(&mut m.modified)),
    column("registered_revision", |m| m.registered.to_value(), |m, _, cell| cell.read(&mut m.registered)),
    column("version", |m| m.version.to_value(), |m, _, cell| cell.read(&mut m.version)),
    column("client_urls", |m| m.client_urls.to_value(), |m, _, cell| cell.read(&mut m.client_urls)),
    column("learner", |m| (m.role == Role::Learner).into(), |_, parts, cell| cell.read(&mut parts.learner)),
    column("started", |m| m.started.to_value(), |m, _, cell| cell.read(&mut m.started)),
    column("evicted_at", |m| m.eviction.to_value(), |m, _, cell| cell.read(&mut m.eviction)),
    // Null: no downtime was announced.
    column("downtime_until", downtime_until, |_, parts, cell| cell.read(&mut parts.downtime_until)),
    column("own_downtime_until", own_downtime_until, |_, parts, cell| cell.read(&mut parts.own_downtime_until)),

    column("founder", |m| m.founder.is_some().into(), |_, parts, cell| cell.read(&mut parts.founder)),
    // Null, all three: the server has not told the founder to bootstrap, or another member's node to join.
    column("told_run", |m| of_issued(m, |issued| &issued.run), |_, parts, cell| cell.read(&mut parts.issued_to)),
    column("told_at", |m| of_issued(m, |issued| &issued.at), |_, parts, cell| cell.read(&mut parts.issued_at)),
    // Null, too: the node did not report its disk. It stays when the other two become null.
    column("told_disk", told_disk, |_, parts, cell| cell.read(&mut parts.issued_on)),

    // Null: the member has not been removed.
    column("removed_revision", removed_at, |_, parts, cell| cell.read(&mut parts.removed_at)),
    column("removal_confirmed", is_removal_confirmed, |_, parts, cell| cell.read(&mut parts.is_removal_confirmed)),
    column("given_up", is_given_up, |_, parts, cell| cell.read(&mut parts.is_given_up)),
];

/// What is not yet a field of the member.
#[derive(Default)]
pub(in crate::store) struct MemberParts {
    learner: bool,
    downtime_until: Option<UnixMillis>,
    own_downtime_until: Option<UnixMillis>,
    founder: bool,
    issued_to: Option<RunId>,
    issued_at: Option<UnixMillis>,
    issued_on: Option<DiskId>,
    removed_at: Option<Revision>,
    is_removal_confirmed: bool,
    is_given_up: bool,
}

/// Reads a member from a row that has the columns from an index on.
pub(in crate::store) fn read_member(key: MemberKey, row: &Row, first: usize) -> Result<Member, StoreError> {
    let mut member = unread(key);
    let parts = MEMBER.read(row, first, &mut member)?;
    member.role = if parts.learner { Role::Learner } else { Role::Voter };
    member.downtime = parts.downtime_until.map(|until| {
        // A server of the version before may have changed `downtime_until` alone.
        let is_own = parts.own_downtime_until == Some(until);
        Downtime { until, by: if is_own { Announcer::Node } else { Announcer::Administrator } }
    });
    let disk = parts.issued_on;
    let issued = parts.issued_to.zip(parts.issued_at);
    let issued = issued.map(|(run, at)| StartIssued { run, at, disk: disk.clone() });
    match parts.founder {
        true => {
            let disk = disk.filter(|_| issued.is_none());
            member.founder = Some(Founder { issued, disk });
        }
        false => member.join_issued = issued,
    }
    member.removed =
        parts.removed_at.map(|at| Removal { at, confirmed: parts.is_removal_confirmed, given_up: parts.is_given_up });
    Ok(member)
}

/// A member whose fields all stand for what is about to be read.
fn unread(key: MemberKey) -> Member {
    let name = "unread".parse().expect("it is a name");
    Member {
        key,
        registration: Registration { name, peer_urls: Vec::new() },
        client_urls: Vec::new(),
        role: Role::Voter,
        started: false,
        founder: None,
        join_issued: None,
        eviction: None,
        downtime: None,
        created: Revision::FIRST,
        modified: Revision::FIRST,
        registered: Revision::FIRST,
        version: 0,
        removed: None,
    }
}

fn of_issued<'a, T: Stored>(member: &'a Member, part: impl FnOnce(&'a StartIssued) -> &'a T) -> Value<'a> {
    issued(member).map(part).map_or(T::NULL, T::to_value)
}

fn downtime_until(member: &Member) -> Value<'_> {
    member.downtime.as_ref().map_or(UnixMillis::NULL, |downtime| downtime.until.to_value())
}

fn own_downtime_until(member: &Member) -> Value<'_> {
    let own = member.downtime.as_ref().filter(|downtime| downtime.by == Announcer::Node);
    own.map_or(UnixMillis::NULL, |downtime| downtime.until.to_value())
}

fn told_disk(member: &Member) -> Value<'_> {
    member.disk().map_or(DiskId::NULL, DiskId::to_value)
}

fn issued(member: &Member) -> Option<&StartIssued> {
    match &member.founder {
        Some(founder) => founder.issued.as_ref(),
        None => member.join_issued.as_ref(),
    }
}

fn removed_at(member: &Member) -> Value<'_> {
    member.removed.as_ref().map_or(Revision::NULL, |removal| removal.at.to_value())
}

fn is_given_up(member: &Member) -> Value<'_> {
    member.removed.is_some_and(|removal| removal.given_up).into()
}

fn is_removal_confirmed(member: &Member) -> Value<'_> {
    member.removed.is_some_and(|removal| removal.confirmed).into()
}
