use std::sync::Arc;

use convene_lifecycle::{
    Actor, Admittance, Cluster, Instruction, Liveness, NodeDenial, Plan, Presented, Report, Token, Transition,
    UnixMillis, plan,
};

use super::{ClusterLiveness, Committed, Inputs, Needs, Registry, Unavailable, WriteError};

/// What a node sends.
#[derive(Clone, Debug)]
pub struct CheckIn {
    /// The report.
    pub report: Report,
    /// What shows that the sender may speak for the node. `None` if nobody needs to show anything.
    pub presented: Option<Presented>,
}

/// The answer to a check-in.
#[derive(Debug)]
pub struct CheckInOutcome {
    /// What the node does next.
    pub instruction: Instruction,
    /// The cluster after the decision.
    pub cluster: Arc<Cluster>,
}

/// A check-in whose sender may not speak for its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnedAway {
    /// Why.
    pub denial: NodeDenial,
    /// Whether it has left an event, as the first of several such check-ins does.
    pub is_first: bool,
}

/// A decision about a check-in.
enum Decision {
    /// The change that it makes, and the instruction. The cluster is the one without a change, if there is none.
    Answer {
        change: Option<Transition>,
        instruction: Instruction,
        unchanged: Option<Arc<Cluster>>,
    },
    TurnAway {
        record: Option<Transition>,
        denial: NodeDenial,
    },
}

impl Registry {
    /// Decides what a node does next, and commits what the decision changes before it answers. `None` if there is no such
    /// cluster.
    ///
    /// Most check-ins change nothing and write nothing: the liveness is in memory, and so are the credentials. Each server of a
    /// shared database sees only some of the nodes, so there the liveness is in the database, and each check-in reads and writes it.
    pub async fn check_in(
        &self,
        token: &Token,
        actor: &Actor,
        check_in: CheckIn,
    ) -> Result<Option<Result<CheckInOutcome, TurnedAway>>, WriteError> {
        if self.freshness.is_some() {
            return self.check_in_shared(token, actor, check_in).await;
        }
        let Some(snapshot) = self.cluster(token).await? else { return Ok(None) };
        let liveness = self.cached_liveness(token).await?;
        let (cluster, at) = (snapshot.cluster.clone(), self.clock.now());
        let report = &check_in.report;
        let admitted = liveness.read_resumed(&cluster.policy, at, |liveness| admit(&cluster, &check_in, liveness, at));
        match admitted {
            Admittance::Known => {}
            Admittance::Denied { denial, record: None } if cluster.hold_on_refused_report(report, at).is_none() => {
                return Ok(Some(Err(TurnedAway { denial, is_first: false })));
            }
            Admittance::Bound(_) | Admittance::Denied { .. } => {
                return self.check_in_with_change(token, actor, check_in, liveness).await;
            }
        }
        let unchanged = liveness.read_and_record(&cluster, report, at, |liveness| {
            let Plan { instruction, change } = plan(&cluster, liveness, report, at);
            change.is_none().then_some(instruction)
        });
        match unchanged {
            Some(instruction) => {
                liveness.record_instruction(&cluster, report, &instruction);
                Ok(Some(Ok(CheckInOutcome { instruction, cluster })))
            }
            None => self.check_in_with_change(token, actor, check_in, liveness).await,
        }
    }

    async fn check_in_with_change(
        &self,
        token: &Token,
        actor: &Actor,
        check_in: CheckIn,
        liveness: Arc<ClusterLiveness>,
    ) -> Result<Option<Result<CheckInOutcome, TurnedAway>>, WriteError> {
        let (received, read) = (check_in.clone(), liveness.clone());
        let decide = move |inputs: Inputs<'_>| {
            let Some(cluster) = inputs.cluster else { return (None, None) };
            let liveness = read.resumed(&cluster.policy, inputs.now);
            decide(cluster, &received, &liveness, inputs.now).into_parts()
        };
        let (committed, decided) = self.transact(token, actor, Needs::Cluster, decide).await?;
        let outcome = outcome(token, &check_in.report, committed, decided);
        if let Some(Ok(CheckInOutcome { instruction, cluster })) = &outcome {
            liveness.record_check_in(cluster, &check_in.report, self.clock.now());
            liveness.record_instruction(cluster, &check_in.report, instruction);
        }
        Ok(outcome)
    }

    async fn check_in_shared(
        &self,
        token: &Token,
        actor: &Actor,
        check_in: CheckIn,
    ) -> Result<Option<Result<CheckInOutcome, TurnedAway>>, WriteError> {
        let received = check_in.clone();
        let decide = move |inputs: Inputs<'_>| {
            let Some((cluster, record)) = inputs.cluster.zip(inputs.liveness) else { return (None, None) };
            let decision = decide(cluster, &received, &record.detector, inputs.now);
            if let Decision::Answer { change, instruction, .. } = &decision
                && let Some(after) = change.as_ref().map_or(Some(cluster), |change| change.after.as_ref())
            {
                record.record_check_in(after, &received.report, inputs.now);
                record.record_instruction(after, &received.report, instruction);
            }
            decision.into_parts()
        };
        let (committed, decided) = self.transact(token, actor, Needs::Liveness, decide).await?;
        Ok(outcome(token, &check_in.report, committed, decided))
    }

    /// What a check-in would be answered. Records and changes nothing.
    pub async fn check_in_dry(
        &self,
        token: &Token,
        check_in: &CheckIn,
    ) -> Result<Option<Result<CheckInOutcome, TurnedAway>>, Unavailable> {
        let Some(snapshot) = self.cluster(token).await? else { return Ok(None) };
        let (cluster, at) = (snapshot.cluster.clone(), self.clock.now());
        let liveness = match self.liveness.get(token) {
            Some(liveness) => liveness.resumed(&cluster.policy, at),
            None => self.stored_liveness(token, &cluster.policy, at).await?,
        };
        let report = &check_in.report;
        // Dry check-ins are not recorded, so those of a new node have none before them that shows how old the view is.
        let sequence = if liveness.nodes.contains_key(&report.name) { report.sequence } else { 0 };
        let check_in = CheckIn { report: Report { sequence, ..report.clone() }, ..check_in.clone() };
        Ok(Some(match decide(&cluster, &check_in, &liveness, at) {
            Decision::Answer { instruction, .. } => Ok(CheckInOutcome { instruction, cluster }),
            Decision::TurnAway { denial, .. } => Err(TurnedAway { denial, is_first: false }),
        }))
    }
}

fn admit(cluster: &Cluster, check_in: &CheckIn, liveness: &Liveness, now: UnixMillis) -> Admittance {
    match &check_in.presented {
        Some(presented) => cluster.admit(&check_in.report.name, check_in.report.identity(), presented, liveness, now),
        None => Admittance::Known,
    }
}

/// Admits the sender, and plans on the cluster as it is then. Both are one change.
fn decide(cluster: &Cluster, check_in: &CheckIn, liveness: &Liveness, now: UnixMillis) -> Decision {
    let bound = match admit(cluster, check_in, liveness, now) {
        Admittance::Known => None,
        Admittance::Bound(change) => Some(change),
        Admittance::Denied { denial, record } => {
            let held = after(&record, cluster).hold_on_refused_report(&check_in.report, now);
            return Decision::TurnAway { record: both(record, held), denial };
        }
    };
    let Plan { instruction, change } = plan(after(&bound, cluster), liveness, &check_in.report, now);
    let change = both(bound, change);
    let unchanged = change.is_none().then(|| Arc::new(cluster.clone()));
    Decision::Answer { change, instruction, unchanged }
}

/// The cluster after a change, if there is one.
fn after<'a>(change: &'a Option<Transition>, cluster: &'a Cluster) -> &'a Cluster {
    change.as_ref().and_then(|change| change.after.as_ref()).unwrap_or(cluster)
}

/// Two changes, one after the other, as one.
fn both(first: Option<Transition>, second: Option<Transition>) -> Option<Transition> {
    match (first, second) {
        (Some(Transition { mut events, .. }), Some(second)) => {
            events.extend(second.events);
            Some(Transition { after: second.after, events })
        }
        (first, second) => first.or(second),
    }
}

/// What the decision returns to the caller along with its change.
type Decided = Option<Result<(Instruction, Option<Arc<Cluster>>), NodeDenial>>;

impl Decision {
    fn into_parts(self) -> (Option<Transition>, Decided) {
        match self {
            Self::Answer { change, instruction, unchanged } => (change, Some(Ok((instruction, unchanged)))),
            Self::TurnAway { record, denial } => (record, Some(Err(denial))),
        }
    }
}

/// The outcome of a decision that has been committed.
fn outcome(
    token: &Token,
    report: &Report,
    committed: Option<Committed>,
    decided: Decided,
) -> Option<Result<CheckInOutcome, TurnedAway>> {
    for event in committed.iter().flat_map(|committed| &committed.events) {
        tracing::info!(cluster = %token, node = %report.name, revision = %event.revision, "{}", event.message);
    }
    match decided? {
        Ok((instruction, unchanged)) => {
            let cluster = committed.and_then(|committed| committed.after).or(unchanged)?;
            Some(Ok(CheckInOutcome { instruction, cluster }))
        }
        Err(denial) => Some(Err(TurnedAway { denial, is_first: committed.is_some() })),
    }
}
