use std::io::Write;

use crate::command_error::CommandError;

/// Prints a part of a result that does not belong on standard output.
pub fn print(text: &str) -> Result<(), CommandError> {
    let result = std::io::stderr().lock().write_all(text.as_bytes());
    result.map_err(|error| CommandError::Local(format!("cannot write to standard error: {error}")))
}
