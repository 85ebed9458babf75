//! The words of Convene as types, the changes that a cluster can go through, and the planner.
//!
//! A [`Cluster`] is a value. A change makes a new value together with the [`Event`]s of the change (a [`Transition`]).
//! Nothing here does I/O, reads a clock or draws a random number, so a test of a rule is a function call.
//!
//! Text from outside becomes a type once, at the edge ([`Token`], [`MemberKey`], [`ClusterSize`], [`Registration`]). A
//! value of such a type is valid everywhere else.

mod actor;
mod administration;
mod admission;
mod adoption;
mod cluster;
mod cluster_draft;
mod cluster_name;
mod described_names;
mod discovery;
mod discovery_url;
mod disk_id;
mod downtime;
mod event;
mod held;
mod identity;
mod instruction;
mod liveness;
mod member;
mod node_status;
mod peer_url;
mod plan;
mod policy;
mod protocol;
mod public_id;
mod reason;
mod recorded_refusal;
#[cfg(test)]
mod reference;
mod register_refusal;
mod registration;
mod report;
mod reregistration;
mod revision;
mod size;
mod stock_writes;
mod text;
mod ticket;
mod token;

pub use actor::Actor;
pub use administration::{AdministrationError, MemberRequest, Settings};
pub use admission::{
    Admission, Admittance, Cidr, CidrError, DenialCode, JoinToken, JoinTokenRequest, JoinTokenRequestError,
    NodeCredential, NodeDenial, NotOwnMember, Presented, SecretHash, SecretHashError, TurnedAway,
};
pub use adoption::{ListedMember, MemberList};
pub use cluster::{Cluster, MAX_MEMBERS, REMOVED_MEMBER_RETENTION, Transition};
pub use cluster_name::{ClusterName, ClusterNameError};
pub use discovery_url::{DiscoveryUrl, DiscoveryUrlError, FounderKey};
pub use disk_id::{DiskId, DiskIdError};
pub use downtime::{Announcer, Downtime, UnknownAnnouncer};
pub use event::{Action, Event, EventKind, Previous, Subject};
pub use held::{Held, HoldReason, UnknownHoldReason};
pub use identity::{ClusterId, Epoch, IdError, MemberId};
pub use instruction::{Endpoints, EtcdFlags, ExpectedMember, Instruction, Task, Terms};
pub use liveness::{Dissent, LastCheckIn, ListDigest, Liveness, MemberLiveness, ReceivedBytes, ReportedState, Starts};
pub use member::{Founder, Member, MemberKey, MemberKeyError, MemberName, MemberNameError, Removal, Role, StartIssued};
pub use node_status::{EtcdStatus, NodeStatus, Reachability};
pub use peer_url::{ClientUrl, ClientUrlError, PeerUrl, PeerUrlError, UrlProblem};
pub use plan::{Plan, plan};
pub use policy::{
    JoinPolicy, JoinPolicyError, Policy, PolicyChange, PolicyField, PolicyKind, PolicyValue, PolicyValueError,
    Strategy, StrategyError,
};
pub use protocol::{Discovery, Protocol};
pub use public_id::{PublicId, PublicIdError};
pub use reason::Reason;
pub use recorded_refusal::RecordedRefusal;
pub use register_refusal::{RegisterRefusal, SizeIsFixed};
pub use registration::{MAX_PEER_URLS, MAX_REGISTRATION_BYTES, Registration, RegistrationError};
pub use report::{
    DataEvidence, EtcdVersion, EtcdVersionError, Identity, NodeRefusal, NodeState, ObservedMember, Report, RunId,
    RunIdError, View,
};
pub use revision::{Revision, UnixMillis};
pub use size::{ClusterSize, ClusterSizeError};
pub use stock_writes::{StockWriteRefused, StockWrites, StockWritesError};
pub use text::is_invisible;
pub use ticket::{Purpose, Setback, Ticket};
pub use token::{NewClusterToken, NewClusterTokenError, ReservedToken, Token, TokenError};
