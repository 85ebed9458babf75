//! No log of our programs may contain a secret. Every test checks the programs that it ran.

use std::{collections::BTreeSet, sync::Mutex};

use aho_corasick::AhoCorasick;

/// The secrets of this test.
static SECRETS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// How the credentials that Convene makes begin; 43 characters of base64url follow.
const PREFIXES: [&str; 3] = ["cvn_", "cvnj_", "cvnn_"];

/// Remembers a secret: a discovery token that nobody can guess, or a password.
pub fn remember(secret: &str) {
    SECRETS.lock().unwrap().insert(secret.to_owned());
}

/// The first line with a secret that was remembered, or with a credential that Convene has made.
pub(crate) fn line_with_secret(log: &str) -> Option<&str> {
    // All secrets in one pass: a test may have thousands of them, and of lines.
    let secrets = AhoCorasick::new(&*SECRETS.lock().unwrap()).expect("the secrets of a test fit into memory");
    log.lines().find(|line| has_credential(line) || secrets.is_match(line))
}

fn has_credential(line: &str) -> bool {
    let is_secret = |rest: &str| {
        let of_base64 = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        rest.chars().take_while(of_base64).count() >= 43
    };
    PREFIXES.iter().any(|prefix| line.match_indices(prefix).any(|(at, _)| is_secret(&line[at + prefix.len()..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_a_secret_is_found() {
        remember("6c007a14875d53d9bf0ef5a6fc0257c8");
        let credential = format!("cvnj_{}", "aB-_".repeat(11));
        assert_eq!(line_with_secret("fine\ncluster 6c007a… is fine\ntoken cvn_… too, tok-17 as well"), None);
        for leak in [credential.as_str(), "at /6c007a14875d53d9bf0ef5a6fc0257c8/_config"] {
            assert_eq!(line_with_secret(&format!("fine\n{leak}\n")), Some(leak));
        }
    }
}
