//! The part of etcd's API that Convene speaks.
//!
//! - [`Client`] calls one etcd by gRPC at its client URL: for the member list through the quorum, for its status, and for
//!   membership changes.
//! - [`Connector`] creates clients that share a login.
//! - [`PeerClient`] reads one etcd's own member list by HTTP at its peer URL, which also works without a quorum.
//! - [`MetricsClient`] reads by HTTP what one etcd has heard from its peers.
//! - [`Access`] has the certificates and the user for a connection, and says which etcds may be sent the password.
//! - [`EtcdError`] is why a call failed, by what the caller can do about it.
//!
//! Nothing here retries, waits for a condition or chooses among endpoints: every call ends within its timeout with a result
//! or an error. The behaviour of each etcd version is known from its source. `tests/` checks it on real etcds of all
//! supported versions.
//!
//! [`wire`] has the messages and services, for servers. The rest needs the feature `client`.

#[cfg(feature = "client")]
mod access;
#[cfg(feature = "client")]
mod classify;
#[cfg(feature = "client")]
mod client;
mod codec;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
mod http;
#[cfg(feature = "client")]
mod login;
#[cfg(feature = "client")]
mod loopback;
#[cfg(feature = "client")]
mod members;
#[cfg(feature = "client")]
mod metrics;
#[cfg(feature = "client")]
mod peer_port;
#[cfg(feature = "client")]
mod peers;
#[cfg(feature = "client")]
mod tls;
pub mod wire;

#[cfg(feature = "client")]
pub use self::{
    access::{Access, SendPassword, User},
    classify::explain as explain_tls_error,
    client::{Client, Connector},
    error::EtcdError,
    members::{ListedMember, MemberList, Status},
    metrics::{MetricsClient, PeerMetrics},
    peer_port::PeerPort,
    peers::PeerClient,
    tls::{ClearText, Tls, TlsFileError, TlsFileProblem, TlsIdentity},
};
