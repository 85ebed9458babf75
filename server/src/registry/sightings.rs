use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, RwLock},
};

use convene_lifecycle::{Cluster, MemberKey, Report, Sightings, Token, UnixMillis};

use crate::store::Sighting;

/// Who was heard of when, of every cluster that somebody checks in for: in memory, because it changes with every
/// check-in.
#[derive(Debug)]
pub(super) struct SightingsOfAll {
    /// Since when check-ins are listened to.
    since: UnixMillis,
    of: RwLock<HashMap<Token, Arc<SightingsOfOne>>>,
}

/// Who was heard of when, of one cluster.
#[derive(Debug)]
pub struct SightingsOfOne {
    present: Mutex<Present>,
}

#[derive(Debug)]
struct Present {
    sightings: Sightings,
    /// What was written down last, and by an earlier run of the server perhaps.
    written: HashMap<MemberKey, UnixMillis>,
}

impl SightingsOfAll {
    pub fn new(since: UnixMillis) -> Self {
        Self { since, of: RwLock::default() }
    }

    pub fn get(&self, token: &Token) -> Option<Arc<SightingsOfOne>> {
        self.of.read().expect("no holder panics").get(token).cloned()
    }

    /// Begins to remember, with what was written down before.
    pub fn begin(&self, token: &Token, written: Vec<Sighting>) -> Arc<SightingsOfOne> {
        let written = written.into_iter().map(|sighting| (sighting.member, sighting.at)).collect();
        let present = Present { sightings: Sightings::new(self.since), written };
        let mut of = self.of.write().expect("no holder panics");
        of.entry(token.clone()).or_insert_with(|| Arc::new(SightingsOfOne { present: Mutex::new(present) })).clone()
    }

    pub fn forget(&self, token: &Token) {
        self.of.write().expect("no holder panics").remove(token);
    }

    /// What has not been written down yet.
    pub fn unwritten(&self) -> Vec<Sighting> {
        let of: Vec<_> = {
            let of = self.of.read().expect("no holder panics");
            of.iter().map(|(token, one)| (token.clone(), one.clone())).collect()
        };
        of.into_iter().flat_map(|(token, one)| one.unwritten(&token)).collect()
    }

    /// Remembers what was written down.
    pub fn mark_written(&self, written: &[Sighting]) {
        for sighting in written {
            if let Some(one) = self.get(&sighting.token) {
                one.lock().written.insert(sighting.member.clone(), sighting.at);
            }
        }
    }
}

impl SightingsOfOne {
    /// Looks at who was heard of.
    pub fn read<T>(&self, look: impl FnOnce(&Sightings) -> T) -> T {
        look(&self.lock().sightings)
    }

    /// Looks at who was heard of and, if that comes to something, takes note of a check-in, with nobody in between.
    pub fn read_and_note<T>(
        &self,
        cluster: &Cluster,
        report: &Report,
        now: UnixMillis,
        look: impl FnOnce(&Sightings) -> Option<T>,
    ) -> Option<T> {
        let mut present = self.lock();
        let found = look(&present.sightings)?;
        present.sightings.note(cluster, report, now);
        Some(found)
    }

    /// Takes note of a check-in.
    pub fn note(&self, cluster: &Cluster, report: &Report, now: UnixMillis) {
        self.lock().sightings.note(cluster, report, now);
    }

    /// When a member was last heard of, by this run of the server or one before.
    pub fn heard_of(&self, member: &MemberKey) -> Option<UnixMillis> {
        let present = self.lock();
        heard_of(&present.sightings, member).max(present.written.get(member).copied())
    }

    fn unwritten(&self, token: &Token) -> Vec<Sighting> {
        let present = self.lock();
        let heard = present.sightings.members.keys().filter_map(|member| {
            let at = heard_of(&present.sightings, member)?;
            let is_new = present.written.get(member).is_none_or(|written| *written < at);
            is_new.then(|| Sighting { token: token.clone(), member: member.clone(), at })
        });
        heard.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Present> {
        self.present.lock().expect("no holder panics")
    }
}

fn heard_of(sightings: &Sightings, member: &MemberKey) -> Option<UnixMillis> {
    let contact = sightings.members.get(member)?;
    contact.checked_in.max(contact.answered)
}
