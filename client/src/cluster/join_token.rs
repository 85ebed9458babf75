//! `convene cluster join-token`: decides which nodes may join.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use convene_lifecycle::{Cidr, MemberName};
use reqwest::Method;
use serde::Serialize;
use serde_json::Value;

use super::policy_args::seconds;
use crate::{
    cli::TableFormat,
    command_error::CommandError,
    registry::{JoinToken, JoinTokens, NewJoinToken, Verbatim},
    secret_file::SecretFile,
    stdout,
    table::Table,
    target::ClusterArgs,
};

/// The commands for join tokens.
#[derive(Debug, Subcommand)]
pub enum JoinTokenCommand {
    /// Create a join token, and print it
    ///
    /// Standard output has the join token alone. Give it to the nodes in a file, with `--join-token-file`.
    Create(CreateArgs),
    /// List the join tokens of a cluster, and which nodes they have let in
    List(ListArgs),
    /// Revoke a join token; the nodes that it has let in stay
    Revoke(RevokeArgs),
}

/// The flags of `convene cluster join-token create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Only node that may use the join token; such a join token also replaces a credential that the node has lost
    #[arg(long, value_name = "NAME")]
    node: Option<MemberName>,
    /// Only addresses from which the join token may be used, such as 10.1.0.0/16
    #[arg(long, value_name = "RANGE")]
    cidr: Option<Cidr>,
    /// Time for which the join token lets nodes in, in whole seconds: 1s to 90days [default: 24h]
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    ttl: Option<u64>,
    /// Number of nodes that may use the join token, each once, 1 to 1000 [default: 1]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1000), conflicts_with = "node")]
    uses: Option<u64>,
    /// New file for the join token, which only its owner can read; standard output then has the public ID of the join token
    #[arg(long, value_name = "FILE")]
    join_token_file: Option<PathBuf>,
    /// Format of the result
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "secret")]
    output: CreateFormat,
}

/// The format of a new join token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum CreateFormat {
    /// Only the join token
    Secret,
    /// Response of the API
    Json,
}

/// The flags of `convene cluster join-token list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Format of the result
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: TableFormat,
}

/// The flags of `convene cluster join-token revoke`.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Public ID of the join token, as the list shows it
    id: String,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Format of the result
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: TableFormat,
}

/// Runs the command.
pub async fn run(command: &JoinTokenCommand) -> Result<(), CommandError> {
    match command {
        JoinTokenCommand::Create(arguments) => create(arguments).await,
        JoinTokenCommand::List(arguments) => list(arguments).await,
        JoinTokenCommand::Revoke(arguments) => revoke(arguments).await,
    }
}

async fn create(arguments: &CreateArgs) -> Result<(), CommandError> {
    let CreateArgs { node, cidr, ttl, uses, .. } = arguments;
    let target = arguments.cluster.find().await?;
    let file = arguments.join_token_file.as_deref().map(SecretFile::create).transpose()?;
    let new = NewJoinToken { node: node.clone(), cidr: *cidr, ttl_seconds: *ttl, uses: *uses };
    let path = target.path("/join-tokens");
    let created: Verbatim<JoinToken> = target.registry.call(Method::POST, &path, Some(&new)).await?;
    let secret = created.value.secret(target.registry.server())?;
    let is_in_file = file.is_some();
    if let Some(file) = file {
        file.write(secret)?;
    }
    match (arguments.output, is_in_file) {
        (CreateFormat::Json, _) => stdout::print_json(&created),
        (CreateFormat::Secret, true) => stdout::print(&format!("{}\n", created.value.id)),
        (CreateFormat::Secret, false) => stdout::print(&format!("{secret}\n")),
    }
}

async fn list(arguments: &ListArgs) -> Result<(), CommandError> {
    #[derive(Serialize)]
    struct List<'a> {
        join_tokens: &'a [Verbatim<JoinToken>],
    }

    let target = arguments.cluster.find().await?;
    let JoinTokens { join_tokens } = target.get("/join-tokens").await?;
    match arguments.output {
        TableFormat::Json => stdout::print_json(&List { join_tokens: &join_tokens }),
        TableFormat::Table => stdout::print(&table(&join_tokens)),
    }
}

fn table(join_tokens: &[Verbatim<JoinToken>]) -> String {
    let mut table = Table::new(&["ID", "STATE", "NODE", "ADDRESSES", "EXPIRES", "USES", "USED BY"]);
    for Verbatim { value: token, .. } in join_tokens {
        table.row([
            token.id.clone(),
            state(token).to_owned(),
            token.node.clone().unwrap_or_else(|| "any".to_owned()),
            token.cidr.clone().unwrap_or_else(|| "any".to_owned()),
            token.expires_at.clone(),
            format!("{}/{}", token.used_by.len(), token.uses),
            token.used_by.join(" "),
        ]);
    }
    table.with_headings()
}

fn state(token: &JoinToken) -> &'static str {
    match token {
        JoinToken { valid: true, .. } => "valid",
        JoinToken { revoked_at: Some(_), .. } => "revoked",
        JoinToken { used_by, uses, .. } if used_by.len() as u64 >= *uses => "used",
        _ => "expired",
    }
}

async fn revoke(arguments: &RevokeArgs) -> Result<(), CommandError> {
    let target = arguments.cluster.find().await?;
    let path = target.path(&format!("/join-tokens/{}", super::path_segment(&arguments.id)));
    let revoked: Verbatim<JoinToken> = target.registry.call(Method::DELETE, &path, None::<&Value>).await?;
    match arguments.output {
        TableFormat::Json => stdout::print_json(&revoked),
        TableFormat::Table => stdout::print(&format!("join token {} of {target} is revoked\n", revoked.value.id)),
    }
}
