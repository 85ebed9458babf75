use std::io::Write;

use serde::Serialize;

use crate::command_error::CommandError;

/// Prints a result on standard output.
pub fn print(text: &str) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| CommandError::Local(format!("the result can't be written to standard output: {error}")))
}

/// Prints a result for programs, as one line.
pub fn print_json(result: &impl Serialize) -> Result<(), CommandError> {
    let json = serde_json::to_string(result).expect("what was read from JSON can be written as JSON");
    print(&format!("{json}\n"))
}
