use std::io::Write;

use serde::Serialize;

use crate::{command_error::CommandError, one_line};

/// Prints a result on standard output. Names and messages of others are in it, so no character of it gives a terminal an order.
pub fn print(text: &str) -> Result<(), CommandError> {
    let mut out = std::io::stdout().lock();
    let result = out.write_all(one_line::lines(text).as_bytes()).and_then(|()| out.flush());
    result.map_err(|error| CommandError::Local(format!("cannot write the result to standard output: {error}")))
}

/// Prints a result as one line of JSON.
pub fn print_json(result: &impl Serialize) -> Result<(), CommandError> {
    let json = serde_json::to_string(result).expect("a result can be written as JSON");
    print(&format!("{}\n", one_line::json_line(&json)))
}
