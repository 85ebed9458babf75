//! How much the registry may hold.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use convene_lifecycle::{Cluster, Event, EventKind, Member, PeerUrl, Token};
use thiserror::Error;

use crate::{connection::Network, store::RetainedHistory};

/// The limits; `u64::MAX` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Clusters in all.
    pub clusters: u64,
    /// Clusters that one address has created.
    pub clusters_per_address: u64,
    /// Bytes of one cluster.
    pub cluster_bytes: u64,
    /// Bytes of the database.
    pub database_bytes: u64,
}

impl QuotaLimits {
    /// No limits.
    #[cfg(any(test, fuzzing))]
    pub const NONE: Self =
        Self { clusters: u64::MAX, clusters_per_address: u64::MAX, cluster_bytes: u64::MAX, database_bytes: u64::MAX };

    /// The bytes that a cluster's members may have. The rest is for its history, the check-ins of its nodes, and what the database
    /// needs for itself.
    fn member_bytes(self) -> u64 {
        self.cluster_bytes / 2
    }

    /// The bytes that a cluster's history may have.
    fn history_bytes(self) -> u64 {
        self.cluster_bytes / 4
    }

    /// The bytes of the database from which on the rest is a reserve for clusters that exist.
    fn reserve_from(self) -> u64 {
        self.database_bytes - self.database_bytes / 5
    }
}

/// The registry can't take more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum QuotaExceeded {
    /// Too many clusters.
    #[error(
        "this server has {0} clusters, the maximum (--max-clusters); delete clusters that are not needed, or raise the \
         limit"
    )]
    Clusters(u64),
    /// Too many clusters of one address.
    #[error(
        "this address has created {0} clusters, the maximum for one address (--max-clusters-per-address); delete some, \
         or have an administrator raise the limit or create the cluster"
    )]
    ClustersOfAddress(u64),
    /// A cluster is too large.
    #[error("the members of this cluster have {0} bytes, the maximum (half of --max-cluster-bytes)")]
    ClusterBytes(u64),
    /// The database is too large.
    #[error(
        "the database has nearly {0} bytes, the maximum (--max-database-bytes). New clusters are refused. Small \
         clusters take registrations as long as the reserve lasts. Delete clusters that are not needed, or raise the \
         limit"
    )]
    DatabaseBytes(u64),
}

/// The limits, and what there is.
#[derive(Debug)]
pub struct Quota {
    limits: QuotaLimits,
    clusters: AtomicU64,
    database_bytes: AtomicU64,
    created: Mutex<Created>,
}

/// How full the database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fill {
    /// It takes everything.
    Room,
    /// It takes what existing clusters of a usual size need.
    Reserve,
    /// It has all that it may have.
    Full,
}

/// The bytes that the members of a cluster, and its history, may have when the database is nearly full. Nine members have about 2 KiB.
const RESERVED_BYTES: u64 = 16 << 10;

/// What a row takes besides its texts, about.
const ROW_BYTES: u64 = 300;

/// The clusters that addresses have created. Whether an etcd cluster exists is a claim of nodes, so it makes no difference here.
#[derive(Debug, Default)]
struct Created {
    clusters: HashMap<Token, (Network, Instant)>,
    by_address: HashMap<Network, u64>,
}

impl Quota {
    /// A quota with these limits, before anything was counted.
    pub fn new(limits: QuotaLimits) -> Self {
        Self { limits, clusters: AtomicU64::new(0), database_bytes: AtomicU64::new(0), created: Mutex::default() }
    }

    /// Notes how many clusters there are.
    pub fn set_clusters(&self, clusters: u64) {
        self.clusters.store(clusters, Ordering::Relaxed);
    }

    /// Notes the size of the database.
    pub fn set_database_bytes(&self, bytes: u64) {
        self.database_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Whether a database of this size is in its reserve.
    pub(super) fn is_reserve(&self, bytes: u64) -> bool {
        bytes >= self.limits.reserve_from()
    }

    /// Fails if this address may not create another cluster.
    pub fn check_address(&self, client: IpAddr) -> Result<(), QuotaExceeded> {
        let created = self.created.lock().expect("no holder panics");
        let limit = self.limits.clusters_per_address;
        match created.by_address.get(&client.into()).is_some_and(|count| *count >= limit) {
            true => Err(QuotaExceeded::ClustersOfAddress(limit)),
            false => Ok(()),
        }
    }

    /// Notes that this address has created a cluster.
    pub fn created_by(&self, client: IpAddr, token: &Token) {
        // What has no limit takes no memory.
        if self.limits.clusters_per_address == u64::MAX {
            return;
        }
        let (mut created, network) = (self.created.lock().expect("no holder panics"), Network::from(client));
        if created.clusters.insert(token.clone(), (network, Instant::now())).is_none() {
            *created.by_address.entry(network).or_default() += 1;
        }
    }

    /// Notes that a cluster is gone.
    pub(super) fn deleted(&self, token: &Token) {
        // It may have been created after the last count, by another server.
        let _ = self.clusters.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |clusters| clusters.checked_sub(1));
        self.created.lock().expect("no holder panics").remove(token);
    }

    /// Forgets the clusters that are older. Those that exist still do not count for their address any more.
    pub fn forget_older(&self, age: Duration) {
        let mut created = self.created.lock().expect("no holder panics");
        let old = created.clusters.iter().filter(|(_, (_, at))| at.elapsed() > age);
        let old: Vec<Token> = old.map(|(token, _)| token.clone()).collect();
        old.iter().for_each(|token| created.remove(token));
    }

    /// Fails if a change makes the registry hold too much. Clusters that have formed go on even if the database is full, and members
    /// of one that was seen to exist may be replaced.
    pub(super) fn check(
        &self,
        before: Option<&Cluster>,
        after: Option<&Cluster>,
        events: &[Event],
    ) -> Result<(), QuotaExceeded> {
        let Some(after) = after else { return Ok(()) };
        let limits = self.limits;
        if before.is_none() && self.clusters.load(Ordering::Relaxed) >= limits.clusters {
            return Err(QuotaExceeded::Clusters(limits.clusters));
        }
        let bytes = member_bytes(after.record.iter());
        let grows = before.is_none_or(|before| bytes > member_bytes(before.record.iter()));
        if grows && bytes > limits.member_bytes() {
            return Err(QuotaExceeded::ClusterBytes(limits.member_bytes()));
        }
        // Each replacement leaves a removed member on record for a while.
        let is_small = before.is_some() && member_bytes(after.members()) <= RESERVED_BYTES;
        let exists = after.bootstrapped.is_some();
        let registers = || events.iter().any(|event| event.kind == EventKind::MemberRegistered);
        let is_taken = match self.fill() {
            Fill::Room => true,
            Fill::Reserve => !grows || is_small || exists,
            Fill::Full if grows => is_small && exists,
            // A registration in a cluster that forms can be repeated without end.
            Fill::Full => after.formed.is_some() || !registers(),
        };
        if is_taken { Ok(()) } else { Err(QuotaExceeded::DatabaseBytes(limits.database_bytes)) }
    }

    /// Counts a change that is about to be written, until the database is measured again.
    pub(super) fn count(&self, is_new: bool, events: &[Event]) {
        if is_new {
            self.clusters.fetch_add(1, Ordering::Relaxed);
        }
        let text = |event: &Event| {
            let previous = event.previous.as_ref().and_then(|previous| previous.value.as_ref());
            // The value is in the row of the member, too.
            2 * event.value.as_ref().map_or(0, String::len) + previous.map_or(0, String::len) + event.message.len()
        };
        let bytes = events.iter().map(|event| text(event) as u64 + ROW_BYTES).sum::<u64>() + ROW_BYTES;
        self.database_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How much history the clusters keep that are written now. A claim that a cluster exists costs nothing, so a full database keeps little
    /// of all.
    pub(super) fn retained_history(&self) -> RetainedHistory {
        let usual = self.limits.history_bytes();
        let little = RESERVED_BYTES.min(usual);
        match self.fill() {
            Fill::Room => RetainedHistory::of(usual, usual),
            Fill::Reserve => RetainedHistory::of(usual, little),
            Fill::Full => RetainedHistory::of(little, little),
        }
    }

    fn fill(&self) -> Fill {
        match self.database_bytes.load(Ordering::Relaxed) {
            bytes if bytes >= self.limits.database_bytes => Fill::Full,
            bytes if bytes >= self.limits.reserve_from() => Fill::Reserve,
            _ => Fill::Room,
        }
    }
}

impl Created {
    fn remove(&mut self, token: &Token) {
        let Some((network, _)) = self.clusters.remove(token) else { return };
        let Some(count) = self.by_address.get_mut(&network) else { return };
        *count -= 1;
        if *count == 0 {
            self.by_address.remove(&network);
        }
    }
}

/// About how many bytes members take in the database.
fn member_bytes<'m>(members: impl Iterator<Item = &'m Arc<Member>>) -> u64 {
    /// Numbers, flags and the index.
    const ROW: usize = 100;
    let of_member = |member: &Member| {
        let registration = &member.registration;
        let urls: usize = registration.peer_urls.iter().map(PeerUrl::as_str).map(str::len).sum();
        let client_urls: usize = member.client_urls.iter().map(|url| url.as_str().len()).sum();
        // Each peer URL has the name before it.
        ROW + member.key.as_str().len()
            + registration.name.as_str().len() * registration.peer_urls.len()
            + urls
            + client_urls
    };
    members.map(|member| of_member(member) as u64).sum()
}

#[cfg(test)]
mod tests {
    use convene_lifecycle::{Action, ClusterSize, Discovery, Registration, UnixMillis};

    use super::*;

    const NOW: UnixMillis = UnixMillis(0);

    fn cluster(size: u32) -> Cluster {
        Cluster::create("one".parse().unwrap(), ClusterSize::new(size).unwrap(), Action::Set, NOW).after.unwrap()
    }

    fn with_member(cluster: &Cluster, n: u32) -> Cluster {
        let registration = Registration::parse(&format!("infra{n}=http://10.0.0.{n}:2380")).unwrap();
        let registered =
            cluster.register(n.to_string().parse().unwrap(), registration, Discovery::V2, Action::Create, NOW);
        registered.unwrap().after.unwrap()
    }

    #[test]
    fn a_full_registry_takes_no_cluster_and_no_registration_but_lets_clusters_live() {
        let quota = Quota::new(QuotaLimits { clusters: 2, database_bytes: 1000, ..QuotaLimits::NONE });
        let (empty, one) = (cluster(3), with_member(&cluster(3), 1));
        assert_eq!(quota.check(None, Some(&empty), &[]), Ok(()));
        quota.set_clusters(1);
        quota.count(true, &[]);
        assert_eq!(quota.check(None, Some(&empty), &[]), Err(QuotaExceeded::Clusters(2)));
        assert_eq!(quota.check(Some(&empty), Some(&one), &[]), Ok(()));
        quota.deleted(&empty.token);
        assert_eq!(quota.check(None, Some(&empty), &[]), Ok(()));
        quota.set_database_bytes(1000);
        let full = Err(QuotaExceeded::DatabaseBytes(1000));
        assert_eq!(quota.check(Some(&empty), Some(&one), &[]), full);
        let registration = Registration::parse("infra1=http://10.0.0.1:2380").unwrap();
        let again = one.register("1".parse().unwrap(), registration, Discovery::V2, Action::Set, NOW).unwrap().events;
        assert_eq!(quota.check(Some(&one), Some(&one), &again), full, "it may be registered again without end");
        assert_eq!(quota.check(Some(&one), Some(&one), &[]), Ok(()), "an administrator may change it");
        assert_eq!(quota.check(Some(&one), None, &[]), Ok(()));
        let formed = with_member(&cluster(1), 1);
        assert_eq!(quota.check(Some(&formed), Some(&formed), &[]), Ok(()));
        let exists = Cluster { bootstrapped: Some(one.revision), ..one.clone() };
        assert_eq!(quota.check(Some(&exists), Some(&with_member(&exists, 2)), &[]), Ok(()));
    }

    #[test]
    fn the_last_fifth_of_the_database_is_for_small_clusters_that_exist() {
        let quota = Quota::new(QuotaLimits { database_bytes: 1000, cluster_bytes: 1 << 20, ..QuotaLimits::NONE });
        let (empty, one) = (cluster(500), with_member(&cluster(500), 1));
        let full = Err(QuotaExceeded::DatabaseBytes(1000));
        assert_eq!(quota.retained_history(), RetainedHistory::of(1 << 18, 1 << 18));
        quota.set_database_bytes(799);
        assert_eq!(quota.check(None, Some(&empty), &[]), Ok(()));
        quota.count(false, &[]);
        assert_eq!(quota.check(None, Some(&empty), &[]), full);
        assert_eq!(quota.retained_history(), RetainedHistory::of(RESERVED_BYTES, RESERVED_BYTES), "counted as 1,099");
        assert_eq!(quota.check(Some(&empty), Some(&one), &[]), full);
        quota.set_database_bytes(999);
        assert_eq!(quota.retained_history(), RetainedHistory::of(1 << 18, RESERVED_BYTES), "it existed before");
        assert_eq!(quota.check(Some(&empty), Some(&one), &[]), Ok(()));
        assert_eq!(quota.check(Some(&one), Some(&one), &[]), Ok(()));
        let large = (2..150).fold(one.clone(), |cluster, n| with_member(&cluster, n));
        assert_eq!(quota.check(Some(&one), Some(&large), &[]), full);
        let exists = |cluster: &Cluster| Cluster { bootstrapped: Some(cluster.revision), ..cluster.clone() };
        assert_eq!(quota.check(Some(&exists(&one)), Some(&exists(&large)), &[]), Ok(()));
    }

    #[test]
    fn the_members_of_a_cluster_have_half_of_its_bytes() {
        let quota = Quota::new(QuotaLimits { cluster_bytes: 600, ..QuotaLimits::NONE });
        let (empty, one) = (cluster(3), with_member(&cluster(3), 1));
        let two = with_member(&one, 2);
        assert_eq!(quota.check(Some(&empty), Some(&one), &[]), Ok(()));
        assert_eq!(quota.check(Some(&one), Some(&two), &[]), Ok(()));
        assert_eq!(quota.check(Some(&two), Some(&with_member(&two, 3)), &[]), Err(QuotaExceeded::ClusterBytes(300)));
    }

    #[test]
    fn an_address_may_create_another_cluster_when_one_is_gone() {
        let quota = Quota::new(QuotaLimits { clusters_per_address: 2, ..QuotaLimits::NONE });
        let (client, other): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let token = |name: &str| name.parse::<Token>().unwrap();
        quota.created_by(client, &token("a"));
        quota.created_by(client, &token("b"));
        quota.created_by(client, &token("b"));
        assert_eq!(quota.check_address(client), Err(QuotaExceeded::ClustersOfAddress(2)));
        assert_eq!(quota.check_address(other), Ok(()));
        quota.deleted(&token("a"));
        assert_eq!(quota.check_address(client), Ok(()));
        quota.created_by(client, &token("c"));
        quota.forget_older(Duration::ZERO);
        assert_eq!(quota.check_address(client), Ok(()));
    }
}
