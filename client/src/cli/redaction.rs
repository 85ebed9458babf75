use clap::{
    Error,
    error::{ContextKind, ContextValue},
};

/// Flags whose value is a secret or may contain one.
const SECRET: &[&str] = &["--discovery", "--server", "--token", "--user"];

/// Flags whose value is a URL without a secret.
const URLS: &[&str] = &["--initial-advertise-peer-urls", "--advertise-client-urls"];

/// Stands for a secret.
const REDACTED: &str = "…";

/// The longest word that is shown. A mistyped command is not longer; a generated token is.
const MAX_SHOWN: usize = 16;

/// Removes secrets from an error: clap repeats the argument that it rejects, and errors end up in logs.
pub fn redact(mut error: Error) -> Error {
    let flag = text(&error, ContextKind::InvalidArg);
    if flag.split(' ').next().is_some_and(|flag| SECRET.contains(&flag)) {
        if !text(&error, ContextKind::InvalidValue).is_empty() {
            replace(&mut error, ContextKind::InvalidValue);
        }
        return error;
    }
    // A discovery URL may be given as the value of a wrong flag.
    let takes_urls = flag.split(' ').next().is_some_and(|flag| URLS.contains(&flag));
    if !takes_urls && may_be_secret(&text(&error, ContextKind::InvalidValue)) {
        replace(&mut error, ContextKind::InvalidValue);
    }
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidSubcommand] {
        if may_be_secret(&text(&error, kind)) {
            replace(&mut error, kind);
            // Suggestions repeat the argument.
            error.remove(ContextKind::Suggested);
        }
    }
    error
}

/// Whether a word may be a discovery URL or a token in the wrong place.
fn may_be_secret(word: &str) -> bool {
    let is_flag = word.starts_with('-') || word.starts_with('<');
    word.contains("://") || (!is_flag && word.len() > MAX_SHOWN)
}

fn replace(error: &mut Error, kind: ContextKind) {
    error.insert(kind, ContextValue::String(REDACTED.to_owned()));
}

fn text(error: &Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    }
}
