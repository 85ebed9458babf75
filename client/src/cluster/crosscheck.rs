use clap::Args;
use convene_lifecycle::{MemberKey, MemberName, Reachability};
use serde::Serialize;

use crate::{
    cli::TableFormat,
    command_error::CommandError,
    overview::{Clock, Overview, age_of, is_present},
    registry::{Member, Node},
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

/// A node that looks at the members: a member's, or a spare.
#[derive(Debug, Serialize)]
struct Looking {
    name: MemberName,
    /// When it reported whom it reaches. `None` if it has not.
    checked_in_at: Option<String>,
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
    /// The node does not check in any more, so what it reported may be over.
    Old,
    /// The node does not report whom it reaches.
    NoReport,
}

impl Reach {
    fn reported(node: &Node, member: &Member) -> Self {
        let of_member = node.reachability.iter().find(|reported| MemberKey::from(reported.member) == member.id);
        Self::of(of_member)
    }

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
            Self::Old => "old",
            Self::NoReport => "no report",
        }
    }
}

/// Runs the command.
pub async fn run(arguments: &CrosscheckArgs) -> Result<(), CommandError> {
    let target = arguments.cluster.find().await?;
    let overview = Overview::read(&target, false).await?;
    let clock = Clock::now();
    let crosscheck = Crosscheck::new(&overview, clock);
    match arguments.output {
        TableFormat::Json => stdout::print_json(&crosscheck)?,
        TableFormat::Table => stdout::print(&crosscheck.to_text(clock))?,
    }
    match crosscheck.failures() {
        failures if failures.is_empty() => Ok(()),
        failures => Err(CommandError::Local(failures.join("; "))),
    }
}

impl Crosscheck {
    /// A row for each member, and for each spare that looks. A node of a former member has none, nor has a spare that is gone.
    fn new(overview: &Overview, clock: Clock) -> Self {
        let members: Vec<&Member> = overview.members.iter().map(|member| &member.value).collect();
        // The node of the only member has nobody to look at.
        let looks = |node: &&Node| !node.reachability.is_empty() || (members.len() == 1 && node.state == "running");
        let of_members = members.iter().map(|member| {
            // A node may have the name of a member and the data of a former one.
            let is_own = |node: &&Node| node.member_id.as_deref().is_none_or(|id| id == member.id.as_str());
            let node = overview.node_of(member).filter(is_own).filter(looks);
            let reaches = |reach: &dyn Fn(&Member) -> Reach| members.iter().map(|member| reach(member)).collect();
            Looking {
                name: member.name.clone(),
                checked_in_at: node.map(|node| node.checked_in_at.clone()),
                reaches: match node {
                    None => reaches(&|_| Reach::NoReport),
                    Some(node) if !is_present(overview, node, clock) => reaches(&|_| Reach::Old),
                    Some(node) => reaches(&|member| Reach::reported(node, member)),
                },
            }
        });
        let spares = overview.spares().filter(|spare| !spare.reachability.is_empty());
        let spares = spares.filter(|spare| is_present(overview, spare, clock)).map(|spare| Looking {
            name: spare.name.clone(),
            checked_in_at: Some(spare.checked_in_at.clone()),
            reaches: members.iter().map(|member| Reach::reported(spare, member)).collect(),
        });
        let nodes = of_members.chain(spares).collect();
        let members = members.iter().map(|Member { id, name, .. }| Looked { id: id.clone(), name: name.clone() });
        Self { members: members.collect(), nodes }
    }

    /// The matrix: a row for each node that looks, and a column for each member.
    fn to_text(&self, clock: Clock) -> String {
        let mut table = Table::new(&[]);
        let headings = self.members.iter().map(|member| format!("TO {}", member.name));
        table.row(["FROM".to_owned(), "AGE".to_owned()].into_iter().chain(headings));
        for node in &self.nodes {
            let age = node.checked_in_at.as_deref().and_then(|time| clock.since(time)).map(age_of).unwrap_or_default();
            let reaches = node.reaches.iter().map(|reach| reach.as_str().to_owned());
            table.row([node.name.to_string(), age].into_iter().chain(reaches));
        }
        table.rows()
    }

    /// A sentence for each node that does not reach all members, or that does not report any more whom it reaches; or that no node
    /// reports it.
    fn failures(&self) -> Vec<String> {
        let is_report =
            |node: &&Looking| !node.reaches.iter().all(|reach| matches!(reach, Reach::Old | Reach::NoReport));
        if !self.nodes.iter().any(|node| is_report(&node)) {
            return vec![
                "no node reports now which members it reaches; `convene run` does so while it runs".to_owned(),
            ];
        }
        self.nodes.iter().filter_map(|node| self.failure(node)).collect()
    }

    fn failure(&self, node: &Looking) -> Option<String> {
        if let Some(last) = node.checked_in_at.as_ref().filter(|_| node.reaches.contains(&Reach::Old)) {
            return Some(format!("{} has not checked in since {last}", node.name));
        }
        let pairs = self.members.iter().zip(&node.reaches).filter(|(_, reach)| reach.is_broken());
        let unreached: Vec<&str> = pairs.map(|(member, _)| member.name.as_str()).collect();
        (!unreached.is_empty()).then(|| format!("{} does not reach {}", node.name, unreached.join(", ")))
    }
}

#[cfg(test)]
mod tests;
