use std::sync::Arc;

use convene_lifecycle::{Actor, Cluster, Instruction, Plan, Report, Token, plan};

use super::{ClusterLiveness, Committed, Inputs, Needs, Registry, Unavailable, WriteError};

/// The answer to a check-in.
#[derive(Debug)]
pub struct CheckInOutcome {
    /// What the node does next.
    pub instruction: Instruction,
    /// The cluster after the decision.
    pub cluster: Arc<Cluster>,
}

impl Registry {
    /// Decides what a node does next, and commits what the decision changes before it answers. `None` if there is no such
    /// cluster.
    ///
    /// Most check-ins change nothing and write nothing: the liveness is in memory. Each server of a shared database sees only
    /// some of the nodes, so there the liveness is in the database, and each check-in reads and writes it.
    pub async fn check_in(
        &self,
        token: &Token,
        actor: &Actor,
        report: Report,
    ) -> Result<Option<CheckInOutcome>, WriteError> {
        if self.freshness.is_some() {
            return self.check_in_shared(token, actor, report).await;
        }
        let Some(snapshot) = self.cluster(token).await? else { return Ok(None) };
        let liveness = self.cached_liveness(token).await?;
        let (cluster, at) = (snapshot.cluster.clone(), self.clock.now());
        let unchanged = liveness.read_and_record(&cluster, &report, at, |liveness| {
            let Plan { instruction, change } = plan(&cluster, liveness, &report, at);
            change.is_none().then_some(instruction)
        });
        match unchanged {
            Some(instruction) => {
                liveness.record_instruction(&cluster, &report, &instruction);
                Ok(Some(CheckInOutcome { instruction, cluster }))
            }
            None => self.check_in_with_change(token, actor, report, liveness).await,
        }
    }

    async fn check_in_with_change(
        &self,
        token: &Token,
        actor: &Actor,
        report: Report,
        liveness: Arc<ClusterLiveness>,
    ) -> Result<Option<CheckInOutcome>, WriteError> {
        let (reported, read) = (report.clone(), liveness.clone());
        let decide = move |inputs: Inputs<'_>| {
            let Some(cluster) = inputs.cluster else { return (None, None) };
            let liveness = read.resumed(&cluster.policy, inputs.now);
            let Plan { instruction, change } = plan(cluster, &liveness, &reported, inputs.now);
            let unchanged = change.is_none().then(|| Arc::new(cluster.clone()));
            (change, Some((instruction, unchanged)))
        };
        let (committed, decided) = self.transact(token, actor, Needs::Cluster, decide).await?;
        let outcome = outcome(token, &report, committed, decided);
        if let Some(CheckInOutcome { instruction, cluster }) = &outcome {
            liveness.record_check_in(cluster, &report, self.clock.now());
            liveness.record_instruction(cluster, &report, instruction);
        }
        Ok(outcome)
    }

    async fn check_in_shared(
        &self,
        token: &Token,
        actor: &Actor,
        report: Report,
    ) -> Result<Option<CheckInOutcome>, WriteError> {
        let reported = report.clone();
        let decide = move |inputs: Inputs<'_>| {
            let Some((cluster, record)) = inputs.cluster.zip(inputs.liveness) else { return (None, None) };
            let Plan { instruction, change } = plan(cluster, &record.detector, &reported, inputs.now);
            if let Some(after) = change.as_ref().map_or(Some(cluster), |change| change.after.as_ref()) {
                record.record_check_in(after, &reported, inputs.now);
                record.record_instruction(after, &reported, &instruction);
            }
            let unchanged = change.is_none().then(|| Arc::new(cluster.clone()));
            (change, Some((instruction, unchanged)))
        };
        let (committed, decided) = self.transact(token, actor, Needs::Liveness, decide).await?;
        Ok(outcome(token, &report, committed, decided))
    }

    /// What a check-in would be answered. Records and changes nothing.
    pub async fn check_in_dry(&self, token: &Token, report: &Report) -> Result<Option<CheckInOutcome>, Unavailable> {
        let Some(snapshot) = self.cluster(token).await? else { return Ok(None) };
        let (cluster, at) = (snapshot.cluster.clone(), self.clock.now());
        let liveness = match self.liveness.get(token) {
            Some(liveness) => liveness.resumed(&cluster.policy, at),
            None => self.stored_liveness(token, &cluster.policy, at).await?,
        };
        // Dry check-ins are not recorded, so those of a new node have none before them that shows how old the view is.
        let sequence = if liveness.nodes.contains_key(&report.name) { report.sequence } else { 0 };
        let Plan { instruction, .. } = plan(&cluster, &liveness, &Report { sequence, ..report.clone() }, at);
        Ok(Some(CheckInOutcome { instruction, cluster }))
    }
}

/// The outcome of a decision that has been committed.
fn outcome(
    token: &Token,
    report: &Report,
    committed: Option<Committed>,
    decided: Option<(Instruction, Option<Arc<Cluster>>)>,
) -> Option<CheckInOutcome> {
    let (instruction, unchanged) = decided?;
    for event in committed.iter().flat_map(|committed| &committed.events) {
        tracing::info!(cluster = %token, node = %report.name, revision = %event.revision, "{}", event.message);
    }
    let cluster = committed.and_then(|committed| committed.after).or(unchanged)?;
    Some(CheckInOutcome { instruction, cluster })
}
