//! The program `convene-server`. Its code is a library, so that the fuzz targets can call it.

use std::process::ExitCode;

/// A write allocates many small strings; mimalloc takes a tenth less time for a write than the system's allocator
/// (docs/benchmarks.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    convene_server::main()
}
