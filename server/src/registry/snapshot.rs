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
        let members: usize = snapshot.cluster.record.iter().map(|member| member_weight(member)).sum();
        (mem::size_of::<Snapshot>() + mem::size_of::<Cluster>() + 2 * token.as_str().len() + 256 + members) as u64
    }
}

/// A member's texts are there twice: as they are, and in the answer, with its key and the token around them.
fn member_weight(member: &Member) -> usize {
    let Member { key, registration, .. } = member;
    let urls: usize =
        registration.peer_urls.iter().map(|url| url.as_str().len() + 64 + registration.name.as_str().len()).sum();
    mem::size_of::<Member>() + 2 * (key.as_str().len() + urls) + registration.name.as_str().len() + 256
}
