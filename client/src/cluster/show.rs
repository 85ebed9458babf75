use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::{
    cli::TableFormat,
    command_error::CommandError,
    member,
    registry::{Cluster, Member, Members, Policy, Ticket, Verbatim},
    stdout,
    table::lines,
    target::{ClusterArgs, Target},
};

/// What `convene cluster show` is told.
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// How the result is printed
    #[arg(short = 'o', long, value_enum, default_value = "table")]
    output: TableFormat,
}

/// Both answers in one document.
#[derive(Serialize)]
struct Shown<'a> {
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
        TableFormat::Json => stdout::print_json(&Shown { cluster: &target.cluster, members: &members }),
    }
}

/// A truth for people.
pub fn yes_or_no(truth: bool) -> &'static str {
    if truth { "yes" } else { "no" }
}

fn summary(cluster: &Cluster, members: &[Verbatim<Member>]) -> String {
    let (voters, learners) = (cluster.voter_count, cluster.learner_count);
    lines(&[
        ("Name", cluster.name.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("Token", cluster.token.to_string()),
        ("Phase", cluster.phase.clone()),
        ("Size", format!("{} (there are {})", cluster.size, there_are(voters, learners))),
        ("Epoch", cluster.epoch.to_string()),
        ("Revision", cluster.revision.to_string()),
        ("Cluster ID", cluster.cluster_id.map(|id| id.to_string()).unwrap_or_default()),
        ("Policy", policy(&cluster.policy)),
        ("Paused", yes_or_no(cluster.policy.paused).to_owned()),
        ("Ticket", cluster.ticket.as_ref().map_or_else(|| "none".to_owned(), |held| ticket(held, members))),
    ])
}

fn there_are(voters: u64, learners: u64) -> String {
    let counted = |count: u64, what: &str| if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") };
    format!("{} and {}", counted(voters, "voter"), counted(learners, "learner"))
}

fn policy(policy: &Policy) -> String {
    let time = |seconds| humantime::format_duration(Duration::from_secs(seconds));
    format!(
        "{}, dead after {}, check-in every {}, nodes join as {}",
        policy.strategy,
        time(policy.dead_after_seconds),
        time(policy.check_in_every_seconds),
        if policy.learner { "learners" } else { "voters" },
    )
}

/// Who holds the ticket, what for, and since when.
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
    format!("{} is to {purpose}, since {} (ticket {})", ticket.holder, ticket.granted_at, ticket.number)
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
    fn a_ticket_says_who_does_what_since_when() {
        let since = "since 2026-08-01T12:00:00.000Z (ticket 4)";
        assert_eq!(held("join", None), format!("infra3 is to join, {since}"));
        assert_eq!(held("join", Some("1f")), format!("infra3 is to join in place of infra0 (1f), {since}"));
        assert_eq!(held("remove", Some("2f")), format!("infra3 is to remove 2f, {since}"));
        assert_eq!(held("defragment", Some("1f")), format!("infra3 is to defragment infra0 (1f), {since}"));
    }

    #[test]
    fn a_cluster_is_summed_up_without_its_secret() {
        let cluster = json!({
            "token": "6c007a14875d53d9bf0ef5a6fc0257c8", "name": "prod", "size": 3, "revision": 12, "epoch": 1,
            "created_at": "2026-08-01T12:00:00.000Z", "phase": "of a newer server", "cluster_id": "cdf818194e3a8c32",
            "voter_count": 1, "learner_count": 2, "ticket": null, "discovery_url": "http://corp/6c007a14875d53d9bf0ef5a6fc0257c8",
            "policy": { "strategy": "replace", "dead_after_seconds": 90, "learner": true, "check_in_every_seconds": 10, "paused": false },
        });
        let summary = summary(&serde_json::from_value(cluster).unwrap(), &[]);
        let expected = "\
Name:         prod
Token:        6c007a…
Phase:        of a newer server
Size:         3 (there are 1 voter and 2 learners)
Epoch:        1
Revision:     12
Cluster ID:   cdf818194e3a8c32
Policy:       replace, dead after 1m 30s, check-in every 10s, nodes join as learners
Paused:       no
Ticket:       none
";
        assert_eq!(summary, expected);
    }
}
