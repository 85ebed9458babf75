use clap::{
    Error,
    error::{ContextKind, ContextValue},
};

/// Flags whose value is a secret, or may have one in it.
const SECRET: &[&str] = &["--discovery", "--server", "--token", "--user"];

/// Flags whose value is a URL and no secret.
const URLS: &[&str] = &["--initial-advertise-peer-urls", "--advertise-client-urls"];

/// What stands for a value.
const HIDDEN: &str = "…";

/// The longest word that may be repeated: a mistyped verb is no longer, and what is drawn as a token is.
const LONGEST: usize = 16;

/// An error without secrets: clap repeats what it can't take, and errors end up in logs.
pub fn redact(mut error: Error) -> Error {
    let flag = text(&error, ContextKind::InvalidArg);
    if flag.split(' ').next().is_some_and(|flag| SECRET.contains(&flag)) {
        if !text(&error, ContextKind::InvalidValue).is_empty() {
            replace(&mut error, ContextKind::InvalidValue);
        }
        return error;
    }
    // A discovery URL may stand where another value belongs.
    let takes_urls = flag.split(' ').next().is_some_and(|flag| URLS.contains(&flag));
    if !takes_urls && may_be_secret(&text(&error, ContextKind::InvalidValue)) {
        replace(&mut error, ContextKind::InvalidValue);
    }
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidSubcommand] {
        if may_be_secret(&text(&error, kind)) {
            replace(&mut error, kind);
            // They repeat it, too.
            error.remove(ContextKind::Suggested);
        }
    }
    error
}

/// Whether a word that is no flag of ours may be a discovery URL or a token that stands in the wrong place.
fn may_be_secret(word: &str) -> bool {
    let is_flag = word.starts_with('-') || word.starts_with('<');
    word.contains("://") || (!is_flag && word.len() > LONGEST)
}

fn replace(error: &mut Error, kind: ContextKind) {
    error.insert(kind, ContextValue::String(HIDDEN.to_owned()));
}

fn text(error: &Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    }
}
