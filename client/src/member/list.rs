use std::fmt::Display;

use clap::Args;
use serde::Serialize;

use crate::{
    cli::TableFormat,
    cluster::show::yes_or_no,
    command_error::CommandError,
    registry::{Member, Members, Verbatim},
    stdout,
    table::Table,
    target::ClusterArgs,
};

/// The flags of `convene member list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Include removed members
    #[arg(long)]
    removed: bool,
    /// Format of the result
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: TableFormat,
}

/// The members, as the API returns them.
#[derive(Serialize)]
struct MemberList<'a> {
    members: &'a [Verbatim<Member>],
}

/// Runs the command.
pub async fn run(arguments: &ListArgs) -> Result<(), CommandError> {
    let target = arguments.cluster.find().await?;
    let Members { members } = target.get(&format!("/members?removed={}", arguments.removed)).await?;
    match arguments.output {
        TableFormat::Table => stdout::print(&table(&members)),
        TableFormat::Json => stdout::print_json(&MemberList { members: &members }),
    }
}

/// The members as a table.
pub fn table(members: &[Verbatim<Member>]) -> String {
    let mut table = Table::new(&["NAME", "ID", "ROLE", "STARTED", "LAST SEEN", "PEER URLS", "CLIENT URLS", "NOTES"]);
    for Verbatim { value: member, .. } in members {
        table.row([
            member.name.to_string(),
            member.id.to_string(),
            member.role.clone(),
            yes_or_no(member.started).to_owned(),
            member.last_seen_at.clone().unwrap_or_else(|| "never".to_owned()),
            joined(&member.peer_urls),
            joined(&member.client_urls),
            notes(member),
        ]);
    }
    table.with_headings()
}

fn joined(urls: &[impl Display]) -> String {
    urls.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn notes(member: &Member) -> String {
    let removed = member.removed.then(|| "removed".to_owned());
    let evicted = member.evicted_at.as_ref().map(|since| format!("evicted since {since}"));
    let down = member.downtime_until.as_ref().map(|until| format!("downtime until {until}"));
    [removed, evicted, down].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_notes_removals_evictions_and_downtimes() {
        let members = r#"[
            {"id": "8e9e05c52164694d", "name": "infra0", "peer_urls": ["http://10.0.0.1:2380", "http://10.1.0.1:2380"],
             "client_urls": ["http://10.0.0.1:2379"], "role": "voter", "started": true, "removed": false,
             "heard_of_at": "2026-08-01T12:00:00.000Z", "evicted_at": "2026-08-01T11:00:00.000Z",
             "downtime_until": "2026-08-01T13:00:00.000Z", "created_revision": 2, "modified_revision": 9},
            {"id": "any.key", "name": "infra1", "peer_urls": ["http://10.0.0.2:2380"], "client_urls": [],
             "role": "learner", "started": false, "removed": true, "heard_of_at": null, "evicted_at": null,
             "downtime_until": null}
        ]"#;
        let members: Vec<Verbatim<Member>> = serde_json::from_str(members).unwrap();
        let shown = table(&members);
        let words: Vec<Vec<&str>> = shown.lines().map(|line| line.split("   ").map(str::trim).collect()).collect();
        let filled = |row: &[&str]| row.iter().filter(|word| !word.is_empty()).map(ToString::to_string).collect();
        let cells: Vec<Vec<String>> = words.iter().map(|row| filled(row)).collect();
        assert_eq!(cells[0], ["NAME", "ID", "ROLE", "STARTED", "LAST SEEN", "PEER URLS", "CLIENT URLS", "NOTES"]);
        assert_eq!(
            cells[1],
            [
                "infra0",
                "8e9e05c52164694d",
                "voter",
                "yes",
                "2026-08-01T12:00:00.000Z",
                "http://10.0.0.1:2380,http://10.1.0.1:2380",
                "http://10.0.0.1:2379",
                "evicted since 2026-08-01T11:00:00.000Z, downtime until 2026-08-01T13:00:00.000Z",
            ]
        );
        assert_eq!(cells[2], ["infra1", "any.key", "learner", "no", "never", "http://10.0.0.2:2380", "-", "removed"]);
    }
}
