//! A whole registry moves from one database to another.

use super::*;
use crate::document::{self, Writer};
use convene_harness::Postgres;

/// A database without content.
pub(super) struct Database {
    pub(super) url: DatabaseUrl,
    _folder: Option<TempDir>,
}

pub(super) fn empty_sqlite() -> Database {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite:{}", folder.path().join("c.db").display()).parse().unwrap();
    Database { url, _folder: Some(folder) }
}

/// `None` if there is no PostgreSQL and the tests may run without it.
pub(super) fn empty_postgres() -> Option<Database> {
    Some(Database { url: Postgres::shared()?.create_database().parse().unwrap(), _folder: None })
}

impl Database {
    pub(super) async fn open(&self) -> Store {
        Store::open(&self.url, DatabaseLimits::default()).await.unwrap()
    }

    /// The whole content.
    pub(super) async fn dump(&self) -> RegistryDump {
        let mut export = Export::begin(&self.url, DatabaseLimits::default()).await.unwrap();
        let used_tokens = export.used_tokens().await.unwrap();
        let mut clusters = Vec::new();
        loop {
            let page = export.clusters().await.unwrap();
            if page.is_empty() {
                return RegistryDump { registry_id: export.registry_id().to_owned(), used_tokens, clusters };
            }
            clusters.extend(page);
        }
    }

    pub(super) async fn import(&self, dump: &RegistryDump) -> Result<(), ImportError> {
        let store = self.open().await;
        let imported = store.import(dump).await;
        store.close().await;
        imported
    }
}

fn document(dump: &RegistryDump) -> String {
    let mut writer = Writer::begin(Vec::new(), &dump.registry_id, &dump.used_tokens, NOW).unwrap();
    dump.clusters.iter().for_each(|dump| writer.cluster(dump).unwrap());
    String::from_utf8(writer.end().unwrap()).unwrap()
}

/// Fills a database with clusters that have seen every kind of change, and with more than a page of the same millisecond.
async fn fill(store: &Store) {
    let (mut known, mut write_known) = with_all_fields("known");
    let purpose = Purpose::Join { peer_urls: vec![PeerUrl::parse("http://a:1").unwrap()], replaces: None };
    known.ticket =
        Some(Ticket { number: 7, holder: "a b".parse().unwrap(), purpose, granted_at: NOW, progress_at: NOW });
    write_known.after = Some(Arc::new(known));
    let (gone, write_gone) = eventful("gone");
    let mut writes: Vec<ClusterWrite> = (0..70).map(|n| write(None, vec![create(&format!("cluster-{n}"))])).collect();
    writes.extend([write_known, write_gone, eventful("eventful").1]);
    commit(store, &writes).await.unwrap();
    commit(store, &[write(Some(Stamp::of(&gone, None)), vec![gone.delete(NOW)])]).await.unwrap();
    let records = [("eventful", 5), ("known", -1)];
    write_liveness(store, &records.map(|(token, at)| (token, record([("1", at)])))).await;
}

async fn check_move(from: Database, to: Database) {
    let store = from.open().await;
    fill(&store).await;
    let dump = from.dump().await;
    assert_eq!((dump.clusters.len(), dump.used_tokens.len()), (72, 1));
    assert_eq!(dump.registry_id, store.registry_id());

    let text = document(&dump);
    assert_eq!(document::read(&text).unwrap_or_else(|problem| panic!("{problem}")), dump);
    to.import(&dump).await.unwrap();
    assert_eq!(document(&to.dump().await), text);

    let other = to.open().await;
    assert_eq!(other.registry_id(), store.registry_id());
    for ClusterDump { cluster: Cluster { token, .. }, .. } in &dump.clusters {
        assert_eq!(load(&other, token).await, load(&store, token).await);
        let events = store.events(token, Revision::FIRST, 10_000).await.unwrap();
        assert_eq!(other.events(token, Revision::FIRST, 10_000).await.unwrap(), events);
        let last_seen =
            async |store: &Store| store.liveness(token, NOW).await.unwrap().map(|record| record.last_seen());
        assert_eq!(last_seen(&other).await, last_seen(&store).await);
    }
    let all = ClusterFilter::default();
    assert_eq!(other.list(&all, 100).await.unwrap().0, store.list(&all, 100).await.unwrap().0);
    assert_eq!(load_all(&other, &["gone".parse().unwrap()]).await.used_up, ["gone".parse().unwrap()]);
    commit(&other, &[write(None, vec![create("afterwards")])]).await.unwrap();
}

#[tokio::test]
async fn a_registry_moves_from_file_to_file() {
    check_move(empty_sqlite(), empty_sqlite()).await;
}

#[tokio::test]
async fn a_registry_moves_to_postgresql() {
    if let Some(postgres) = empty_postgres() {
        check_move(empty_sqlite(), postgres).await;
    }
}

#[tokio::test]
async fn a_registry_moves_back_from_postgresql() {
    if let Some(postgres) = empty_postgres() {
        check_move(postgres, empty_sqlite()).await;
    }
}

#[tokio::test]
async fn an_export_leaves_out_members_that_are_not_on_record() {
    let database = empty_sqlite();
    let store = database.open().await;
    commit(&store, &[eventful("one").1]).await.unwrap();
    write_liveness(&store, &[("one", record([("1", 5), ("nobody", 5)]))]).await;
    assert_eq!(database.dump().await.clusters.remove(0).last_seen, [("1", 5)].map(seen).into());
}

#[tokio::test]
async fn a_database_in_use_by_other_servers_refuses_an_import() {
    let Some(server) = Postgres::shared() else { return };
    let url = server.create_database();
    let postgres = Database { url: url.parse().unwrap(), _folder: None };
    let dump = empty_sqlite_dump().await;
    for (name, shown) in [("", "convene-server"), ("?application_name=elsewhere", "elsewhere")] {
        let running = open(&format!("{url}{name}")).await;
        let refused = import_once_in_use_by(shown, &postgres, &dump).await;
        assert!(matches!(&refused, Err(ImportError::InUse(names)) if names == shown), "{refused:?}");
        running.close().await;
    }
    import_once_in_use_by("", &postgres, &dump).await.unwrap();
}

/// Imports as soon as no others than these use the database: PostgreSQL lists a connection until a moment after its end.
async fn import_once_in_use_by(names: &str, database: &Database, dump: &RegistryDump) -> Result<(), ImportError> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match database.import(dump).await {
            Err(ImportError::InUse(others)) if others != names && Instant::now() < deadline => {
                sleep(Duration::from_millis(20)).await;
            }
            result => return result,
        }
    }
}

async fn empty_sqlite_dump() -> RegistryDump {
    let sqlite = empty_sqlite();
    sqlite.open().await.close().await;
    sqlite.dump().await
}

#[tokio::test]
async fn a_database_with_content_refuses_an_import_and_stays_unchanged() {
    let dump = empty_sqlite_dump().await;
    for fill_with in [create("one"), eventful_deletion("one")] {
        let database = empty_sqlite();
        let store = database.open().await;
        if fill_with.after.is_none() {
            let (cluster, made) = eventful("one");
            commit(&store, &[made]).await.unwrap();
            commit(&store, &[write(Some(Stamp::of(&cluster, None)), vec![fill_with])]).await.unwrap();
        } else {
            commit(&store, &[write(None, vec![fill_with])]).await.unwrap();
        }
        store.close().await;
        drop(store);
        let before = database.dump().await;
        assert!(matches!(database.import(&dump).await, Err(ImportError::NotEmpty { .. })));
        assert_eq!(database.dump().await, before);
    }
}

fn eventful_deletion(token: &str) -> Transition {
    eventful(token).0.delete(NOW)
}

#[tokio::test]
async fn an_import_that_fails_halfway_writes_nothing() {
    let from = empty_sqlite();
    fill(&from.open().await).await;
    let mut dump = from.dump().await;
    // `import` relies on the checks of the document, so it must find this by itself.
    dump.clusters.push(dump.clusters[0].clone());
    for database in [Some(empty_sqlite()), empty_postgres()].into_iter().flatten() {
        let store = database.open().await;
        assert!(matches!(store.import(&dump).await, Err(ImportError::Store(StoreError::Conflict))));
        let left = database.dump().await;
        assert_eq!(
            (left.clusters, left.used_tokens, left.registry_id),
            (vec![], vec![], store.registry_id().to_owned())
        );
    }
}

#[tokio::test]
async fn an_export_fails_with_the_name_of_an_unreadable_cluster() {
    let database = empty_sqlite();
    let store = database.open().await;
    fill(&store).await;
    execute(&store, "update cluster set strategy = 'pray' where token = 'eventful'").await;
    let mut export = Export::begin(&database.url, DatabaseLimits::default()).await.unwrap();
    let failed = loop {
        match export.clusters().await {
            Ok(page) => assert!(!page.is_empty(), "a cluster is missing from the export"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(failed.starts_with("cluster even…: the database holds a cluster.strategy that"), "{failed}");
}

#[tokio::test]
async fn only_a_fully_migrated_database_is_exported() {
    let database = empty_sqlite();
    let begin = async || Export::begin(&database.url, DatabaseLimits::default()).await.map(drop);
    assert!(matches!(begin().await, Err(OpenError::CannotOpen { .. })));
    let applied = Store::migrate(&database.url, DatabaseLimits::default()).await.unwrap();
    assert_eq!(applied[0], "0001 initial");
    assert_eq!(Store::migrate(&database.url, DatabaseLimits::default()).await.unwrap(), Vec::<String>::new());
    begin().await.unwrap();

    let store = database.open().await;
    execute(&store, "delete from _sqlx_migrations where version = 5").await;
    assert!(matches!(begin().await, Err(OpenError::Older { migration: 5, .. })));
    execute(&store, "update _sqlx_migrations set version = 9999 where version = 3").await;
    assert!(matches!(begin().await, Err(OpenError::Newer { migration: 9999, .. })));
    execute(&store, "drop table _sqlx_migrations").await;
    assert!(matches!(begin().await, Err(OpenError::NoRegistry { .. })));
}
