//! Classifies errors of gRPC, TLS and TCP as an [`EtcdError`].

use std::{error::Error, io};

use tonic::{Code, ConnectError, Status};

use crate::EtcdError;

/// The prefix of etcd's own errors.
pub(crate) const PREFIX: &str = "etcdserver: ";

impl EtcdError {
    pub(crate) fn from_status(endpoint: &str, status: &Status) -> Self {
        match status.source() {
            Some(source) => from_transport(endpoint, source),
            None => from_answer(endpoint, status.code(), status.message()),
        }
    }
}

/// The error of a call that failed outside of etcd.
fn from_transport(endpoint: &str, error: &(dyn Error + 'static)) -> EtcdError {
    match chain(error).find_map(|error| error.downcast_ref::<ConnectError>()) {
        Some(connecting) => connection_failed(endpoint, connecting),
        None => connection_lost(endpoint, error),
    }
}

/// The error of a connection that could not be established.
pub(crate) fn connection_failed(endpoint: &str, error: &(dyn Error + 'static)) -> EtcdError {
    let (endpoint, reason) = (endpoint.to_owned(), describe(error));
    // TCP alone fails in none of these ways before it is connected. `InvalidData` wraps the errors of TLS; with the others,
    // the peer has closed the connection.
    let is_tls_error = |kind: io::ErrorKind| {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, InvalidData, UnexpectedEof};
        matches!(kind, InvalidData | UnexpectedEof | ConnectionReset | BrokenPipe)
    };
    let kinds: Vec<_> =
        chain(error).filter_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind).collect();
    if is_https(&endpoint) && (kinds.iter().copied().any(is_tls_error) || reason.contains(NO_HTTP_2)) {
        let closed = !reason.contains(NO_HTTP_2) && !kinds.contains(&io::ErrorKind::InvalidData);
        return EtcdError::TlsFailed { endpoint, reason: explain(&reason), closed };
    }
    EtcdError::Unreachable { endpoint, reason }
}

/// The error of an established connection that broke.
pub(crate) fn connection_lost(endpoint: &str, error: &(dyn Error + 'static)) -> EtcdError {
    let (endpoint, reason) = (endpoint.to_owned(), describe(error));
    // With TLS 1.3, the alert that rejects our certificate arrives after the handshake has completed on our side. A server
    // sends no such alert once it has accepted a request.
    if reason.contains("received fatal alert") {
        return EtcdError::TlsFailed { endpoint, reason: explain(&reason), closed: false };
    }
    // Or the connection is only closed. This is hyper's error for a request that it has not sent yet.
    if reason.contains("operation was canceled") && reason.contains("connection closed") {
        let certificate_missing = "it closed the connection; it may require another client certificate";
        // The handshake has completed, unless there was none.
        let closed = !is_https(&endpoint);
        let reason = if closed { CLOSED_ON_HTTP } else { certificate_missing };
        return EtcdError::TlsFailed { endpoint, reason: reason.to_owned(), closed };
    }
    EtcdError::ConnectionLost { endpoint, reason }
}

/// tonic's error for a server that speaks TLS, but not gRPC.
const NO_HTTP_2: &str = "HTTP/2 was not negotiated";

/// The explanation if a server closes a connection without TLS.
pub(crate) const CLOSED_ON_HTTP: &str = "it closed the connection; it may require https";

pub(crate) fn is_https(endpoint: &str) -> bool {
    endpoint.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
}

/// The TLS library's error, with an explanation in front of it. Another error stays as it is.
pub fn explain(error: &str) -> String {
    const REJECTS_OURS: &str = "it does not accept our client certificate";
    let meanings = [
        ("certificate: UnknownIssuer", "its certificate is not signed by a trusted CA"),
        ("certificate: BadSignature", "its certificate is not signed by a trusted CA"),
        ("certificate: Expired", "its certificate has expired"),
        ("certificate: certificate expired", "its certificate has expired"),
        ("certificate: certificate not valid yet", "its certificate is not valid yet; compare the clocks"),
        ("certificate: NotValidForName", "its certificate is for another host"),
        ("certificate: certificate not valid for name", "its certificate is for another host"),
        ("alert: CertificateRequired", "it requires a client certificate"),
        ("alert: BadCertificate", REJECTS_OURS),
        ("alert: CertificateExpired", REJECTS_OURS),
        ("alert: CertificateUnknown", REJECTS_OURS),
        ("alert: UnknownCA", REJECTS_OURS),
        // Of another CA with the same name.
        ("alert: DecryptError", REJECTS_OURS),
        ("alert: UnsupportedCertificate", REJECTS_OURS),
        ("received corrupt message", "it does not speak TLS; it may require http"),
        ("handshake eof", "it closed the connection; it may require http"),
        (NO_HTTP_2, "it speaks TLS, but is not a client port of etcd"),
    ];
    match meanings.iter().find(|(text, _)| error.contains(text)) {
        Some((_, meaning)) => format!("{meaning} ({error})"),
        None => error.to_owned(),
    }
}

/// The error that etcd returned. The message decides, because the codes differ between versions, and some errors have the
/// code 2, unknown (`server/etcdserver/api/v3rpc/util.go`).
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
        message if message.starts_with("request timed out") || message.starts_with("request cancel") => {
            EtcdError::TimedOut { endpoint, reason }
        }
        _ => match code {
            Code::DeadlineExceeded | Code::Cancelled => EtcdError::TimedOut { endpoint, reason },
            Code::PermissionDenied | Code::Unauthenticated => EtcdError::NotAllowed { endpoint, reason },
            _ => EtcdError::Other { endpoint, code: code.into(), message: reason },
        },
    }
}

/// The messages of an error and its causes, without repetitions.
pub(crate) fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for message in chain(error).map(ToString::to_string) {
        if text.contains(&message) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&message);
    }
    text
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        // Its message is that of the inner error, and its source skips the inner error.
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
    fn the_errors_of_all_versions_are_classified() {
        // The name of the variant.
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
    fn a_request_on_an_established_connection_may_have_been_executed() {
        let refused = || Box::new(io::Error::from(io::ErrorKind::ConnectionRefused));
        let connecting = Status::from_error(Box::new(ConnectError(refused())));
        let connecting = EtcdError::from_status(URL, &connecting);
        assert_eq!(connecting.to_string(), "cannot connect to http://a:2379: connection refused");
        assert!(!connecting.may_have_happened());

        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        let broken = EtcdError::from_status(URL, &Status::from_error(Box::new(reset)));
        assert_eq!(
            broken.to_string(),
            "lost the connection to http://a:2379 while waiting for an answer: connection reset"
        );
        assert!(broken.may_have_happened());
    }

    #[test]
    fn a_tls_error_proves_a_listener_and_a_tcp_error_does_not() {
        let url = "https://a:2379";
        let connecting = |error: io::Error| Status::from_error(Box::new(ConnectError(Box::new(error))));
        let tls_error = |message: &str| io::Error::new(io::ErrorKind::InvalidData, message);
        let eof = || io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof");
        let alert = || Status::from_error(Box::new(io::Error::other("received fatal alert: CertificateRequired")));
        for (status, meaning) in [
            (connecting(tls_error("invalid peer certificate: UnknownIssuer")), "not signed by a trusted CA"),
            (connecting(io::Error::other(tls_error("invalid peer certificate: BadEncoding"))), "BadEncoding"),
            (connecting(tls_error("received corrupt message of type InvalidContentType")), "it may require http"),
            (connecting(tls_error("received fatal alert: UnknownCA")), "does not accept our client certificate"),
            (connecting(eof()), "it may require http"),
            (connecting(io::ErrorKind::ConnectionReset.into()), "connection reset"),
            (connecting(io::Error::other(NO_HTTP_2)), "not a client port of etcd"),
            (alert(), "requires a client certificate"),
        ] {
            let failed = EtcdError::from_status(url, &status);
            let EtcdError::TlsFailed { reason, closed, .. } = &failed else { panic!("{failed:?}") };
            assert!(reason.contains(meaning), "{failed:?}");
            assert_eq!(*closed, reason.contains("eof") || reason.contains("reset"), "{failed:?}");
            assert_eq!(failed.shows_tls_peer(), !closed);
            assert!(!failed.may_have_happened());
        }
        let lost = || Status::from_error(Box::new(io::Error::from(io::ErrorKind::ConnectionReset)));
        for (url, shows) in [(url, true), ("HTTPS://a:2379", true), (URL, false)] {
            assert_eq!(EtcdError::from_status(url, &lost()).shows_tls_peer(), shows, "{url}");
        }
        for kind in [io::ErrorKind::ConnectionRefused, io::ErrorKind::TimedOut, io::ErrorKind::HostUnreachable] {
            let failed = EtcdError::from_status(url, &connecting(kind.into()));
            assert!(matches!(failed, EtcdError::Unreachable { .. }), "{failed:?}");
        }
    }
}
