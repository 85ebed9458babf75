//! `convene member`: lists and evicts members of a cluster, announces downtimes, and revokes credentials.

mod downtime;
mod evict;
pub mod list;
mod revoke;

use clap::Subcommand;
use convene_lifecycle::{MemberId, MemberKey, MemberName};

use crate::{
    command_error::CommandError,
    registry::{Member, Verbatim},
};

/// The commands for members.
#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// List the members of a cluster
    List(list::ListArgs),
    /// Request the removal of a member as soon as that is safe; its node does not rejoin by itself
    Evict(evict::EvictArgs),
    /// Announce that a member will be down, so that it does not count as dead
    Downtime(downtime::DowntimeArgs),
    /// Revoke the credential of a node; the server then refuses the node
    ///
    /// To let the node in again, give it a new join token (`convene cluster join-token create --node NAME`).
    Revoke(revoke::RevokeArgs),
}

/// Runs the command.
pub async fn run(command: &MemberCommand) -> Result<(), CommandError> {
    match command {
        MemberCommand::List(arguments) => list::run(arguments).await,
        MemberCommand::Evict(arguments) => evict::run(arguments).await,
        MemberCommand::Downtime(arguments) => downtime::run(arguments).await,
        MemberCommand::Revoke(arguments) => revoke::run(arguments).await,
    }
}

/// The member with the ID, or else the only present member with the name.
fn find<'a>(members: &'a [Verbatim<Member>], text: &str) -> Result<&'a Verbatim<Member>, CommandError> {
    find_among(members, text, |member| !member.removed)
}

/// The member with the ID, or else the only one with the name among those that are evicted. An eviction outlasts the removal.
/// Without an eviction, the only present member with the name.
fn find_evicted<'a>(members: &'a [Verbatim<Member>], text: &str) -> Result<&'a Verbatim<Member>, CommandError> {
    let is_evicted = |member: &Member| member.evicted_at.is_some();
    let is_named = |member: &Verbatim<Member>| member.value.name.as_str() == text && is_evicted(&member.value);
    match members.iter().any(is_named) {
        true => find_among(members, text, is_evicted),
        false => find(members, text),
    }
}

fn find_among<'a>(
    members: &'a [Verbatim<Member>],
    text: &str,
    may_be_named: impl Fn(&Member) -> bool,
) -> Result<&'a Verbatim<Member>, CommandError> {
    // Leading zeros and upper case do not matter.
    let id = text.parse::<MemberId>().map(MemberKey::from).ok();
    let has_id = |key: &MemberKey| key.as_str() == text || Some(key) == id.as_ref();
    if let Some(member) = members.iter().find(|member| has_id(&member.value.id)) {
        return Ok(member);
    }
    let named = members.iter().filter(|member| member.value.name.as_str() == text && may_be_named(&member.value));
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

/// The names of nodes of which one acts: `infra0, infra1 or infra2`.
pub fn one_of(nodes: &[MemberName]) -> String {
    let names: Vec<&str> = nodes.iter().map(MemberName::as_str).collect();
    match names.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        names => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str, name: &str, removed: bool) -> Verbatim<Member> {
        let member = serde_json::json!({
            "id": id, "name": name, "peer_urls": [], "client_urls": [], "role": "voter",
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
    fn an_evicted_member_is_found_by_its_name_after_its_removal() {
        let mut evicted = member("1f", "infra0", true);
        evicted.value.evicted_at = Some("2026-11-27T07:45:06Z".to_owned());
        let members = [evicted, member("2f", "infra0", false), member("3f", "infra1", false)];
        let found = |name: &str| find_evicted(&members, name).map(|member| member.value.id.to_string());
        assert_eq!(found("infra0").unwrap(), "1f");
        assert_eq!(found("infra1").unwrap(), "3f", "it is not evicted");
        assert!(found("infra9").is_err());
    }

    #[test]
    fn a_removed_member_is_found_by_its_id() {
        assert_eq!(found("1f").unwrap(), "1f");
    }
}
