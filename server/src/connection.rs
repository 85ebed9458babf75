//! Connections: accepting them, TLS, and who is at the other end.
//!
//! [`listen`] binds the port and [`accept`] accepts. A request reaches the router with a [`ClientAddress`], and with a
//! [`ClientCertificate`] if the client has shown one that was verified.

mod accept;
mod client;
mod listen;
mod serve;
mod tls;

pub use accept::{Connections, accept};
#[allow(unused_imports, reason = "for the roles of client certificates")]
pub use client::{ClientAddress, ClientCertificate};
pub use listen::bind;
pub use tls::{CurrentTls, TlsError, reload_on_change};
