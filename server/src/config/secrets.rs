use clap::{
    Error,
    error::{ContextKind, ContextValue},
};

/// Replaces a text that may contain a password.
const HIDDEN: &str = "…";

/// An error without secrets. clap quotes invalid values, a database URL contains a password, and errors end up in logs.
pub fn hidden(mut error: Error) -> Error {
    let has_secret = |kind| matches!(error.get(kind), Some(ContextValue::String(text)) if may_have_secret(text));
    let found: Vec<ContextKind> = [ContextKind::InvalidArg, ContextKind::InvalidValue, ContextKind::InvalidSubcommand]
        .into_iter()
        .filter(|kind| has_secret(*kind))
        .collect();
    for kind in found {
        error.insert(kind, ContextValue::String(HIDDEN.to_owned()));
        // They quote the value, too.
        error.remove(ContextKind::Suggested);
    }
    error
}

/// Whether a text looks like a connection string of PostgreSQL, even an invalid one.
fn may_have_secret(text: &str) -> bool {
    let text = text.to_lowercase();
    ["://", "@", "password", "postgres"].iter().any(|sign| text.contains(sign))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::Cli;

    #[test]
    fn no_error_repeats_a_password() {
        let url = "postgres://convene:secret@db:x/convene";
        for arguments in [
            vec!["--database-url", url],
            vec![url],
            vec!["--listen", url],
            vec!["--public-url", url],
            vec!["export", url],
            vec!["--database-url", "postgres:/convene:secret@db/convene"],
            vec!["--database-url", "convene:secret@db/convene"],
            vec!["--database-url", "postgres:secret"],
            vec!["--database-url", "user=convene PASSWORD=secret host=db"],
        ] {
            let error = Cli::try_parse_from([&["convene-server"], &arguments[..]].concat()).unwrap_err();
            let said = hidden(error).to_string();
            assert!(!said.contains("secret") && said.contains(HIDDEN), "{said}");
        }
    }
}
