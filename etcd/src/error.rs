use convene_lifecycle::MemberId;
use thiserror::Error;

use crate::classify::PREFIX;

/// Why an etcd did not do what it was asked.
///
/// `endpoint` is always the URL that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EtcdError {
    /// No connection came about: refused, no such host, no route, or not in time. Nothing was asked.
    #[error("cannot connect to {endpoint}: {reason}")]
    Unreachable {
        /// Who was asked.
        endpoint: String,
        /// What the attempt failed with.
        reason: String,
    },
    /// Somebody listens there, but the two sides do not agree on TLS: one has a certificate that the other does not
    /// trust, or misses one, or speaks in clear text. Nothing was asked.
    #[error("{endpoint} is there, but TLS with it fails: {reason}")]
    TlsFailed {
        /// Who was asked.
        endpoint: String,
        /// What they disagree on.
        reason: String,
    },
    /// The connection broke, or the member stopped, while it was asked. It may have done what it was asked.
    #[error("lost {endpoint} while waiting for its answer: {reason}")]
    ConnectionLost {
        /// Who was asked.
        endpoint: String,
        /// How it broke.
        reason: String,
    },
    /// No answer in time, or etcd itself found no agreement in time, as it happens without a quorum. It may
    /// have done, or still do, what it was asked.
    #[error("{endpoint} timed out: {reason}")]
    TimedOut {
        /// Who was asked.
        endpoint: String,
        /// Who gave up, and after how long if we did.
        reason: String,
    },
    /// The cluster has no leader at the moment, or has just got another.
    #[error("the cluster of {endpoint} has no steady leader: {reason}")]
    NoLeader {
        /// Who was asked.
        endpoint: String,
        /// etcd's words.
        reason: String,
    },
    /// etcd's strict check refused a change of membership, because too few voters are connected, or have been
    /// for five seconds.
    #[error(
        "{endpoint} changes no members while its cluster is unhealthy: not enough voters have been connected for 5 s yet"
    )]
    Unhealthy {
        /// Who was asked.
        endpoint: String,
    },
    /// etcd's strict check refused a change of membership that would leave fewer started voters than a quorum.
    #[error("{endpoint} changes no members because too few of them have started")]
    NotEnoughStarted {
        /// Who was asked.
        endpoint: String,
    },
    /// The cluster has as many learners as its etcd allows: one, unless configured otherwise.
    #[error("{endpoint} adds no learner because the cluster has as many as it may")]
    TooManyLearners {
        /// Who was asked.
        endpoint: String,
    },
    /// A learner that lags too far behind the leader was not promoted.
    #[error("{endpoint} does not promote the learner yet: it is not in sync with the leader")]
    LearnerNotReady {
        /// Who was asked.
        endpoint: String,
    },
    /// What was to be promoted is a voter, perhaps because it has been promoted already.
    #[error("{endpoint} does not promote the member: it is no learner")]
    NotLearner {
        /// Who was asked.
        endpoint: String,
    },
    /// There is no such member, or no longer.
    #[error("{endpoint} knows no such member")]
    MemberNotFound {
        /// Who was asked.
        endpoint: String,
    },
    /// A member has one of the peer URLs already, or the ID that etcd computed from them.
    #[error("{endpoint} says that there is such a member already: {reason}")]
    AlreadyMember {
        /// Who was asked.
        endpoint: String,
        /// etcd's words.
        reason: String,
    },
    /// A learner was asked for what only voters answer.
    #[error("{endpoint} is a learner, which does not answer this")]
    LearnerCannotServe {
        /// Who was asked.
        endpoint: String,
    },
    /// etcd's authentication refused us.
    #[error("{endpoint} does not allow it: {reason}")]
    NotAllowed {
        /// Who was asked.
        endpoint: String,
        /// etcd's words.
        reason: String,
    },
    /// Leadership can only be moved by the leader, and the one that was asked isn't.
    #[error("{endpoint} is not the leader")]
    NotLeader {
        /// Who was asked.
        endpoint: String,
    },
    /// Anything else that etcd said.
    #[error("{endpoint} answered: {message} (gRPC code {code})")]
    Other {
        /// Who was asked.
        endpoint: String,
        /// gRPC's number.
        code: i32,
        /// etcd's words.
        message: String,
    },
    /// An answer that is none of etcd's.
    #[error("{endpoint} does not answer as an etcd does: {reason}")]
    BadAnswer {
        /// Who was asked.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A member is listed with a peer URL that Convene can't work with. It is not left out, because then the
    /// list would tell of another member or of one fewer.
    #[error("{endpoint} lists member {member} with an unusable URL: {reason}")]
    UnusablePeerUrl {
        /// Who was asked.
        endpoint: String,
        /// Whose URL it is.
        member: MemberId,
        /// Which URL, and what is wrong with it.
        reason: String,
    },
    /// Certificates or key can't be used. Nothing was asked.
    #[error("cannot use the TLS certificates and key: {reason}")]
    UnusableTls {
        /// What is wrong with them.
        reason: String,
    },
}

impl EtcdError {
    /// Whether a change may have been made, or may still be, although it failed with this.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::ConnectionLost { .. } | Self::BadAnswer { .. } => true,
            // etcd refuses in its own words; others speak for a proxy or for a library.
            Self::Other { message, .. } => !message.starts_with(PREFIX),
            _ => false,
        }
    }
}
