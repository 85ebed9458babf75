//! `convene-server`: a self-hosted discovery service for etcd.
//!
//! [`router`] is the table of URLs, [`v2`] and [`v3`] the protocols that etcds speak, [`api`] what
//! administrators and nodes use, [`registry`] what they find each other in and [`store`] where that is kept; [`document`]
//! is how it leaves one database for another. What clusters, members and their changes are stands in the crate
//! `convene-lifecycle`.

mod access_log;
mod api;
mod app;
mod config;
mod document;
mod draw_token;
mod export;
mod home;
mod import;
mod logging;
mod migrate;
mod operation;
mod registry;
mod request_body;
mod router;
mod server;
mod store;
mod sweep;
mod v2;
mod v3;

use std::{error::Error, process::ExitCode};

use clap::Parser;

use config::{Cli, Verb, hidden};

/// Takes a tenth less time than the system's for the many small texts of a write (docs/benchmarks.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| hidden(error).exit());
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        // Past the log, which may be off: whoever starts a server has to see why it does not run.
        Err(error) => {
            eprintln!("convene-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(Cli { verb, serve }: Cli) -> Result<(), Box<dyn Error>> {
    let Some(verb) = verb else {
        let _flushes_when_dropped = logging::start(serve.log_format);
        return Ok(server::run(serve)?);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match verb {
            Verb::Migrate { database } => Ok(migrate::migrate(&database).await?),
            Verb::Export { database, to } => Ok(export::export(&database, &to).await?),
            Verb::Import { database, from } => Ok(import::import(&database, &from).await?),
        }
    })
}
