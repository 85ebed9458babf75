//! Connections: accepting them, TLS, who is at the other end, and what that may hold.
//!
//! [`bind`] binds the port and [`accept()`] accepts. A request reaches the router with a [`ClientAddress`], and with a
//! [`ClientCertificate`] if the client has shown one that was verified.
//!
//! [`Limits`] has what all clients hold: connections and waits are counted by [`tally`], bytes by [`budget`]. A request's head
//! and body count until it is answered, and each piece of an answer until it is written to the socket ([`body`]). A connection
//! beyond the limit is answered once, health checks truly and all else with a refusal ([`overflow`]). A long poll waits outside the HTTP
//! library ([`resting`]).

mod accept;
mod body;
mod budget;
mod client;
pub mod forwarded;
mod http1;
mod http2;
mod limits;
mod listen;
mod network;
mod overflow;
mod proxies;
pub mod proxy_protocol;
mod resets;
mod resting;
mod rewound;
mod serve;
mod service;
mod stream;
mod tally;
mod timed_io;
mod tls;

pub use accept::{Connections, accept};
pub use client::{ClientAddress, ClientCertificate, fingerprint};
pub use limits::{Limits, TooManyWaits, Wait};
pub use listen::bind;
pub use network::Network;
pub use overflow::Overflow;
pub use resting::Rests;
pub use tls::{CurrentTls, TlsError, reload_on_change};
