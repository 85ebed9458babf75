use std::{
    collections::VecDeque,
    sync::Mutex,
    time::{Duration, SystemTime},
};

use humantime::{format_duration, format_rfc3339_seconds};
use serde::Serialize;

use crate::{boot_clock::BootInstant, cli::LogFormat, command_error::CommandError, one_line::one_line, stderr};

/// The progress log on standard error: one line for each change of what a command does or waits for.
pub struct Progress {
    format: LogFormat,
    /// What the lines are about, such as `infra0 in 6c007a…`.
    subject: String,
    state: Mutex<State>,
    observer: Option<Box<Observer>>,
}

/// Learns each step or wait, with its reason code if it has one, and its message.
type Observer = dyn Fn(&str, Option<&str>, &str) + Send + Sync;

/// How soon a line may be repeated if others were logged in between. An operation that fails and is retried alternates
/// with its failure.
const REPEAT_INTERVAL: Duration = Duration::from_secs(30);

/// The reason of a node that has nothing to do, with the step `wait`. It waits for nothing.
const NOTHING_TO_DO: &str = "healthy";

/// How many lines may alternate.
const RECENT_LINES: usize = 8;

/// A step or reason, and the message.
type Entry = (String, String);

#[derive(Default)]
struct State {
    /// The last entry, logged or suppressed.
    last: Option<Entry>,
    /// The entries that were logged last, and when.
    recent: VecDeque<(Entry, BootInstant)>,
    /// The reason to wait, and since when.
    waiting: Option<(String, SystemTime, BootInstant)>,
}

/// A line in JSON.
#[derive(Serialize)]
struct Line<'a> {
    at: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    subject: &'a str,
    step: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_since: Option<String>,
}

impl Progress {
    /// The log of a command about a node or a cluster.
    pub fn new(format: LogFormat, subject: impl Into<String>) -> Self {
        Self { format, subject: one_line(&subject.into()).into_owned(), state: Mutex::default(), observer: None }
    }

    /// Calls this function with each line, also with one that is not logged because it repeats another one.
    pub fn observe(&mut self, observer: impl Fn(&str, Option<&str>, &str) + Send + Sync + 'static) {
        self.observer = Some(Box::new(observer));
    }

    /// Logs a step.
    pub fn step(&self, step: &str, message: &str) {
        self.log(step, None, message, false);
    }

    /// Logs a step with its reason code.
    pub fn step_with_reason(&self, step: &str, reason: &str, message: &str) {
        self.log(step, Some(reason), message, false);
    }

    /// Logs that the command waits, with the reason code.
    pub fn wait(&self, step: &str, reason: &str, message: &str) {
        self.log(step, Some(reason), message, true);
    }

    /// Logs the error with which the command ends.
    pub fn error(&self, error: &CommandError) {
        self.log(error.as_str(), None, &error.to_string(), false);
    }

    /// The message of a command that ends because `--timeout` has passed.
    pub fn timeout_message(&self) -> String {
        let state = self.state.lock().expect("no thread panics while it logs");
        match (&state.last, &state.waiting) {
            (Some((reason, message)), Some((_, _, since))) => {
                format!("--timeout has passed after {} s of waiting ({reason}): {message}", since.elapsed().as_secs())
            }
            _ => "--timeout has passed".to_owned(),
        }
    }

    fn log(&self, step: &str, reason: Option<&str>, message: &str, is_wait: bool) {
        if let Some(observer) = &self.observer {
            observer(step, reason, message);
        }
        if let Some(line) = self.line(step, reason, message, is_wait) {
            stderr::log(&line);
        }
    }

    /// The line to log, or `None` if it would repeat another one.
    fn line(&self, step: &str, reason: Option<&str>, message: &str, is_wait: bool) -> Option<String> {
        // Servers, etcds and other nodes choose parts of it.
        let (step, message) = (&*one_line(step), &*one_line(message));
        let reason = reason.map(one_line);
        let reason = reason.as_deref();
        let mut state = self.state.lock().expect("no thread panics while it logs");
        let entry = (reason.unwrap_or(step).to_owned(), message.to_owned());
        let is_wait = is_wait && reason != Some(NOTHING_TO_DO);
        // A line that came too soon after it was logged is not the last one in the log.
        let is_repeated = state.recent.back().is_some_and(|(logged, _)| *logged == entry);
        let is_recent = state.recent.iter().any(|(recent, at)| *recent == entry && at.elapsed() < REPEAT_INTERVAL);
        state.last = Some(entry.clone());
        if is_repeated || is_recent {
            return None;
        }
        if !is_wait {
            state.waiting = None;
        } else if state.waiting.as_ref().is_none_or(|(waiting, ..)| *waiting != entry.0) {
            state.waiting = Some((entry.0.clone(), SystemTime::now(), BootInstant::now()));
        }
        let since = state.waiting.as_ref().map(|(_, at, since)| (*at, since.elapsed()));
        state.recent.retain(|(recent, _)| *recent != entry);
        state.recent.push_back((entry, BootInstant::now()));
        if state.recent.len() > RECENT_LINES {
            state.recent.pop_front();
        }
        Some(match self.format {
            LogFormat::Text => self.text(step, reason, message, since),
            LogFormat::Json => self.json(step, reason, message, since),
        })
    }

    fn text(&self, step: &str, reason: Option<&str>, message: &str, since: Option<(SystemTime, Duration)>) -> String {
        let subject = if self.subject.is_empty() { String::new() } else { format!(": {}", self.subject) };
        let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        let since = since.filter(|(_, elapsed)| elapsed.as_secs() > 0).map(|(at, elapsed)| {
            let elapsed = format_duration(Duration::from_secs(elapsed.as_secs()));
            format!("; waiting since {}, for {elapsed}", format_rfc3339_seconds(at))
        });
        format!("convene{subject}: {step}{reason}: {message}{}", since.unwrap_or_default())
    }

    fn json(&self, step: &str, reason: Option<&str>, message: &str, since: Option<(SystemTime, Duration)>) -> String {
        let line = Line {
            at: format_rfc3339_seconds(SystemTime::now()).to_string(),
            subject: &self.subject,
            step,
            reason,
            message,
            waiting_since: since.map(|(at, _)| format_rfc3339_seconds(at).to_string()),
        };
        serde_json::to_string(&line).expect("a line of strings can be written as JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_is_logged() {
        let progress = Progress::new(LogFormat::Text, "infra0 in 6c007a…");
        let wait = |message: &str| progress.line("wait", Some("forming"), message, true);
        assert_eq!(wait("1 of 3").as_deref(), Some("convene: infra0 in 6c007a…: wait (forming): 1 of 3"));
        assert_eq!(wait("1 of 3"), None);
        assert_eq!(wait("2 of 3").as_deref(), Some("convene: infra0 in 6c007a…: wait (forming): 2 of 3"));
    }

    #[test]
    fn a_node_that_serves_waits_for_nothing() {
        let json = Progress::new(LogFormat::Json, "");
        let serves = json.line("wait", Some("healthy"), "nothing to do", true).unwrap();
        assert!(!serves.contains("waiting_since"), "{serves}");
        assert!(json.line("wait", Some("unreachable"), "no answer", true).unwrap().contains("waiting_since"));
        let back = json.line("wait", Some("healthy"), "2 of 3 voters", true).unwrap();
        assert!(!back.contains("waiting_since"), "{back}");
    }

    #[test]
    fn a_step_that_alternates_with_its_failure_is_logged_once() {
        let progress = Progress::new(LogFormat::Text, "");
        let add = || progress.line("add_member", Some("below_size"), "adding this node", false);
        let fail = || progress.line("wait", Some("not_made"), "unhealthy", true);
        assert_eq!((add().is_some(), fail().is_some()), (true, true));
        assert_eq!((add(), fail()), (None, None));
        assert!(progress.timeout_message().ends_with(" (not_made): unhealthy"), "{}", progress.timeout_message());
    }

    /// An error came between, and the log must not end with it.
    #[test]
    fn a_line_that_came_too_soon_is_logged_later() {
        let progress = Progress::new(LogFormat::Text, "");
        let healthy = || progress.line("wait", Some("healthy"), "nothing to do", true);
        let fail = || progress.line("wait", Some("unreachable"), "no response", true);
        assert_eq!((healthy().is_some(), fail().is_some()), (true, true));
        assert_eq!((healthy(), healthy()), (None, None));
        for (_, at) in &mut progress.state.lock().unwrap().recent {
            *at = BootInstant::ago(REPEAT_INTERVAL);
        }
        let line = healthy().expect("it is logged after a while");
        assert!(line.ends_with("wait (healthy): nothing to do"), "{line}");
        assert_eq!(healthy(), None);
    }

    #[test]
    fn a_message_from_outside_stays_one_line_and_gives_the_terminal_no_order() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let progress = Progress::new(format, "infra\u{202e}0");
            let line =
                progress.line("wa\u{1b}it", Some("for\nming"), "1\r\nconvene: start (ok)\u{2066}", true).unwrap();
            assert!(!line.contains(crate::one_line::is_unsafe), "{line:?}");
            assert!(line.contains("for ming"), "{line}");
        }
    }

    #[test]
    fn json_has_one_object_a_line() {
        let progress = Progress::new(LogFormat::Json, "infra0 in 6c007a…");
        let line = progress.line("wait", Some("no_quorum"), "no answer from infra1", true).unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["subject"], "infra0 in 6c007a…");
        assert_eq!((&line["step"], &line["reason"]), (&"wait".into(), &"no_quorum".into()));
        assert_eq!(line["message"], "no answer from infra1");
        assert!(line["at"].as_str().unwrap().ends_with('Z') && line["waiting_since"].is_string());
    }
}
