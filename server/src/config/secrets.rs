use clap::{
    Error,
    error::{ContextKind, ContextValue},
};

/// What stands for a text that may have a password in it.
const HIDDEN: &str = "…";

/// An error without secrets: clap repeats what it can't take, a database URL has a password in it, and errors end up in
/// logs.
pub fn hidden(mut error: Error) -> Error {
    let has_url = |kind| matches!(error.get(kind), Some(ContextValue::String(text)) if text.contains("://"));
    let found: Vec<ContextKind> = [ContextKind::InvalidArg, ContextKind::InvalidValue, ContextKind::InvalidSubcommand]
        .into_iter()
        .filter(|kind| has_url(*kind))
        .collect();
    for kind in found {
        error.insert(kind, ContextValue::String(HIDDEN.to_owned()));
        // They repeat it, too.
        error.remove(ContextKind::Suggested);
    }
    error
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
        ] {
            let error = Cli::try_parse_from([&["convene-server"], &arguments[..]].concat()).unwrap_err();
            let said = hidden(error).to_string();
            assert!(!said.contains("secret") && said.contains(HIDDEN), "{said}");
        }
    }
}
