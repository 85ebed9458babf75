use convene_lifecycle::MemberId;
use thiserror::Error;

use crate::classify::{PREFIX, is_https};

/// Why a call to etcd failed. `endpoint` is the URL that was called.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EtcdError {
    /// No connection could be established: refused, unknown host, no route, or a timeout. The request was not sent.
    #[error("cannot connect to {endpoint}: {reason}")]
    Unreachable {
        /// The URL that was called.
        endpoint: String,
        /// Why the connection failed.
        reason: String,
    },
    /// The TLS handshake failed: one side does not trust the certificate of the other, misses one, or does not speak TLS. The
    /// peer is alive. The request was not sent.
    #[error("the TLS handshake with {endpoint} fails: {reason}")]
    TlsFailed {
        /// The URL that was called.
        endpoint: String,
        /// Why the handshake failed.
        reason: String,
        /// Whether the peer closed the connection without a word of TLS. A proxy does that, too, if nothing runs behind it.
        closed: bool,
    },
    /// The connection broke, or the member stopped, during the call. The request may have been executed.
    #[error("lost the connection to {endpoint} while waiting for an answer: {reason}")]
    ConnectionLost {
        /// The URL that was called.
        endpoint: String,
        /// Why the connection broke.
        reason: String,
    },
    /// No answer came in time, or etcd itself timed out, as it does without a quorum. The request may have been executed, or
    /// may still be.
    #[error("{endpoint} timed out: {reason}")]
    TimedOut {
        /// The URL that was called.
        endpoint: String,
        /// The timeout of the call, or the message of etcd.
        reason: String,
    },
    /// The cluster has no leader at the moment, or has just elected another.
    #[error("the cluster of {endpoint} has no stable leader: {reason}")]
    NoLeader {
        /// The URL that was called.
        endpoint: String,
        /// The message of etcd.
        reason: String,
    },
    /// etcd's strict check refused a membership change, because too few voters have been connected for five seconds.
    #[error(
        "{endpoint} refuses membership changes while the cluster is unhealthy: not enough voters have been connected for 5 s yet"
    )]
    Unhealthy {
        /// The URL that was called.
        endpoint: String,
    },
    /// etcd's strict check refused a membership change that would leave fewer started voters than a quorum.
    #[error("{endpoint} refuses the membership change: too few voters have started")]
    NotEnoughStarted {
        /// The URL that was called.
        endpoint: String,
    },
    /// The cluster has the maximum number of learners: one, unless configured otherwise.
    #[error("{endpoint} refuses to add a learner: the cluster has the maximum number of learners")]
    TooManyLearners {
        /// The URL that was called.
        endpoint: String,
    },
    /// The learner lags too far behind the leader to be promoted.
    #[error("{endpoint} does not promote the learner yet: it is not in sync with the leader")]
    LearnerNotReady {
        /// The URL that was called.
        endpoint: String,
    },
    /// The member is a voter. It may have been promoted by an earlier attempt.
    #[error("{endpoint} does not promote the member: it is not a learner")]
    NotLearner {
        /// The URL that was called.
        endpoint: String,
    },
    /// There is no such member.
    #[error("{endpoint} does not know this member")]
    MemberNotFound {
        /// The URL that was called.
        endpoint: String,
    },
    /// The etcd belongs to the member's cluster, but does not show whether it runs as that member.
    #[error("{endpoint} does not show whether it runs as member {member}: {reason}")]
    Unidentified {
        /// The URL that was called.
        endpoint: String,
        /// The member that the etcd may run as.
        member: MemberId,
        /// What the etcd answered.
        reason: String,
    },
    /// Another member has one of the peer URLs, or the ID that etcd computed from them.
    #[error("{endpoint} refuses the peer URLs: {reason}")]
    AlreadyMember {
        /// The URL that was called.
        endpoint: String,
        /// The message of etcd.
        reason: String,
    },
    /// Only voters serve this request.
    #[error("{endpoint} is a learner, which does not serve this request")]
    LearnerCannotServe {
        /// The URL that was called.
        endpoint: String,
    },
    /// etcd's auth denied the request.
    #[error("{endpoint} denies permission: {reason}")]
    NotAllowed {
        /// The URL that was called.
        endpoint: String,
        /// The message of etcd.
        reason: String,
    },
    /// etcd requires a login, and must not be sent the password.
    #[error(
        "{endpoint} requires a login, and is not sent the password: its certificate is not verified by --cacert, and the URL is not \
         one of this node's own at a loopback address or over TLS; use https and --cacert, or --insecure-etcd-credentials"
    )]
    PasswordWithheld {
        /// The URL that was called.
        endpoint: String,
    },
    /// The URL is called over TLS only. No connection was made.
    #[error(
        "{endpoint} is not called, because a CA is given (--cacert, --peer-trusted-ca-file) and the URL is not https"
    )]
    ClearText {
        /// The URL that was not called.
        endpoint: String,
    },
    /// Only the leader can move the leadership.
    #[error("{endpoint} is not the leader")]
    NotLeader {
        /// The URL that was called.
        endpoint: String,
    },
    /// Another error of etcd.
    #[error("{endpoint} answered: {message} (gRPC code {code})")]
    Other {
        /// The URL that was called.
        endpoint: String,
        /// The gRPC code.
        code: i32,
        /// The message of etcd.
        message: String,
    },
    /// The response is not one of etcd.
    #[error("{endpoint} does not answer like an etcd: {reason}")]
    BadAnswer {
        /// The URL that was called.
        endpoint: String,
        /// What is wrong with the response.
        reason: String,
    },
    /// The member list has a peer URL that Convene can't use. The URL is not omitted, because that would change the list.
    #[error("{endpoint} lists member {member} with an unusable peer URL: {reason}")]
    UnusablePeerUrl {
        /// The URL that was called.
        endpoint: String,
        /// The member with that URL.
        member: MemberId,
        /// The URL, and what is wrong with it.
        reason: String,
    },
    /// The certificates or the key can't be used. The request was not sent.
    #[error("cannot use the TLS certificates and key: {reason}")]
    UnusableTls {
        /// What is wrong with the certificates or the key.
        reason: String,
    },
}

impl EtcdError {
    /// Whether a TLS peer has answered, even if only to reject this client. A connection that broke had completed its handshake.
    pub fn shows_tls_peer(&self) -> bool {
        match self {
            Self::TlsFailed { closed, .. } => !closed,
            Self::ConnectionLost { endpoint, .. } => is_https(endpoint),
            _ => false,
        }
    }

    /// Whether a change may have been made, or may still be made, although the call failed.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::ConnectionLost { .. } | Self::BadAnswer { .. } => true,
            // An error without the prefix comes from a proxy or a library.
            Self::Other { message, .. } => !message.starts_with(PREFIX),
            _ => false,
        }
    }
}
