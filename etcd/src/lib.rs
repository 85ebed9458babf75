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

mod access;
mod classify;
mod client;
mod error;
mod login;
mod members;
mod peers;
mod tls;
mod wire;

pub use access::{Access, User};
pub use client::{Client, Connector};
pub use error::EtcdError;
pub use members::{ListedMember, MemberList, Status};
pub use peers::PeerClient;
pub use tls::{Tls, TlsFileError, TlsFileProblem, TlsIdentity};
