use std::path::PathBuf;

use clap::Args;
use convene_lifecycle::{ClusterName, Token};
use reqwest::Method;
use serde_json::Value;

use super::policy_args::PolicyArgs;
use crate::{
    cli::ServerArgs,
    command_error::CommandError,
    discovery_url::DiscoveryUrl,
    one_line,
    registry::{JoinToken, NewCluster, NewJoinToken, Registry, Verbatim},
    secret_file::SecretFile,
    stderr, stdout, target,
};

/// The flags of `convene cluster create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Number of voters, 1 to 1000 [default: 3]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    size: Option<u32>,
    /// Name of the cluster, for administrators
    #[arg(long)]
    name: Option<ClusterName>,
    /// Token of the cluster; must be hard to guess [default: random]
    #[arg(long)]
    token: Option<Token>,
    #[command(flatten)]
    policy: PolicyArgs,
    /// New file for the join token of the nodes, which only its owner can read [default: standard error]
    #[arg(long, value_name = "FILE")]
    join_token_file: Option<PathBuf>,
    /// Don't create a join token
    #[arg(long, conflicts_with = "join_token_file")]
    no_join_token: bool,
    /// Format of the result; json has the join token as well
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "url")]
    output: CreateFormat,
    #[command(flatten)]
    server: ServerArgs,
}

/// The format of a new cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum CreateFormat {
    /// Only the discovery URL
    Url,
    /// Response of the API
    Json,
}

/// Runs the command.
pub async fn run(arguments: &CreateArgs) -> Result<(), CommandError> {
    let file = arguments.join_token_file.as_deref().map(SecretFile::create).transpose()?;
    let registry = target::server(&arguments.server)?;
    let new = NewCluster {
        size: arguments.size,
        name: arguments.name.as_ref(),
        token: arguments.token.as_ref().map(Token::as_str),
        policy: arguments.policy.settings(),
    };
    let mut created: Value = registry.call(Method::POST, "/v1/clusters", Some(&new)).await?;
    let token = created["token"].as_str().and_then(|token| token.parse().ok());
    let token = token.ok_or_else(|| {
        CommandError::Unreachable(format!(
            "{} is not a Convene server: its response has no token of a new cluster",
            registry.server()
        ))
    })?;
    // The server may report another URL of its own, which need not be reachable from here.
    let discovery = DiscoveryUrl::new(registry.server().clone(), token);
    let url = discovery.reveal();
    let join_token = match created["policy"]["join"] == "token" && !arguments.no_join_token {
        true => Some(create_join_token(&registry, &discovery, created["size"].as_u64()).await),
        false => None,
    };
    if let Some(Ok(join_token)) = &join_token {
        created["join_token"] = join_token.secret(registry.server())?.into();
    }
    match arguments.output {
        CreateFormat::Url => stdout::print(&format!("{url}\n"))?,
        CreateFormat::Json => {
            created["discovery_url"] = url.into();
            stdout::print_json(&created)?;
        }
    }
    match join_token {
        Some(Ok(join_token)) => print_join_line(arguments, &discovery, &join_token, file),
        Some(Err(error)) => Err(error.after(
            "the cluster exists, but has no join token yet, so no node can join; run `convene \
                                             cluster join-token create`",
        )),
        None => Ok(()),
    }
}

/// Creates a join token for the nodes of a new cluster.
async fn create_join_token(
    registry: &Registry,
    discovery: &DiscoveryUrl,
    size: Option<u64>,
) -> Result<JoinToken, CommandError> {
    let path = target::path(&discovery.token, "/join-tokens");
    let new = NewJoinToken { uses: size, ..NewJoinToken::default() };
    let created: Verbatim<JoinToken> = registry.call(Method::POST, &path, Some(&new)).await?;
    Ok(created.value)
}

/// Keeps the join token in its file, and prints how to join on standard error: standard output has the discovery URL alone, for
/// scripts.
fn print_join_line(
    arguments: &CreateArgs,
    discovery: &DiscoveryUrl,
    join_token: &JoinToken,
    file: Option<SecretFile>,
) -> Result<(), CommandError> {
    let secret = join_token.secret(&discovery.server)?;
    let url = discovery.reveal();
    let (line, copy) = match (&arguments.join_token_file, file) {
        (Some(path), Some(file)) => {
            file.write(secret)?;
            let path = path.display();
            let needs = if join_token.uses == 1 { "The node needs" } else { "Each node needs" };
            (
                format!("convene run --discovery '{url}' --join-token-file {path} -- etcd …"),
                format!(". {needs} a copy of {path}"),
            )
        }
        _ => (format!("CONVENE_JOIN_TOKEN={secret} convene run --discovery '{url}' -- etcd …"), String::new()),
    };
    let JoinToken { id, expires_at, uses, .. } = join_token;
    let (id, expires_at) = (one_line::one_line(id), one_line::one_line(expires_at));
    let nodes = if *uses == 1 { "1 node".to_owned() } else { format!("each of the {uses} nodes") };
    stderr::print(&one_line::lines(&format!(
        "Before {expires_at}, run this command on {nodes} (join token {id}){copy}:\n\n    {line}\n\n"
    )))
}
