use clap::{
    Error,
    error::{ContextKind, ContextValue},
};

/// What stands for a text that may have a password in it.
const HIDDEN: &str = "…";

/// An error without secrets: clap repeats what it can't take, a database URL has a password in it, and errors end up in
/// logs.
pub fn hidden(mut error: Error) -> Error {
    let has_secret = |kind| matches!(error.get(kind), Some(ContextValue::String(text)) if may_have_secret(text));
    let found: Vec<ContextKind> = [ContextKind::InvalidArg, ContextKind::InvalidValue, ContextKind::InvalidSubcommand]
        .into_iter()
        .filter(|kind| has_secret(*kind))
        .collect();
    for kind in found {
        error.insert(kind, ContextValue::String(HIDDEN.to_owned()));
        // They repeat it, too.
        error.remove(ContextKind::Suggested);
    }
    error
}

/// Whether a text looks like what tells PostgreSQL a password, be it right or wrong.
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
