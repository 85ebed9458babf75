//! Tells from what came back over the wire which [`EtcdError`] it is.

use std::{error::Error, io};

use tonic::{Code, ConnectError, Status};

use crate::EtcdError;

/// What etcd's own errors begin with.
pub(crate) const PREFIX: &str = "etcdserver: ";

impl EtcdError {
    pub(crate) fn from_status(endpoint: &str, status: &Status) -> Self {
        match status.source() {
            Some(source) => from_transport(endpoint, source),
            None => from_answer(endpoint, status.code(), status.message()),
        }
    }
}

/// What happened if it isn't etcd that failed.
fn from_transport(endpoint: &str, error: &(dyn Error + 'static)) -> EtcdError {
    match chain(error).find_map(|error| error.downcast_ref::<ConnectError>()) {
        Some(connecting) => no_connection(endpoint, connecting),
        None => lost(endpoint, error),
    }
}

/// What it means that no connection came about.
pub(crate) fn no_connection(endpoint: &str, error: &(dyn Error + 'static)) -> EtcdError {
    let (endpoint, reason) = (endpoint.to_owned(), words(error));
    // TCP alone fails in none of these ways before it is connected; the first is what wraps whatever TLS finds
    // wrong, the others are how the other side hangs up.
    let is_of_tls = |kind: io::ErrorKind| {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, InvalidData, UnexpectedEof};
        matches!(kind, InvalidData | UnexpectedEof | ConnectionReset | BrokenPipe)
    };
    let mut kinds = chain(error).filter_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind);
    if is_https(&endpoint) && (kinds.any(is_of_tls) || reason.contains(NO_HTTP_2)) {
        return EtcdError::TlsFailed { endpoint, reason: explain(&reason) };
    }
    EtcdError::Unreachable { endpoint, reason }
}

/// What it means that a connection broke which had come about.
pub(crate) fn lost(endpoint: &str, error: &(dyn Error + 'static)) -> EtcdError {
    let (endpoint, reason) = (endpoint.to_owned(), words(error));
    // With TLS 1.3 we hear that our certificate is refused when we already take the connection for open. A
    // server sends no such alert on a connection on which it has let us ask something.
    if reason.contains("received fatal alert") {
        return EtcdError::TlsFailed { endpoint, reason: explain(&reason) };
    }
    // Or we only see that the connection is closed again: this is what hyper says of a request that it still
    // holds then, so that nothing was sent.
    if reason.contains("operation was canceled") && reason.contains("connection closed") {
        let wants_more = "it hung up; perhaps it wants another client certificate";
        let reason = if is_https(&endpoint) { wants_more } else { HUNG_UP_ON_HTTP };
        return EtcdError::TlsFailed { endpoint, reason: reason.to_owned() };
    }
    EtcdError::ConnectionLost { endpoint, reason }
}

/// What tonic says of a server that speaks TLS, but not gRPC.
const NO_HTTP_2: &str = "HTTP/2 was not negotiated";

/// What it means that clear text gets no answer at all.
pub(crate) const HUNG_UP_ON_HTTP: &str = "it hung up; perhaps it wants https";

pub(crate) fn is_https(endpoint: &str) -> bool {
    endpoint.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
}

/// What the TLS library says, after what it means to somebody who has to mend it.
fn explain(said: &str) -> String {
    const REFUSES_OURS: &str = "it does not accept our client certificate";
    let meanings = [
        ("certificate: UnknownIssuer", "its certificate is from none of the CAs that are trusted here"),
        ("certificate: BadSignature", "its certificate is from none of the CAs that are trusted here"),
        ("certificate: Expired", "its certificate has expired"),
        ("certificate: certificate expired", "its certificate has expired"),
        ("certificate: certificate not valid yet", "its certificate is not valid yet; compare the clocks"),
        ("certificate: NotValidForName", "its certificate is for another host"),
        ("certificate: certificate not valid for name", "its certificate is for another host"),
        ("alert: CertificateRequired", "it wants a client certificate"),
        ("alert: BadCertificate", REFUSES_OURS),
        ("alert: CertificateExpired", REFUSES_OURS),
        ("alert: CertificateUnknown", REFUSES_OURS),
        ("alert: UnknownCA", REFUSES_OURS),
        ("alert: UnsupportedCertificate", REFUSES_OURS),
        ("received corrupt message", "it does not answer in TLS; perhaps it wants http"),
        ("handshake eof", "it hung up; perhaps it wants http"),
        (NO_HTTP_2, "it speaks TLS, but is no etcd's port for clients"),
    ];
    match meanings.iter().find(|(words, _)| said.contains(words)) {
        Some((_, meaning)) => format!("{meaning} ({said})"),
        None => said.to_owned(),
    }
}

/// What etcd means. It goes by the words where there are any, because the codes differ between versions, and
/// some errors come with code 2, which says nothing (`server/etcdserver/api/v3rpc/util.go`).
fn from_answer(endpoint: &str, code: Code, message: &str) -> EtcdError {
    let endpoint = endpoint.to_owned();
    let reason = message.to_owned();
    match message.strip_prefix(PREFIX).unwrap_or_default() {
        "unhealthy cluster" => EtcdError::Unhealthy { endpoint },
        "re-configuration failed due to not enough started members" => EtcdError::NotEnoughStarted { endpoint },
        "too many learner members in cluster" => EtcdError::TooManyLearners { endpoint },
        "can only promote a learner member which is in sync with leader" => EtcdError::LearnerNotReady { endpoint },
        "can only promote a learner member" => EtcdError::NotLearner { endpoint },
        "member not found" => EtcdError::MemberNotFound { endpoint },
        "member ID already exist" | "Peer URLs already exists" => EtcdError::AlreadyMember { endpoint, reason },
        "rpc not supported for learner" => EtcdError::LearnerCannotServe { endpoint },
        "not leader" => EtcdError::NotLeader { endpoint },
        "no leader" | "leader changed" => EtcdError::NoLeader { endpoint, reason },
        "server stopped" => EtcdError::ConnectionLost { endpoint, reason },
        "user name is empty"
        | "user name not found"
        | "authentication failed, invalid user ID or password"
        | "invalid auth management"
        | "revision of auth store is old" => EtcdError::NotAllowed { endpoint, reason },
        words if words.starts_with("request timed out") || words.starts_with("request cancel") => {
            EtcdError::TimedOut { endpoint, reason }
        }
        _ => match code {
            Code::DeadlineExceeded | Code::Cancelled => EtcdError::TimedOut { endpoint, reason },
            Code::PermissionDenied | Code::Unauthenticated => EtcdError::NotAllowed { endpoint, reason },
            _ => EtcdError::Other { endpoint, code: code.into(), message: reason },
        },
    }
}

/// What an error and its causes say, each once.
pub(crate) fn words(error: &(dyn Error + 'static)) -> String {
    let mut words = String::new();
    for said in chain(error).map(ToString::to_string) {
        if words.contains(&said) {
            continue;
        }
        if !words.is_empty() {
            words.push_str(": ");
        }
        words.push_str(&said);
    }
    words
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        // It speaks for what it wraps, and passes it over when it is asked for its source.
        Some(outer) => outer.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    const URL: &str = "http://a:2379";

    #[test]
    fn the_errors_of_all_versions_are_told_apart() {
        // What is left of an error once its texts are gone.
        let name = |error: &EtcdError| format!("{error:?}").split([' ', '{']).next().unwrap_or_default().to_owned();
        let (no, maybe) = (false, true);
        for (code, message, is, may_have_happened) in [
            (2, "etcdserver: re-configuration failed due to not enough started members", "NotEnoughStarted", no),
            (9, "etcdserver: re-configuration failed due to not enough started members", "NotEnoughStarted", no),
            (14, "etcdserver: unhealthy cluster", "Unhealthy", no),
            (9, "etcdserver: too many learner members in cluster", "TooManyLearners", no),
            (9, "etcdserver: can only promote a learner member which is in sync with leader", "LearnerNotReady", no),
            (9, "etcdserver: can only promote a learner member", "NotLearner", no),
            (5, "etcdserver: member not found", "MemberNotFound", no),
            (9, "etcdserver: member ID already exist", "AlreadyMember", no),
            (9, "etcdserver: Peer URLs already exists", "AlreadyMember", no),
            (14, "etcdserver: rpc not supported for learner", "LearnerCannotServe", no),
            (9, "etcdserver: rpc not supported for learner", "LearnerCannotServe", no),
            (9, "etcdserver: not leader", "NotLeader", no),
            (14, "etcdserver: no leader", "NoLeader", no),
            (14, "etcdserver: leader changed", "NoLeader", no),
            (7, "etcdserver: permission denied", "NotAllowed", no),
            (3, "etcdserver: user name is empty", "NotAllowed", no),
            (9, "etcdserver: user name not found", "NotAllowed", no),
            (3, "etcdserver: authentication failed, invalid user ID or password", "NotAllowed", no),
            (3, "etcdserver: invalid auth management", "NotAllowed", no),
            (3, "etcdserver: revision of auth store is old", "NotAllowed", no),
            (16, "etcdserver: invalid auth token", "NotAllowed", no),
            (14, "etcdserver: request timed out", "TimedOut", maybe),
            (14, "etcdserver: request timed out, possibly due to previous leader failure", "TimedOut", maybe),
            (14, "etcdserver: request timed out, possibly due to connection lost", "TimedOut", maybe),
            (14, "etcdserver: request timed out, waiting for the applied index took too long", "TimedOut", maybe),
            (2, "etcdserver: request timed out, leader transfer took too long", "TimedOut", maybe),
            (2, "etcdserver: request cancelled", "TimedOut", maybe),
            (1, "etcdserver: request canceled", "TimedOut", maybe),
            (1, "context canceled", "TimedOut", maybe),
            (4, "etcdserver: context deadline exceeded", "TimedOut", maybe),
            (4, "context deadline exceeded", "TimedOut", maybe),
            (14, "etcdserver: server stopped", "ConnectionLost", maybe),
            (9, "etcdserver: bad leader transferee", "Other", no),
            (3, "etcdserver: given member URLs are invalid", "Other", no),
            (14, "etcdserver: not capable", "Other", no),
            (8, "etcdserver: too many requests", "Other", no),
            (14, "grpc-status header missing, mapped from HTTP status code 503", "Other", maybe),
            (2, "raft: stopped", "Other", maybe),
        ] {
            let error = EtcdError::from_status(URL, &Status::new(Code::from(code), message));
            assert_eq!(name(&error), is, "{code} {message}");
            assert_eq!(error.may_have_happened(), may_have_happened, "{code} {message}");
            assert!(error.to_string().contains(URL), "{error}");
        }
    }

    #[test]
    fn a_connection_that_came_about_may_have_carried_the_request() {
        let refused = || Box::new(io::Error::from(io::ErrorKind::ConnectionRefused));
        let connecting = Status::from_error(Box::new(ConnectError(refused())));
        let connecting = EtcdError::from_status(URL, &connecting);
        assert_eq!(connecting.to_string(), "cannot connect to http://a:2379: connection refused");
        assert!(!connecting.may_have_happened());

        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        let broken = EtcdError::from_status(URL, &Status::from_error(Box::new(reset)));
        assert_eq!(broken.to_string(), "lost http://a:2379 while waiting for its answer: connection reset");
        assert!(broken.may_have_happened());
    }

    #[test]
    fn whoever_fails_at_tls_listens_and_whoever_fails_at_tcp_does_not() {
        let url = "https://a:2379";
        let connecting = |error: io::Error| Status::from_error(Box::new(ConnectError(Box::new(error))));
        let of_tls = |words: &str| io::Error::new(io::ErrorKind::InvalidData, words);
        let eof = || io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof");
        let alert = || Status::from_error(Box::new(io::Error::other("received fatal alert: CertificateRequired")));
        for (status, meaning) in [
            (connecting(of_tls("invalid peer certificate: UnknownIssuer")), "none of the CAs that are trusted here"),
            (connecting(io::Error::other(of_tls("invalid peer certificate: BadEncoding"))), "BadEncoding"),
            (connecting(of_tls("received corrupt message of type InvalidContentType")), "perhaps it wants http"),
            (connecting(of_tls("received fatal alert: UnknownCA")), "does not accept our client certificate"),
            (connecting(eof()), "perhaps it wants http"),
            (connecting(io::ErrorKind::ConnectionReset.into()), "connection reset"),
            (connecting(io::Error::other(NO_HTTP_2)), "no etcd's port for clients"),
            (alert(), "wants a client certificate"),
        ] {
            let failed = EtcdError::from_status(url, &status);
            assert!(matches!(&failed, EtcdError::TlsFailed { reason, .. } if reason.contains(meaning)), "{failed:?}");
            assert!(!failed.may_have_happened());
        }
        for kind in [io::ErrorKind::ConnectionRefused, io::ErrorKind::TimedOut, io::ErrorKind::HostUnreachable] {
            let failed = EtcdError::from_status(url, &connecting(kind.into()));
            assert!(matches!(failed, EtcdError::Unreachable { .. }), "{failed:?}");
        }
    }
}
