use std::time::Duration;

use convene_lifecycle::{
    Action, Actor, Cluster, ClusterSize, DataEvidence, Discovery, NewClusterToken, NodeState, PeerUrl, PolicyChange,
    RegisterRefusal, Registration, Report, Revision, RunId, Settings, StockWrites,
};
use sqlx::ConnectOptions;
use tempfile::TempDir;

use super::*;
use crate::{
    metrics::WaitKind,
    store::{ClusterFilter, DatabaseLimits},
};

async fn registry() -> (TempDir, Arc<Registry>) {
    let dir = TempDir::new().unwrap();
    let url = format!("sqlite:{}", dir.path().join("c.db").display());
    let store = Store::open(&url.parse().unwrap(), DatabaseLimits::default()).await.unwrap();
    (dir, Arc::new(Registry::start(Arc::new(store), QuotaLimits::NONE).await.0))
}

/// A report of node `a`, which has no data.
pub(super) fn report_of_empty_node() -> Report {
    Report {
        name: "a".parse().unwrap(),
        run: RunId::unnamed(),
        sequence: 0,
        peer_urls: vec![PeerUrl::parse("http://10.0.0.1:2380").unwrap()],
        client_urls: Vec::new(),
        state: NodeState::Empty,
        leftover: false,
        disk: None,
        data: DataEvidence::default(),
        etcd_version: None,
        refusal: None,
        view: None,
        status: None,
        leaving: false,
        accept_reset: None,
        once: false,
        strategy: None,
        size: None,
    }
}

async fn register(registry: &Registry, token: &Token, n: u32) -> Result<Revision, RegisterRefusal> {
    let registration = Registration::parse(&format!("infra{n}=http://10.0.0.1:{n}")).unwrap();
    let decide = move |cluster: Option<&Cluster>, at| {
        let cluster = cluster.expect("the cluster exists");
        cluster.register(n.to_string().parse().unwrap(), registration.clone(), Discovery::V2, Action::Create, at)
    };
    registry.update(token, &Actor::server(), decide).await.unwrap().map(|committed| committed.events[0].revision)
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writes_of_a_cluster_are_serialized() {
    let (_dir, registry) = registry().await;
    let token: Token = "one".parse().unwrap();
    let policy = PolicyChange { stock_writes: Some(StockWrites::Allow), ..PolicyChange::default() };
    let settings = Settings { policy, ..Settings::default() };
    registry.create(token.clone().try_into().unwrap(), &Actor::server(), settings).await.unwrap();
    let writes = (1..=300).map(|n| {
        let (registry, token) = (registry.clone(), token.clone());
        tokio::spawn(async move { register(&registry, &token, n).await.unwrap().0 })
    });
    let mut revisions = Vec::new();
    for write in writes.collect::<Vec<_>>() {
        revisions.push(write.await.unwrap());
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (2..=301).collect::<Vec<_>>());
    let from_memory = registry.cluster(&token).await.unwrap().unwrap().cluster.clone();
    assert_eq!(registry.store.load(&token).await.unwrap().unwrap().cluster, *from_memory);
}

#[tokio::test]
async fn one_of_two_concurrent_registrations_of_a_name_is_refused() {
    let (_dir, registry) = registry().await;
    let token: Token = "one".parse().unwrap();
    registry.create(token.clone().try_into().unwrap(), &Actor::server(), Settings::default()).await.unwrap();
    let actor = Actor::server();
    let take = |key: &'static str| {
        let registration = Registration::parse(&format!("infra0=http://{key}:2380")).unwrap();
        registry.update(&token, &actor, move |cluster, at| {
            cluster.unwrap().register(key.parse().unwrap(), registration.clone(), Discovery::V2, Action::Create, at)
        })
    };
    let (one, other) = tokio::join!(take("a"), take("b"));
    assert_eq!(usize::from(one.unwrap().is_ok()) + usize::from(other.unwrap().is_ok()), 1);
}

#[tokio::test]
async fn a_change_behind_the_servers_back_is_not_overwritten() {
    let (dir, registry) = registry().await;
    let token: Token = "one".parse().unwrap();
    registry.create(token.clone().try_into().unwrap(), &Actor::server(), Settings::default()).await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.path().join("c.db"));
    let mut other = options.connect().await.unwrap();
    let behind_our_back = "update cluster set revision = 7, size = 5 where token = 'one'";
    sqlx::query(behind_our_back).execute(&mut other).await.unwrap();

    assert_eq!(register(&registry, &token, 1).await.unwrap(), Revision(8));
    let cluster = registry.cluster(&token).await.unwrap().unwrap().cluster.clone();
    assert_eq!((cluster.size.get(), cluster.members().count()), (5, 1));
}

#[tokio::test]
async fn the_history_ends_with_the_state_that_was_read() {
    let (_dir, registry) = registry().await;
    let token: Token = "one".parse().unwrap();
    let created =
        registry.create(token.clone().try_into().unwrap(), &Actor::server(), Settings::default()).await.unwrap();
    let first = registry.cluster(&token).await.unwrap().unwrap();
    register(&registry, &token, 1).await.unwrap();
    assert_eq!(registry.history(&token, Revision::FIRST).await.unwrap().len(), 2);
    registry.cache.insert(token.clone(), first);
    assert_eq!(registry.history(&token, Revision::FIRST).await.unwrap(), created.events);
}

async fn delete_and_create(registry: &Registry, token: &Token) -> Result<Result<Committed, ()>, WriteError> {
    let actor = Actor::server();
    let delete = registry.update(token, &actor, |cluster, at| cluster.map(|cluster| cluster.delete(at)).ok_or(()));
    let named = NewClusterToken::try_from(token.clone()).unwrap();
    let create = registry.update(token, &actor, move |cluster, at| match cluster {
        None => Ok(Cluster::create(named.clone(), ClusterSize::DEFAULT, Action::Set, at)),
        Some(_) => Err(()),
    });
    let (deleted, created) = tokio::join!(delete, create);
    deleted.unwrap().unwrap();
    created
}

#[tokio::test]
async fn a_token_without_registrations_can_be_used_again_right_after_its_deletion() {
    let (_dir, registry) = registry().await;
    let token: Token = "one".parse().unwrap();
    registry.create(token.clone().try_into().unwrap(), &Actor::server(), Settings::default()).await.unwrap();
    assert_eq!(delete_and_create(&registry, &token).await.unwrap().unwrap().events[0].revision, Revision::FIRST);
    let cluster = registry.cluster(&token).await.unwrap().unwrap().cluster.clone();
    assert_eq!(registry.store.load(&token).await.unwrap().unwrap().cluster, *cluster);
}

#[tokio::test]
async fn a_token_with_a_registration_is_never_used_again() {
    let (_dir, registry) = registry().await;
    let token: Token = "one".parse().unwrap();
    registry.create(token.clone().try_into().unwrap(), &Actor::server(), Settings::default()).await.unwrap();
    register(&registry, &token, 1).await.unwrap();
    assert_eq!(delete_and_create(&registry, &token).await.unwrap_err(), WriteError::TokenUsedUp);
    assert!(registry.cluster(&token).await.unwrap().is_none());
}

#[tokio::test]
async fn reads_and_dry_runs_start_no_liveness() {
    let (_dir, registry) = registry().await;
    let token: Token = "one".parse().unwrap();
    registry.create(token.clone().try_into().unwrap(), &Actor::server(), Settings::default()).await.unwrap();
    register(&registry, &token, 1).await.unwrap();
    let check_in = CheckIn { report: report_of_empty_node(), presented: None };
    assert!(registry.liveness_of(&token).await.unwrap().last_seen().is_empty());
    assert!(registry.check_in_dry(&token, &check_in).await.unwrap().is_some());
    assert!(registry.liveness.get(&token).is_none());
    registry.check_in(&token, &Actor::server(), check_in).await.unwrap();
    assert!(registry.liveness.get(&token).is_some());
}

#[tokio::test]
async fn lists_wait_for_each_other_and_other_reads_do_not() {
    let (_dir, registry) = registry().await;
    let token: Token = "one".parse().unwrap();
    let _lists = registry.lists.acquire_many(LISTS as u32).await.unwrap();
    let soon = Duration::from_millis(50);
    assert!(tokio::time::timeout(soon, registry.list(ClusterFilter::default(), 1)).await.is_err());
    assert!(registry.cluster(&token).await.unwrap().is_none());
}

#[tokio::test]
async fn a_subscriber_gets_committed_events() {
    let (_dir, registry) = registry().await;
    let token: Token = "one".parse().unwrap();
    let mut subscription = registry.subscribe(&token, WaitKind::V2);
    let created =
        registry.create(token.clone().try_into().unwrap(), &Actor::server(), Settings::default()).await.unwrap();
    let Delivery::Event(delivered) = subscription.next().await else { panic!("no event is missing") };
    assert_eq!(created.events, [delivered]);
    assert_eq!(registry.history(&token, Revision::FIRST).await.unwrap(), created.events);
}
