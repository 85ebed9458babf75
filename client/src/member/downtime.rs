use std::time::Duration;

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::{describe, find};
use crate::{
    cli::TableFormat,
    command_error::CommandError,
    registry::{Member, Members, Verbatim},
    stdout,
    target::ClusterArgs,
};

/// The flags of `convene member downtime`.
#[derive(Debug, Args)]
pub struct DowntimeArgs {
    /// ID of the member as etcd prints it, or its name if only one present member has that name
    member: String,
    /// Time from now on in which the member may be down, such as 90s, 1h or 2days: 1 second to 30 days; omit with --end
    #[arg(required_unless_present = "end")]
    duration: Option<String>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// End the downtime now, before its time is over
    #[arg(long)]
    end: bool,
    /// Format of the result
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: TableFormat,
}

/// Runs the command.
pub async fn run(arguments: &DowntimeArgs) -> Result<(), CommandError> {
    let (lasts, cluster) = match (&arguments.duration, arguments.end) {
        // Without a duration, the cluster comes second.
        (cluster, true) => (None, cluster.as_deref().or(arguments.cluster.cluster.as_deref())),
        (Some(duration), false) => (Some(whole_seconds(duration)?), arguments.cluster.cluster.as_deref()),
        (None, false) => unreachable!("clap requires a duration without --end"),
    };
    let target = arguments.cluster.find_as(cluster).await?;
    let Members { members } = target.get("/members").await?;
    let member = &find(&members, &arguments.member)?.value;
    let path = target.path(&format!("/members/{}/downtime", member.id));
    let answer: Verbatim<Member> = match lasts {
        Some(lasts) => target.registry.call(Method::PUT, &path, Some(&json!({ "for_seconds": lasts }))).await?,
        None => target.registry.call(Method::DELETE, &path, None::<&Value>).await?,
    };
    match arguments.output {
        TableFormat::Json => stdout::print_json(&answer),
        TableFormat::Table => {
            let dead_after = Duration::from_secs(target.cluster.value.policy.dead_after_seconds);
            let done = outcome(member, &answer.value, dead_after);
            stdout::print(&format!("{} of {target} {done}\n", describe(member)))
        }
    }
}

fn outcome(before: &Member, after: &Member, dead_after: Duration) -> String {
    match (&before.downtime_until, &after.downtime_until) {
        (_, Some(until)) => {
            // A server of an earlier version ends each downtime when the member is back, and does not name the announcer.
            let lasts =
                after.downtime_by.as_ref().map_or("", |_| ". This downtime does not end when the member comes back");
            format!("may be down until {until}, and does not count as dead before then{lasts}")
        }
        (Some(_), None) => {
            let dead_after = humantime::format_duration(dead_after);
            format!("has no downtime any more: it counts as dead once it has been silent for {dead_after}")
        }
        (None, None) => "has no announced downtime".to_owned(),
    }
}

fn whole_seconds(text: &str) -> Result<u64, CommandError> {
    let usage = |problem: &str| CommandError::Usage(format!("DURATION {problem}"));
    let lasts = humantime::parse_duration(text).map_err(|error| usage(&format!("is not a time: {error}")))?;
    if lasts.subsec_nanos() > 0 { Err(usage("must be whole seconds")) } else { Ok(lasts.as_secs()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_seconds() {
        assert_eq!(whole_seconds("1h").unwrap(), 3600);
        for wrong in ["1500ms", "prod", ""] {
            assert!(matches!(whole_seconds(wrong), Err(CommandError::Usage(_))), "{wrong}");
        }
    }
}
