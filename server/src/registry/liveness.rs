use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, RwLock},
    time::Duration,
};

use convene_lifecycle::{Cluster, Liveness, MemberKey, Report, Token, UnixMillis};

use crate::store::Sighting;

/// For how long after the last check-in for a cluster its liveness are kept in memory at least. Who comes back later
/// finds that silence counts from then on, as after a restart.
const KEEP: Duration = Duration::from_secs(3600);

/// Who was heard of when, of every cluster that somebody checks in for: in memory, because it changes with every
/// check-in.
#[derive(Debug, Default)]
pub(super) struct LivenessCache {
    of: RwLock<HashMap<Token, Arc<ClusterLiveness>>>,
}

/// Who was heard of when, of one cluster.
#[derive(Debug)]
pub struct ClusterLiveness {
    present: Mutex<LivenessState>,
}

#[derive(Debug)]
struct LivenessState {
    liveness: Liveness,
    /// What was written down last, and by an earlier run of the server perhaps.
    persisted: HashMap<MemberKey, UnixMillis>,
    /// Until when this is kept if nobody checks in.
    keep_until: UnixMillis,
}

impl LivenessCache {
    pub fn get(&self, token: &Token) -> Option<Arc<ClusterLiveness>> {
        self.of.read().expect("no holder panics").get(token).cloned()
    }

    /// Begins to remember, with what was written down before. Nobody has listened until now, so that silence before
    /// says nothing.
    pub fn begin(&self, token: &Token, persisted: Vec<Sighting>, now: UnixMillis) -> Arc<ClusterLiveness> {
        let present = LivenessState {
            liveness: Liveness::new(now),
            persisted: persisted.into_iter().map(|sighting| (sighting.member, sighting.at)).collect(),
            keep_until: now.after(KEEP),
        };
        let mut of = self.of.write().expect("no holder panics");
        of.entry(token.clone()).or_insert_with(|| Arc::new(ClusterLiveness { present: Mutex::new(present) })).clone()
    }

    pub fn evict(&self, token: &Token) {
        self.of.write().expect("no holder panics").remove(token);
    }

    /// Forgets clusters that nobody has checked in for of late, and those that somebody checked in for while they were
    /// deleted. What was not written down stays, and so does what a check-in has in its hands.
    pub fn evict_idle(&self, now: UnixMillis) {
        let mut of = self.of.write().expect("no holder panics");
        of.retain(|_, one| Arc::strong_count(one) > 1 || !one.lock().is_idle(now));
    }

    /// What has not been written down yet.
    pub fn unpersisted(&self) -> Vec<Sighting> {
        let of: Vec<_> = {
            let of = self.of.read().expect("no holder panics");
            of.iter().map(|(token, one)| (token.clone(), one.clone())).collect()
        };
        of.into_iter().flat_map(|(token, one)| one.unpersisted(&token)).collect()
    }

    /// Remembers what was written down.
    pub fn mark_persisted(&self, persisted: &[Sighting]) {
        for sighting in persisted {
            if let Some(one) = self.get(&sighting.token) {
                one.lock().persisted.insert(sighting.member.clone(), sighting.at);
            }
        }
    }
}

impl ClusterLiveness {
    /// Looks at who was heard of.
    pub fn read<T>(&self, look: impl FnOnce(&Liveness) -> T) -> T {
        look(&self.lock().liveness)
    }

    /// Looks at who was heard of and, if that comes to something, takes note of a check-in, with nobody in between.
    pub fn read_and_record<T>(
        &self,
        cluster: &Cluster,
        report: &Report,
        now: UnixMillis,
        look: impl FnOnce(&Liveness) -> Option<T>,
    ) -> Option<T> {
        let mut present = self.lock();
        let found = look(&present.liveness)?;
        present.record_check_in(cluster, report, now);
        Some(found)
    }

    /// Takes note of a check-in.
    pub fn record_check_in(&self, cluster: &Cluster, report: &Report, now: UnixMillis) {
        self.lock().record_check_in(cluster, report, now);
    }

    /// When members were last heard of, by this run of the server or one before.
    pub fn last_seen(&self) -> HashMap<MemberKey, UnixMillis> {
        let present = self.lock();
        let mut heard = present.persisted.clone();
        heard.extend(present.unpersisted().map(|(member, at)| (member.clone(), at)));
        heard
    }

    fn unpersisted(&self, token: &Token) -> Vec<Sighting> {
        let present = self.lock();
        let unpersisted = present.unpersisted();
        unpersisted.map(|(member, at)| Sighting { token: token.clone(), member: member.clone(), at }).collect()
    }

    fn lock(&self) -> MutexGuard<'_, LivenessState> {
        self.present.lock().expect("no holder panics")
    }
}

impl LivenessState {
    fn record_check_in(&mut self, cluster: &Cluster, report: &Report, now: UnixMillis) {
        self.liveness.record_check_in(cluster, report, now);
        self.keep_until = now.after(KEEP.max(cluster.policy.dead_after));
        // More than there are members: some of them are not even remembered as removed any more.
        if self.persisted.len() > cluster.record.len() {
            let known: HashSet<&MemberKey> = cluster.record.iter().map(|member| &member.key).collect();
            self.persisted.retain(|member, _| known.contains(member));
        }
    }

    /// Who was heard of since the last time that it was written down.
    fn unpersisted(&self) -> impl Iterator<Item = (&MemberKey, UnixMillis)> {
        let is_new =
            |(member, at): &(&MemberKey, UnixMillis)| self.persisted.get(member).is_none_or(|persisted| persisted < at);
        self.liveness.last_seen().filter(is_new)
    }

    fn is_idle(&self, now: UnixMillis) -> bool {
        self.keep_until <= now && self.unpersisted().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use convene_lifecycle::{Action, ClusterSize, Discovery, NodeState, PeerUrl, Registration, RunId};

    use super::*;

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
        let report = Report {
            name: "a".parse().unwrap(),
            run: RunId::unnamed(),
            sequence: 0,
            peer_urls: vec![PeerUrl::parse("http://10.0.0.1:2380").unwrap()],
            client_urls: Vec::new(),
            state: NodeState::Empty,
            leftover: false,
            view: None,
            leaving: false,
            once: false,
            strategy: None,
            size: None,
        };
        (registered.after.unwrap(), report)
    }

    fn later(minutes: u64) -> UnixMillis {
        START.after(Duration::from_secs(60 * minutes))
    }

    #[test]
    fn a_cluster_that_nobody_checks_in_for_is_forgotten_and_silence_counts_anew_when_somebody_does() {
        let (all, (cluster, report)) = (LivenessCache::default(), cluster());
        all.begin(&cluster.token, Vec::new(), START).record_check_in(&cluster, &report, later(30));
        all.evict_idle(later(1_000));
        let unpersisted = all.unpersisted();
        assert_eq!(unpersisted.len(), 1, "what is not written down stays");
        all.mark_persisted(&unpersisted);
        all.evict_idle(later(89));
        assert!(all.get(&cluster.token).is_some());
        all.evict_idle(later(90));
        assert!(all.get(&cluster.token).is_none());

        let anew = all.begin(&cluster.token, unpersisted, later(120));
        let member = cluster.member(&"1".parse().unwrap()).unwrap();
        let silence = anew.read(|liveness| liveness.silence(member, later(121)));
        assert_eq!(silence, Duration::from_secs(60));
        assert_eq!(anew.last_seen().into_values().collect::<Vec<_>>(), [later(30)]);
    }

    #[test]
    fn a_cluster_is_kept_for_as_long_as_its_members_may_be_silent() {
        let (all, (mut cluster, report)) = (LivenessCache::default(), cluster());
        cluster.policy.dead_after = Duration::from_secs(7 * 24 * 3600);
        all.begin(&cluster.token, Vec::new(), START).record_check_in(&cluster, &report, START);
        all.mark_persisted(&all.unpersisted());
        all.evict_idle(later(6 * 24 * 60));
        assert!(all.get(&cluster.token).is_some());
    }

    #[test]
    fn what_a_check_in_has_in_its_hands_is_not_forgotten() {
        let (all, (cluster, _)) = (LivenessCache::default(), cluster());
        let held = all.begin(&cluster.token, Vec::new(), START);
        all.evict_idle(later(1_000));
        assert!(Arc::ptr_eq(&held, &all.get(&cluster.token).unwrap()));
        drop(held);
        all.evict_idle(later(1_000));
        assert!(all.get(&cluster.token).is_none());
    }

    #[test]
    fn members_that_nobody_remembers_as_removed_are_forgotten_here_too() {
        let (all, (cluster, report)) = (LivenessCache::default(), cluster());
        let written = |key: &str| Sighting { token: cluster.token.clone(), member: key.parse().unwrap(), at: START };
        let one = all.begin(&cluster.token, vec![written("1"), written("2")], START);
        one.record_check_in(&cluster, &report, later(1));
        assert_eq!(one.last_seen(), HashMap::from([("1".parse().unwrap(), later(1))]));
    }
}
