//! One log line for each request that the server refuses, so that its operator reads the reason, too.

use axum::{
    extract::MatchedPath,
    http::{Method, Uri, request::Parts},
    response::Response,
};
use convene_lifecycle::{MemberKey, MemberName, Token, is_invisible};
use percent_encoding::percent_decode_str;
use tracing::field::display;

use crate::{
    access_log::shown_segment,
    app::App,
    v2::{self, Folder, Folders},
};

/// Why a request was refused. It travels to [`Asked::log_refusal`] in the extensions of the response.
#[derive(Clone, Debug)]
pub struct Refusal {
    reason: String,
    node: Option<MemberName>,
    /// Whether the response refuses writes only: a read that finds nothing is no refusal.
    writes_only: bool,
}

impl Refusal {
    /// A refusal for this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), node: None, writes_only: false }
    }

    /// With the node that wants to register.
    pub fn of_node(self, node: Option<MemberName>) -> Self {
        Self { node, ..self }
    }

    /// Only if the request is a write.
    pub fn of_writes_only(self, writes_only: bool) -> Self {
        Self { writes_only, ..self }
    }

    /// Hands the refusal to [`Asked::log_refusal`].
    pub fn attach(self, response: &mut Response) {
        response.extensions_mut().insert(self);
    }
}

/// What a request asks for.
pub struct Asked {
    method: Method,
    uri: Uri,
    route: Option<MatchedPath>,
}

impl Asked {
    /// What this request asks for.
    pub fn of(request: &Parts) -> Self {
        Self { method: request.method.clone(), uri: request.uri.clone(), route: request.extensions.get().cloned() }
    }

    /// Logs why the request was refused, if it was, with the cluster, the member and the node as far as they are known.
    pub fn log_refusal(&self, app: &App, response: &Response) {
        let Self { method, uri, route } = self;
        let Some(refusal) = response.extensions().get::<Refusal>() else { return };
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        if !response.status().is_client_error() || (is_read && refusal.writes_only) {
            return;
        }
        let (cluster, member) = target(uri, &app.v2_folders);
        let (cluster, member, node) = (cluster.map(display), member.map(display), refusal.node.as_ref().map(display));
        let reason = hide_tokens(&refusal.reason, uri.path(), route.as_ref().map(MatchedPath::as_str), &app.v2_folders);
        tracing::warn!(cluster, member, node, reason, "refused");
    }
}

/// The cluster and the member that a URL names.
fn target(uri: &Uri, folders: &Folders) -> (Option<Token>, Option<MemberKey>) {
    let Some(below) = uri.path().strip_prefix("/v1/clusters/") else { return v2::target(uri, folders) };
    let mut segments = below.split('/');
    let token = segments.next().and_then(|token| token.parse().ok());
    let member = segments.next().filter(|segment| *segment == "members").and_then(|_| segments.next()?.parse().ok());
    (token, member)
}

/// A reason without whole tokens: each segment of the path that is no fixed word of its route may be one.
fn hide_tokens(reason: &str, path: &str, route: Option<&str>, folders: &Folders) -> String {
    let mut shown: String = reason.chars().map(|c| if is_invisible(c) { ' ' } else { c }).collect();
    let mut hide = |segment: &str| {
        let is_word = ["", "_config", "size"].contains(&segment)
            // Methods of etcd's JSON API, of which the reason tells. It has no tokens in its paths.
            || (path.starts_with("/v3") && segment.len() <= Token::SHOWN)
            || folders.iter().any(|folder: &Folder| folder.key().split('/').any(|word| word == segment));
        if !is_word {
            shown = replace_words(&shown, segment, &shown_segment(segment));
        }
    };
    let mut expected = route.unwrap_or_default().split('/');
    for segment in path.split('/') {
        let expected = expected.next();
        // A reason may have the short key of a member as a number.
        let is_short_member = expected == Some("{member}") && segment.len() <= Token::SHOWN;
        if expected != Some(segment) && !is_short_member {
            hide(segment);
            hide(&percent_decode_str(segment).decode_utf8_lossy());
        }
    }
    shown
}

/// A text with another word wherever a word stands in it, but not within longer words: a token may have one character.
fn replace_words(text: &str, word: &str, by: &str) -> String {
    let is_of_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let (mut replaced, mut copied) = (String::with_capacity(text.len()), 0);
    for (at, _) in text.match_indices(word) {
        let (before, after) = (text[..at].chars().next_back(), text[at + word.len()..].chars().next());
        if !before.is_some_and(is_of_word) && !after.is_some_and(is_of_word) {
            replaced += &text[copied..at];
            replaced += by;
            copied = at + word.len();
        }
    }
    replaced + &text[copied..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_shows_no_whole_token() {
        let hidden = |reason, path| hide_tokens(reason, path, Some("/v2/keys/{*key}"), &Folders::default());
        for (reason, path, expected) in [
            ("no /discovery/6c007a14875d53d9", "/v2/keys/discovery/6c007a14875d53d9", "no /discovery/6c007a…"),
            ("no a b-secret", "/v2/keys/a%20b-secret/x", "no a b-s…"),
            ("two\nlines of short", "/short", "two lines of sh…"),
            ("size of x is next: x.", "/v2/keys/_etcd/registry/x/_config/size", "size of … is next: …."),
        ] {
            assert_eq!(hidden(reason, path), expected);
        }
    }

    #[test]
    fn urls_of_every_kind_name_their_cluster_and_member() {
        for path in ["/prod/5e3c", "/v2/keys/discovery/prod/5e3c", "/v1/clusters/prod/members/5e3c"] {
            let target = target(&path.parse().unwrap(), &Folders::default());
            assert_eq!(target, (Some("prod".parse().unwrap()), Some("5e3c".parse().unwrap())), "{path}");
        }
        let (none, some) = (target(&"/new".parse().unwrap(), &Folders::default()), "/v1/clusters/prod/check-in");
        assert_eq!(none, (None, None));
        assert_eq!(target(&some.parse().unwrap(), &Folders::default()), (Some("prod".parse().unwrap()), None));
    }
}
