use std::time::Duration;

use clap::Args;
use convene_lifecycle::{ClusterName, Strategy, Token};
use reqwest::Method;
use serde_json::Value;

use crate::{
    cli::ServerArgs,
    command_error::CommandError,
    discovery_url::DiscoveryUrl,
    registry::{NewCluster, NewPolicy},
    stdout, target,
};

/// What `convene cluster create` is told.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// How many voters the cluster is to have [default: 3]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    size: Option<u32>,
    /// What you call it
    #[arg(long)]
    name: Option<ClusterName>,
    /// A token of your own, hard to guess [default: one is drawn]
    #[arg(long)]
    token: Option<Token>,
    /// Which changes of membership may be made without anybody asking for them: prepared, add, replace or prune
    /// [default: replace]
    #[arg(long)]
    strategy: Option<Strategy>,
    /// For how long nobody may have heard of a member before it is dead [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    dead_after: Option<u64>,
    /// How often a running node checks in [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    check_in_every: Option<u64>,
    /// Whether nodes join as learners and are promoted once they have caught up [default: true]
    #[arg(long, value_name = "BOOL")]
    learner: Option<bool>,
    /// How the result is printed
    #[arg(short = 'o', long, value_enum, default_value = "url")]
    output: CreateFormat,
    #[command(flatten)]
    server: ServerArgs,
}

/// How a new cluster is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum CreateFormat {
    /// Its discovery URL alone.
    Url,
    /// As the registry answers it.
    Json,
}

/// Runs the command.
pub async fn run(arguments: &CreateArgs) -> Result<(), CommandError> {
    let registry = target::server(&arguments.server)?;
    let CreateArgs { size, name, token, strategy, dead_after, check_in_every, learner, .. } = arguments;
    let new = NewCluster {
        size: *size,
        name: name.as_ref(),
        token: token.as_ref().map(Token::as_str),
        policy: NewPolicy {
            strategy: *strategy,
            dead_after_seconds: *dead_after,
            learner: *learner,
            check_in_every_seconds: *check_in_every,
        },
    };
    let mut made: Value = registry.call(Method::POST, "/v1/clusters", Some(&new)).await?;
    let token = made["token"].as_str().and_then(|token| token.parse().ok());
    let token = token.ok_or_else(|| {
        CommandError::Unreachable(format!("what answers at {} made no cluster with a token", registry.server()))
    })?;
    // The server's own idea of its URL may be another one, or none that can be reached from here.
    let url = DiscoveryUrl::new(registry.server().clone(), token).reveal();
    match arguments.output {
        CreateFormat::Url => stdout::print(&format!("{url}\n")),
        CreateFormat::Json => {
            made["discovery_url"] = url.into();
            stdout::print_json(&made)
        }
    }
}

fn seconds(text: &str) -> Result<u64, String> {
    let time: Duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time.subsec_nanos() > 0 { Err("must be whole seconds".to_owned()) } else { Ok(time.as_secs()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_seconds() {
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("1m 30s"), Ok(90));
        assert_eq!(seconds("1500ms"), Err("must be whole seconds".to_owned()));
        assert!(seconds("soon").is_err());
    }
}
