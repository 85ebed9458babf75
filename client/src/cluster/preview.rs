use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    cli::TableFormat,
    command_error::CommandError,
    registry::{Request, Verbatim},
    stdout,
    target::Target,
};

/// A change that replaces what the registry knows about a cluster, and that can be previewed.
pub struct DecisiveChange {
    /// The path of the API after the cluster's.
    pub path: &'static str,
    /// The body of the request.
    pub body: Value,
}

/// The answer to a [`DecisiveChange`].
pub struct Answer {
    response: Verbatim<Changed>,
    dry_run: bool,
}

/// What became of the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was made.
    Changed,
    /// Nothing had to change.
    Unchanged,
    /// It would be made without `--dry-run`.
    Previewed,
}

#[derive(Clone, Debug, Deserialize)]
struct Changed {
    epoch: u32,
    changes: Vec<String>,
}

impl DecisiveChange {
    /// Sends the change, which is refused if the cluster has changed since it was read.
    pub async fn send(&self, target: &Target, dry_run: bool) -> Result<Answer, CommandError> {
        let query = if dry_run { "?dry_run=true" } else { "" };
        let path = target.path(&format!("{}{query}", self.path));
        let request = Request::new(Method::POST, path).body(Some(&self.body));
        let response = target.registry.send(request.if_revision(target.cluster.value.revision)).await;
        Ok(Answer { response: response.map_err(|error| target.explain(error))?, dry_run })
    }
}

impl Answer {
    /// Prints what has changed or would change. `headline` gets the outcome and the epoch afterwards.
    pub fn print(&self, format: TableFormat, headline: impl Fn(Outcome, u32) -> String) -> Result<(), CommandError> {
        let Changed { epoch, changes } = &self.response.value;
        let outcome = match (changes.is_empty(), self.dry_run) {
            (true, _) => Outcome::Unchanged,
            (false, true) => Outcome::Previewed,
            (false, false) => Outcome::Changed,
        };
        match format {
            TableFormat::Json => stdout::print_json(&self.response),
            TableFormat::Table => {
                let lines = changes.iter().map(|change| format!("  {change}\n"));
                stdout::print(&format!("{}\n{}", headline(outcome, *epoch), lines.collect::<String>()))
            }
        }
    }
}
