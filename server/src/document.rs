//! The whole registry as one JSON document: what `export` writes and `import` reads.
//!
//! Fields are called as the API calls them, and as the tables' columns where the API does not show them. Everything is
//! in it that the database keeps, so that a registry that was moved is the same to whoever knew it, and goes on counting
//! where it was. A field is never left out: `null` says that there is nothing, and a document that somebody has
//! shortened by mistake is not taken for another registry.

mod cluster;
mod event;
mod line_formatter;
mod member;
mod policy;
mod problems;
mod read;
mod rfc3339_millis;
mod rules;
mod ticket;
mod used_token;
mod write;

pub use read::{Unreadable, read};
pub use write::Writer;

use serde::{Deserialize, Deserializer};

/// What tells such a document from other JSON.
const FORMAT: &str = "convene-registry";

/// Grows when a field is added or comes to mean something else: whoever reads must not pass over what it does not know.
const FORMAT_VERSION: u32 = 1;

/// An optional field that has to be there: serde would take a missing one for `null`.
fn or_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

#[cfg(test)]
mod tests;
