//! `convene-server`: a self-hosted discovery service for etcd.
//!
//! [`router`] is the table of URLs, [`v2`] and [`v3`] the protocols that etcds speak, [`api`] what
//! administrators and nodes use, [`registry`] what they find each other in and [`store`] where that is kept. What clusters, members and their changes are stands in the
//! crate `convene-lifecycle`.

mod access_log;
mod api;
mod app;
mod config;
mod document;
mod draw_token;
mod home;
mod logging;
mod mended_authority;
mod operation;
mod registry;
mod request_body;
mod router;
mod server;
mod store;
mod sweep;
mod v2;
mod v3;

use std::process::ExitCode;

use clap::Parser;

use config::{Config, hidden};

/// Takes a tenth less time than the system's for the many small texts of a write (docs/benchmarks.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let config = Config::try_parse().unwrap_or_else(|error| hidden(error).exit());
    let flushes_when_dropped = logging::start(config.log_format);
    let result = server::run(config);
    drop(flushes_when_dropped);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Past the log, which may be off: whoever starts a server has to see why it does not run.
        Err(error) => {
            eprintln!("convene-server: {error}");
            ExitCode::FAILURE
        }
    }
}
