//! How much the registry may hold.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use convene_lifecycle::{Cluster, Member, PeerUrl, Token};
use thiserror::Error;

use crate::connection::Network;

/// The limits; `u64::MAX` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Clusters in all.
    pub clusters: u64,
    /// Clusters that one address has created, and that no `convene` has seen to exist.
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

    /// The bytes that a cluster's members may have. Their history is limited by the number of events.
    fn member_bytes(self) -> u64 {
        self.cluster_bytes / 2
    }
}

/// The registry can't take more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum QuotaExceeded {
    /// Too many clusters.
    #[error(
        "this server has {0} clusters, the most that it may have (--max-clusters); delete clusters that are not needed, or raise the \
         limit"
    )]
    Clusters(u64),
    /// Too many clusters of one address.
    #[error(
        "this address has created {0} clusters, the most that one may have (--max-clusters-per-address); delete some, or have an \
         administrator raise the limit or create the cluster"
    )]
    ClustersOfAddress(u64),
    /// A cluster is too large.
    #[error("the members of this cluster have {0} bytes, the most that they may have (half of --max-cluster-bytes)")]
    ClusterBytes(u64),
    /// The database is too large.
    #[error(
        "the database has {0} bytes, the most that it may have (--max-database-bytes), so it takes no new cluster and no \
         registration; delete clusters that are not needed, or raise the limit"
    )]
    DatabaseBytes(u64),
}

/// The limits, and what there is.
#[derive(Debug)]
pub struct Quota {
    limits: QuotaLimits,
    clusters: AtomicU64,
    database_bytes: AtomicU64,
    unseen: Mutex<Unseen>,
}

/// The clusters that addresses have created, and that no `convene` has seen to exist.
#[derive(Debug, Default)]
struct Unseen {
    clusters: HashMap<Token, (Network, Instant)>,
    by_address: HashMap<Network, u64>,
}

impl Quota {
    /// A quota with these limits, before anything was counted.
    pub fn new(limits: QuotaLimits) -> Self {
        Self { limits, clusters: AtomicU64::new(0), database_bytes: AtomicU64::new(0), unseen: Mutex::default() }
    }

    /// Notes how many clusters there are.
    pub fn set_clusters(&self, clusters: u64) {
        self.clusters.store(clusters, Ordering::Relaxed);
    }

    /// Notes the size of the database.
    pub fn set_database_bytes(&self, bytes: u64) {
        self.database_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Fails if this address may not create another cluster.
    pub fn check_address(&self, client: IpAddr) -> Result<(), QuotaExceeded> {
        let unseen = self.unseen.lock().expect("no holder panics");
        let limit = self.limits.clusters_per_address;
        match unseen.by_address.get(&client.into()).is_some_and(|count| *count >= limit) {
            true => Err(QuotaExceeded::ClustersOfAddress(limit)),
            false => Ok(()),
        }
    }

    /// Notes that this address has created a cluster.
    pub fn created_by(&self, client: IpAddr, token: &Token) {
        let (mut unseen, network) = (self.unseen.lock().expect("no holder panics"), Network::from(client));
        if unseen.clusters.insert(token.clone(), (network, Instant::now())).is_none() {
            *unseen.by_address.entry(network).or_default() += 1;
        }
    }

    /// Notes that a cluster is gone, or has been seen to exist.
    pub(super) fn settled(&self, token: &Token) {
        self.unseen.lock().expect("no holder panics").remove(token);
    }

    /// Forgets the clusters that are so old that some server has deleted them.
    pub fn forget_older(&self, age: Duration) {
        let mut unseen = self.unseen.lock().expect("no holder panics");
        let old = unseen.clusters.iter().filter(|(_, (_, created))| created.elapsed() > age);
        let old: Vec<Token> = old.map(|(token, _)| token.clone()).collect();
        old.iter().for_each(|token| unseen.remove(token));
    }

    /// Fails if a change makes the registry hold too much. Members of a cluster that was seen to exist may be replaced even if the
    /// database is full.
    pub(super) fn check(&self, before: Option<&Cluster>, after: Option<&Cluster>) -> Result<(), QuotaExceeded> {
        let Some(after) = after else { return Ok(()) };
        let limits = self.limits;
        if before.is_none() && self.clusters.load(Ordering::Relaxed) >= limits.clusters {
            return Err(QuotaExceeded::Clusters(limits.clusters));
        }
        let bytes = member_bytes(after);
        if before.is_some_and(|before| bytes <= member_bytes(before)) {
            return Ok(());
        }
        if bytes > limits.member_bytes() {
            return Err(QuotaExceeded::ClusterBytes(limits.member_bytes()));
        }
        let is_full = self.database_bytes.load(Ordering::Relaxed) >= limits.database_bytes;
        match is_full && after.bootstrapped.is_none() {
            true => Err(QuotaExceeded::DatabaseBytes(limits.database_bytes)),
            false => Ok(()),
        }
    }

    /// Counts a cluster that is about to be created, until all are counted again.
    pub(super) fn count_new(&self) {
        self.clusters.fetch_add(1, Ordering::Relaxed);
    }
}

impl Unseen {
    fn remove(&mut self, token: &Token) {
        let Some((network, _)) = self.clusters.remove(token) else { return };
        let Some(count) = self.by_address.get_mut(&network) else { return };
        *count -= 1;
        if *count == 0 {
            self.by_address.remove(&network);
        }
    }
}

/// About how many bytes the members of a cluster take in the database, removed ones included.
fn member_bytes(cluster: &Cluster) -> u64 {
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
    cluster.record.iter().map(|member| of_member(member) as u64).sum()
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
        assert_eq!(quota.check(None, Some(&empty)), Ok(()));
        quota.set_clusters(1);
        quota.count_new();
        assert_eq!(quota.check(None, Some(&empty)), Err(QuotaExceeded::Clusters(2)));
        assert_eq!(quota.check(Some(&empty), Some(&one)), Ok(()));
        quota.set_database_bytes(1000);
        assert_eq!(quota.check(Some(&empty), Some(&one)), Err(QuotaExceeded::DatabaseBytes(1000)));
        assert_eq!(quota.check(Some(&one), Some(&one)), Ok(()));
        assert_eq!(quota.check(Some(&one), None), Ok(()));
        let exists = Cluster { bootstrapped: Some(one.revision), ..one.clone() };
        assert_eq!(quota.check(Some(&exists), Some(&with_member(&exists, 2))), Ok(()));
    }

    #[test]
    fn the_members_of_a_cluster_have_half_of_its_bytes() {
        let quota = Quota::new(QuotaLimits { cluster_bytes: 600, ..QuotaLimits::NONE });
        let (empty, one) = (cluster(3), with_member(&cluster(3), 1));
        let two = with_member(&one, 2);
        assert_eq!(quota.check(Some(&empty), Some(&one)), Ok(()));
        assert_eq!(quota.check(Some(&one), Some(&two)), Ok(()));
        assert_eq!(quota.check(Some(&two), Some(&with_member(&two, 3))), Err(QuotaExceeded::ClusterBytes(300)));
    }

    #[test]
    fn an_address_may_create_another_cluster_when_one_is_gone_or_was_seen() {
        let quota = Quota::new(QuotaLimits { clusters_per_address: 2, ..QuotaLimits::NONE });
        let (client, other): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let token = |name: &str| name.parse::<Token>().unwrap();
        quota.created_by(client, &token("a"));
        quota.created_by(client, &token("b"));
        quota.created_by(client, &token("b"));
        assert_eq!(quota.check_address(client), Err(QuotaExceeded::ClustersOfAddress(2)));
        assert_eq!(quota.check_address(other), Ok(()));
        quota.settled(&token("a"));
        assert_eq!(quota.check_address(client), Ok(()));
        quota.created_by(client, &token("c"));
        quota.forget_older(Duration::ZERO);
        assert_eq!(quota.check_address(client), Ok(()));
    }
}
