use convene_lifecycle::{MemberName, NodeRefusal, RecordedRefusal};
use serde::{Deserialize, Serialize};

use super::{problems::Place, rfc3339_millis::Rfc3339Millis};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusalDocument {
    node: String,
    instruction: String,
    found: String,
    at: Rfc3339Millis,
}

impl From<&RecordedRefusal> for RefusalDocument {
    fn from(RecordedRefusal { node, refusal, at }: &RecordedRefusal) -> Self {
        Self {
            node: node.to_string(),
            instruction: refusal.task.clone(),
            found: refusal.found.clone(),
            at: (*at).into(),
        }
    }
}

impl RefusalDocument {
    pub fn read(&self, mut place: Place<'_>) -> Option<RecordedRefusal> {
        let node = place.field("node", self.node.parse::<MemberName>());
        let at = place.field("at", self.at.read());
        let refusal = NodeRefusal { task: self.instruction.clone(), found: self.found.clone() };
        Some(RecordedRefusal { node: node?, refusal, at: at? })
    }
}
