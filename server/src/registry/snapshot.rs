use std::{
    mem,
    sync::{
        Arc, LazyLock, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use convene_lifecycle::{
    Admission, Cluster, JoinToken, Member, NodeCredential, Purpose, StartIssued, Ticket, Token, TurnedAway,
};
use quick_cache::Weighter;

use crate::store::{Stamp, StoredCluster, WriteId};

/// A cluster at one revision, in memory, with its rendered answer.
#[derive(Debug)]
pub struct Snapshot {
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// The write that made the state; `None` if a server of the version before made it.
    write_id: Option<WriteId>,
    /// The v2 answer to a plain read of the cluster, rendered by the first such request: nearly all requests are one.
    pub v2_directory: OnceLock<Bytes>,
    /// When the database last confirmed that this was the present state, in milliseconds since [`START`].
    confirmed_at: AtomicU64,
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Snapshot {
    /// A state that the database has just confirmed.
    pub(super) fn new(cluster: Arc<Cluster>, write_id: Option<WriteId>) -> Self {
        Self { cluster, write_id, v2_directory: OnceLock::new(), confirmed_at: AtomicU64::new(millis_since_start()) }
    }

    /// Records that the database has just confirmed the state.
    pub(super) fn record_confirmed(&self) {
        self.confirmed_at.store(millis_since_start(), Ordering::Relaxed);
    }

    /// How long ago the database confirmed the state.
    pub(super) fn age(&self) -> Duration {
        Duration::from_millis(millis_since_start().saturating_sub(self.confirmed_at.load(Ordering::Relaxed)))
    }

    /// Identifies the state.
    pub(super) fn stamp(&self) -> Stamp {
        Stamp::of(&self.cluster, self.write_id)
    }
}

fn millis_since_start() -> u64 {
    START.elapsed().as_millis() as u64
}

impl From<StoredCluster> for Snapshot {
    fn from(StoredCluster { cluster, write_id }: StoredCluster) -> Self {
        Self::new(Arc::new(cluster), write_id)
    }
}

/// Weighs a snapshot by the memory that it and its rendered answer take, approximately.
#[derive(Clone, Copy, Debug)]
pub(super) struct SnapshotWeight;

impl Weighter<Token, Arc<Snapshot>> for SnapshotWeight {
    fn weight(&self, token: &Token, snapshot: &Arc<Snapshot>) -> u64 {
        let cluster = &snapshot.cluster;
        let members: usize = cluster.record.iter().map(|member| member_weight(member)).sum();
        let ticket = cluster.ticket.as_ref().map_or(0, ticket_weight);
        let url = cluster.discovery_url.as_ref().map_or(0, |url| url.as_str().len() + TEXT);
        let own = 2 * token.as_str().len() + 8 * cluster.earlier_cluster_ids.len() + ticket + url + 256;
        let admission = admission_weight(&cluster.admission);
        (mem::size_of::<Snapshot>() + mem::size_of::<Cluster>() + own + members + admission) as u64
    }
}

/// The memory for a text in addition to its bytes.
const TEXT: usize = 64;

/// What the v2 answer contains of a member counts twice, because the answer is kept as well. What nodes report in check-ins
/// counts once.
fn member_weight(member: &Member) -> usize {
    let Member { key, registration, client_urls, founder, join_issued, .. } = member;
    let name = registration.name.as_str().len();
    let shown: usize = registration.peer_urls.iter().map(|url| url.as_str().len() + TEXT + name).sum();
    let client_urls: usize = client_urls.iter().map(|url| url.as_str().len() + TEXT).sum();
    let issued = founder.as_ref().and_then(|founder| founder.issued.as_ref()).or(join_issued.as_ref());
    let disk = |issued: &StartIssued| issued.disk.as_ref().map_or(0, |disk| disk.as_str().len() + TEXT);
    let issued = issued.map_or(0, |issued| issued.run.as_str().len() + TEXT + disk(issued));
    mem::size_of::<Member>() + 2 * (key.as_str().len() + shown) + name + client_urls + issued + 256
}

fn admission_weight(Admission { join_tokens, credentials, turned_away, .. }: &Admission) -> usize {
    let uses: usize = join_tokens.iter().flat_map(|token| &token.used_by).map(|node| node.as_str().len() + TEXT).sum();
    let join_tokens = join_tokens.len() * (mem::size_of::<JoinToken>() + TEXT);
    let names: usize = credentials.keys().map(|node| node.as_str().len() + 2 * TEXT).sum();
    let credentials = credentials.len() * mem::size_of::<NodeCredential>() + names;
    let turned_away =
        turned_away.iter().map(|refused| refused.node.as_str().len() + mem::size_of::<TurnedAway>() + TEXT);
    uses + join_tokens + credentials + turned_away.sum::<usize>()
}

fn ticket_weight(ticket: &Ticket) -> usize {
    let peer_urls = match &ticket.purpose {
        Purpose::Join { peer_urls, .. } | Purpose::Update { peer_urls, .. } => peer_urls.as_slice(),
        Purpose::Remove { .. } | Purpose::Promote { .. } => &[],
    };
    let peer_urls: usize = peer_urls.iter().map(|url| url.as_str().len() + TEXT).sum();
    ticket.holder.as_str().len() + peer_urls + TEXT
}

#[cfg(test)]
mod tests {
    use convene_lifecycle::{Action, ClusterSize, Founder, PeerUrl, Registration, Revision, UnixMillis};

    use super::*;

    fn weight(cluster: &Cluster) -> u64 {
        SnapshotWeight.weight(&cluster.token, &Arc::new(Snapshot::new(Arc::new(cluster.clone()), None)))
    }

    #[test]
    fn everything_that_nodes_have_reported_counts() {
        let created = Cluster::create("one".parse().unwrap(), ClusterSize::DEFAULT, Action::Create, UnixMillis(0));
        let cluster = created.after.unwrap();
        let registration = Registration::parse("a=http://10.0.0.1:2380").unwrap();
        let member = Member::registered("1".parse().unwrap(), registration, Revision(2));
        let with = |member: Member| Cluster { record: vec![Arc::new(member)], ..cluster.clone() };
        let light = weight(&with(member.clone()));
        let url = format!("http://{}:1", "x".repeat(100));

        let client_urls = vec![url.parse().unwrap(); 500];
        assert!(weight(&with(Member { client_urls, ..member.clone() })) > light + 50_000);
        let issued = StartIssued { run: "r".repeat(128).parse().unwrap(), at: UnixMillis(0), disk: None };
        let founder = Some(Founder { issued: Some(issued.clone()), disk: None });
        assert!(weight(&with(Member { founder, ..member.clone() })) > light + 128);
        assert!(weight(&with(Member { join_issued: Some(issued), ..member })) > light + 128);
        let purpose = Purpose::Join { peer_urls: vec![PeerUrl::parse(&url).unwrap(); 500], replaces: None };
        let ticket = Ticket {
            number: 1,
            holder: "a".parse().unwrap(),
            purpose,
            granted_at: UnixMillis(0),
            progress_at: UnixMillis(0),
        };
        assert!(weight(&Cluster { ticket: Some(ticket), ..cluster.clone() }) > weight(&cluster) + 50_000);
    }
}
