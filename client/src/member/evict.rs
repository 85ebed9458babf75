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

/// The flags of `convene member evict`.
#[derive(Debug, Args)]
pub struct EvictArgs {
    /// ID of the member as etcd prints it, or its name if only one present member has that name
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
    let member = &find(&members, &arguments.member)?.value;
    let method = if arguments.withdraw { Method::DELETE } else { Method::PUT };
    let path = target.path(&format!("/members/{}/eviction", member.id));
    let answer: Verbatim<Member> = target.registry.call(method, &path, None::<&Value>).await?;
    match (arguments.output, arguments.withdraw) {
        (TableFormat::Json, _) => stdout::print_json(&answer),
        (TableFormat::Table, false) => {
            stdout::print(&format!("{} of {target} {}\n", describe(member), evicted(member)))
        }
        (TableFormat::Table, true) => {
            let cluster: Verbatim<Cluster> = target.get("").await?;
            let done = withdrawn(member, &cluster.value);
            stdout::print(&format!("{} of {target} {done}\n", describe(member)))
        }
    }
}

/// The member with the ID, or else the only present member with the name.
fn find<'a>(members: &'a [Verbatim<Member>], text: &str) -> Result<&'a Verbatim<Member>, CommandError> {
    // Leading zeros and upper case do not matter.
    let id = text.parse::<MemberId>().map(MemberKey::from).ok();
    let has_id = |key: &MemberKey| key.as_str() == text || Some(key) == id.as_ref();
    if let Some(member) = members.iter().find(|member| has_id(&member.value.id)) {
        return Ok(member);
    }
    let named = members.iter().filter(|member| !member.value.removed && member.value.name.as_str() == text);
    match named.collect::<Vec<_>>().as_slice() {
        [member] => Ok(member),
        [] => Err(CommandError::Refused(format!(
            "no member has the ID {text}, and no present member has that name; `convene member list --removed` lists all \
             members"
        ))),
        several => Err(CommandError::Refused(format!(
            "{} members have the name {text}; give the ID of one of them (`convene member list` lists the IDs)",
            several.len()
        ))),
    }
}

fn describe(member: &Member) -> String {
    format!("member {} ({})", member.name, member.id)
}

fn evicted(before: &Member) -> String {
    match &before.evicted_at {
        Some(since) => format!("is already evicted, since {since}"),
        None => {
            "is evicted: the next node that checks in with a running etcd removes it, once that is safe for the quorum; \
             to remove it now, run `convene leave` on its node"
                .to_owned()
        }
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
    fn an_id_wins_over_a_name() {
        assert_eq!(found("2f").unwrap(), "2f");
        assert_eq!(found("002F").unwrap(), "2f");
        assert_eq!(found("any.key").unwrap(), "any.key");
    }

    #[test]
    fn a_name_finds_the_only_present_member_that_has_it() {
        assert_eq!(found("infra0").unwrap(), "2f");
        assert!(found("twin").unwrap_err().starts_with("2 members have the name twin"));
        assert!(found("infra9").unwrap_err().starts_with("no member has the ID infra9"));
    }

    #[test]
    fn a_removed_member_is_found_by_its_id() {
        assert_eq!(found("1f").unwrap(), "1f");
    }
}
