use clap::Args;
use convene_lifecycle::MemberName;
use reqwest::Method;
use serde_json::Value;

use super::{describe, find, find_evicted, one_of};
use crate::{
    cli::TableFormat,
    command_error::CommandError,
    overview::{Clock, Overview},
    registry::{Cluster, Member, Verbatim},
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
    let before = Overview::read(&target, true).await?;
    let found = if arguments.withdraw { find_evicted } else { find }(&before.members, &arguments.member);
    let member = &found?.value;
    let method = if arguments.withdraw { Method::DELETE } else { Method::PUT };
    let path = target.path(&format!("/members/{}/eviction", member.id));
    let answer: Verbatim<Member> = target.registry.call(method, &path, None::<&Value>).await?;
    match (arguments.output, arguments.withdraw) {
        (TableFormat::Json, _) => stdout::print_json(&answer),
        (TableFormat::Table, false) => {
            let cluster = &target.cluster.value;
            let done = evicted(member, answer.value.carried_out_by.as_deref(), cluster.policy.paused);
            let left = if before.has_ready_spare(Clock::now()) { None } else { voters_left(member, &before) };
            stdout::print(&format!("{} of {target} {done}{}\n", describe(member), left.unwrap_or_default()))
        }
        (TableFormat::Table, true) => {
            let cluster: Verbatim<Cluster> = target.get("").await?;
            let done = withdrawn(member, &cluster.value);
            stdout::print(&format!("{} of {target} {done}\n", describe(member)))
        }
    }
}

/// How many voters the cluster has after all evictions, if no node takes a place. `None` if none is missing then, and if only evicted ones
/// are left: the last voter is not removed.
fn voters_left(member: &Member, overview: &Overview) -> Option<String> {
    let cluster = &overview.cluster.value;
    let members = overview.members.iter().map(|member| &member.value).filter(|member| !member.removed);
    let voters = members.filter(|member| member.role == "voter");
    let left = voters.filter(|voter| voter.id != member.id && voter.evicted_at.is_none()).count() as u64;
    let size = u64::from(cluster.size);
    (member.role == "voter" && 0 < left && left < size)
        .then(|| format!(". No spare is ready: the cluster then has {left} of {size} voters until a node joins"))
}

/// The effect of the eviction, and who carries it out. An older server does not tell who.
fn evicted(before: &Member, carried_out_by: Option<&[MemberName]>, is_paused: bool) -> String {
    let evicted = match &before.evicted_at {
        Some(since) => format!("is already evicted, since {since}"),
        None => "is evicted".to_owned(),
    };
    match carried_out_by {
        _ if is_paused => format!(
            "{evicted}, but membership changes are paused: the member is removed after `convene cluster resume`"
        ),
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
    fn an_eviction_without_a_ready_spare_shows_how_many_voters_are_left() {
        let cluster = |size: u32| {
            serde_json::json!({
                "token": null, "name": null, "size": size, "revision": 7, "created_at": "2026-08-01T12:00:00.000Z",
                "phase": "bootstrapped", "epoch": 1, "cluster_id": null, "voter_count": 3, "learner_count": 0, "ticket": null,
                "policy": {
                    "strategy": "replace", "dead_after_seconds": 60, "learner": true, "check_in_every_seconds": 10,
                    "paused": false, "max_failed_starts": 5, "witnesses": 2,
                },
            })
        };
        let member = |id: &str, role: &str, evicted_at: Option<&str>| {
            serde_json::json!({
                "id": id, "name": id, "peer_urls": [], "client_urls": [], "role": role, "removed": false,
                "heard_of_at": null, "evicted_at": evicted_at, "downtime_until": null,
            })
        };
        let shown = |size: u32, role: &str, evicted: &[&str]| {
            let others =
                ["2f", "3f"].map(|id| member(id, "voter", evicted.contains(&id).then_some("2026-08-01T12:00:00Z")));
            let members: Vec<_> = [member("1f", role, None)].into_iter().chain(others).collect();
            let overview = Overview::of(&cluster(size), &members, &[]);
            voters_left(&overview.members[0].value, &overview)
        };
        let left = |left, size| {
            Some(format!(". No spare is ready: the cluster then has {left} of {size} voters until a node joins"))
        };
        assert_eq!(shown(3, "voter", &[]), left(2, 3));
        assert_eq!(shown(3, "voter", &["2f"]), left(1, 3));
        assert_eq!(shown(3, "voter", &["2f", "3f"]), None);
        assert_eq!(shown(2, "voter", &[]), None);
        assert_eq!(shown(2, "learner", &[]), None);
    }

    #[test]
    fn an_eviction_shows_who_carries_it_out_or_what_to_run() {
        let member = serde_json::json!({
            "id": "1f", "name": "infra0", "peer_urls": [], "client_urls": [], "role": "voter", "removed": false,
            "heard_of_at": null, "evicted_at": null, "downtime_until": null,
        });
        let member: Member = serde_json::from_value(member).unwrap();
        let shown = |nodes: &[&str]| {
            let nodes: Vec<MemberName> = nodes.iter().map(|name| name.parse().unwrap()).collect();
            evicted(&member, Some(&nodes), false)
        };
        assert_eq!(
            shown(&["infra3"]),
            "is evicted: infra3 will remove it as soon as the quorum allows that. If nothing changes, `convene \
             cluster show` has the reason"
        );
        assert!(shown(&["infra1", "infra3"]).starts_with("is evicted: infra1 or infra3 will remove it"));
        assert!(shown(&[]).contains("no node that can remove it checks in") && shown(&[]).contains("`convene leave`"));
        let paused =
            "is evicted, but membership changes are paused: the member is removed after `convene cluster resume`";
        assert_eq!(evicted(&member, Some(&[]), true), paused);
    }
}
