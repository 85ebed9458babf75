use std::io::Write;

use serde::Serialize;

use crate::exit::Failure;

/// Prints a result on standard output.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| Failure::Local(format!("the result can't be written to standard output: {error}")))
}

/// Prints a result for programs, as one line.
pub fn print_json(result: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string(result).expect("what was read from JSON can be written as JSON");
    print(&format!("{json}\n"))
}
