use std::{env, fs, io, path::Path};

use crate::command_error::CommandError;

/// The variable with a join token. There is no flag for it, because `ps` shows flags to everyone.
const VARIABLE: &str = "CONVENE_JOIN_TOKEN";

/// What every join token begins with.
const PREFIX: &str = "cvnj_";

/// The join token in a file, or in the variable. `None` if there is none, or if the file is missing: it may be removed once the node has
/// joined.
pub fn read(file: Option<&Path>) -> Result<Option<String>, CommandError> {
    let (text, source) = match file {
        Some(path) => match fs::read_to_string(path) {
            Ok(text) => (text, format!("--join-token-file {}", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(CommandError::Usage(format!("cannot read --join-token-file {}: {error}", path.display())));
            }
        },
        None => match env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => (text, VARIABLE.to_owned()),
            _ => return Ok(None),
        },
    };
    let token = text.trim();
    match is_join_token(token) {
        true => Ok(Some(token.to_owned())),
        false => Err(CommandError::Usage(format!(
            "{source} holds no join token, which is {PREFIX} and 43 characters, as `convene cluster join-token create` prints it"
        ))),
    }
}

/// Whether a text has the form of a join token.
pub fn is_join_token(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|rest| {
        rest.len() == 43 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    })
}
