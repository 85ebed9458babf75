use std::borrow::Cow;

use convene_lifecycle::Reason;
use serde::{Serialize, Serializer};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use crate::api::body::text;

/// A reason by its name.
#[derive(Debug)]
pub struct ReasonWord(pub Reason);

impl Serialize for ReasonWord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl ToSchema for ReasonWord {
    fn name() -> Cow<'static, str> {
        "Reason".into()
    }
}

/// The description lists all reasons. The schema is not an `enum`, because later versions may have more.
impl PartialSchema for ReasonWord {
    fn schema() -> RefOr<Schema> {
        let mut description = "Why a node gets an instruction. Later versions may have more reasons.\n".to_owned();
        for reason in Reason::ALL {
            let tasks = reason.tasks().join("`, `");
            description += &format!("\n- `{reason}` (with `{tasks}`): {}", reason.description());
        }
        text().description(Some(description)).examples([Reason::RosterComplete.as_str()]).into()
    }
}
