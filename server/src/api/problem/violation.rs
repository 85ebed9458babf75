use std::borrow::Cow;

use serde::Serialize;
use utoipa::ToSchema;

/// How much of what was given is quoted.
const SHOWN: usize = 32;

/// One thing that is wrong with what was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Violation {
    /// Where: `size`, `policy.dead_after_seconds`, `peer_urls[1]`; empty for the whole.
    field: String,
    /// What is wrong there, and what would be right.
    message: String,
}

impl Violation {
    /// A field, and what is wrong with it.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// As much of a given text as is quoted back.
pub fn shown(given: &str) -> Cow<'_, str> {
    match given.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &given[..end]).into(),
        None => given.into(),
    }
}
