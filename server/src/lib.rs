//! `convene-server`: a self-hosted discovery service for etcd.
//!
//! `router` routes URLs and gRPC methods to the discovery protocols `v2` and `v3`, and to the `api` of
//! administrators and nodes. All of them read and change the `registry`, which the `store` keeps in a database.
//! `document` is the format that moves a registry to another database. The crate `convene-lifecycle` defines clusters
//! and members and decides their changes.

mod access;
mod access_log;
mod api;
mod app;
mod audit;
mod browsers;
mod config;
mod connection;
mod current_request;
mod document;
mod draw_token;
mod export;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod home;
mod import;
mod logging;
mod metrics;
mod migrate;
mod new_clusters;
mod operation;
mod periodic_tasks;
mod rates;
mod refusal;
mod registry;
mod request_body;
mod router;
mod secret;
mod server;
mod setup;
mod stale;
mod store;
mod tls_init;
mod token_command;
mod v2;
mod v3;
mod visible;
mod waiting;

use std::{error::Error, process::ExitCode};

use clap::Parser;

use config::{Cli, TlsVerb, Verb, hidden};
use tls_init::TlsFiles;

/// The program `convene-server`, without its allocator.
pub fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| hidden(error).exit());
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        // Not through the log, which RUST_LOG can turn off: an operator has to see why the server does not run.
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
            Verb::Token { command } => Ok(token_command::run(&command).await?),
            Verb::Migrate { database } => Ok(migrate::migrate(&database).await?),
            Verb::Export { database, to } => Ok(export::export(&database, &to).await?),
            Verb::Tls { command: TlsVerb::Init { dir, hosts } } => {
                print_files(&tls_init::create(&dir, &hosts)?);
                Ok(())
            }
            Verb::Import { database, from } => Ok(import::import(&database, &from).await?),
        }
    })
}

fn print_files(files: &TlsFiles) {
    let TlsFiles { ca, ca_key, certificate, key, pin, names } = files;
    println!("CA                  {}", ca.display());
    println!("its key             {} (secret; keep it offline)", ca_key.display());
    println!("server certificate  {}", certificate.display());
    println!("its key             {} (secret)", key.display());
    println!("valid for           {}", names.join(", "));
    println!("pin of the CA       {pin}");
    println!();
    println!("Start the server with");
    println!("  convene-server --tls-cert {} --tls-key {}", certificate.display(), key.display());
    println!("Nodes verify it by {}, or by the pin at the end of the discovery URL:", ca.display());
    println!("  https://HOST:PORT/TOKEN#{pin}");
}
