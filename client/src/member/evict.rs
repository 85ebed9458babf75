use clap::Args;
use convene_lifecycle::{MemberId, MemberKey};
use reqwest::Method;
use serde_json::Value;

use crate::{
    cli::TableFormat,
    command_error::CommandError,
    registry::{Cluster, Member, Members, Verbatim},
    stdout,
    target::ClusterArgs,
};

/// What `convene member evict` is told.
#[derive(Debug, Args)]
pub struct EvictArgs {
    /// The member's ID as etcd prints it, or its name if exactly one present member has it
    member: String,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Withdraw the eviction; after the removal, too, and then its node may come back
    #[arg(long)]
    withdraw: bool,
    /// How the result is printed
    #[arg(short = 'o', long, value_enum, default_value = "table")]
    output: TableFormat,
}

/// Runs the command.
pub async fn run(arguments: &EvictArgs) -> Result<(), CommandError> {
    let target = arguments.cluster.find().await?;
    let Members { members } = target.get("/members?removed=true").await?;
    let member = &find(&members, &arguments.member)?.value;
    let method = if arguments.withdraw { Method::DELETE } else { Method::PUT };
    let path = target.path(&format!("/members/{}/eviction", member.id));
    let answer: Verbatim<Member> = target.registry.call(method, &path, None::<&Value>).await?;
    match (arguments.output, arguments.withdraw) {
        (TableFormat::Json, _) => stdout::print_json(&answer),
        (TableFormat::Table, false) => stdout::print(&format!("{} of {target} {}\n", called(member), evicted(member))),
        (TableFormat::Table, true) => {
            let cluster: Verbatim<Cluster> = target.get("").await?;
            let done = withdrawn(member, &cluster.value);
            stdout::print(&format!("{} of {target} {done}\n", called(member)))
        }
    }
}

/// The member that has the ID or, if none has, the one present member that has the name.
fn find<'a>(members: &'a [Verbatim<Member>], text: &str) -> Result<&'a Verbatim<Member>, CommandError> {
    // As etcd prints it, whatever zeros it was given with.
    let id = text.parse::<MemberId>().map(MemberKey::from).ok();
    let has_id = |key: &MemberKey| key.as_str() == text || Some(key) == id.as_ref();
    if let Some(member) = members.iter().find(|member| has_id(&member.value.id)) {
        return Ok(member);
    }
    let named = members.iter().filter(|member| !member.value.removed && member.value.name.as_str() == text);
    match named.collect::<Vec<_>>().as_slice() {
        [member] => Ok(member),
        [] => Err(CommandError::Refused(format!(
            "no member has the ID {text}, and no present one has the name; `convene member list --removed` shows all"
        ))),
        several => Err(CommandError::Refused(format!(
            "{} members have the name {text}; say which by its ID: `convene member list` shows the IDs",
            several.len()
        ))),
    }
}

fn called(member: &Member) -> String {
    format!("member {} ({})", member.name, member.id)
}

fn evicted(before: &Member) -> String {
    match &before.evicted_at {
        Some(since) => format!("is evicted already, since {since}"),
        None => {
            "is evicted: it is removed as soon as that is safe for the quorum and a node whose etcd runs checks in; \
                 `convene leave` on its node does it at once"
                .to_owned()
        }
    }
}

/// What the withdrawal means; a node that removes the member right now is not held back by it.
fn withdrawn(before: &Member, cluster: &Cluster) -> String {
    if before.evicted_at.is_none() {
        return "is not evicted".to_owned();
    }
    if before.removed {
        return "was removed already; its node may come back now".to_owned();
    }
    let about_it = cluster.ticket.as_ref().filter(|ticket| ticket.member_id.as_ref() == Some(&before.id));
    match about_it {
        Some(ticket) => {
            format!(
                "is not evicted any more, but {} has the ticket to {} it, and may still",
                ticket.holder, ticket.purpose
            )
        }
        None => "is not evicted any more".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, name: &str, removed: bool) -> Verbatim<Member> {
        let member = serde_json::json!({
            "id": id, "name": name, "peer_urls": [], "client_urls": [], "role": "voter", "started": true,
            "removed": removed, "heard_of_at": null, "evicted_at": null, "downtime_until": null,
        });
        serde_json::from_str(&member.to_string()).unwrap()
    }

    fn found(text: &str) -> Result<String, String> {
        let members = [
            member("1f", "infra0", true),
            member("2f", "infra0", false),
            member("3f", "twin", false),
            member("4f", "twin", false),
            member("any.key", "2f", false),
        ];
        find(&members, text).map(|member| member.value.id.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_id_counts_before_a_name() {
        assert_eq!(found("2f").unwrap(), "2f");
        assert_eq!(found("002F").unwrap(), "2f");
        assert_eq!(found("any.key").unwrap(), "any.key");
    }

    #[test]
    fn a_name_is_that_of_one_present_member() {
        assert_eq!(found("infra0").unwrap(), "2f");
        assert!(found("twin").unwrap_err().starts_with("2 members have the name twin"));
        assert!(found("infra9").unwrap_err().starts_with("no member has the ID infra9"));
    }

    #[test]
    fn a_member_that_was_removed_is_found_by_its_id() {
        assert_eq!(found("1f").unwrap(), "1f");
    }
}
