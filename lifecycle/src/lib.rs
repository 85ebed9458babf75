//! The words of Convene as types, and what may happen to a cluster.
//!
//! A [`Cluster`] is a value: it is read, and every change makes a new one together with the [`Event`]
//! that tells of it (a [`Transition`]). Nothing here does I/O, reads a clock or draws a random number,
//! so that every rule can be tested by calling it.
//!
//! Text from outside becomes a type once, at the edge ([`Token`], [`MemberKey`], [`ClusterSize`],
//! [`Registration`]); what is passed on afterwards is known to be good.

mod cluster;
mod event;
mod member;
mod peer_url;
mod registration;
mod revision;
mod size;
mod token;

pub use cluster::{Cluster, MAX_MEMBERS, RegisterRefusal, SizeIsFixed, Transition};
pub use event::{Action, Event, Previous, Subject};
pub use member::{Member, MemberKey, MemberKeyError, MemberName, MemberNameError};
pub use peer_url::{PeerUrl, PeerUrlError};
pub use registration::{MAX_PEER_URLS, MAX_REGISTRATION_BYTES, Registration, RegistrationError};
pub use revision::{Revision, UnixMillis};
pub use size::{ClusterSize, ClusterSizeError};
pub use token::{Token, TokenError};
