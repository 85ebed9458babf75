use convene_lifecycle::{RegisterRefusal, RegistrationError, SizeIsFixed, StockWriteRefused};
use thiserror::Error;
use tonic::Status;

use crate::{
    access::Denial,
    connection::TooManyWaits,
    new_clusters::NotAdmitted,
    registry::{Unavailable, WriteError},
    waiting::StillWaits,
};

/// The end of messages for clients that expect an etcd.
pub const SUPPORTED_KEYS: &str = "Convene is a discovery service and not an etcd: its only keys are \
                                  /_etcd/registry/TOKEN/_config/size and /_etcd/registry/TOKEN/members/ID, and a request \
                                  can use the keys of one token only";

/// Why a v3 request fails. If etcd has a message for it, the text is etcd's
/// (`api/v3rpc/rpctypes/error.go`), because clients compare it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum V3Error {
    /// There is no key in the request.
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    /// The request needs the key to exist.
    #[error("etcdserver: key not found")]
    KeyNotFound,
    /// The request keeps the value, but has one.
    #[error("etcdserver: value is provided")]
    ValueProvided,
    /// The request keeps the lease, but has one.
    #[error("etcdserver: lease is provided")]
    LeaseProvided,
    /// Keys never expire, so there are no leases.
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound,
    /// An order or a target that does not exist.
    #[error("etcdserver: invalid sort option")]
    InvalidSortOption,
    /// More than 128 operations.
    #[error("etcdserver: too many operations in txn request")]
    TooManyOperations,
    /// Two writes to one key.
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    /// The revision has been compacted.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    /// The cluster has not reached the revision.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// This server has no authentication.
    #[error("etcdserver: authentication is not enabled")]
    AuthenticationNotEnabled,
    /// The password is no valid API token.
    #[error(
        "etcdserver: authentication failed, invalid user ID or password: the password must be an API token (cvn_…); {0}"
    )]
    AuthenticationFailed(Denial),
    /// The request has a credential that is not valid.
    #[error("etcdserver: invalid auth token")]
    InvalidAuthToken,
    /// The request needs a credential.
    #[error("{0}")]
    Unauthenticated(Denial),
    /// The role of the credential is not enough.
    #[error("etcdserver: permission denied")]
    PermissionDenied,
    /// The server is shutting down.
    #[error("etcdserver: server stopped")]
    Stopped,
    /// The key or range is not within one cluster, or no key of one.
    #[error("permission denied: {0}; {SUPPORTED_KEYS}")]
    Outside(&'static str),
    /// Most gRPC clients would refuse the answer.
    #[error(
        "the response would exceed 4 MiB; read fewer keys (limit), only keys (keys_only) or only their count (count_only)"
    )]
    TooLarge,
    /// etcd supports this, and Convene does not.
    #[error("Convene does not support {0}; {SUPPORTED_KEYS}")]
    Unsupported(&'static str),
    /// A value or a part of a key is wrong.
    #[error("{0}")]
    Invalid(String),
    /// A member wants to register under a token without a cluster.
    #[error(
        "this server has no cluster with this token; create the cluster on this server first, for example with \
         etcdctl put /_etcd/registry/TOKEN/_config/size 3"
    )]
    NoSuchCluster,
    /// The member can't be registered.
    #[error(transparent)]
    Refused(RegisterRefusal),
    /// The node that has registered so waits at another address.
    #[error(transparent)]
    StillWaits(#[from] StillWaits),
    /// The request may not create a cluster.
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
    /// The cluster has formed.
    #[error("permission denied: {0}")]
    StockWriteRefused(StockWriteRefused),
    /// The size can't change any more.
    #[error(transparent)]
    SizeIsFixed(#[from] SizeIsFixed),
    /// The size can't be deleted while the cluster has members.
    #[error(
        "the size of a cluster with members can't be deleted; to delete the whole cluster, delete all its keys, for example \
         with etcdctl del --prefix /_etcd/registry/TOKEN/"
    )]
    SizeInUse,
    /// Too many watches are open.
    #[error(transparent)]
    TooManyWaits(#[from] TooManyWaits),
    /// The write was not made.
    #[error(transparent)]
    WriteError(#[from] WriteError),
}

/// Declares the gRPC codes.
macro_rules! codes {
    ($($variant:ident)+) => {
        /// The gRPC codes of errors.
        #[derive(Clone, Copy, Debug)]
        enum Code {
            $($variant,)+
        }

        impl Code {
            /// Every code.
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$variant,)+];
        }

        impl From<Code> for tonic::Code {
            fn from(code: Code) -> Self {
                match code {
                    $(Code::$variant => Self::$variant,)+
                }
            }
        }
    };
}

// docs/reference/v3.md lists them.
codes! {
    InvalidArgument Unauthenticated PermissionDenied NotFound FailedPrecondition OutOfRange ResourceExhausted Unimplemented Unavailable
}

impl V3Error {
    fn code(&self) -> Code {
        match self {
            Self::EmptyKey
            | Self::KeyNotFound
            | Self::ValueProvided
            | Self::LeaseProvided
            | Self::InvalidSortOption
            | Self::TooManyOperations
            | Self::DuplicateKey
            | Self::AuthenticationFailed(_)
            | Self::Invalid(_) => Code::InvalidArgument,
            Self::InvalidAuthToken | Self::Unauthenticated(_) => Code::Unauthenticated,
            Self::LeaseNotFound | Self::NoSuchCluster => Code::NotFound,
            Self::Compacted | Self::FutureRevision => Code::OutOfRange,
            Self::PermissionDenied
            | Self::Outside(_)
            | Self::NotAdmitted(NotAdmitted::AdministratorsOnly { .. })
            | Self::StockWriteRefused(_) => Code::PermissionDenied,
            Self::TooLarge
            | Self::TooManyWaits(_)
            | Self::NotAdmitted(NotAdmitted::TooFast(_) | NotAdmitted::Quota(_))
            | Self::WriteError(WriteError::Quota(_)) => Code::ResourceExhausted,
            Self::Unsupported(_) => Code::Unimplemented,
            Self::AuthenticationNotEnabled
            | Self::Refused(_)
            | Self::StillWaits(_)
            | Self::SizeIsFixed(_)
            | Self::SizeInUse
            | Self::WriteError(WriteError::TokenUsedUp) => Code::FailedPrecondition,
            Self::Stopped | Self::WriteError(WriteError::Unavailable(_)) => Code::Unavailable,
        }
    }
}

impl From<V3Error> for Status {
    fn from(error: V3Error) -> Self {
        Self::new(error.code().into(), error.to_string())
    }
}

impl From<Denial> for V3Error {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::NoCredential { .. } | Denial::NoAdministrator { .. } => Self::Unauthenticated(denial),
            Denial::UnknownCredential
            | Denial::Expired { .. }
            | Denial::ExpiredCertificate { .. }
            | Denial::Revoked { .. } => Self::InvalidAuthToken,
            Denial::Forbidden { .. } => Self::PermissionDenied,
            Denial::Unavailable(unavailable) => unavailable.into(),
        }
    }
}

impl From<RegisterRefusal> for V3Error {
    fn from(refusal: RegisterRefusal) -> Self {
        match refusal {
            RegisterRefusal::StockWrites(refused) => refused.into(),
            other => Self::Refused(other),
        }
    }
}

impl From<StockWriteRefused> for V3Error {
    fn from(refused: StockWriteRefused) -> Self {
        Self::StockWriteRefused(refused)
    }
}

impl From<Unavailable> for V3Error {
    fn from(unavailable: Unavailable) -> Self {
        Self::WriteError(unavailable.into())
    }
}

impl From<RegistrationError> for V3Error {
    fn from(error: RegistrationError) -> Self {
        Self::Invalid(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use convene_harness::Section;

    use super::*;

    #[test]
    fn the_reference_and_troubleshooting_have_every_code() {
        let codes: BTreeSet<_> = Code::ALL.iter().map(|code| format!("{code:?}")).collect();
        assert_eq!(Section::read("docs/reference/v3.md", "Errors").names("Code"), codes);
        assert_eq!(Section::read("docs/troubleshooting.md", "HTTP problems").names("gRPC code"), codes);
    }

    #[test]
    fn the_description_of_the_log_has_the_number_of_every_code() {
        let page: Vec<&str> = include_str!("../../../docs/monitoring.md").split_whitespace().collect();
        let page = page.join(" ");
        for code in Code::ALL {
            let number = format!("{} `{code:?}`", tonic::Code::from(*code) as i32);
            assert!(page.contains(&number), "docs/monitoring.md lacks {number}");
        }
    }
}
