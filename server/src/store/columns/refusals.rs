use convene_lifecycle::{NodeRefusal, RecordedRefusal, UnixMillis};
use serde::{Deserialize, Serialize};

use super::{Cell, Stored};
use crate::store::{StoreError, statement::Value};

/// A refusal in the JSON of the column.
#[derive(Serialize, Deserialize)]
struct StoredRefusal {
    node: String,
    instruction: String,
    found: String,
    /// Milliseconds since 1970.
    at: i64,
}

/// A list in JSON; empty if there are none.
impl Stored for Vec<RecordedRefusal> {
    const NULL: Value<'static> = Value::Text(None);

    fn to_value(&self) -> Value<'_> {
        if self.is_empty() {
            return String::new().into();
        }
        let stored: Vec<StoredRefusal> = self.iter().map(StoredRefusal::from).collect();
        serde_json::to_string(&stored).expect("texts and numbers can be written as JSON").into()
    }

    fn from_cell(cell: Cell<'_>) -> Result<Self, StoreError> {
        let text = cell.text()?;
        if text.is_empty() {
            return Ok(Self::new());
        }
        let stored: Vec<StoredRefusal> = serde_json::from_str(text).map_err(|error| cell.corrupt(error))?;
        stored.into_iter().map(|stored| stored.read().ok_or_else(|| cell.corrupt(text))).collect()
    }
}

impl From<&RecordedRefusal> for StoredRefusal {
    fn from(RecordedRefusal { node, refusal, at }: &RecordedRefusal) -> Self {
        let NodeRefusal { task, found } = refusal.clone();
        Self { node: node.to_string(), instruction: task, found, at: at.0 }
    }
}

impl StoredRefusal {
    fn read(self) -> Option<RecordedRefusal> {
        let refusal = NodeRefusal { task: self.instruction, found: self.found };
        Some(RecordedRefusal { node: self.node.parse().ok()?, refusal, at: UnixMillis(self.at) })
    }
}
