//! A whole registry goes from one database to another.

use super::*;
use crate::document::{self, Writer};
use convene_harness::Postgres;

/// A database with nothing in it.
pub(super) struct Database {
    pub(super) url: DatabaseUrl,
    _folder: Option<TempDir>,
}

pub(super) fn empty_sqlite() -> Database {
    let folder = TempDir::new().unwrap();
    let url = format!("sqlite:{}", folder.path().join("c.db").display()).parse().unwrap();
    Database { url, _folder: Some(folder) }
}

/// `None` where there is no PostgreSQL and that is no failure.
pub(super) fn empty_postgres() -> Option<Database> {
    Some(Database { url: Postgres::shared()?.create_database().parse().unwrap(), _folder: None })
}

impl Database {
    pub(super) async fn open(&self) -> Store {
        Store::open(&self.url, DatabaseLimits::default()).await.unwrap()
    }

    /// All that is in it, with as many used tokens and clusters as there are.
    async fn contents(&self) -> RegistryDump {
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

    async fn import(&self, contents: &RegistryDump) -> Result<(), ImportError> {
        let store = self.open().await;
        let imported = store.import(contents).await;
        store.close().await;
        imported
    }
}

fn document(contents: &RegistryDump) -> String {
    let mut writer = Writer::begin(Vec::new(), &contents.registry_id, &contents.used_tokens, NOW).unwrap();
    contents.clusters.iter().for_each(|kept| writer.cluster(kept).unwrap());
    String::from_utf8(writer.end().unwrap()).unwrap()
}

/// Clusters that much has happened to, and more of one millisecond than are read at a time.
async fn fill(store: &Store) {
    let (mut known, mut write_known) = known_in_full("known");
    let purpose = Purpose::Join { peer_urls: vec![PeerUrl::parse("http://a:1").unwrap()], replaces: None };
    known.ticket = Some(Ticket { number: 7, holder: "a b".parse().unwrap(), purpose, granted_at: NOW });
    write_known.after = Some(Arc::new(known));
    let (gone, write_gone) = eventful("gone");
    let mut writes: Vec<ClusterWrite> = (0..70).map(|n| write(None, vec![create(&format!("cluster-{n}"))])).collect();
    writes.extend([write_known, write_gone, eventful("eventful").1]);
    commit(store, &writes).await.unwrap();
    commit(store, &[write(Some(Stamp::of(&gone)), vec![gone.delete(NOW)])]).await.unwrap();
    let records = [("eventful", 5), ("known", -1)];
    write_liveness(store, &records.map(|(token, at)| (token, record([("1", at)])))).await;
}

async fn moves(from: Database, to: Database) {
    let store = from.open().await;
    fill(&store).await;
    let contents = from.contents().await;
    assert_eq!((contents.clusters.len(), contents.used_tokens.len()), (72, 1));
    assert_eq!(contents.registry_id, store.registry_id());

    let text = document(&contents);
    assert_eq!(document::read(&text).unwrap_or_else(|problem| panic!("{problem}")), contents);
    to.import(&contents).await.unwrap();
    assert_eq!(document(&to.contents().await), text);

    let other = to.open().await;
    assert_eq!(other.registry_id(), store.registry_id());
    for ClusterDump { cluster: Cluster { token, .. }, .. } in &contents.clusters {
        assert_eq!(other.load(token).await.unwrap(), store.load(token).await.unwrap());
        let events = store.events(token, Revision::FIRST, 10_000).await.unwrap();
        assert_eq!(other.events(token, Revision::FIRST, 10_000).await.unwrap(), events);
        let last_seen =
            async |store: &Store| store.liveness(token, NOW).await.unwrap().map(|record| record.last_seen());
        assert_eq!(last_seen(&other).await, last_seen(&store).await);
    }
    let all = ClusterFilter::default();
    assert_eq!(other.list(&all, 100).await.unwrap().0, store.list(&all, 100).await.unwrap().0);
    assert_eq!(load_all(&other, &["gone".parse().unwrap()]).await.used_up, ["gone".parse().unwrap()]);
    commit(&other, &[write(None, vec![create("new")])]).await.unwrap();
}

#[tokio::test]
async fn a_registry_goes_from_file_to_file() {
    moves(empty_sqlite(), empty_sqlite()).await;
}

#[tokio::test]
async fn a_registry_goes_to_postgresql() {
    if let Some(postgres) = empty_postgres() {
        moves(empty_sqlite(), postgres).await;
    }
}

#[tokio::test]
async fn a_registry_comes_back_from_postgresql() {
    if let Some(postgres) = empty_postgres() {
        moves(postgres, empty_sqlite()).await;
    }
}

#[tokio::test]
async fn an_export_leaves_out_members_that_are_not_on_record() {
    let database = empty_sqlite();
    let store = database.open().await;
    commit(&store, &[eventful("one").1]).await.unwrap();
    write_liveness(&store, &[("one", record([("1", 5), ("nobody", 5)]))]).await;
    assert_eq!(database.contents().await.clusters.remove(0).last_seen, [("1", 5)].map(seen).into());
}

#[tokio::test]
async fn a_database_that_other_servers_use_takes_no_import() {
    let Some(server) = Postgres::shared() else { return };
    let url = server.create_database();
    let postgres = Database { url: url.parse().unwrap(), _folder: None };
    let contents = empty_sqlite_contents().await;
    for (name, shown) in [("", "convene-server"), ("?application_name=elsewhere", "elsewhere")] {
        let running = open(&format!("{url}{name}")).await;
        let refused = postgres.import(&contents).await;
        assert!(matches!(&refused, Err(ImportError::InUse(names)) if names == shown), "{refused:?}");
        running.close().await;
    }
    postgres.import(&contents).await.unwrap();
}

async fn empty_sqlite_contents() -> RegistryDump {
    let sqlite = empty_sqlite();
    sqlite.open().await.close().await;
    sqlite.contents().await
}

#[tokio::test]
async fn what_has_clusters_or_used_tokens_takes_no_import_and_stays_as_it_was() {
    let contents = empty_sqlite_contents().await;
    for fill_with in [create("one"), eventful_deletion("one")] {
        let database = empty_sqlite();
        let store = database.open().await;
        if fill_with.after.is_none() {
            let (cluster, made) = eventful("one");
            commit(&store, &[made]).await.unwrap();
            commit(&store, &[write(Some(Stamp::of(&cluster)), vec![fill_with])]).await.unwrap();
        } else {
            commit(&store, &[write(None, vec![fill_with])]).await.unwrap();
        }
        store.close().await;
        drop(store);
        let before = database.contents().await;
        assert!(matches!(database.import(&contents).await, Err(ImportError::NotEmpty { .. })));
        assert_eq!(database.contents().await, before);
    }
}

fn eventful_deletion(token: &str) -> Transition {
    eventful(token).0.delete(NOW)
}

#[tokio::test]
async fn an_import_that_fails_on_the_way_writes_nothing() {
    let from = empty_sqlite();
    fill(&from.open().await).await;
    let mut contents = from.contents().await;
    // Nobody checks here what a document is checked for.
    contents.clusters.push(contents.clusters[0].clone());
    for database in [Some(empty_sqlite()), empty_postgres()].into_iter().flatten() {
        let store = database.open().await;
        assert!(matches!(store.import(&contents).await, Err(ImportError::Store(StoreError::Conflict))));
        let left = database.contents().await;
        assert_eq!(
            (left.clusters, left.used_tokens, left.registry_id),
            (vec![], vec![], store.registry_id().to_owned())
        );
    }
}

#[tokio::test]
async fn what_can_not_be_read_is_named_and_not_left_out() {
    let database = empty_sqlite();
    let store = database.open().await;
    fill(&store).await;
    execute(&store, "update cluster set strategy = 'pray' where token = 'eventful'").await;
    let mut export = Export::begin(&database.url, DatabaseLimits::default()).await.unwrap();
    let failed = loop {
        match export.clusters().await {
            Ok(page) => assert!(!page.is_empty(), "a cluster is missing from the copy"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(failed.starts_with("cluster eventf…: the database holds a cluster.strategy that"), "{failed}");
}

#[tokio::test]
async fn only_a_database_that_is_up_to_date_is_exported() {
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
