use std::{collections::BTreeMap, fmt::Display, time::Duration};

use convene_lifecycle::{
    Action, Cidr, ClientUrl, ClusterId, ClusterName, ClusterSize, Discovery, DiscoveryUrl, DiskId, Epoch, EventKind,
    HoldReason, JoinPolicy, MemberKey, MemberName, PeerUrl, Protocol, Registration, Revision, RunId, SecretHash,
    Setback, StockWrites, Strategy, Token, UnixMillis,
};

use super::Cell;
use crate::store::{StoreError, statement::Value};

/// A type whose values are stored in one column, as a text or as an integer of 64 bits.
pub(in crate::store) trait Stored: Sized + 'static {
    /// Null, with the type that PostgreSQL wants to know.
    const NULL: Value<'static>;

    fn to_value(&self) -> Value<'_>;

    /// The value of a cell that is not null, unless the type itself can be null.
    fn from_cell(cell: Cell<'_>) -> Result<Self, StoreError>;
}

const NULL_INTEGER: Value<'static> = Value::Integer(None);
const NULL_TEXT: Value<'static> = Value::Text(None);

/// `None` is null.
impl<T: Stored> Stored for Option<T> {
    const NULL: Value<'static> = T::NULL;

    fn to_value(&self) -> Value<'_> {
        self.as_ref().map_or(T::NULL, T::to_value)
    }

    fn from_cell(cell: Cell<'_>) -> Result<Self, StoreError> {
        if cell.is_null()? { Ok(None) } else { T::from_cell(cell).map(Some) }
    }
}

/// 0 is false; anything else is true.
impl Stored for bool {
    const NULL: Value<'static> = NULL_INTEGER;

    fn to_value(&self) -> Value<'_> {
        i64::from(*self).into()
    }

    fn from_cell(cell: Cell<'_>) -> Result<Self, StoreError> {
        Ok(cell.integer()? != 0)
    }
}

/// Counters start near 0 and grow by single changes, so they never reach the end of a BIGINT.
impl Stored for u64 {
    const NULL: Value<'static> = NULL_INTEGER;

    fn to_value(&self) -> Value<'_> {
        (*self as i64).into()
    }

    fn from_cell(cell: Cell<'_>) -> Result<Self, StoreError> {
        Self::try_from(cell.integer()?).map_err(|error| cell.corrupt(error))
    }
}

impl Stored for u32 {
    const NULL: Value<'static> = NULL_INTEGER;

    fn to_value(&self) -> Value<'_> {
        i64::from(*self).into()
    }

    fn from_cell(cell: Cell<'_>) -> Result<Self, StoreError> {
        Self::try_from(cell.integer()?).map_err(|error| cell.corrupt(error))
    }
}

impl Stored for Revision {
    const NULL: Value<'static> = NULL_INTEGER;

    fn to_value(&self) -> Value<'_> {
        self.0.to_value()
    }

    fn from_cell(cell: Cell<'_>) -> Result<Self, StoreError> {
        u64::from_cell(cell).map(Self)
    }
}

impl Stored for Epoch {
    const NULL: Value<'static> = NULL_INTEGER;

    fn to_value(&self) -> Value<'_> {
        self.0.to_value()
    }

    fn from_cell(cell: Cell<'_>) -> Result<Self, StoreError> {
        u32::from_cell(cell).map(Self)
    }
}

impl Stored for ClusterSize {
    const NULL: Value<'static> = NULL_INTEGER;

    fn to_value(&self) -> Value<'_> {
        i64::from(self.get()).into()
    }

    fn from_cell(cell: Cell<'_>) -> Result<Self, StoreError> {
        Self::new(u32::from_cell(cell)?).ok_or_else(|| cell.corrupt("0"))
    }
}

impl Stored for UnixMillis {
    const NULL: Value<'static> = NULL_INTEGER;

    fn to_value(&self) -> Value<'_> {
        self.0.into()
    }

    fn from_cell(cell: Cell<'_>) -> Result<Self, StoreError> {
        cell.integer().map(Self)
    }
}

/// Milliseconds.
impl Stored for Duration {
    const NULL: Value<'static> = NULL_INTEGER;

    fn to_value(&self) -> Value<'_> {
        i64::try_from(self.as_millis()).unwrap_or(i64::MAX).into()
    }

    fn from_cell(cell: Cell<'_>) -> Result<Self, StoreError> {
        u64::from_cell(cell).map(Self::from_millis)
    }
}

impl Stored for String {
    const NULL: Value<'static> = NULL_TEXT;

    fn to_value(&self) -> Value<'_> {
        self.as_str().into()
    }

    fn from_cell(cell: Cell<'_>) -> Result<Self, StoreError> {
        cell.text().map(str::to_owned)
    }
}

/// `name=URL[,name=URL…]`. Limits on its length have changed over time.
impl Stored for Registration {
    const NULL: Value<'static> = NULL_TEXT;

    fn to_value(&self) -> Value<'_> {
        self.to_string().into()
    }

    fn from_cell(cell: Cell<'_>) -> Result<Self, StoreError> {
        Self::parse_of_any_length(cell.text()?).map_err(|error| cell.corrupt(error))
    }
}

impl Stored for Protocol {
    const NULL: Value<'static> = NULL_TEXT;

    fn to_value(&self) -> Value<'_> {
        self.as_str().into()
    }

    fn from_cell(cell: Cell<'_>) -> Result<Self, StoreError> {
        let all = [Self::Discovery(Discovery::V2), Self::Discovery(Discovery::V3), Self::CheckIn];
        let text = cell.text()?;
        all.into_iter().find(|protocol| protocol.as_str() == text).ok_or_else(|| cell.corrupt(text))
    }
}

/// `name=count@milliseconds`, with commas in between: etcd's names have neither `=` nor `,`.
impl Stored for BTreeMap<MemberName, Setback> {
    const NULL: Value<'static> = NULL_TEXT;

    fn to_value(&self) -> Value<'_> {
        let entries = self.iter().map(|(name, Setback { count, at })| format!("{name}={count}@{}", at.0));
        entries.collect::<Vec<_>>().join(",").into()
    }

    fn from_cell(cell: Cell<'_>) -> Result<Self, StoreError> {
        let text = cell.text()?;
        let read = |entry: &str| {
            let (name, setback) = entry.split_once('=')?;
            let (count, at) = setback.split_once('@')?;
            let setback = Setback { count: count.parse().ok()?, at: UnixMillis(at.parse().ok()?) };
            Some((name.parse().ok()?, setback))
        };
        let entries = text.split(',').filter(|entry| !entry.is_empty());
        entries.map(|entry| read(entry).ok_or_else(|| cell.corrupt(entry))).collect()
    }
}

/// Types that are stored as the text that a method of theirs returns, and that parse from that text.
macro_rules! stored_as_text {
    ($($type:ty => $method:ident,)*) => {
        $(
            impl Stored for $type {
                const NULL: Value<'static> = NULL_TEXT;

                fn to_value(&self) -> Value<'_> {
                    self.$method().into()
                }

                fn from_cell(cell: Cell<'_>) -> Result<Self, StoreError> {
                    cell.text()?.parse().map_err(|error| cell.corrupt(error))
                }
            }
        )*
    };
}

stored_as_text! {
    Token => as_str,
    ClusterName => to_string,
    ClusterId => to_string,
    Strategy => as_str,
    StockWrites => as_str,
    JoinPolicy => as_str,
    SecretHash => to_string,
    Cidr => to_string,
    MemberKey => as_str,
    MemberName => as_str,
    RunId => as_str,
    DiskId => as_str,
    Action => as_str,
    EventKind => as_str,
    HoldReason => as_str,
    DiscoveryUrl => as_str,
}

/// Types of which a list is stored in one column, with commas in between: no text of theirs has a comma in it.
macro_rules! stored_as_list {
    ($($type:ty,)*) => {
        $(
            impl Stored for Vec<$type> {
                const NULL: Value<'static> = NULL_TEXT;

                fn to_value(&self) -> Value<'_> {
                    joined(self).into()
                }

                fn from_cell(cell: Cell<'_>) -> Result<Self, StoreError> {
                    let items = cell.text()?.split(',').filter(|item| !item.is_empty());
                    items.map(|item| item.parse().map_err(|error| cell.corrupt(error))).collect()
                }
            }
        )*
    };
}

stored_as_list! {
    ClusterId,
    ClientUrl,
    PeerUrl,
}

fn joined(items: &[impl Display]) -> String {
    items.iter().map(|item| item.to_string()).collect::<Vec<_>>().join(",")
}
