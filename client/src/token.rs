//! `convene token`: manages API tokens by the API.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use convene_lifecycle::PublicId;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    cli::{ServerArgs, TableFormat},
    command_error::CommandError,
    registry::Verbatim,
    secret_file::SecretFile,
    stdout,
    table::Table,
    target,
};

/// The commands for API tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Create an API token, and print its secret once
    Create(CreateArgs),
    /// List the API tokens, without their secrets
    List(ListArgs),
    /// Revoke an API token; all servers refuse it within a second or two
    Revoke(RevokeArgs),
}

/// The flags of `convene token create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Role of the token's holder: reader, operator or admin
    #[arg(long, value_name = "ROLE", value_parser = ["reader", "operator", "admin"])]
    role: String,
    /// Name of the token, for people
    #[arg(long)]
    name: String,
    /// ID of a cluster that the role is for, cl-…; the flag may be repeated [default: all clusters]
    #[arg(long = "cluster", value_name = "ID")]
    clusters: Vec<PublicId>,
    /// Time after which the token expires, in whole seconds, such as 90d [default: never]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    expires: Option<Duration>,
    /// File to write the secret to instead of standard output. The command creates the file, which must not exist yet;
    /// only its owner can read it
    #[arg(long, value_name = "PATH")]
    to: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
}

/// The flags of `convene token list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Format of the result
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: TableFormat,
    #[command(flatten)]
    server: ServerArgs,
}

/// The flags of `convene token revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// ID of the token, tok-…
    #[arg(value_parser = token_id)]
    id: String,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Deserialize)]
struct Created {
    id: String,
    secret: String,
}

#[derive(Debug, Deserialize)]
struct ApiTokens {
    tokens: Vec<ApiToken>,
}

#[derive(Clone, Debug, Deserialize)]
struct ApiToken {
    id: String,
    name: String,
    role: String,
    clusters: Option<Vec<String>>,
    created_by: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    revoked_at: Option<String>,
}

/// Runs the command.
pub async fn run(command: &TokenCommand) -> Result<(), CommandError> {
    match command {
        TokenCommand::Create(arguments) => create(arguments).await,
        TokenCommand::List(arguments) => list(arguments).await,
        TokenCommand::Revoke(arguments) => revoke(arguments).await,
    }
}

async fn create(arguments: &CreateArgs) -> Result<(), CommandError> {
    let registry = target::server(&arguments.server)?;
    // Before the token exists: its secret can be read only once.
    let file = arguments.to.as_deref().map(SecretFile::create).transpose()?;
    let clusters: Vec<String> = arguments.clusters.iter().map(ToString::to_string).collect();
    let new = json!({
        "name": arguments.name,
        "role": arguments.role,
        "clusters": clusters,
        "expires_in_seconds": arguments.expires.map(|expires| expires.as_secs()),
    });
    let created: Created = registry.call(Method::POST, "/v1/tokens", Some(&new)).await?;
    let Some(file) = file else { return stdout::print(&format!("{}\n", created.secret)) };
    file.write(&created.secret).map_err(|error| match error {
        CommandError::Local(reason) => CommandError::Local(format!("{reason}; revoke the token {}", created.id)),
        other => other,
    })?;
    stdout::print(&format!("{}\n", created.id))
}

async fn list(arguments: &ListArgs) -> Result<(), CommandError> {
    let registry = target::server(&arguments.server)?;
    let listed: Verbatim<ApiTokens> = registry.get("/v1/tokens").await?;
    if arguments.output == TableFormat::Json {
        return stdout::print_json(&listed);
    }
    let mut table = Table::new(&["ID", "NAME", "ROLE", "CLUSTERS", "EXPIRES", "LAST USED", "REVOKED", "CREATED BY"]);
    for token in listed.value.tokens {
        table.row([
            token.id,
            token.name,
            token.role,
            token.clusters.map_or_else(|| "all".to_owned(), |clusters| clusters.join(",")),
            token.expires_at.unwrap_or_else(|| "never".to_owned()),
            token.last_used_at.unwrap_or_else(|| "never".to_owned()),
            token.revoked_at.unwrap_or_default(),
            token.created_by,
        ]);
    }
    stdout::print(&table.with_headings())
}

async fn revoke(arguments: &RevokeArgs) -> Result<(), CommandError> {
    let registry = target::server(&arguments.server)?;
    let path = format!("/v1/tokens/{}", arguments.id);
    registry.call_without_response(Method::DELETE, &path, None::<&Value>).await?;
    stdout::print(&format!("{} is revoked\n", arguments.id))
}

fn token_id(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix("tok-").filter(|digits| digits.len() == 16);
    let is_id = digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_id { Ok(text.to_owned()) } else { Err("must be tok- and 16 hexadecimal digits".to_owned()) }
}
