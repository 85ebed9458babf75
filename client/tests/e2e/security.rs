//! What an attacker can't do to a node: docs/security.md has the list.

mod credentials;
mod false_server;
mod local_user;
mod output;
mod raw_server;
mod refused_credentials;
mod registry_tls;
