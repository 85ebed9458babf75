//! The whole registry as one JSON document, which `export` writes and `import` reads.
//!
//! Fields have the names that they have in the API, or, if the API does not show them, the names of their columns. The document
//! contains the whole content of the database, so that clients see no difference after a move, and revisions continue. No field
//! is left out: `null` stands for no value, so a document that somebody has shortened by mistake is rejected.

mod admission;
mod cluster;
mod event;
mod held;
mod line_formatter;
mod member;
mod policy;
mod problems;
mod read;
mod refusal;
mod rfc3339_millis;
mod rules;
mod ticket;
mod used_token;
mod write;

pub use read::{DocumentError, read};
pub use write::Writer;

use serde::{Deserialize, Deserializer};

/// Distinguishes an export from other JSON.
const FORMAT: &str = "convene-registry";

/// Grows when a field is added or changes its meaning, because a reader must not ignore what it does not know.
const FORMAT_VERSION: u32 = 1;

/// Reads a field that may be `null` but must not be missing. By itself, serde takes a missing one for `null`.
fn or_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

#[cfg(test)]
mod tests;
