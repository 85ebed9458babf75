//! The part of etcd's API that Convene speaks.
//!
//! - [`Client`] asks one etcd by gRPC at its client URL: for the list of members through the quorum, its
//!   status, and changes of membership.
//! - [`Connector`] makes clients that share a login.
//! - [`PeerClient`] asks one etcd by HTTP at its peer URL for the list of members as that etcd knows it,
//!   which works without a quorum too.
//! - [`Access`] is what both need to be let in.
//! - [`EtcdError`] says what went wrong, by what the caller can do about it.
//!
//! Nothing here tries twice, waits for anybody or chooses among endpoints: every call ends within the time it
//! is given and says what happened. What etcd does in which version was learnt from its source and is checked
//! by `tests/` on real etcds of all supported versions.
//!
//! [`wire`] holds the messages and services themselves, for those who serve them. The rest stands behind the
//! feature `client`.

#[cfg(feature = "client")]
mod access;
#[cfg(feature = "client")]
mod classify;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod error;
#[cfg(feature = "client")]
mod login;
#[cfg(feature = "client")]
mod members;
#[cfg(feature = "client")]
mod peers;
#[cfg(feature = "client")]
mod tls;
pub mod wire;

#[cfg(feature = "client")]
pub use self::{
    access::{Access, User},
    client::{Client, Connector},
    error::EtcdError,
    members::{ListedMember, MemberList, Status},
    peers::PeerClient,
    tls::{Tls, TlsFileError, TlsFileProblem, TlsIdentity},
};
