use std::{
    cell::Cell,
    time::{Duration, SystemTime},
};

use super::RegistryError;
use crate::boot_clock::BootInstant;

/// How long a request may be under way before the registry counts as silent.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether the registry answers. Only the last request counts, so that a slow etcd is never taken for a silent registry.
#[derive(Clone, Debug, Default)]
pub struct Contact {
    last: Cell<LastRequest>,
    answered_at: Cell<Option<SystemTime>>,
}

#[derive(Clone, Copy, Debug, Default)]
enum LastRequest {
    /// The registry has answered it. This is also assumed before the first request.
    #[default]
    Answered,
    /// It has no answer yet, and the registry may hold its answer for this long.
    Sent(BootInstant, Duration),
    /// No answer came, or none of a Convene server that can handle requests. The next request changes nothing until it
    /// is answered.
    Failed,
}

impl Contact {
    /// A request is sent whose answer the registry may hold for this long.
    pub fn record_request(&self, held: Duration) {
        if !matches!(self.last.get(), LastRequest::Failed) {
            self.last.set(LastRequest::Sent(BootInstant::now(), held));
        }
    }

    /// The request has this result.
    pub fn record_result<T>(&self, result: &Result<T, RegistryError>) {
        let is_answer = result.as_ref().map_or_else(RegistryError::is_answer, |_| true);
        if is_answer {
            self.answered_at.set(Some(SystemTime::now()));
        }
        self.last.set(if is_answer { LastRequest::Answered } else { LastRequest::Failed });
    }

    /// When the last answer came, if there was one.
    pub fn answered_at(&self) -> Option<SystemTime> {
        self.answered_at.get()
    }

    /// Whether the last request got no answer.
    pub fn is_lost(&self) -> bool {
        match self.last.get() {
            LastRequest::Answered => false,
            LastRequest::Sent(at, held) => at.elapsed() >= PATIENCE + held,
            LastRequest::Failed => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> Result<(), RegistryError> {
        let server = "http://127.0.0.1:8087".parse().unwrap();
        Err(RegistryError::Unreachable { server, cause: "connection refused".to_owned() })
    }

    #[test]
    fn a_registry_that_has_answered_is_not_lost_however_long_that_is_ago() {
        let contact = Contact::default();
        assert!(!contact.is_lost());
        contact.record_request(Duration::ZERO);
        contact.record_result(&Ok(()));
        assert!(!contact.is_lost());
    }

    #[test]
    fn a_refusal_is_an_answer() {
        let contact = Contact::default();
        contact.record_request(Duration::ZERO);
        let server = "http://127.0.0.1:8087".parse().unwrap();
        contact.record_result(&Err::<(), _>(RegistryError::UnknownCluster { server }));
        assert!(!contact.is_lost());
    }

    #[test]
    fn a_registry_is_lost_from_a_failed_request_to_the_next_answer() {
        let contact = Contact::default();
        contact.record_request(Duration::ZERO);
        contact.record_result(&lost());
        contact.record_request(Duration::ZERO);
        assert!(contact.is_lost());
        contact.record_result(&Ok(()));
        assert!(!contact.is_lost());
    }

    #[test]
    fn a_request_that_was_only_just_sent_says_nothing() {
        let contact = Contact::default();
        contact.record_request(Duration::ZERO);
        assert!(!contact.is_lost());
        contact.last.set(LastRequest::Sent(BootInstant::ago(PATIENCE), Duration::ZERO));
        assert!(contact.is_lost());
    }

    #[test]
    fn a_registry_that_holds_an_answer_is_not_lost() {
        let contact = Contact::default();
        contact.last.set(LastRequest::Sent(BootInstant::ago(PATIENCE), Duration::from_secs(10)));
        assert!(!contact.is_lost());
    }
}
