//! The liveness of clusters in memory, on a server that has its database for itself.
//!
//! It changes with every check-in, so it is stored every few seconds only; see [`Registry::flush_liveness`]. Servers that
//! share a database read and write the stored liveness with each check-in instead, because each of them sees only some of
//! the nodes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, RwLock},
    time::Duration,
};

use convene_lifecycle::{Cluster, Instruction, Liveness, Policy, Report, Token, UnixMillis};

use super::{Registry, Unavailable, unavailable};
use crate::store::{LIVENESS_CHUNK, LivenessRecord, StoreError};

/// How long a cluster stays in memory at least after its last check-in. For one that checks in later silence counts from then
/// on, as after a restart.
const KEEP: Duration = Duration::from_secs(3600);

/// The liveness of every cluster whose nodes check in.
#[derive(Debug, Default)]
pub(super) struct LivenessCache {
    clusters: RwLock<HashMap<Token, Arc<ClusterLiveness>>>,
}

/// The liveness of one cluster.
#[derive(Debug)]
pub struct ClusterLiveness {
    state: Mutex<LivenessState>,
}

#[derive(Debug)]
struct LivenessState {
    record: LivenessRecord,
    /// Counts the changes of `record`.
    version: u64,
    /// The version that is stored.
    persisted: u64,
    /// The cluster leaves memory at this time unless a node checks in before.
    keep_until: UnixMillis,
}

impl LivenessCache {
    pub fn get(&self, token: &Token) -> Option<Arc<ClusterLiveness>> {
        self.clusters.read().expect("no holder panics").get(token).cloned()
    }

    /// Starts with what is stored, unless another check-in has started in the meantime. The server may have missed check-ins
    /// until now, so silence before means nothing.
    pub fn start(&self, token: &Token, stored: Option<LivenessRecord>, now: UnixMillis) -> Arc<ClusterLiveness> {
        let mut clusters = self.clusters.write().expect("no holder panics");
        let start = || Arc::new(ClusterLiveness { state: Mutex::new(LivenessState::start(stored, now)) });
        clusters.entry(token.clone()).or_insert_with(start).clone()
    }

    pub fn evict(&self, token: &Token) {
        self.clusters.write().expect("no holder panics").remove(token);
    }

    /// Evicts clusters without check-ins, and clusters that were deleted during a check-in. Keeps what is not stored yet, and
    /// what a check-in is using.
    pub fn evict_idle(&self, now: UnixMillis) {
        let mut clusters = self.clusters.write().expect("no holder panics");
        clusters.retain(|_, cluster| Arc::strong_count(cluster) > 1 || !cluster.lock().is_idle(now));
    }

    /// The clusters that have changed since they were stored.
    pub fn unpersisted(&self) -> Vec<(Token, Arc<ClusterLiveness>)> {
        let clusters: Vec<_> = {
            let clusters = self.clusters.read().expect("no holder panics");
            clusters.iter().map(|(token, cluster)| (token.clone(), cluster.clone())).collect()
        };
        clusters.into_iter().filter(|(_, cluster)| !cluster.lock().is_persisted()).collect()
    }
}

impl ClusterLiveness {
    /// Reads the state of the failure detector.
    pub fn read<T>(&self, read: impl FnOnce(&Liveness) -> T) -> T {
        read(&self.lock().record.detector)
    }

    /// The state of the failure detector as a check-in now finds it. The server may have been interrupted since the last one.
    pub fn resumed(&self, policy: &Policy, now: UnixMillis) -> Liveness {
        let mut record = self.record();
        record.resume(policy, now);
        record.detector
    }

    /// Reads the state of the failure detector as a check-in now finds it.
    pub fn read_resumed<T>(&self, policy: &Policy, now: UnixMillis, read: impl FnOnce(&Liveness) -> T) -> T {
        let mut state = self.lock();
        state.record.resume(policy, now);
        read(&state.record.detector)
    }

    /// Reads the state of the failure detector and, if `read` returns something, records a check-in in the same step.
    pub fn read_and_record<T>(
        &self,
        cluster: &Cluster,
        report: &Report,
        now: UnixMillis,
        read: impl FnOnce(&Liveness) -> Option<T>,
    ) -> Option<T> {
        let mut state = self.lock();
        state.record.resume(&cluster.policy, now);
        let found = read(&state.record.detector)?;
        state.record_check_in(cluster, report, now);
        Some(found)
    }

    /// Records a check-in.
    pub fn record_check_in(&self, cluster: &Cluster, report: &Report, now: UnixMillis) {
        self.lock().record_check_in(cluster, report, now);
    }

    /// Records the instruction for a check-in that was recorded.
    pub fn record_instruction(&self, cluster: &Cluster, report: &Report, instruction: &Instruction) {
        let mut state = self.lock();
        state.record.record_instruction(cluster, report, instruction);
        state.version += 1;
    }

    fn record(&self) -> LivenessRecord {
        self.lock().record.clone()
    }

    /// A copy to store, and its version.
    fn snapshot(&self) -> (LivenessRecord, u64) {
        let state = self.lock();
        (state.record.clone(), state.version)
    }

    fn mark_persisted(&self, version: u64) {
        self.lock().persisted = version;
    }

    fn lock(&self) -> MutexGuard<'_, LivenessState> {
        self.state.lock().expect("no holder panics")
    }
}

impl LivenessState {
    fn start(stored: Option<LivenessRecord>, now: UnixMillis) -> Self {
        let mut record = stored.unwrap_or_else(|| LivenessRecord::new(now));
        record.restart(now);
        Self { record, version: 0, persisted: 0, keep_until: now.after(KEEP) }
    }

    fn record_check_in(&mut self, cluster: &Cluster, report: &Report, now: UnixMillis) {
        self.record.resume(&cluster.policy, now);
        self.record.record_check_in(cluster, report, now);
        self.version += 1;
        self.keep_until = now.after(KEEP.max(cluster.policy.dead_after));
    }

    fn is_persisted(&self) -> bool {
        self.version == self.persisted
    }

    fn is_idle(&self, now: UnixMillis) -> bool {
        self.keep_until <= now && self.is_persisted()
    }
}

impl Registry {
    /// What is known of the liveness of a cluster's nodes and members, from this run of the server or an earlier one.
    pub async fn liveness_of(&self, token: &Token) -> Result<LivenessRecord, Unavailable> {
        if let Some(liveness) = self.liveness.get(token) {
            return Ok(liveness.record());
        }
        let now = self.clock.now();
        let stored = self.store.liveness(token, now).await.map_err(unavailable)?;
        Ok(stored.unwrap_or_else(|| LivenessRecord::new(now)))
    }

    /// The nodes that could remove a member of this cluster now, or take a free place. See [`Liveness::who_can_change`].
    pub async fn who_can_change(&self, cluster: &Cluster) -> Result<Vec<String>, Unavailable> {
        let liveness = self.liveness_of(&cluster.token).await?;
        let nodes = liveness.detector.who_can_change(cluster, self.clock.now());
        Ok(nodes.map(ToString::to_string).collect())
    }

    /// The state of the failure detector, for administrators; `None` if no node has checked in.
    pub async fn failure_detector(&self, token: &Token) -> Result<Option<Liveness>, Unavailable> {
        if let Some(liveness) = self.liveness.get(token) {
            return Ok(Some(liveness.read(Liveness::clone)));
        }
        let stored = self.store.liveness(token, self.clock.now()).await.map_err(unavailable)?;
        Ok(stored.map(|record| record.detector))
    }

    /// The state of the failure detector from the database, as a check-in now would find it.
    pub(super) async fn stored_liveness(
        &self,
        token: &Token,
        policy: &Policy,
        now: UnixMillis,
    ) -> Result<Liveness, Unavailable> {
        let stored = self.store.liveness(token, now).await.map_err(unavailable)?;
        let mut record = stored.unwrap_or_else(|| LivenessRecord::new(now));
        match self.store.is_shared() {
            true => record.resume(policy, now),
            false => record.restart(now),
        }
        Ok(record.detector)
    }

    /// The liveness in memory; reads it from the database if it is not there.
    pub(super) async fn cached_liveness(&self, token: &Token) -> Result<Arc<ClusterLiveness>, Unavailable> {
        if let Some(liveness) = self.liveness.get(token) {
            return Ok(liveness);
        }
        let now = self.clock.now();
        let stored = self.store.liveness(token, now).await.map_err(unavailable)?;
        Ok(self.liveness.start(token, stored, now))
    }

    /// Stores the liveness of the clusters in which it has changed, with one fsync, and evicts clusters without check-ins.
    /// Returns how many clusters were stored.
    pub async fn flush_liveness(&self) -> Result<usize, Unavailable> {
        let unpersisted = self.liveness.unpersisted();
        if !unpersisted.is_empty() {
            self.write_liveness(&unpersisted).await.map_err(unavailable)?;
        }
        let stored = unpersisted.len();
        // It holds the clusters in memory.
        drop(unpersisted);
        self.liveness.evict_idle(self.clock.now());
        Ok(stored)
    }

    async fn write_liveness(&self, clusters: &[(Token, Arc<ClusterLiveness>)]) -> Result<(), StoreError> {
        let mut transaction = self.store.begin().await?;
        let mut versions = Vec::with_capacity(clusters.len());
        for chunk in clusters.chunks(LIVENESS_CHUNK) {
            let mut records = Vec::with_capacity(chunk.len());
            for (token, cluster) in chunk {
                let (record, version) = cluster.snapshot();
                records.push((token.clone(), record));
                versions.push(version);
            }
            transaction.write_liveness(&records).await?;
        }
        transaction.commit().await?;
        for ((_, cluster), version) in clusters.iter().zip(versions) {
            cluster.mark_persisted(version);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use convene_lifecycle::{Action, ClusterSize, Discovery, Registration};

    use super::*;
    use crate::registry::tests::report_of_empty_node;

    const START: UnixMillis = UnixMillis(1_700_000_000_000);

    /// A cluster whose member is the node of the report.
    fn cluster() -> (Cluster, Report) {
        let created = Cluster::create("one".parse().unwrap(), ClusterSize::DEFAULT, Action::Create, START);
        let registration = Registration::parse("a=http://10.0.0.1:2380").unwrap();
        let registered = created
            .after
            .unwrap()
            .register("1".parse().unwrap(), registration, Discovery::V2, Action::Create, START)
            .unwrap();
        (registered.after.unwrap(), report_of_empty_node())
    }

    fn later(minutes: u64) -> UnixMillis {
        START.after(Duration::from_secs(60 * minutes))
    }

    /// What is stored after a flush.
    fn persist(cache: &LivenessCache) -> Vec<LivenessRecord> {
        let persist = |(_, cluster): (Token, Arc<ClusterLiveness>)| {
            let (record, version) = cluster.snapshot();
            cluster.mark_persisted(version);
            record
        };
        cache.unpersisted().into_iter().map(persist).collect()
    }

    #[test]
    fn a_cluster_without_check_ins_is_evicted_and_silence_counts_from_the_next_one() {
        let (cache, (cluster, report)) = (LivenessCache::default(), cluster());
        cache.start(&cluster.token, None, START).record_check_in(&cluster, &report, later(30));
        cache.evict_idle(later(1_000));
        let mut stored = persist(&cache);
        assert_eq!(stored.len(), 1, "what is not stored stays in memory");
        cache.evict_idle(later(89));
        assert!(cache.get(&cluster.token).is_some());
        cache.evict_idle(later(90));
        assert!(cache.get(&cluster.token).is_none());

        let again = cache.start(&cluster.token, stored.pop(), later(120));
        let member = cluster.member(&"1".parse().unwrap()).unwrap();
        let silence = again.read(|liveness| liveness.silence(&cluster.policy, member, later(121)));
        assert_eq!(silence, Duration::from_secs(60));
        assert_eq!(again.record().last_seen().into_values().collect::<Vec<_>>(), [later(30)]);
    }

    /// The machine's time may be wrong until it has asked a time server.
    #[test]
    fn after_a_restart_with_a_clock_that_was_ahead_silence_counts_from_the_restart() {
        let (cache, (cluster, report)) = (LivenessCache::default(), cluster());
        cache.start(&cluster.token, None, later(60)).record_check_in(&cluster, &report, later(60));
        let stored = persist(&cache).pop();

        let restarted = LivenessCache::default().start(&cluster.token, stored, START);
        let member = cluster.member(&"1".parse().unwrap()).unwrap();
        let silence = restarted.read(|liveness| liveness.silence(&cluster.policy, member, later(2)));
        assert_eq!(silence, Duration::from_secs(120));
        assert_eq!(restarted.record().last_seen().into_values().collect::<Vec<_>>(), [START]);
    }

    #[test]
    fn a_cluster_is_kept_for_as_long_as_its_members_may_be_silent() {
        let (cache, (mut cluster, report)) = (LivenessCache::default(), cluster());
        cluster.policy.dead_after = Duration::from_secs(7 * 24 * 3600);
        cache.start(&cluster.token, None, START).record_check_in(&cluster, &report, START);
        persist(&cache);
        cache.evict_idle(later(6 * 24 * 60));
        assert!(cache.get(&cluster.token).is_some());
    }

    #[test]
    fn silence_counts_from_the_first_check_in_after_the_server_was_interrupted() {
        let (cache, (cluster, report)) = (LivenessCache::default(), cluster());
        let liveness = cache.start(&cluster.token, None, START);
        liveness.record_check_in(&cluster, &report, later(1));
        let member = cluster.member(&"1".parse().unwrap()).unwrap();
        let spare = Report { name: "spare".parse().unwrap(), ..report };
        let silence = |at| {
            let silence = |detector: &Liveness| Some(detector.silence(&cluster.policy, member, at));
            liveness.read_and_record(&cluster, &spare, at, silence).unwrap()
        };
        assert_eq!(silence(later(3)), Duration::ZERO);
        assert_eq!(silence(later(3).after(Duration::from_secs(20))), Duration::from_secs(20));
    }

    #[test]
    fn a_cluster_in_use_by_a_check_in_is_not_evicted() {
        let (cache, (cluster, _)) = (LivenessCache::default(), cluster());
        let in_use = cache.start(&cluster.token, None, START);
        cache.evict_idle(later(1_000));
        assert!(Arc::ptr_eq(&in_use, &cache.get(&cluster.token).unwrap()));
        drop(in_use);
        cache.evict_idle(later(1_000));
        assert!(cache.get(&cluster.token).is_none());
    }

    #[test]
    fn a_check_in_during_a_flush_is_stored_by_the_next_one() {
        let (cache, (cluster, report)) = (LivenessCache::default(), cluster());
        let liveness = cache.start(&cluster.token, None, START);
        liveness.record_check_in(&cluster, &report, later(1));
        let (_, version) = liveness.snapshot();
        liveness.record_check_in(&cluster, &report, later(2));
        liveness.mark_persisted(version);
        assert_eq!(persist(&cache)[0].last_seen().into_values().collect::<Vec<_>>(), [later(2)]);
        assert!(cache.unpersisted().is_empty());
    }

    #[test]
    fn a_removed_member_keeps_its_last_time_until_it_leaves_the_record() {
        let (cache, (cluster, report)) = (LivenessCache::default(), cluster());
        let liveness = cache.start(&cluster.token, None, START);
        liveness.record_check_in(&cluster, &report, later(1));
        let removed = cluster.remove(&"1".parse().unwrap(), Discovery::V2, Action::Delete, later(2)).unwrap();
        let removed = removed.after.unwrap();
        let spare = Report { name: "spare".parse().unwrap(), ..report };
        liveness.record_check_in(&removed, &spare, later(3));
        assert_eq!(liveness.record().last_seen(), BTreeMap::from([("1".parse().unwrap(), later(1))]));
        let dropped = Cluster { record: Vec::new(), ..removed };
        liveness.record_check_in(&dropped, &spare, later(4));
        assert_eq!(liveness.record().last_seen(), BTreeMap::new());
    }
}
