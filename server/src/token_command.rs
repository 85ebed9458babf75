//! `convene-server token`: manages API tokens in the database itself, for the first administrator and for emergencies.

mod secret_file;

use std::{io, path::PathBuf, time::SystemTime};

use clap::{Args, Subcommand};
use convene_lifecycle::{PublicId, UnixMillis};
use thiserror::Error;

use crate::{
    access::{ApiToken, ApiTokenId, Role, Scope, TokenName},
    config::{DatabaseArgs, parse_duration},
    secret::Secret,
    store::{ApiTokenDatabase, OpenError, StoreError},
};
use secret_file::SecretFile;

/// The commands for API tokens.
#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// Create an API token, and print its secret, which is not stored anywhere
    Create(CreateArgs),
    /// List the API tokens, without their secrets
    List {
        #[command(flatten)]
        database: DatabaseArgs,
    },
    /// Revoke an API token; running servers refuse it within a second or two
    Revoke {
        #[command(flatten)]
        database: DatabaseArgs,

        /// ID of the token: tok- and 16 hexadecimal digits
        #[arg(value_name = "ID")]
        id: ApiTokenId,
    },
}

/// The flags of `token create`.
#[derive(Clone, Debug, Args)]
pub struct CreateArgs {
    #[command(flatten)]
    database: DatabaseArgs,

    /// Role of the token's holder: reader, operator or admin
    #[arg(long, value_name = "ROLE", value_enum)]
    role: Role,

    /// Name of the token, for people: 1 to 64 characters of A-Z, a-z, 0-9, '.', '_', '@' and '-'
    #[arg(long, value_name = "NAME")]
    name: TokenName,

    /// ID of a cluster that the role is for, cl-…; the flag may be repeated [default: all clusters]
    #[arg(long = "cluster", value_name = "ID")]
    clusters: Vec<PublicId>,

    /// Time after which the token expires, such as 90d [default: never]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    expires: Option<std::time::Duration>,

    /// File to write the secret to instead of standard output. The command creates the file, which must not exist yet;
    /// only its owner can read it
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// Why a command failed.
#[derive(Debug, Error)]
pub enum TokenCommandError {
    /// The database can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file for the secret can't be written.
    #[error("can't write {}: {source}; no token was created", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Administrators manage all clusters.
    #[error("--cluster is for readers and operators; the scope of an admin is always all clusters")]
    AdminOfClusters,
    /// There is no such token.
    #[error("the database has no API token {0}; `convene-server token list` lists them")]
    NoSuchToken(ApiTokenId),
}

/// Runs a command.
pub async fn run(command: &TokenCommand) -> Result<(), TokenCommandError> {
    match command {
        TokenCommand::Create(arguments) => create(arguments).await,
        TokenCommand::List { database } => list(database).await,
        TokenCommand::Revoke { database, id } => revoke(database, id).await,
    }
}

async fn create(arguments: &CreateArgs) -> Result<(), TokenCommandError> {
    let CreateArgs { database, role, name, clusters, expires, to } = arguments;
    let scope = match (clusters.as_slice(), role) {
        ([], _) => Scope::All,
        (_, Role::Admin) => return Err(TokenCommandError::AdminOfClusters),
        (clusters, _) => Scope::Clusters(clusters.iter().copied().collect()),
    };
    let now = now();
    let token = ApiToken {
        expires_at: expires.map(|expires| now.after(expires)),
        ..ApiToken::new(name.clone(), *role, scope, now, "command line".to_owned())
    };
    let secret = Secret::draw(Secret::API_TOKEN);
    let mut database = open(database).await?;
    let file = match to {
        Some(path) => Some(
            SecretFile::write(path, secret.reveal())
                .map_err(|source| TokenCommandError::File { path: path.clone(), source })?,
        ),
        None => None,
    };
    database.create(secret.hash(), &token).await?;
    match file {
        Some(file) => {
            file.keep();
            println!("{}", token.id.as_str());
        }
        None => println!("{}", secret.reveal()),
    }
    eprintln!(
        "created the API token {} ({}, role {role}); keep its secret, nobody can show it again",
        token.id,
        name.as_str()
    );
    Ok(())
}

async fn list(database: &DatabaseArgs) -> Result<(), TokenCommandError> {
    let now = now();
    for token in open(database).await?.list().await? {
        let state = match token {
            ApiToken { revoked_at: Some(_), .. } => "revoked",
            ApiToken { expires_at: Some(at), .. } if at <= now => "expired",
            _ => "valid",
        };
        let scope = match &token.scope {
            Scope::All => "all clusters".to_owned(),
            Scope::Clusters(clusters) => clusters.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        };
        println!("{}  {}  {}  {state}  {scope}", token.id, token.role, token.name.as_str());
    }
    Ok(())
}

async fn revoke(database: &DatabaseArgs, id: &ApiTokenId) -> Result<(), TokenCommandError> {
    match open(database).await?.revoke(id, now()).await? {
        true => {
            eprintln!("revoked {id}");
            Ok(())
        }
        false => Err(TokenCommandError::NoSuchToken(id.clone())),
    }
}

async fn open(database: &DatabaseArgs) -> Result<ApiTokenDatabase, OpenError> {
    ApiTokenDatabase::open(database.url(), database.limits()).await
}

fn now() -> UnixMillis {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
