//! What etcd complains about in its log.

use std::fmt;

/// How much of a complaint is kept, in characters.
const MAX_CHARACTERS: usize = 300;

const DAMAGED: &str = "the data is damaged: start a spare, which takes the place of the member";

/// What a person can do about what etcd says. The first text that a complaint has decides.
const REMEDIES: [(&str, &str); 9] = [
    ("no space left on device", "free some space on the disk of the data"),
    ("crc mismatch", DAMAGED),
    ("discovery failed: proto: ", DAMAGED),
    ("downgrade", "install the version of etcd that ran on this data before, or a later one"),
    ("incompatible with current running cluster", "install the version of etcd that the other members run"),
    ("certificate", "check the certificates and the CAs of this node and of the other members"),
    ("tls: ", "check the certificates and the CAs of this node and of the other members"),
    ("address already in use", "end the process that uses the port"),
    ("permission denied", "give etcd's user access to the file"),
];

/// A line of etcd's log that is a warning or worse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    severity: Severity,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    Warning,
    Error,
    Fatal,
}

impl Complaint {
    /// What a line complains about, if it does: in JSON, in the former format of etcd 3.4, or as Go prints why a program ends.
    pub fn of(line: &str) -> Option<Self> {
        if answers_convene(line) || is_of_every_start(line) {
            return None;
        }
        let (severity, text) = of_json(line).or_else(|| of_former_format(line)).or_else(|| of_go(line))?;
        Some(Self { severity, text: text.chars().take(MAX_CHARACTERS).collect() })
    }

    /// Whether etcd ends because of it.
    pub fn is_fatal(&self) -> bool {
        self.severity == Severity::Fatal
    }

    /// The one of both that says more about why etcd ended: the worse one. Of two that are fatal, the first one is the cause. Of others,
    /// the last one counts.
    pub fn or(self, later: Self) -> Self {
        let is_first_cause = self.severity == Severity::Fatal && later.severity == Severity::Fatal;
        if self.severity > later.severity || is_first_cause { self } else { later }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match REMEDIES.iter().find(|(text, _)| self.text.contains(text)) {
            Some((_, remedy)) => write!(f, " ({remedy})"),
            None => Ok(()),
        }
    }
}

/// The default format from 3.5 on. A long line may have no end, so that it can't be parsed as a whole.
fn of_json(line: &str) -> Option<(Severity, String)> {
    let severity = match line.strip_prefix(r#"{"level":""#)?.split('"').next()? {
        "warn" => Severity::Warning,
        "error" => Severity::Error,
        "fatal" | "panic" | "dpanic" => Severity::Fatal,
        _ => return None,
    };
    let message = field(line, "msg")?;
    Some((
        severity,
        match field(line, "error") {
            Some(error) if !message.contains(&error) => format!("{message}: {error}"),
            _ => message,
        },
    ))
}

/// Whether a line is the answer to a question of `convene`: who runs at a peer URL (`PeerClient::member_running_as`). It is asked in the
/// name of the member itself, for a stream to the member 0 (`server/etcdserver/api/rafthttp/http.go:streamHandler.ServeHTTP`).
fn answers_convene(line: &str) -> bool {
    let is_from_itself = || field(line, "remote-peer-id-from") == field(line, "local-member-id");
    let is_to_nobody = || field(line, "remote-peer-id-header").is_some_and(|id| id == "0");
    (line.contains("failed to find remote peer in cluster") && is_from_itself())
        || (line.contains("ignored streaming request; ID mismatch") && is_to_nobody())
        || line.contains("(ID mismatch got 0 want ")
        || line.contains("| rafthttp: failed to find member ")
}

/// Whether etcd logs a warning each time it starts with its default settings, so that it explains nothing.
fn is_of_every_start(line: &str) -> bool {
    // `server/auth/store.go:NewTokenProvider`, `server/embed/serve.go:serve`
    const WARNINGS: [&str; 2] =
        ["simple token is not cryptographically signed", "Running http and grpc server on single port"];
    WARNINGS.iter().any(|warning| line.contains(warning))
}

/// A field with a text. The quotes of a name that is part of a text have backslashes.
fn field(line: &str, name: &str) -> Option<String> {
    let start = format!(r#","{name}":"#);
    let value = &line[line.find(&start)? + start.len()..];
    serde_json::Deserializer::from_str(value).into_iter().next()?.ok()
}

/// `2026-11-28 14:00:00.000000 C | etcdserver: …`
fn of_former_format(line: &str) -> Option<(Severity, String)> {
    let (head, text) = line.split_once(" | ")?;
    let severity = match head.rsplit_once(' ')?.1 {
        "W" => Severity::Warning,
        "E" => Severity::Error,
        "C" => Severity::Fatal,
        _ => return None,
    };
    head.starts_with(|first: char| first.is_ascii_digit()).then(|| (severity, text.to_owned()))
}

fn of_go(line: &str) -> Option<(Severity, String)> {
    let text = line.strip_prefix("panic: ").or_else(|| line.strip_prefix("fatal error: "))?;
    Some((Severity::Fatal, text.to_owned()))
}

#[cfg(test)]
mod tests {
    use convene_harness::Section;

    use super::*;

    fn shown(lines: &[&str]) -> String {
        let complaints = lines.iter().filter_map(|line| Complaint::of(line));
        complaints.reduce(Complaint::or).map(|complaint| complaint.to_string()).unwrap_or_default()
    }

    const PROBE: &str = r#"{"level":"warn","ts":"2026","caller":"rafthttp/probing_status.go:68","msg":"prober detected unhealthy status","remote-peer-id":"1","rtt":"0s","error":"x509: certificate signed by unknown authority"}"#;

    const FATAL: &str = r#"{"level":"fatal","ts":"2026","caller":"etcdmain/etcd.go:204","msg":"discovery failed","error":"wal: crc mismatch","stacktrace":"go.etcd.io/etcd/server/v3/etcdma"#;

    #[test]
    fn the_worst_line_is_the_cause_also_if_it_was_cut_off() {
        let info = r#"{"level":"info","msg":"closed etcd server","error":"none"}"#;
        assert_eq!(shown(&[info]), "");
        let shown = shown(&[PROBE, FATAL, "panic: later", "goroutine 1 [running]:", PROBE]);
        assert!(Complaint::of(FATAL).unwrap().is_fatal() && !Complaint::of(PROBE).unwrap().is_fatal());
        assert!(shown.starts_with("discovery failed: wal: crc mismatch (the data is damaged: "), "{shown}");
    }

    #[test]
    fn troubleshooting_has_every_remedy() {
        let texts = REMEDIES.iter().map(|(text, _)| (*text).to_owned()).collect();
        assert_eq!(Section::read("docs/troubleshooting.md", "etcd under `convene run`").names("in etcd's line"), texts);
    }

    #[test]
    fn what_convene_asks_is_no_complaint() {
        for line in [
            r#"{"level":"warn","msg":"failed to find remote peer in cluster","local-member-id":"86","remote-peer-id-stream-handler":"86","remote-peer-id-from":"86","cluster-id":"da"}"#,
            r#"{"level":"warn","msg":"ignored streaming request; ID mismatch","local-member-id":"86","remote-peer-id-header":"0","remote-peer-id-from":"87"}"#,
            "2026-11-28 14:00:00.000000 E | rafthttp: streaming request ignored (ID mismatch got 0 want 86)",
            "2026-11-28 14:00:00.000000 E | rafthttp: failed to find member 86 in cluster da",
        ] {
            assert_eq!(shown(&[line]), "");
        }
        let removed = r#"{"level":"warn","msg":"failed to find remote peer in cluster","local-member-id":"86","remote-peer-id-from":"87"}"#;
        assert_eq!(shown(&[removed]), "failed to find remote peer in cluster");
    }

    #[test]
    fn what_etcd_warns_of_at_every_start_is_no_complaint() {
        for line in [
            r#"{"level":"warn","caller":"auth/store.go:1135","msg":"simple token is not cryptographically signed"}"#,
            r#"{"level":"warn","msg":"Running http and grpc server on single port. This is not recommended for production."}"#,
            "2026-11-28 14:00:00.000000 W | auth: simple token is not cryptographically signed",
        ] {
            assert_eq!(shown(&[line]), "");
        }
    }

    #[test]
    fn the_last_warning_counts() {
        let earlier = r#"{"level":"warn","msg":"earlier"}"#;
        let expected = "prober detected unhealthy status: x509: certificate signed by unknown authority (check the certificates and \
                        the CAs of this node and of the other members)";
        assert_eq!(shown(&[earlier, PROBE]), expected);
    }

    #[test]
    fn the_former_format_and_panics_are_understood() {
        let critical = "2026-11-28 14:00:00.000000 C | etcdserver: write /db: no space left on device";
        let remedy = "(free some space on the disk of the data)";
        assert_eq!(shown(&[critical]), format!("etcdserver: write /db: no space left on device {remedy}"));
        assert_eq!(shown(&["panic: boom", "main.main()"]), "boom");
        for other in ["a | b", "x W | y", "{\"level\":\"warn\"}", "", "2026 I | embed: ready"] {
            assert_eq!(shown(&[other]), "", "{other}");
        }
    }

    #[test]
    fn a_name_in_a_text_is_no_field() {
        let line = r#"{"level":"warn","msg":"a \",\"error\":\"b"}"#;
        assert_eq!(shown(&[line]), r#"a ","error":"b"#);
    }
}
