use std::{borrow::Cow, collections::HashMap};

use convene_lifecycle::{PublicId, Token};
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use super::{
    FORMAT, FORMAT_VERSION,
    cluster::ClusterDocument,
    problems::{Problems, cluster_place},
    rfc3339_millis::Rfc3339Millis,
    rules,
    used_token::UsedTokenDocument,
};
use crate::store::{ClusterDump, RegistryDump, UsedToken};

/// Why a document can't be imported.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// It is not an export.
    #[error("line {line}: {problem}; an export begins with \"format\": \"{FORMAT}\"")]
    NoDocument {
        /// The line.
        line: usize,
        /// The problem in that line.
        problem: String,
    },
    /// It is JSON with another `format`.
    #[error("format is {0:?} and must be {FORMAT:?}")]
    Format(String),
    /// Another version has written it.
    #[error(
        "format_version is {version}, written by convene-server {by}; this is convene-server {}, which reads format_version \
         {FORMAT_VERSION}; use that version for the import",
        env!("CARGO_PKG_VERSION")
    )]
    Version {
        /// The document's version.
        version: u64,
        /// The version of the server that has written it.
        by: String,
    },
    /// Its content is inconsistent.
    #[error("{0}")]
    Inconsistent(Problems),
}

/// Reads a document, and checks that it is consistent.
pub fn read(text: &str) -> Result<RegistryDump, DocumentError> {
    let no_document = |error| DocumentError::NoDocument { line: line(&error, 0), problem: message(&error) };
    // Checked first, so that the additions of a later version are not reported as mistakes.
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(no_document)?;
    if envelope.format != FORMAT {
        return Err(DocumentError::Format(envelope.format.chars().take(FORMAT.len() * 2).collect()));
    }
    if envelope.format_version != u64::from(FORMAT_VERSION) {
        let by = envelope.convene_version.unwrap_or("an unknown version".into());
        return Err(DocumentError::Version { version: envelope.format_version, by: by.chars().take(32).collect() });
    }
    let document: Document<'_> = serde_json::from_str(text).map_err(no_document)?;
    let mut problems = Problems::default();
    let contents = document.read(text, &mut problems);
    contents.filter(|_| problems.count() == 0).ok_or(DocumentError::Inconsistent(problems))
}

/// The fields that every version has.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    format: Cow<'a, str>,
    format_version: u64,
    #[serde(borrow)]
    convene_version: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
    #[serde(rename = "format")]
    _format: String,
    #[serde(rename = "format_version")]
    _format_version: u64,
    #[serde(rename = "convene_version")]
    _convene_version: String,
    exported_at: Rfc3339Millis,
    registry_id: String,
    #[serde(borrow)]
    used_tokens: Vec<&'a RawValue>,
    /// Each one is parsed separately, so that a problem names it.
    #[serde(borrow)]
    clusters: Vec<&'a RawValue>,
}

impl Document<'_> {
    fn read(&self, text: &str, problems: &mut Problems) -> Option<RegistryDump> {
        let mut place = problems.at("the document");
        place.field("exported_at", self.exported_at.read());
        let registry_id = place.field("registry_id", registry_id(&self.registry_id));
        let used_tokens = self.read_used_tokens(text, problems);
        let clusters: Vec<Option<ClusterDump>> =
            self.clusters.iter().enumerate().map(|(n, raw)| read_cluster(n, raw, text, problems)).collect();
        check_tokens(&used_tokens, &clusters, problems);
        check_ids(&clusters, problems);
        Some(RegistryDump {
            registry_id: registry_id?,
            used_tokens: used_tokens.into_iter().collect::<Option<_>>()?,
            clusters: clusters.into_iter().collect::<Option<_>>()?,
        })
    }

    fn read_used_tokens(&self, text: &str, problems: &mut Problems) -> Vec<Option<UsedToken>> {
        let read = |(n, raw): (usize, &&RawValue)| {
            let mut place = problems.at(format_args!("used_tokens[{n}]"));
            let used = parse::<UsedTokenDocument>(raw, text).map_err(|problem| place.wrong(problem)).ok()?;
            used.read(place)
        };
        self.used_tokens.iter().enumerate().map(read).collect()
    }
}

fn read_cluster(n: usize, raw: &RawValue, text: &str, problems: &mut Problems) -> Option<ClusterDump> {
    let document = match parse::<ClusterDocument>(raw, text) {
        Ok(document) => document,
        Err(problem) => {
            let named: Option<Named<'_>> = serde_json::from_str(raw.get()).ok();
            let token = named.map_or(Cow::default(), |named| named.token);
            problems.at(cluster_place(n, &token)).wrong(problem);
            return None;
        }
    };
    let mut place = problems.at(cluster_place(n, document.token()));
    let dump = document.read(&mut place)?;
    rules::check(&dump, &mut place);
    Some(dump)
}

/// The part of a cluster that identifies it.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    token: Cow<'a, str>,
}

/// Checks that a token names one cluster.
fn check_tokens(used: &[Option<UsedToken>], clusters: &[Option<ClusterDump>], problems: &mut Problems) {
    let mut places: HashMap<&Token, String> = HashMap::new();
    let used = used.iter().enumerate().filter_map(|(n, used)| Some((&used.as_ref()?.token, n, true)));
    let dump = clusters.iter().enumerate().filter_map(|(n, dump)| Some((&dump.as_ref()?.cluster.token, n, false)));
    for (token, n, is_used) in used.chain(dump) {
        let subject = if is_used { format!("used_tokens[{n}] ({token})") } else { cluster_place(n, token.as_str()) };
        match places.get(token) {
            Some(other) => {
                let what = format!("is also the token of {other}; a token names one cluster");
                problems.at(subject).inside("token").wrong(what);
            }
            None => drop(places.insert(token, subject)),
        }
    }
}

/// Checks that an ID names one cluster.
fn check_ids(clusters: &[Option<ClusterDump>], problems: &mut Problems) {
    let mut places: HashMap<PublicId, String> = HashMap::new();
    for (n, cluster) in clusters.iter().enumerate().filter_map(|(n, dump)| Some((n, &dump.as_ref()?.cluster))) {
        let subject = cluster_place(n, cluster.token.as_str());
        if cluster.id == PublicId::UNASSIGNED {
            continue;
        }
        if let Some(other) = places.insert(cluster.id, subject.clone()) {
            problems.at(subject).inside("id").wrong(format!("is also the ID of {other}; an ID names one cluster"));
        }
    }
}

fn registry_id(text: &str) -> Result<String, &'static str> {
    let is_one = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_one { Ok(text.to_owned()) } else { Err("must be 16 hexadecimal digits in lower case") }
}

/// Parses one part of the text. An error names the line in the whole text.
fn parse<'a, T: Deserialize<'a>>(raw: &'a RawValue, text: &str) -> Result<T, String> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(raw.get())).map_err(|error| {
        let before = raw.get().as_ptr().addr() - text.as_ptr().addr();
        let lines = text.as_bytes()[..before].iter().filter(|byte| **byte == b'\n').count();
        let field =
            Some(error.path().to_string()).filter(|path| path != ".").map_or_else(String::new, |path| path + ": ");
        let error = error.into_inner();
        format!("{field}line {}: {}", line(&error, lines), message(&error))
    })
}

fn line(error: &serde_json::Error, before: usize) -> usize {
    before + error.line()
}

/// Serde's message without its position, which is not that in the whole text, and without texts of the document, which may be
/// tokens.
fn message(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    let Some((found, expected)) = message.rsplit_once(", expected ") else { return message.to_owned() };
    let found = found.split_once(" \"").map_or(found, |(kind, _)| kind);
    format!("{found}, expected {}", for_people(expected))
}

/// What serde expects, without Rust's names of types.
fn for_people(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "i64" | "usize" => "a whole number",
        _ if expected.starts_with("struct ") => "an object",
        _ => expected,
    }
}
