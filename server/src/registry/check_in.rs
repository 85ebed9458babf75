use std::{collections::HashMap, sync::Arc};

use convene_lifecycle::{Cluster, Instruction, Liveness, MemberKey, Plan, Policy, Report, Token, UnixMillis, plan};

use super::{ClusterLiveness, Committed, Inputs, Needs, Registry, Unavailable, WriteError, unavailable};
use crate::store::Sighting;

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
    pub async fn check_in(&self, token: &Token, report: Report) -> Result<Option<CheckInOutcome>, WriteError> {
        if self.freshness.is_some() {
            return self.check_in_shared(token, report).await;
        }
        let Some(snapshot) = self.cluster(token).await? else { return Ok(None) };
        let liveness = self.cached_liveness(token).await?;
        let (cluster, at) = (snapshot.cluster.clone(), self.clock.now());
        let unchanged = liveness.read_and_record(&cluster, &report, at, |liveness| {
            let Plan { instruction, change } = plan(&cluster, liveness, &report, at);
            change.is_none().then_some(instruction)
        });
        match unchanged {
            Some(instruction) => Ok(Some(CheckInOutcome { instruction, cluster })),
            None => self.check_in_with_change(token, report, liveness).await,
        }
    }

    async fn check_in_with_change(
        &self,
        token: &Token,
        report: Report,
        liveness: Arc<ClusterLiveness>,
    ) -> Result<Option<CheckInOutcome>, WriteError> {
        let (reported, read) = (report.clone(), liveness.clone());
        let decide = move |inputs: Inputs<'_>| {
            let Some(cluster) = inputs.cluster else { return (None, None) };
            let Plan { instruction, change } = read.read(|liveness| plan(cluster, liveness, &reported, inputs.now));
            let unchanged = change.is_none().then(|| Arc::new(cluster.clone()));
            (change, Some((instruction, unchanged)))
        };
        let (committed, decided) = self.transact(token, Needs::Cluster, decide).await?;
        let outcome = outcome(token, &report, committed, decided);
        if let Some(CheckInOutcome { cluster, .. }) = &outcome {
            liveness.record_check_in(cluster, &report, self.clock.now());
        }
        Ok(outcome)
    }

    async fn check_in_shared(&self, token: &Token, report: Report) -> Result<Option<CheckInOutcome>, WriteError> {
        let reported = report.clone();
        let decide = move |inputs: Inputs<'_>| {
            let Some((cluster, liveness)) = inputs.cluster.zip(inputs.liveness) else { return (None, None) };
            let Plan { instruction, change } = plan(cluster, liveness, &reported, inputs.now);
            if let Some(after) = change.as_ref().map_or(Some(cluster), |change| change.after.as_ref()) {
                liveness.record_check_in(after, &reported, inputs.now);
            }
            let unchanged = change.is_none().then(|| Arc::new(cluster.clone()));
            (change, Some((instruction, unchanged)))
        };
        let (committed, decided) = self.transact(token, Needs::Liveness, decide).await?;
        Ok(outcome(token, &report, committed, decided))
    }

    /// What a check-in would come to, without anything coming of it.
    pub async fn check_in_dry(&self, token: &Token, report: &Report) -> Result<Option<CheckInOutcome>, Unavailable> {
        let Some(snapshot) = self.cluster(token).await? else { return Ok(None) };
        let (cluster, at) = (snapshot.cluster.clone(), self.clock.now());
        let Plan { instruction, .. } = match self.liveness.get(token) {
            Some(liveness) => liveness.read(|liveness| plan(&cluster, liveness, report, at)),
            None => plan(&cluster, &self.stored_liveness(token, &cluster.policy, at).await?, report, at),
        };
        Ok(Some(CheckInOutcome { instruction, cluster }))
    }

    /// When members of a cluster were last heard of; those that are missing never were.
    pub async fn last_seen(&self, token: &Token) -> Result<HashMap<MemberKey, UnixMillis>, Unavailable> {
        if let Some(liveness) = self.liveness.get(token) {
            return Ok(liveness.last_seen());
        }
        let written = self.store.sightings(token).await.map_err(unavailable)?;
        let mut heard: HashMap<_, _> = written.into_iter().map(|sighting| (sighting.member, sighting.at)).collect();
        if let Some(listened) = self.store.liveness(token).await.map_err(unavailable)? {
            heard.extend(listened.last_seen().map(|(member, at)| (member.clone(), at)));
        }
        Ok(heard)
    }

    /// Who was heard of when by all servers of the database.
    async fn stored_liveness(&self, token: &Token, policy: &Policy, now: UnixMillis) -> Result<Liveness, Unavailable> {
        let listened = self.store.liveness(token).await.map_err(unavailable)?;
        let mut listened = listened.unwrap_or_else(|| Liveness::new(now));
        listened.resume(policy, now);
        Ok(listened)
    }

    async fn cached_liveness(&self, token: &Token) -> Result<Arc<ClusterLiveness>, Unavailable> {
        if let Some(liveness) = self.liveness.get(token) {
            return Ok(liveness);
        }
        let written = self.store.sightings(token).await.map_err(unavailable)?;
        Ok(self.liveness.begin(token, written, self.clock.now()))
    }

    /// Writes down when members were last heard of, as far as that is new, and forgets clusters that nobody checks in
    /// for. Returns of how many members it was written.
    pub async fn flush_liveness(&self) -> Result<usize, Unavailable> {
        let unpersisted: Vec<Sighting> = self.liveness.unpersisted();
        if !unpersisted.is_empty() {
            self.store.write_sightings(&unpersisted).await.map_err(unavailable)?;
            self.liveness.mark_persisted(&unpersisted);
        }
        self.liveness.evict_idle(self.clock.now());
        Ok(unpersisted.len())
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
