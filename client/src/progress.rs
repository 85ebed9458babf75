use std::{
    collections::VecDeque,
    io::Write,
    sync::Mutex,
    time::{Duration, Instant, SystemTime},
};

use humantime::{format_duration, format_rfc3339_seconds};
use serde::Serialize;

use crate::{cli::LogFormat, exit::Failure};

/// Tells on standard error what a command does and waits for: one line a change.
pub struct Progress {
    format: LogFormat,
    /// Whom it is about, as `infra0 in 6c007a…`.
    subject: String,
    state: Mutex<State>,
}

/// How soon a line may be repeated when others were said meanwhile: what fails and is tried again takes turns with its
/// failure.
const REPEAT: Duration = Duration::from_secs(30);

/// How many lines may take turns.
const TURNS: usize = 8;

/// What was said.
#[derive(Default)]
struct State {
    /// The step or reason, and the message, of what there was to say last.
    last: Option<(String, String)>,
    /// What was said of late, and when.
    said: VecDeque<((String, String), Instant)>,
    /// What is being waited for, and since when.
    waits: Option<(String, SystemTime, Instant)>,
}

/// A line for programs.
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
    /// Progress of a command about a node or cluster.
    pub fn new(format: LogFormat, subject: impl Into<String>) -> Self {
        Self { format, subject: subject.into(), state: Mutex::default() }
    }

    /// Something is done, or has happened.
    pub fn step(&self, step: &str, message: &str) {
        self.say(step, None, message, false);
    }

    /// Something is done for a reason that programs know.
    pub fn step_because(&self, step: &str, reason: &str, message: &str) {
        self.say(step, Some(reason), message, false);
    }

    /// There is something to wait for, for a reason that programs know.
    pub fn wait(&self, step: &str, reason: &str, message: &str) {
        self.say(step, Some(reason), message, true);
    }

    /// The command has failed.
    pub fn failure(&self, failure: &Failure) {
        self.say(failure.as_str(), None, &failure.to_string(), false);
    }

    /// What whoever gives up says about it.
    pub fn gave_up(&self) -> String {
        let state = self.state.lock().expect("nobody panics while it tells");
        match (&state.last, &state.waits) {
            (Some((_, message)), Some((_, _, since))) => {
                format!(
                    "gave up because --timeout is over, after waiting for {} s: {message}",
                    since.elapsed().as_secs()
                )
            }
            _ => "gave up because --timeout is over".to_owned(),
        }
    }

    fn say(&self, step: &str, reason: Option<&str>, message: &str, is_wait: bool) {
        if let Some(line) = self.line(step, reason, message, is_wait) {
            // Whoever reads it may have gone; that is no reason to leave a cluster half changed.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }

    /// The line to say; `None` if nothing has changed.
    fn line(&self, step: &str, reason: Option<&str>, message: &str, is_wait: bool) -> Option<String> {
        let mut state = self.state.lock().expect("nobody panics while it tells");
        let what = (reason.unwrap_or(step).to_owned(), message.to_owned());
        let is_repeated = state.last.as_ref() == Some(&what);
        let was_said = state.said.iter().any(|(said, at)| *said == what && at.elapsed() < REPEAT);
        state.last = Some(what.clone());
        if is_repeated || was_said {
            return None;
        }
        if !is_wait {
            state.waits = None;
        } else if state.waits.as_ref().is_none_or(|(waits, ..)| *waits != what.0) {
            state.waits = Some((what.0.clone(), SystemTime::now(), Instant::now()));
        }
        let since = state.waits.as_ref().map(|(_, at, since)| (*at, since.elapsed()));
        state.said.retain(|(said, _)| *said != what);
        state.said.push_back((what, Instant::now()));
        if state.said.len() > TURNS {
            state.said.pop_front();
        }
        Some(match self.format {
            LogFormat::Text => {
                let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
                let since = since.filter(|(_, elapsed)| elapsed.as_secs() > 0).map(|(at, elapsed)| {
                    let elapsed = format_duration(Duration::from_secs(elapsed.as_secs()));
                    format!("; waiting since {}, for {elapsed}", format_rfc3339_seconds(at))
                });
                let subject = if self.subject.is_empty() { String::new() } else { format!(": {}", self.subject) };
                format!("convene{subject}: {step}{reason}: {message}{}", since.unwrap_or_default())
            }
            LogFormat::Json => {
                let line = Line {
                    at: format_rfc3339_seconds(SystemTime::now()).to_string(),
                    subject: &self.subject,
                    step,
                    reason,
                    message,
                    waiting_since: since.map(|(at, _)| format_rfc3339_seconds(at).to_string()),
                };
                serde_json::to_string(&line).expect("a line of texts can be written")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_is_told() {
        let progress = Progress::new(LogFormat::Text, "infra0 in 6c007a…");
        let wait = |message: &str| progress.line("wait", Some("forming"), message, true);
        assert_eq!(wait("1 of 3").as_deref(), Some("convene: infra0 in 6c007a…: wait (forming): 1 of 3"));
        assert_eq!(wait("1 of 3"), None);
        assert_eq!(wait("2 of 3").as_deref(), Some("convene: infra0 in 6c007a…: wait (forming): 2 of 3"));
    }

    #[test]
    fn a_step_and_its_failure_that_take_turns_are_told_once() {
        let progress = Progress::new(LogFormat::Text, "");
        let add = || progress.line("add_member", Some("below_size"), "adds itself", false);
        let fails = || progress.line("wait", Some("not_made"), "unhealthy", true);
        assert_eq!((add().is_some(), fails().is_some()), (true, true));
        assert_eq!((add(), fails()), (None, None));
        assert!(progress.gave_up().ends_with(": unhealthy"), "{}", progress.gave_up());
    }

    #[test]
    fn programs_get_an_object_a_line() {
        let progress = Progress::new(LogFormat::Json, "infra0 in 6c007a…");
        let line = progress.line("wait", Some("no_quorum"), "no answer from infra1", true).unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["subject"], "infra0 in 6c007a…");
        assert_eq!((&line["step"], &line["reason"]), (&"wait".into(), &"no_quorum".into()));
        assert_eq!(line["message"], "no answer from infra1");
        assert!(line["at"].as_str().unwrap().ends_with('Z') && line["waiting_since"].is_string());
    }
}
