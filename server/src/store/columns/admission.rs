use std::{collections::BTreeSet, net::IpAddr};

use convene_lifecycle::{JoinToken, MemberName, NodeCredential, Revision, SecretHash, TurnedAway, UnixMillis};
use serde::{Deserialize, Serialize};

use super::{Cell, Column, Columns, Stored, column};
use crate::store::{StoreError, connection::Row, statement::Value};

/// The columns of `join_token`, apart from `cluster`.
pub(in crate::store) static JOIN_TOKEN: Columns<JoinToken, ()> =
    Columns { table: "join_token", columns: JOIN_TOKEN_COLUMNS };

#[rustfmt::skip]
const JOIN_TOKEN_COLUMNS: &[Column<JoinToken, ()>] = &[
    column("hash", |t| t.hash.to_value(), |t, _, cell| cell.read(&mut t.hash)),
    column("node", |t| t.node.to_value(), |t, _, cell| cell.read(&mut t.node)),
    column("cidr", |t| t.cidr.to_value(), |t, _, cell| cell.read(&mut t.cidr)),
    column("created_at", |t| t.created_at.to_value(), |t, _, cell| cell.read(&mut t.created_at)),
    column("expires_at", |t| t.expires_at.to_value(), |t, _, cell| cell.read(&mut t.expires_at)),
    column("uses", |t| t.uses.to_value(), |t, _, cell| cell.read(&mut t.uses)),
    column("used_by", |t| t.used_by.to_value(), |t, _, cell| cell.read(&mut t.used_by)),
    column("revoked_at", |t| t.revoked_at.to_value(), |t, _, cell| cell.read(&mut t.revoked_at)),
    column("modified_revision", |t| t.modified.to_value(), |t, _, cell| cell.read(&mut t.modified)),
];

/// The columns of `node_credential`, apart from `cluster` and `node`.
pub(in crate::store) static NODE_CREDENTIAL: Columns<NodeCredential, ()> =
    Columns { table: "node_credential", columns: NODE_CREDENTIAL_COLUMNS };

#[rustfmt::skip]
const NODE_CREDENTIAL_COLUMNS: &[Column<NodeCredential, ()>] = &[
    column("public_id", |c| c.id.to_value(), |c, _, cell| cell.read(&mut c.id)),
    column("hash", |c| c.hash.to_value(), |c, _, cell| cell.read(&mut c.hash)),
    column("next_hash", |c| c.next.to_value(), |c, _, cell| cell.read(&mut c.next)),
    column("created_at", |c| c.created_at.to_value(), |c, _, cell| cell.read(&mut c.created_at)),
    column("renewed_at", |c| c.renewed_at.to_value(), |c, _, cell| cell.read(&mut c.renewed_at)),
    column("revoked_at", |c| c.revoked_at.to_value(), |c, _, cell| cell.read(&mut c.revoked_at)),
    column("modified_revision", |c| c.modified.to_value(), |c, _, cell| cell.read(&mut c.modified)),
];

/// Reads a join token from a row that has the columns from an index on.
pub(in crate::store) fn read_join_token(row: &Row, first: usize) -> Result<JoinToken, StoreError> {
    let mut token = JoinToken {
        hash: SecretHash::new([0; 32]),
        node: None,
        cidr: None,
        created_at: UnixMillis(0),
        expires_at: UnixMillis(0),
        uses: 0,
        used_by: BTreeSet::new(),
        revoked_at: None,
        modified: Revision::FIRST,
    };
    JOIN_TOKEN.read(row, first, &mut token)?;
    Ok(token)
}

/// Reads a credential from a row that has the columns from an index on.
pub(in crate::store) fn read_node_credential(row: &Row, first: usize) -> Result<NodeCredential, StoreError> {
    let mut credential = NodeCredential {
        id: String::new(),
        hash: SecretHash::new([0; 32]),
        next: None,
        created_at: UnixMillis(0),
        renewed_at: None,
        revoked_at: None,
        modified: Revision::FIRST,
    };
    NODE_CREDENTIAL.read(row, first, &mut credential)?;
    Ok(credential)
}

/// Names with commas in between: etcd's names have none.
impl Stored for BTreeSet<MemberName> {
    const NULL: Value<'static> = Value::Text(None);

    fn to_value(&self) -> Value<'_> {
        self.iter().map(MemberName::as_str).collect::<Vec<_>>().join(",").into()
    }

    fn from_cell(cell: Cell<'_>) -> Result<Self, StoreError> {
        let names = cell.text()?.split(',').filter(|name| !name.is_empty());
        names.map(|name| name.parse().map_err(|error| cell.corrupt(error))).collect()
    }
}

/// A refused check-in in the JSON of the column.
#[derive(Serialize, Deserialize)]
struct StoredTurnedAway {
    node: String,
    code: String,
    from: Option<IpAddr>,
    /// Milliseconds since 1970.
    at: i64,
}

/// A list in JSON; empty if there are none.
impl Stored for Vec<TurnedAway> {
    const NULL: Value<'static> = Value::Text(None);

    fn to_value(&self) -> Value<'_> {
        if self.is_empty() {
            return String::new().into();
        }
        let stored = self.iter().map(|TurnedAway { node, code, from, at }| StoredTurnedAway {
            node: node.to_string(),
            code: code.clone(),
            from: *from,
            at: at.0,
        });
        let stored: Vec<StoredTurnedAway> = stored.collect();
        serde_json::to_string(&stored).expect("texts and numbers can be written as JSON").into()
    }

    fn from_cell(cell: Cell<'_>) -> Result<Self, StoreError> {
        let text = cell.text()?;
        if text.is_empty() {
            return Ok(Self::new());
        }
        let stored: Vec<StoredTurnedAway> = serde_json::from_str(text).map_err(|error| cell.corrupt(error))?;
        let read = |StoredTurnedAway { node, code, from, at }| {
            let node = node.parse().map_err(|error| cell.corrupt(error))?;
            Ok(TurnedAway { node, code, from, at: UnixMillis(at) })
        };
        stored.into_iter().map(read).collect()
    }
}
