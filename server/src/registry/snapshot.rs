use std::{
    mem,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use convene_lifecycle::{Cluster, Member, Token};
use quick_cache::Weighter;

/// A cluster as of one revision, as the registry keeps it in memory.
#[derive(Debug)]
pub struct Snapshot {
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// The v2 face's answer to a plain read of the cluster, once somebody has asked: nearly all
    /// requests are this one.
    pub v2_directory: OnceLock<Bytes>,
}

impl Snapshot {
    pub(super) fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster, v2_directory: OnceLock::new() }
    }
}

/// Weighs a snapshot by the memory that it and its later answer take, roughly.
#[derive(Clone, Copy, Debug)]
pub(super) struct SnapshotWeight;

impl Weighter<Token, Arc<Snapshot>> for SnapshotWeight {
    fn weight(&self, token: &Token, snapshot: &Arc<Snapshot>) -> u64 {
        const PER_MEMBER: usize = mem::size_of::<Member>() + 512;
        let members = snapshot.cluster.record.len() * PER_MEMBER;
        (mem::size_of::<Snapshot>() + 2 * token.as_str().len() + 256 + members) as u64
    }
}
