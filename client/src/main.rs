//! The program `convene`. Its code is a library, so that the fuzz targets can call it.

use std::process::ExitCode;

fn main() -> ExitCode {
    convene_client::main()
}
