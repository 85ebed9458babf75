use std::{collections::HashMap, sync::Arc};

use convene_lifecycle::{Cluster, Instruction, MemberKey, Plan, Report, Sightings, Token, UnixMillis, plan};

use super::{NotWritten, Registry, SightingsOfOne, Unavailable, now, unavailable};
use crate::store::Sighting;

/// What a check-in came to.
#[derive(Debug)]
pub struct CheckedIn {
    /// What the node does next.
    pub instruction: Instruction,
    /// The cluster that this was decided on, with what the decision changed.
    pub cluster: Arc<Cluster>,
}

impl Registry {
    /// Decides what a node does next, and writes down first what changes by it. `None`: there is no such cluster.
    ///
    /// Most check-ins change nothing, and then nothing is written: that the node was heard of is kept in memory.
    pub async fn check_in(&self, token: &Token, report: Report) -> Result<Option<CheckedIn>, NotWritten> {
        let Some(snapshot) = self.cluster(token).await? else { return Ok(None) };
        let sightings = self.sightings_of(token).await?;
        let (cluster, at) = (snapshot.cluster.clone(), now());
        let unchanged = sightings.read_and_note(&cluster, &report, at, |sightings| {
            let Plan { instruction, change } = plan(&cluster, sightings, &report, at);
            change.is_none().then_some(instruction)
        });
        match unchanged {
            Some(instruction) => Ok(Some(CheckedIn { instruction, cluster })),
            None => self.check_in_with_change(token, report, sightings).await,
        }
    }

    async fn check_in_with_change(
        &self,
        token: &Token,
        report: Report,
        sightings: Arc<SightingsOfOne>,
    ) -> Result<Option<CheckedIn>, NotWritten> {
        let (reported, seen) = (report.clone(), sightings.clone());
        let decide = move |cluster: Option<&Cluster>, at: UnixMillis| {
            let Some(cluster) = cluster else { return (None, None) };
            let Plan { instruction, change } = seen.read(|sightings| plan(cluster, sightings, &reported, at));
            let unchanged = change.is_none().then(|| Arc::new(cluster.clone()));
            (change, Some((instruction, unchanged)))
        };
        let (committed, decided) = self.decide(token, decide).await?;
        let Some((instruction, unchanged)) = decided else { return Ok(None) };
        for event in committed.iter().flat_map(|committed| &committed.events) {
            tracing::info!(cluster = %token, node = %report.name, revision = %event.revision, "{}", event.message);
        }
        let Some(cluster) = committed.and_then(|committed| committed.after).or(unchanged) else { return Ok(None) };
        sightings.note(&cluster, &report, now());
        Ok(Some(CheckedIn { instruction, cluster }))
    }

    /// What a check-in would come to, without anything coming of it.
    pub async fn check_in_dry(&self, token: &Token, report: &Report) -> Result<Option<CheckedIn>, Unavailable> {
        let Some(snapshot) = self.cluster(token).await? else { return Ok(None) };
        let (cluster, at) = (snapshot.cluster.clone(), now());
        let Plan { instruction, .. } = match self.sightings.get(token) {
            Some(sightings) => sightings.read(|sightings| plan(&cluster, sightings, report, at)),
            None => plan(&cluster, &Sightings::new(at), report, at),
        };
        Ok(Some(CheckedIn { instruction, cluster }))
    }

    /// When members of a cluster were last heard of; those that are missing never were.
    pub async fn heard_of(&self, token: &Token) -> Result<HashMap<MemberKey, UnixMillis>, Unavailable> {
        if let Some(sightings) = self.sightings.get(token) {
            return Ok(sightings.heard_of());
        }
        let written = self.store.sightings(token).await.map_err(unavailable)?;
        Ok(written.into_iter().map(|sighting| (sighting.member, sighting.at)).collect())
    }

    async fn sightings_of(&self, token: &Token) -> Result<Arc<SightingsOfOne>, Unavailable> {
        if let Some(sightings) = self.sightings.get(token) {
            return Ok(sightings);
        }
        let written = self.store.sightings(token).await.map_err(unavailable)?;
        Ok(self.sightings.begin(token, written, now()))
    }

    /// Writes down when members were last heard of, as far as that is new, and forgets clusters that nobody checks in
    /// for. Returns of how many members it was written.
    pub async fn flush_sightings(&self) -> Result<usize, Unavailable> {
        let unwritten: Vec<Sighting> = self.sightings.unwritten();
        if !unwritten.is_empty() {
            self.store.write_sightings(&unwritten).await.map_err(unavailable)?;
            self.sightings.mark_written(&unwritten);
        }
        self.sightings.forget_idle(now());
        Ok(unwritten.len())
    }
}
