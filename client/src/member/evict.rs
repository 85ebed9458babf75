use clap::Args;
use convene_lifecycle::MemberName;
use reqwest::Method;
use serde_json::Value;

use super::{describe, find, find_evicted, one_of};
use crate::{
    cli::TableFormat,
    command_error::CommandError,
    registry::{Cluster, Member, Members, Verbatim},
    stdout,
    target::ClusterArgs,
};

/// The flags of `convene member evict`.
#[derive(Debug, Args)]
pub struct EvictArgs {
    /// ID of the member as etcd prints it, or its name if only one present member has that name. With --withdraw, a name
    /// stands for the evicted member with that name, even if it is already removed
    member: String,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Cancel the eviction. If the member is already removed, its node may then rejoin
    #[arg(long)]
    withdraw: bool,
    /// Format of the result
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: TableFormat,
}

/// Runs the command.
pub async fn run(arguments: &EvictArgs) -> Result<(), CommandError> {
    let target = arguments.cluster.find().await?;
    let Members { members } = target.get("/members?removed=true").await?;
    let found = if arguments.withdraw { find_evicted } else { find }(&members, &arguments.member);
    let member = &found?.value;
    let method = if arguments.withdraw { Method::DELETE } else { Method::PUT };
    let path = target.path(&format!("/members/{}/eviction", member.id));
    let answer: Verbatim<Member> = target.registry.call(method, &path, None::<&Value>).await?;
    match (arguments.output, arguments.withdraw) {
        (TableFormat::Json, _) => stdout::print_json(&answer),
        (TableFormat::Table, false) => {
            let done = evicted(member, answer.value.carried_out_by.as_deref());
            stdout::print(&format!("{} of {target} {done}\n", describe(member)))
        }
        (TableFormat::Table, true) => {
            let cluster: Verbatim<Cluster> = target.get("").await?;
            let done = withdrawn(member, &cluster.value);
            stdout::print(&format!("{} of {target} {done}\n", describe(member)))
        }
    }
}

/// The effect of the eviction, and who carries it out. An older server does not tell who.
fn evicted(before: &Member, carried_out_by: Option<&[MemberName]>) -> String {
    let evicted = match &before.evicted_at {
        Some(since) => format!("is already evicted, since {since}"),
        None => "is evicted".to_owned(),
    };
    match carried_out_by {
        None => format!(
            "{evicted}: the next node that checks in with a running etcd removes it, once that is safe for the quorum; to remove \
             it now, run `convene leave` on its node"
        ),
        Some([]) => format!(
            "{evicted}, but no node that can remove it checks in now: run `convene leave` on its node, or start \
             `convene run` on one more node, which waits as a spare and removes the member"
        ),
        Some(nodes) => format!(
            "{evicted}: {} will remove it as soon as the quorum allows that. If nothing changes, `convene cluster \
             show` has the reason",
            one_of(nodes)
        ),
    }
}

/// The effect of the withdrawal. It does not stop a node that is removing the member at this moment.
fn withdrawn(before: &Member, cluster: &Cluster) -> String {
    if before.evicted_at.is_none() {
        return "is not evicted".to_owned();
    }
    if before.removed {
        return "was already removed; its node may join again now".to_owned();
    }
    let ticket = cluster.ticket.as_ref().filter(|ticket| ticket.member_id.as_ref() == Some(&before.id));
    match ticket {
        Some(ticket) => {
            format!(
                "is no longer evicted, but {} holds the ticket to {} it, and may still do so",
                ticket.holder, ticket.purpose
            )
        }
        None => "is no longer evicted".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eviction_shows_who_carries_it_out_or_what_to_run() {
        let member = serde_json::json!({
            "id": "1f", "name": "infra0", "peer_urls": [], "client_urls": [], "role": "voter", "removed": false,
            "heard_of_at": null, "evicted_at": null, "downtime_until": null,
        });
        let member: Member = serde_json::from_value(member).unwrap();
        let shown = |nodes: &[&str]| {
            let nodes: Vec<MemberName> = nodes.iter().map(|name| name.parse().unwrap()).collect();
            evicted(&member, Some(&nodes))
        };
        assert_eq!(
            shown(&["infra3"]),
            "is evicted: infra3 will remove it as soon as the quorum allows that. If nothing changes, `convene \
             cluster show` has the reason"
        );
        assert!(shown(&["infra1", "infra3"]).starts_with("is evicted: infra1 or infra3 will remove it"));
        assert!(shown(&[]).contains("no node that can remove it checks in") && shown(&[]).contains("`convene leave`"));
    }
}
