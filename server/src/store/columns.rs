//! The columns of the tables `cluster`, `member` and `event`: for each one its name, how it is written, and how it is read.
//!
//! These lists drive every statement that writes or reads such rows, so a new column is one line in one of them (and a
//! migration). A column that is a key of its table, such as `cluster.token`, stands in the statements themselves.

mod admission;
mod cluster;
mod event;
mod member;
mod refusals;
mod stored;

use super::{StoreError, connection::Row, statement::Value, table::Table};

pub(super) use admission::{JOIN_TOKEN, NODE_CREDENTIAL, read_join_token, read_node_credential};
pub(super) use cluster::{CLUSTER, read_cluster};
pub(super) use event::{EVENT, read_event};
pub(super) use member::{MEMBER, read_member};
pub(super) use stored::Stored;

pub use event::{subject_from_words, subject_words};

/// A list of columns. A row is written from an `E`. It is read into an `E`, and where several columns make up one field,
/// into `Parts`, from which the field is put together after all columns have been read.
pub(super) struct Columns<E: 'static, Parts: 'static> {
    table: &'static str,
    columns: &'static [Column<E, Parts>],
}

struct Column<E, Parts> {
    name: &'static str,
    write: for<'a> fn(&'a E) -> Value<'a>,
    read: fn(&mut E, &mut Parts, Cell<'_>) -> Result<(), StoreError>,
}

/// One value of a row that is being read.
#[derive(Clone, Copy)]
pub(super) struct Cell<'r> {
    row: &'r Row,
    index: usize,
    table: &'static str,
    column: &'static str,
}

const fn column<E, Parts>(
    name: &'static str,
    write: for<'a> fn(&'a E) -> Value<'a>,
    read: fn(&mut E, &mut Parts, Cell<'_>) -> Result<(), StoreError>,
) -> Column<E, Parts> {
    Column { name, write, read }
}

impl<E, Parts: Default> Columns<E, Parts> {
    /// How many columns there are.
    pub const fn len(&self) -> usize {
        self.columns.len()
    }

    /// `a, b`
    pub fn names(&self) -> String {
        self.joined(|name| name.to_owned())
    }

    /// `source.a, source.b`
    pub fn names_of(&self, source: &str) -> String {
        self.joined(|name| format!("{source}.{name}"))
    }

    /// `a = source.a, b = source.b`
    pub fn assignments(&self, source: &str) -> String {
        self.joined(|name| format!("{name} = {source}.{name}"))
    }

    fn joined(&self, piece: impl Fn(&str) -> String) -> String {
        self.columns.iter().map(|column| piece(column.name)).collect::<Vec<_>>().join(", ")
    }

    /// Adds the columns that have a value in some row. The others are null, as in a row that a statement inserts without them.
    pub fn add_known<'a>(&self, table: &mut Table<'a>, rows: impl Iterator<Item = &'a E> + Clone) {
        for column in self.columns {
            let values = rows.clone().map(column.write);
            if values.clone().any(|value| !value.is_null()) {
                table.column(column.name, values);
            }
        }
    }

    /// Adds the columns in which some row differs from what it was before. Those of a row that was not known before all differ.
    pub fn add_changed<'a>(&self, table: &mut Table<'a>, rows: impl Iterator<Item = (Option<&'a E>, &'a E)> + Clone) {
        for column in self.columns {
            let is_changed = |(before, after): (Option<&'a E>, &'a E)| {
                before.is_none_or(|before| (column.write)(before) != (column.write)(after))
            };
            if rows.clone().any(is_changed) {
                table.column(column.name, rows.clone().map(|(_, after)| (column.write)(after)));
            }
        }
    }

    /// Reads all columns, in the order of [`Columns::names`], from a row that has the first of them at an index. Fills
    /// `entity`, and returns the parts that are left to put together.
    fn read(&self, row: &Row, first: usize, entity: &mut E) -> Result<Parts, StoreError> {
        let mut parts = Parts::default();
        for (n, column) in self.columns.iter().enumerate() {
            let cell = Cell { row, index: first + n, table: self.table, column: column.name };
            (column.read)(entity, &mut parts, cell)?;
        }
        Ok(parts)
    }
}

impl Cell<'_> {
    /// Reads the value into a field.
    fn read<T: Stored>(self, into: &mut T) -> Result<(), StoreError> {
        *into = T::from_cell(self)?;
        Ok(())
    }

    fn integer(&self) -> Result<i64, StoreError> {
        Ok(self.row.try_get(self.index)?)
    }

    fn text(&self) -> Result<&str, StoreError> {
        Ok(self.row.try_get(self.index)?)
    }

    fn is_null(&self) -> Result<bool, StoreError> {
        Ok(self.row.is_null(self.index)?)
    }

    fn corrupt(&self, reason: impl std::fmt::Display) -> StoreError {
        StoreError::corrupt(self.table, self.column, reason)
    }
}
