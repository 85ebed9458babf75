//! What an attacker can't do to a node: docs/security.md has the list.

mod local_user;
