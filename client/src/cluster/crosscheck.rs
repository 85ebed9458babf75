use clap::Args;
use convene_lifecycle::{MemberKey, MemberName, Reachability};
use serde::Serialize;

use crate::{
    cli::TableFormat,
    command_error::CommandError,
    registry::{Member, Members, Node, Nodes},
    stdout,
    table::Table,
    target::ClusterArgs,
};

/// The flags of `convene cluster crosscheck`.
#[derive(Debug, Args)]
pub struct CrosscheckArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Format of the result
    #[arg(short = 'o', long, value_name = "FORMAT", value_enum, default_value = "table")]
    output: TableFormat,
}

/// Which node reaches which member.
#[derive(Debug, Serialize)]
struct Crosscheck {
    members: Vec<Looked>,
    nodes: Vec<Looking>,
}

/// A member that nodes look at.
#[derive(Debug, Serialize)]
struct Looked {
    id: MemberKey,
    name: MemberName,
}

/// A node that looks at the members.
#[derive(Debug, Serialize)]
struct Looking {
    name: MemberName,
    checked_in_at: String,
    /// One for each member, in the order of the members.
    reaches: Vec<Reach>,
}

/// Whether a node reaches a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Reach {
    Ok,
    PeerOnly,
    ClientOnly,
    No,
    Unknown,
}

impl Reach {
    fn of(reported: Option<&Reachability>) -> Self {
        match reported.map(|reported| (reported.peer, reported.client)) {
            None | Some((None, None)) => Self::Unknown,
            Some((Some(true), Some(false))) => Self::PeerOnly,
            Some((Some(false), Some(true))) => Self::ClientOnly,
            Some((Some(false), _) | (_, Some(false))) => Self::No,
            Some(_) => Self::Ok,
        }
    }

    fn is_broken(self) -> bool {
        matches!(self, Self::PeerOnly | Self::ClientOnly | Self::No)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::PeerOnly => "peer only",
            Self::ClientOnly => "client only",
            Self::No => "NO",
            Self::Unknown => "-",
        }
    }
}

/// Runs the command.
pub async fn run(arguments: &CrosscheckArgs) -> Result<(), CommandError> {
    let target = arguments.cluster.find().await?;
    let Members { members } = target.get("/members").await?;
    let Nodes { nodes } = target.get("/nodes").await?;
    let members = members.into_iter().map(|member| member.value);
    let crosscheck = Crosscheck::new(members, nodes.iter().map(|node| &node.value));
    match arguments.output {
        TableFormat::Json => stdout::print_json(&crosscheck)?,
        TableFormat::Table => stdout::print(&crosscheck.to_text())?,
    }
    match crosscheck.broken() {
        broken if broken.is_empty() => Ok(()),
        broken => Err(CommandError::Local(broken.join("; "))),
    }
}

impl Crosscheck {
    fn new<'a>(members: impl Iterator<Item = Member>, nodes: impl Iterator<Item = &'a Node>) -> Self {
        let members: Vec<Looked> = members.map(|Member { id, name, .. }| Looked { id, name }).collect();
        let reaches = |node: &Node| {
            let reported =
                |member: &Looked| node.reachability.iter().find(|to| MemberKey::from(to.member) == member.id);
            members.iter().map(|member| Reach::of(reported(member))).collect()
        };
        let looking = nodes.filter(|node| !node.reachability.is_empty()).map(|node| Looking {
            name: node.name.clone(),
            checked_in_at: node.checked_in_at.clone(),
            reaches: reaches(node),
        });
        let nodes = looking.collect();
        Self { members, nodes }
    }

    /// The matrix: a row for each node that looks, and a column for each member.
    fn to_text(&self) -> String {
        if self.nodes.is_empty() {
            return "no node reports which members it reaches\n".to_owned();
        }
        let mut table = Table::new(&[]);
        let headings = self.members.iter().map(|member| format!("TO {}", member.name));
        table.row(["FROM".to_owned(), "CHECKED IN".to_owned()].into_iter().chain(headings));
        for node in &self.nodes {
            let reaches = node.reaches.iter().map(|reach| reach.as_str().to_owned());
            table.row([node.name.to_string(), node.checked_in_at.clone()].into_iter().chain(reaches));
        }
        table.rows()
    }

    /// A sentence for each node that does not reach all members.
    fn broken(&self) -> Vec<String> {
        let unreached = |node: &Looking| {
            let pairs = self.members.iter().zip(&node.reaches).filter(|(_, reach)| reach.is_broken());
            pairs.map(|(member, _)| member.name.to_string()).collect::<Vec<_>>()
        };
        let broken =
            self.nodes.iter().map(|node| (node, unreached(node))).filter(|(_, unreached)| !unreached.is_empty());
        broken.map(|(node, unreached)| format!("{} does not reach {}", node.name, unreached.join(", "))).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn member(id: &str, name: &str) -> Member {
        let member = json!({
            "id": id, "name": name, "peer_urls": [], "client_urls": [], "role": "voter", "removed": false,
        });
        serde_json::from_value(member).unwrap()
    }

    fn node(name: &str, reachability: Value) -> Node {
        let node = json!({
            "name": name, "state": "running", "peer_urls": [], "checked_in_at": "2026-05-03T22:28:37Z",
            "reachability": reachability,
        });
        serde_json::from_value(node).unwrap()
    }

    fn crosscheck(nodes: &[Node]) -> Crosscheck {
        Crosscheck::new([member("1f", "a"), member("2f", "b"), member("3f", "c")].into_iter(), nodes.iter())
    }

    #[test]
    fn the_matrix_has_a_row_for_each_node_that_looks() {
        let reaches =
            |member: &str, peer: Value, client: Value| json!({ "member": member, "peer": peer, "client": client });
        let nodes = [
            node("a", json!([reaches("2f", true.into(), true.into()), reaches("3f", true.into(), false.into())])),
            node("b", json!([reaches("1f", false.into(), true.into()), reaches("3f", false.into(), Value::Null)])),
            node("c", json!([])),
            node("spare", json!([reaches("1f", true.into(), Value::Null), reaches("2f", Value::Null, Value::Null)])),
        ];
        let found = crosscheck(&nodes);
        let expected = "\
            FROM    CHECKED IN             TO a          TO b   TO c\n\
            a       2026-05-03T22:28:37Z   -             ok     peer only\n\
            b       2026-05-03T22:28:37Z   client only   -      NO\n\
            spare   2026-05-03T22:28:37Z   ok            -      -\n";
        assert_eq!(found.to_text(), expected);
        assert_eq!(found.broken(), ["a does not reach c", "b does not reach a, c"]);
    }

    #[test]
    fn nodes_that_do_not_look_are_no_failure() {
        let found = crosscheck(&[node("a", json!([]))]);
        assert_eq!(found.to_text(), "no node reports which members it reaches\n");
        assert_eq!(found.broken(), Vec::<String>::new());
    }
}
