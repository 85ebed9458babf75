use std::borrow::Cow;

use serde::Serialize;
use utoipa::ToSchema;

/// How many characters of an invalid value are quoted.
const SHOWN: usize = 32;

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Violation {
    /// The field: `size`, `policy.dead_after_seconds`, `peer_urls[1]`; empty for the whole body.
    field: String,
    /// What is wrong, and what would be right.
    message: String,
}

impl Violation {
    /// A violation in a field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }

    /// The field.
    pub fn field(&self) -> &str {
        &self.field
    }
}

/// The part of an invalid value that is quoted.
pub fn shown(given: &str) -> Cow<'_, str> {
    match given.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &given[..end]).into(),
        None => given.into(),
    }
}
