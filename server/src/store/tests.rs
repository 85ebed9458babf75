mod admission;
mod going_back;
mod moving;
mod upgrading;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use convene_lifecycle::{
    Action, Admission, Announcer, Cluster, ClusterId, ClusterSize, Discovery, Downtime, Epoch, Event, Founder, Held,
    HoldReason, JoinPolicy, Member, MemberKey, MemberLiveness, NodeRefusal, PeerUrl, Policy, Protocol, PublicId,
    Purpose, RecordedRefusal, Registration, Removal, Revision, Role, Setback, StartIssued, StockWrites, Strategy,
    Ticket, Token, Transition, UnixMillis,
};
use tempfile::TempDir;

use super::{
    columns::{CLUSTER, EVENT, JOIN_TOKEN, MEMBER, NODE_CREDENTIAL},
    commit::RANDOM_BITS,
    statement::Statement,
    *,
};

const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

async fn sqlite() -> (TempDir, Store) {
    let dir = TempDir::new().unwrap();
    let url = format!("sqlite:{}", dir.path().join("c.db").display());
    (dir, open(&url).await)
}

/// A store on an empty database; `None` if there is no PostgreSQL and the tests may run without it.
async fn postgres() -> Option<Store> {
    let postgres = convene_harness::Postgres::shared()?;
    Some(open(&postgres.create_database()).await)
}

async fn open(url: &str) -> Store {
    Store::open(&url.parse().unwrap(), DatabaseLimits::default()).await.unwrap()
}

use admission::{
    an_unreadable_credential_makes_its_cluster_alone_unreadable,
    join_tokens_and_credentials_are_deleted_with_their_cluster, join_tokens_and_credentials_are_stored_as_they_change,
};

/// Runs tests on each kind of database.
macro_rules! on_every_database {
    ($($test:ident,)*) => {
        mod on_sqlite {
            $(
                #[tokio::test]
                async fn $test() {
                    let (_dir, store) = super::sqlite().await;
                    super::$test(store).await;
                }
            )*
        }

        mod on_postgres {
            $(
                #[tokio::test]
                async fn $test() {
                    if let Some(store) = super::postgres().await {
                        super::$test(store).await;
                    }
                }
            )*
        }
    };
}

on_every_database! {
    clusters_of_one_commit_are_read_as_they_were_written,
    every_field_of_a_cluster_is_read_as_it_was_written,
    only_the_columns_of_a_cluster_that_have_changed_are_written,
    clusters_are_listed_in_pages_in_the_order_of_their_creation,
    a_list_counts_present_members_without_reading_them,
    a_list_leaves_out_unreadable_clusters_only,
    liveness_is_read_as_it_was_written_and_deleted_with_its_cluster,
    unreadable_liveness_counts_as_none_and_the_others_are_read,
    the_liveness_of_many_clusters_is_written_in_chunks,
    events_are_read_as_they_were_written,
    a_write_with_an_outdated_base_is_a_conflict_and_changes_nothing,
    a_deleted_cluster_leaves_nothing_behind,
    a_token_is_used_up_once_a_member_has_registered,
    a_used_token_is_forgotten_once,
    a_write_that_takes_the_place_of_a_lost_one_has_another_stamp,
    a_long_history_is_compacted_to_the_last_thousand_events,
    a_large_history_is_compacted_to_its_bytes,
    a_token_is_unregistered_until_the_first_registration,
    join_tokens_and_credentials_are_stored_as_they_change,
    join_tokens_and_credentials_are_deleted_with_their_cluster,
    an_unreadable_credential_makes_its_cluster_alone_unreadable,
}

async fn commit(store: &Store, writes: &[ClusterWrite]) -> Result<(), StoreError> {
    let mut transaction = store.begin().await?;
    match transaction.write(writes, RetainedHistory::of(1 << 20, 1 << 20)).await {
        Ok(()) => transaction.commit().await,
        Err(StoreError::Conflict) => {
            transaction.rollback().await?;
            Err(StoreError::Conflict)
        }
        Err(error) => Err(error),
    }
}

async fn load_all(store: &Store, tokens: &[Token]) -> LoadedClusters {
    store.begin().await.unwrap().load_all(tokens).await.unwrap()
}

async fn load(store: &Store, token: &Token) -> Option<Cluster> {
    store.load(token).await.unwrap().map(|stored| stored.cluster)
}

fn create(token: &str) -> Transition {
    create_at(token, ClusterSize::DEFAULT, NOW)
}

fn create_at(token: &str, size: ClusterSize, at: UnixMillis) -> Transition {
    let created = Cluster::create(token.parse().unwrap(), size, Action::Create, at);
    Transition { after: created.after.map(|cluster| Cluster { id: next_public_id(at), ..cluster }), ..created }
}

/// A public ID that no other cluster of this process has. Drawn ones of many clusters in the same millisecond may collide, which is a
/// conflict for the committer to repeat.
fn next_public_id(at: UnixMillis) -> PublicId {
    static NEXT: AtomicI64 = AtomicI64::new(0);
    PublicId((at.0 << RANDOM_BITS) | NEXT.fetch_add(1, Ordering::Relaxed))
}

fn register(cluster: &Cluster, n: u64, action: Action) -> Transition {
    let registration = Registration::parse(&format!("infra{n}=http://10.0.0.1:{n}")).unwrap();
    cluster.register(n.to_string().parse().unwrap(), registration, Discovery::V2, action, NOW).unwrap()
}

fn at(revision: u64) -> Stamp {
    Stamp { revision: Revision(revision), created_at: NOW, write_id: None }
}

/// One write of successive changes.
fn write(base: Option<Stamp>, transitions: Vec<Transition>) -> ClusterWrite {
    let token = transitions[0].events[0].token.clone();
    let after = transitions.last().unwrap().after.clone().map(Arc::new);
    let events = transitions.into_iter().flat_map(|transition| transition.events).map(Arc::new).collect();
    ClusterWrite { token, base, before: None, after, events, write_id: WriteId::draw() }
}

/// A cluster with every kind of event of discovery, and its write.
fn eventful(token: &str) -> (Cluster, ClusterWrite) {
    let created = create(token);
    let cluster = created.after.clone().unwrap();
    let sized = cluster.set_size(ClusterSize::new(5).unwrap(), Action::Update, NOW).unwrap();
    let cluster = sized.after.clone().unwrap();
    let first = register(&cluster, 1, Action::Create);
    let second = register(&first.after.clone().unwrap(), 2, Action::Set);
    let updated = register(&second.after.clone().unwrap(), 1, Action::Update);
    let cluster = updated.after.clone().unwrap();
    let removed = cluster.remove(&"2".parse().unwrap(), Discovery::V2, Action::CompareAndDelete, NOW).unwrap();
    let cluster = removed.after.clone().unwrap();
    (cluster, write(None, vec![created, sized, first, second, updated, removed]))
}

async fn clusters_of_one_commit_are_read_as_they_were_written(store: Store) {
    let (one, write_one) = eventful("one");
    let (two, write_two) = eventful("two");
    commit(&store, &[write_one, write_two]).await.unwrap();
    let tokens = [one.token.clone(), two.token.clone(), "none".parse().unwrap()];
    let read = load_all(&store, &tokens).await.clusters.into_iter();
    let mut read: Vec<Cluster> = read.map(|stored| stored.cluster).collect();
    read.sort_by(|a, b| a.token.cmp(&b.token));
    assert_eq!(read, [one, two]);
}

async fn only_the_columns_of_a_cluster_that_have_changed_are_written(store: Store) {
    let created = create("one");
    let cluster = created.after.clone().unwrap();
    commit(&store, &[write(None, vec![created])]).await.unwrap();
    let named = |name: &str| Cluster { name: Some(name.parse().unwrap()), ..cluster.clone() };
    let sized = named("prod").set_size(ClusterSize::new(7).unwrap(), Action::Update, NOW).unwrap();
    let before = named("prod");
    let base = Some(Stamp::of(&before, None));
    let change = ClusterWrite { before: Some(Arc::new(before)), ..write(base, vec![sized.clone()]) };
    commit(&store, &[change]).await.unwrap();
    let expected = Cluster { name: None, ..sized.after.unwrap() };
    assert_eq!(load(&store, &cluster.token).await, Some(expected), "the name was the same before");
}

/// A cluster with a value in every field, apart from the ticket.
fn with_all_fields(token: &str) -> (Cluster, ClusterWrite) {
    let (before, mut write) = eventful(token);
    let mut cluster = before;
    let issued = StartIssued { run: "run-1".parse().unwrap(), at: NOW, disk: Some("disk-1".parse().unwrap()) };
    let mut member = Member::clone(&cluster.record[0]);
    member.client_urls = vec!["http://10.0.0.1:2379".parse().unwrap(), "https://[::1]:2379".parse().unwrap()];
    member.role = Role::Learner;
    member.started = true;
    member.founder = Some(Founder { issued: Some(issued.clone()), disk: None });
    member.eviction = Some(NOW);
    member.downtime = Some(Downtime { until: UnixMillis(NOW.0 + 1), by: Announcer::Node });
    let gone = Member {
        founder: Some(Founder { issued: None, disk: Some("disk-2".parse().unwrap()) }),
        ..Member::clone(&cluster.record[1])
    };
    let gone =
        Member { removed: gone.removed.map(|removal| Removal { confirmed: true, given_up: true, ..removal }), ..gone };
    let joins = Member { key: "7".parse().unwrap(), created: Revision(5), registered: Revision(5), ..gone.clone() };
    let downtime = Some(Downtime { until: UnixMillis(-1), by: Announcer::Administrator });
    let joins = Member { founder: None, join_issued: Some(issued), downtime, ..joins };
    cluster.record = vec![Arc::new(member), Arc::new(gone), Arc::new(joins)];
    cluster.name = Some("prod, the second".parse().unwrap());
    cluster.policy = Policy {
        strategy: Strategy::Prune,
        dead_after: Duration::from_secs(5),
        learner: false,
        check_in_every: Duration::from_secs(1),
        paused: true,
        max_failed_starts: 9,
        witnesses: 1,
        stock_writes: StockWrites::Allow,
        join: JoinPolicy::Certificate,
    };
    cluster.size_lowered = Some(Revision(2));
    cluster.epoch = Epoch(3);
    cluster.protocol = Some(Protocol::CheckIn);
    cluster.discovery_url = Some("https://discovery.example.com/one/".parse().unwrap());
    cluster.cluster_id = Some(ClusterId(u64::MAX));
    cluster.bootstrapped = Some(Revision(5));
    (cluster.formed, cluster.formed_at) = (Some(Revision(4)), Some(NOW));
    cluster.earlier_cluster_ids = vec![ClusterId(1), ClusterId(2)];
    let (reason, node) = (HoldReason::DataReported, Some("infra9".parse().unwrap()));
    cluster.held = Some(Held { since: NOW, reason, node, cluster: Some(ClusterId(3)) });
    cluster.tickets = 7;
    cluster.setbacks.insert("a b".parse().unwrap(), Setback { count: 2, at: NOW });
    cluster.setbacks.insert("c@1".parse().unwrap(), Setback { count: 1, at: UnixMillis(-1) });
    let refusal = NodeRefusal { task: "archive_data".to_owned(), found: "\"infra1\" answers".to_owned() };
    cluster.refusals = vec![RecordedRefusal { node: "a b".parse().unwrap(), refusal, at: NOW }];
    cluster.refusal_count = 8;
    cluster.admission = Arc::new(admission::with_all_fields());
    write.after = Some(Arc::new(cluster.clone()));
    (cluster, write)
}

async fn every_field_of_a_cluster_is_read_as_it_was_written(store: Store) {
    let peer_urls = vec![PeerUrl::parse("http://10.0.0.9:2380").unwrap(), PeerUrl::parse("http://a:1").unwrap()];
    let member: MemberKey = "1".parse().unwrap();
    let purposes = [
        Purpose::Join { peer_urls: peer_urls.clone(), replaces: None },
        Purpose::Join { peer_urls: peer_urls.clone(), replaces: Some(member.clone()) },
        Purpose::Remove { member: member.clone() },
        Purpose::Update { member: member.clone(), peer_urls },
        Purpose::Promote { member },
    ];
    for (n, purpose) in purposes.into_iter().enumerate() {
        let (mut cluster, mut write) = with_all_fields(&format!("cluster-{n}"));
        cluster.ticket = Some(Ticket {
            number: 7,
            holder: "a b".parse().unwrap(),
            purpose,
            granted_at: NOW,
            progress_at: UnixMillis(NOW.0 + 1),
        });
        write.after = Some(Arc::new(cluster.clone()));
        commit(&store, &[write]).await.unwrap();
        assert_eq!(load(&store, &cluster.token).await, Some(cluster));
    }
}

async fn clusters_are_listed_in_pages_in_the_order_of_their_creation(store: Store) {
    for n in 0..5 {
        let (mut cluster, mut write) = with_all_fields(&format!("cluster-{n}"));
        cluster.policy.paused = n % 2 == 0;
        cluster.created_at = UnixMillis(NOW.0 + n);
        cluster.id = next_public_id(cluster.created_at);
        write.after = Some(Arc::new(cluster));
        commit(&store, &[write]).await.unwrap();
    }
    let tokens = |clusters: Vec<ClusterSummary>| {
        clusters.into_iter().map(|cluster| cluster.without_members.token.as_str().to_owned()).collect::<Vec<_>>()
    };
    let (first, next) = store.list(&ClusterFilter::default(), 3).await.unwrap();
    assert_eq!(tokens(first), ["cluster-0", "cluster-1", "cluster-2"]);
    let after = ClusterFilter { after: next, ..ClusterFilter::default() };
    let (second, next) = store.list(&after, 3).await.unwrap();
    assert_eq!((tokens(second), next), (vec!["cluster-3".to_owned(), "cluster-4".to_owned()], None));
    let paused = ClusterFilter { paused: Some(false), ..ClusterFilter::default() };
    assert_eq!(tokens(store.list(&paused, 100).await.unwrap().0), ["cluster-1", "cluster-3"]);
    let nobody = ClusterFilter { name: Some("test".parse().unwrap()), ..ClusterFilter::default() };
    assert_eq!(tokens(store.list(&nobody, 100).await.unwrap().0), Vec::<String>::new());
}

async fn a_list_counts_present_members_without_reading_them(store: Store) {
    let (eventful, write_eventful) = eventful("eventful");
    let (known, write_known) = with_all_fields("known");
    commit(&store, &[write_eventful]).await.unwrap();
    commit(&store, &[write_known]).await.unwrap();
    execute(&store, "update member set registration = 'not one'").await;
    let (mut listed, _) = store.list(&ClusterFilter::default(), 100).await.unwrap();
    listed.sort_by(|a, b| a.without_members.token.cmp(&b.without_members.token));
    let summary = |cluster: Cluster, voter_count, learner_count| ClusterSummary {
        without_members: Cluster {
            record: Vec::new(),
            admission: Arc::new(Admission {
                join_tokens: Vec::new(),
                credentials: BTreeMap::new(),
                ..Admission::clone(&cluster.admission)
            }),
            ..cluster
        },
        voter_count,
        learner_count,
    };
    assert_eq!(listed, [summary(eventful, 1, 0), summary(known, 0, 1)]);
}

async fn a_list_leaves_out_unreadable_clusters_only(store: Store) {
    for token in ["one", "two"] {
        commit(&store, &[write(None, vec![create(token)])]).await.unwrap();
    }
    execute(&store, "update cluster set strategy = 'pray' where token = 'one'").await;
    let (listed, _) = store.list(&ClusterFilter::default(), 100).await.unwrap();
    assert_eq!(listed.iter().map(|cluster| cluster.without_members.token.as_str()).collect::<Vec<_>>(), ["two"]);
}

/// Executes a statement that the store never would.
async fn execute(store: &Store, statement: &'static str) {
    let mut transaction = store.begin().await.unwrap();
    transaction.connection().run(statement).await.unwrap();
    transaction.commit().await.unwrap();
}

/// A member and when it was last seen.
fn seen((member, at): (&str, i64)) -> (MemberKey, UnixMillis) {
    (member.parse().unwrap(), UnixMillis(at))
}

/// Liveness in which members have checked in.
fn record<const N: usize>(checked_in: [(&str, i64); N]) -> LivenessRecord {
    let mut record = LivenessRecord::new(NOW);
    let liveness = |at| MemberLiveness { checked_in: Some(at), ..MemberLiveness::default() };
    record.detector.members = checked_in.map(seen).into_iter().map(|(member, at)| (member, liveness(at))).collect();
    record
}

async fn write_liveness(store: &Store, records: &[(&str, LivenessRecord)]) {
    let records: Vec<_> = records.iter().map(|(token, record)| (token.parse().unwrap(), record.clone())).collect();
    let mut transaction = store.begin().await.unwrap();
    transaction.write_liveness(&records).await.unwrap();
    transaction.commit().await.unwrap();
}

async fn liveness_is_read_as_it_was_written_and_deleted_with_its_cluster(store: Store) {
    let (cluster, first) = eventful("one");
    commit(&store, &[first]).await.unwrap();
    let stored = async || store.liveness(&cluster.token, NOW).await.unwrap();
    assert_eq!(stored().await, None);
    for at in [1, 2] {
        write_liveness(&store, &[("one", record([("1", at)])), ("none", record([("1", at)]))]).await;
        assert_eq!(stored().await, Some(record([("1", at)])));
    }
    commit(&store, &[write(Some(Stamp::of(&cluster, None)), vec![cluster.delete(NOW)])]).await.unwrap();
    assert_eq!(stored().await, None);
}

async fn unreadable_liveness_counts_as_none_and_the_others_are_read(store: Store) {
    commit(&store, &[eventful("one").1, eventful("two").1]).await.unwrap();
    let both = ["one", "two"].map(|token| (token, record([("1", 1)])));
    write_liveness(&store, &both).await;
    execute(&store, "update liveness set document = '{}' where cluster = (select id from cluster where token = 'one')")
        .await;
    let tokens = ["one", "two"].map(|token| token.parse().unwrap());
    let read = store.begin().await.unwrap().liveness(&tokens, NOW).await.unwrap();
    assert_eq!(read.keys().collect::<Vec<_>>(), [&tokens[1]]);
}

async fn the_liveness_of_many_clusters_is_written_in_chunks(store: Store) {
    let tokens: Vec<String> = (0..LIVENESS_CHUNK + 100).map(|n| format!("cluster-{n}")).collect();
    // At different times, because the IDs of a thousand clusters of one millisecond would collide now and then.
    let created = |(n, token): (usize, &String)| {
        let at = NOW.after(Duration::from_millis(n as u64));
        write(None, vec![create_at(token, ClusterSize::DEFAULT, at)])
    };
    let writes: Vec<ClusterWrite> = tokens.iter().enumerate().map(created).collect();
    commit(&store, &writes).await.unwrap();
    let records: Vec<_> = tokens.iter().map(|token| (token.as_str(), record([("1", 1)]))).collect();
    write_liveness(&store, &records).await;
    let tokens: Vec<Token> = tokens.iter().map(|token| token.parse().unwrap()).collect();
    assert_eq!(store.begin().await.unwrap().liveness(&tokens, NOW).await.unwrap().len(), records.len());
}

async fn events_are_read_as_they_were_written(store: Store) {
    let (cluster, write) = eventful("one");
    let events = write.events.clone();
    commit(&store, &[write]).await.unwrap();
    assert_eq!(store.events(&cluster.token, Revision(1), 100).await.unwrap(), events);
    assert_eq!(store.events(&cluster.token, Revision(3), 2).await.unwrap(), events[2..4]);
    assert_eq!(store.events(&cluster.token, Revision(99), 100).await.unwrap(), []);
}

async fn a_write_with_an_outdated_base_is_a_conflict_and_changes_nothing(store: Store) {
    let (cluster, first) = eventful("one");
    commit(&store, &[first]).await.unwrap();
    let (_, created_again) = eventful("one");
    let stale = write(Some(at(1)), vec![register(&cluster, 7, Action::Set)]);
    let stale_delete = write(Some(at(1)), vec![cluster.delete(NOW)]);
    for late in [created_again, stale, stale_delete] {
        let (_, other) = eventful("other");
        assert!(matches!(commit(&store, &[other, late]).await, Err(StoreError::Conflict)));
    }
    assert_eq!(load(&store, &cluster.token).await, Some(cluster));
    assert_eq!(load(&store, &"other".parse().unwrap()).await, None);
}

#[tokio::test]
async fn the_space_of_a_deleted_cluster_does_not_count_as_in_use() {
    let (_dir, store) = sqlite().await;
    let created = create("one");
    let cluster = created.after.clone().unwrap();
    let sizes = (1..=1_000).map(|n| cluster.set_size(ClusterSize::new(n).unwrap(), Action::Set, NOW).unwrap());
    let sizes = sizes.enumerate().map(|(n, mut set)| {
        set.events[0].revision = Revision(n as u64 + 2);
        set
    });
    commit(&store, &[write(None, [created].into_iter().chain(sizes).collect())]).await.unwrap();
    let full = store.size().await.unwrap();
    commit(&store, &[write(Some(at(2)), vec![cluster.delete(NOW)])]).await.unwrap();
    let empty = store.size().await.unwrap();
    assert!(full.bytes_in_use > 100_000 && full.bytes >= full.bytes_in_use, "{full:?}");
    assert!(empty.bytes_in_use < full.bytes_in_use && empty.bytes >= full.bytes_in_use, "{empty:?}");
}

async fn a_deleted_cluster_leaves_nothing_behind(store: Store) {
    let (cluster, first) = eventful("one");
    commit(&store, &[first]).await.unwrap();
    commit(&store, &[write(Some(Stamp::of(&cluster, None)), vec![cluster.delete(NOW)])]).await.unwrap();
    assert_eq!(load(&store, &cluster.token).await, None);
    assert_eq!(store.events(&cluster.token, Revision(1), 100).await.unwrap(), []);
}

async fn a_token_is_used_up_once_a_member_has_registered(store: Store) {
    let idle = create("idle");
    let idle_cluster = idle.after.clone().unwrap();
    let (used, first) = eventful("used");
    commit(&store, &[write(None, vec![idle]), first]).await.unwrap();
    let tokens = [idle_cluster.token.clone(), used.token.clone()];
    assert_eq!(load_all(&store, &tokens).await.used_up, []);
    let deletions =
        [&idle_cluster, &used].map(|cluster| write(Some(Stamp::of(cluster, None)), vec![cluster.delete(NOW)]));
    commit(&store, &deletions).await.unwrap();
    assert_eq!(load_all(&store, &tokens).await.used_up, [used.token]);
}

async fn a_used_token_is_forgotten_once(store: Store) {
    let [(used, first), (other, of_other)] = [eventful("used"), eventful("other")];
    commit(&store, &[first, of_other]).await.unwrap();
    assert!(!store.forget_used(&used.token).await.unwrap(), "the cluster exists");
    let deletions = [&used, &other].map(|cluster| write(Some(Stamp::of(cluster, None)), vec![cluster.delete(NOW)]));
    commit(&store, &deletions).await.unwrap();
    let again = || write(None, vec![create("used")]);
    assert!(matches!(commit(&store, &[again()]).await, Err(StoreError::Conflict)));
    assert!(store.forget_used(&used.token).await.unwrap());
    assert!(!store.forget_used(&used.token).await.unwrap());
    assert_eq!(load_all(&store, &[used.token.clone(), other.token.clone()]).await.used_up, [other.token]);
    commit(&store, &[again()]).await.unwrap();
    assert_eq!(load(&store, &used.token).await.unwrap().revision, Revision::FIRST);
}

async fn a_write_that_takes_the_place_of_a_lost_one_has_another_stamp(store: Store) {
    let created = create("one");
    let (token, cluster) = ("one".parse::<Token>().unwrap(), created.after.clone().unwrap());
    let stamp = async || store.stamps(std::slice::from_ref(&token)).await.unwrap()[&token];
    let lacks = async |known: Stamp| store.lacks_any(&[(token.clone(), known)]).await.unwrap();
    commit(&store, &[write(None, vec![created])]).await.unwrap();
    let first = stamp().await;
    let change = || vec![register(&cluster, 1, Action::Create)];
    commit(&store, &[write(Some(first), change())]).await.unwrap();
    let lost = stamp().await;
    assert!(!lacks(first).await && !lacks(lost).await);

    let mut transaction = store.begin().await.unwrap();
    for loss in ["delete from event where revision = 2", "delete from member", "update cluster set revision = 1"] {
        transaction.connection().run(loss).await.unwrap();
    }
    transaction.commit().await.unwrap();
    assert_eq!(stamp().await, first);
    assert!(!lacks(first).await && lacks(lost).await && first.lacks(lost));
    commit(&store, &[write(Some(first), change())]).await.unwrap();
    let present = stamp().await;
    assert_eq!((present.revision, present.created_at), (lost.revision, lost.created_at));
    assert!(present != lost && !present.is_no_older_than(lost) && present.lacks(lost));
    assert!(!lacks(first).await && lacks(lost).await && !lacks(present).await);
    let loaded = store.load(&token).await.unwrap().unwrap();
    assert_eq!(Stamp::of(&loaded.cluster, loaded.write_id), present);
    assert_eq!(store.write_of(&token, lost.revision).await.unwrap(), Some(present.write_id));
    assert_eq!(store.write_of(&token, Revision(3)).await.unwrap(), None);
}

#[tokio::test]
async fn every_column_of_the_database_is_written_and_read() {
    let (_dir, store) = sqlite().await;
    let in_code = [
        ("cluster", CLUSTER.names() + ", id, token, created_at"),
        ("member", MEMBER.names() + ", cluster, key"),
        ("event", EVENT.names() + ", cluster, write_id"),
        ("join_token", JOIN_TOKEN.names() + ", cluster"),
        ("node_credential", NODE_CREDENTIAL.names() + ", cluster, node"),
    ];
    for (table, in_code) in in_code {
        let query = Statement::new("select name from pragma_table_info($1)").bind(table);
        let rows = store.read(async |reader| Ok(reader.fetch_all(query).await?)).await.unwrap();
        let in_database: BTreeSet<&str> = rows.iter().map(|row| row.try_get("name").unwrap()).collect();
        assert_eq!(in_code.split(", ").collect::<BTreeSet<_>>(), in_database, "{table}");
    }
}

#[test]
fn every_field_of_a_policy_has_a_column() {
    let columns = CLUSTER.names();
    let columns: BTreeSet<&str> =
        columns.split(", ").map(|column| column.trim_end_matches("_ms").trim_end_matches("_policy")).collect();
    assert!(Policy::FIELDS.iter().all(|field| columns.contains(field.name)), "{columns:?}");
}

#[tokio::test]
async fn writes_succeed_again_after_a_full_disk() {
    let (_dir, store) = sqlite().await;
    set_page_limit(&store, 1).await;
    let fill = |n: u32| write(None, vec![create(&format!("{n}-{}", "x".repeat(100)))]);
    let mut n = 0;
    let failed = loop {
        n += 1;
        if let Err(error) = commit(&store, &[fill(n)]).await {
            break error;
        }
    };
    assert!(failed.to_string().contains("full"), "{failed}");
    // The limit belonged to the connection that the failure has closed.
    store.probe().await.unwrap();
    commit(&store, &[fill(n)]).await.unwrap();
}

/// A limit below the present size of the database means the present size.
async fn set_page_limit(store: &Store, pages: u32) {
    let mut writer = store.writer.lock().await;
    let Writer::Open(connection) = &mut *writer else { panic!("the store is open") };
    connection.execute(Statement::new(format!("pragma max_page_count = {pages}"))).await.unwrap();
}

#[tokio::test]
async fn a_commit_waits_for_the_disk() {
    let (_dir, store) = sqlite().await;
    let mut writer = store.writer.lock().await;
    let Writer::Open(connection) = &mut *writer else { panic!("the store is open") };
    let synchronous = connection.fetch_one(Statement::new("pragma synchronous")).await.unwrap();
    let journal_mode = connection.fetch_one(Statement::new("pragma journal_mode")).await.unwrap();
    let full: i64 = synchronous.try_get("synchronous").unwrap();
    let journal: String = journal_mode.try_get("journal_mode").unwrap();
    assert_eq!((full, journal.as_str()), (2, "wal"));
}

async fn a_long_history_is_compacted_to_the_last_thousand_events(store: Store) {
    let created = create("one");
    let mut cluster = created.after.clone().unwrap();
    commit(&store, &[write(None, vec![created])]).await.unwrap();
    for _ in 0..12 {
        let base = Stamp::of(&cluster, None);
        let mut changes = Vec::new();
        for _ in 0..100 {
            changes.push(register(&cluster, 1, Action::Set));
            cluster = changes.last().unwrap().after.clone().unwrap();
        }
        commit(&store, &[write(Some(base), changes)]).await.unwrap();
    }
    let oldest = store.events(&cluster.token, Revision(1), 1).await.unwrap()[0].revision.0;
    let kept = cluster.revision.0 - oldest + 1;
    assert!((1000..1200).contains(&kept), "{kept}");
}

async fn a_large_history_is_compacted_to_its_bytes(store: Store) {
    let created = create("one");
    let mut cluster = created.after.clone().unwrap();
    commit(&store, &[write(None, vec![created])]).await.unwrap();
    let host = "ä".repeat(100);
    let mut change = async |retained| {
        let registration = Registration::parse(&format!("{host}=http://10.0.0.1:2380")).unwrap();
        let changed = cluster.register("1".parse().unwrap(), registration, Discovery::V2, Action::Set, NOW).unwrap();
        let base = Stamp::of(&cluster, None);
        cluster = changed.after.clone().unwrap();
        let mut transaction = store.begin().await.unwrap();
        transaction.write(&[write(Some(base), vec![changed])], RetainedHistory::of(retained, retained)).await.unwrap();
        transaction.commit().await.unwrap();
        let kept = store.events(&cluster.token, Revision(1), 1000).await.unwrap();
        assert!(kept.windows(2).all(|two| two[0].revision.next() == two[1].revision));
        assert_eq!(kept.last().unwrap().revision, cluster.revision);
        kept.len()
    };
    for _ in 0..20 {
        change(1 << 20).await;
    }
    // An event has its value, the one before and a message: about 650 bytes.
    let kept = change(6500).await;
    assert!((9..=10).contains(&kept), "{kept}");
    assert_eq!(change(1).await, 1);
}

async fn a_token_is_unregistered_until_the_first_registration(store: Store) {
    let idle = create("idle");
    let (_, used) = eventful("used");
    commit(&store, &[write(None, vec![idle]), used]).await.unwrap();
    let later = UnixMillis(NOW.0 + 1);
    assert_eq!(
        store.abandoned(Abandoned::Unregistered, later, 10).await.unwrap(),
        [("idle".parse().unwrap(), Revision(1))]
    );
    assert_eq!(store.abandoned(Abandoned::Unregistered, NOW, 10).await.unwrap(), []);
    assert_eq!(store.abandoned(Abandoned::Unregistered, UnixMillis(i64::MIN), 10).await.unwrap(), []);
}

#[tokio::test]
async fn sqlite_finds_clusters_by_their_ids_without_an_index() {
    let (_dir, store) = sqlite().await;
    let unregistered = Statement::new(Abandoned::Unregistered.select()).bind(0).bind(0).explained();
    let of_id = Statement::new("select token from cluster where id = $1").bind(0).explained();
    for (statement, step) in [
        (unregistered, "SEARCH cluster USING INDEX cluster_forming (id<?)"),
        (of_id, "SEARCH cluster USING INTEGER PRIMARY KEY (rowid=?)"),
    ] {
        let rows = store.read(async |reader| Ok(reader.fetch_all(statement).await?)).await.unwrap();
        assert_eq!(rows[0].try_get::<&str>("detail").unwrap(), step);
    }
}

#[tokio::test]
async fn a_registry_keeps_its_id_over_restarts() {
    let (dir, store) = sqlite().await;
    let id = store.registry_id().to_owned();
    assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    store.close().await;
    drop(store);
    let url = format!("sqlite:{}", dir.path().join("c.db").display());
    assert_eq!(open(&url).await.registry_id(), id);
}

#[tokio::test]
async fn existing_connections_work_while_the_database_refuses_further_ones() {
    let Some(postgres) = convene_harness::Postgres::shared() else { return };
    let database = postgres.create_database();
    let name = database.rsplit_once('/').unwrap().1;
    postgres.execute("postgres", &format!("create role crowded login; alter database {name} owner to crowded"));
    let store = open(&database.replace("postgres@", "crowded@")).await;
    let read = async || store.load(&"one".parse().unwrap()).await;
    assert!(read().await.unwrap().is_none());
    commit(&store, &[write(None, vec![create("one")])]).await.unwrap();
    postgres.execute("postgres", "alter role crowded connection limit 0");
    assert_eq!(postgres.cut_connections(&database, "commit"), 1);
    commit(&store, &[write(None, vec![create("two")])]).await.unwrap_err();
    let refused = commit(&store, &[write(None, vec![create("two")])]).await.unwrap_err();
    assert!(refused.is_transient() && store.down_for().is_none(), "{refused}");
    assert!(read().await.unwrap().is_some());
    postgres.execute("postgres", "alter role crowded connection limit -1");
    commit(&store, &[write(None, vec![create("two")])]).await.unwrap();
}
