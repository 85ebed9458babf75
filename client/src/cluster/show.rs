use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::{
    cli::TableFormat,
    command_error::CommandError,
    member,
    registry::{Cluster, Held, Member, Members, Policy, Ticket, Verbatim},
    stdout,
    table::lines,
    target::{ClusterArgs, Target},
};

/// The flags of `convene cluster show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Format of the result
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: TableFormat,
}

/// The cluster and its members in one document.
#[derive(Serialize)]
struct ClusterAndMembers<'a> {
    cluster: &'a Verbatim<Cluster>,
    members: &'a [Verbatim<Member>],
}

/// Runs the command.
pub async fn run(arguments: &ShowArgs) -> Result<(), CommandError> {
    print(&arguments.cluster.find().await?, arguments.output).await
}

/// Prints a cluster and its members.
pub async fn print(target: &Target, output: TableFormat) -> Result<(), CommandError> {
    let Members { members } = target.get("/members").await?;
    match output {
        TableFormat::Table => {
            let text = format!("{}\n{}", summary(&target.cluster.value, &members), member::list::table(&members));
            stdout::print(&text)
        }
        TableFormat::Json => stdout::print_json(&ClusterAndMembers { cluster: &target.cluster, members: &members }),
    }
}

/// A boolean in a table.
pub fn yes_or_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

fn summary(cluster: &Cluster, members: &[Verbatim<Member>]) -> String {
    let (voters, learners) = (cluster.voter_count, cluster.learner_count);
    let mut summary = vec![
        ("Name", cluster.name.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("Token", cluster.token.to_string()),
        ("Phase", cluster.phase.clone()),
        ("Size", format!("{} (has {})", cluster.size, count_members(voters, learners))),
        ("Epoch", cluster.epoch.to_string()),
        ("Revision", cluster.revision.to_string()),
        ("Cluster ID", cluster.cluster_id.map(|id| id.to_string()).unwrap_or_default()),
        ("Policy", policy(&cluster.policy)),
        ("Paused", yes_or_no(cluster.policy.paused).to_owned()),
        ("Ticket", cluster.ticket.as_ref().map_or_else(|| "none".to_owned(), |held| ticket(held, members))),
    ];
    // Only while it is true: hardly any cluster is ever held.
    summary.extend(cluster.held.as_ref().map(|reason| ("Held", held(reason))));
    lines(&summary)
}

/// Why nobody may found the cluster, and what an administrator can do.
fn held(held: &Held) -> String {
    let cluster = held.cluster_id.map(|id| format!(" of etcd cluster {id}")).unwrap_or_default();
    let node = held.node.as_ref().map(|node| format!(" by {node}")).unwrap_or_default();
    format!(
        "since {}: {}{cluster}{node}; run `convene cluster adopt` or `convene cluster reset`",
        held.since, held.reason
    )
}

fn count_members(voters: u64, learners: u64) -> String {
    let plural = |count: u64, role: &str| if count == 1 { format!("1 {role}") } else { format!("{count} {role}s") };
    format!("{} and {}", plural(voters, "voter"), plural(learners, "learner"))
}

fn policy(policy: &Policy) -> String {
    let time = |seconds| humantime::format_duration(Duration::from_secs(seconds));
    format!(
        "{}, dead after {} to {}, check-in every {}, nodes join as {}",
        policy.strategy,
        time(policy.dead_after_seconds),
        if policy.witnesses == 1 { "1 witness".to_owned() } else { format!("{} witnesses", policy.witnesses) },
        time(policy.check_in_every_seconds),
        if policy.learner { "learners" } else { "voters" },
    )
}

/// The number and the holder of the ticket, since when, and the change.
fn ticket(ticket: &Ticket, members: &[Verbatim<Member>]) -> String {
    let member = ticket.member_id.as_ref().map(|id| {
        let name = members.iter().find(|member| member.value.id == *id).map(|member| &member.value.name);
        name.map_or_else(|| id.to_string(), |name| format!("{name} ({id})"))
    });
    let purpose = match (ticket.purpose.as_str(), member) {
        ("join", Some(member)) => format!("join in place of {member}"),
        (purpose, Some(member)) => format!("{purpose} {member}"),
        (purpose, None) => purpose.to_owned(),
    };
    format!("{}, held by {} since {} to {purpose}", ticket.number, ticket.holder, ticket.granted_at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn member(id: &str, name: &str) -> Verbatim<Member> {
        let member = json!({
            "id": id, "name": name, "peer_urls": ["http://10.0.0.1:2380"], "client_urls": [], "role": "voter",
            "started": true, "removed": false, "heard_of_at": null, "evicted_at": null, "downtime_until": null,
        });
        serde_json::from_str(&member.to_string()).unwrap()
    }

    fn held(purpose: &str, member_id: Option<&str>) -> String {
        let held = json!({
            "number": 4, "holder": "infra3", "purpose": purpose, "member_id": member_id,
            "granted_at": "2026-08-01T12:00:00.000Z",
        });
        ticket(&serde_json::from_value(held).unwrap(), &[member("1f", "infra0")])
    }

    #[test]
    fn a_ticket_is_shown_with_its_holder_time_and_purpose() {
        let ticket = "4, held by infra3 since 2026-08-01T12:00:00.000Z";
        assert_eq!(held("join", None), format!("{ticket} to join"));
        assert_eq!(held("join", Some("1f")), format!("{ticket} to join in place of infra0 (1f)"));
        assert_eq!(held("remove", Some("2f")), format!("{ticket} to remove 2f"));
        assert_eq!(held("defragment", Some("1f")), format!("{ticket} to defragment infra0 (1f)"));
    }

    #[test]
    fn a_summary_has_no_secret() {
        let cluster = json!({
            "token": "6c007a14875d53d9bf0ef5a6fc0257c8", "name": "prod", "size": 3, "revision": 12, "epoch": 1,
            "created_at": "2026-08-01T12:00:00.000Z", "phase": "of a newer server", "cluster_id": "cdf818194e3a8c32",
            "voter_count": 1, "learner_count": 2, "ticket": null, "discovery_url": "http://corp/6c007a14875d53d9bf0ef5a6fc0257c8",
            "policy": { "strategy": "replace", "dead_after_seconds": 90, "learner": true, "check_in_every_seconds": 10, "paused": false, "witnesses": 2 },
        });
        let summary = summary(&serde_json::from_value(cluster).unwrap(), &[]);
        let expected = "\
Name:         prod
Token:        6c007a…
Phase:        of a newer server
Size:         3 (has 1 voter and 2 learners)
Epoch:        1
Revision:     12
Cluster ID:   cdf818194e3a8c32
Policy:       replace, dead after 1m 30s to 2 witnesses, check-in every 10s, nodes join as learners
Paused:       no
Ticket:       none
";
        assert_eq!(summary, expected);
    }
}
