//! A database of an earlier version is migrated with its content.

use convene_lifecycle::EventKind;
use sqlx::{ConnectOptions, migrate::Migrator};

use super::{
    moving::{Database, empty_postgres, empty_sqlite},
    *,
};
use crate::store::{connection::Connection, migrations::MIGRATIONS, postgres::PostgresDatabase, sqlite};

/// The databases of an earlier version, which had so many migrations, each with these rows.
async fn databases_with(migrations: usize, rows: &'static str) -> Vec<Database> {
    let databases = [Some(empty_sqlite()), empty_postgres()];
    let databases: Vec<Database> = databases.into_iter().flatten().collect();
    let migrator = Migrator::with_migrations(MIGRATIONS.iter().take(migrations).cloned().collect());
    for database in &databases {
        let mut connection = match &database.url {
            DatabaseUrl::Sqlite(path) => {
                Connection::Sqlite(sqlite::options(path).create_if_missing(true).connect().await.unwrap())
            }
            DatabaseUrl::Postgres(options) => {
                PostgresDatabase::new(options, DatabaseLimits::default()).connect().await.unwrap()
            }
        };
        connection.migrate(&migrator).await.unwrap();
        connection.run(rows).await.unwrap();
        connection.close().await.unwrap();
    }
    databases
}

#[tokio::test]
async fn the_content_of_the_first_version_is_migrated() {
    let rows = "insert into cluster values (1, 'one', 3, 1, 1, 3, 1000, 2000, null);
        insert into member values (1, '8e9e05c52164694d', 'infra0=http://10.0.0.1:2380', 2, 2, null);
        insert into member values (1, 'b', 'infra1=http://10.0.0.2:2380', 2, 3, 3);
        insert into event values (1, 1, 1000, 'create', 'size', null, '3', 1, null, null, null, 1);
        insert into event values (1, 2, 2000, 'create', 'member', '8e9e05c52164694d', 'infra0=http://10.0.0.1:2380', 2,
            null, null, null, 1);
        insert into event values (1, 3, 3000, 'delete', 'member', 'b', null, 2, 'infra1=http://10.0.0.2:2380', 2, 2, 1)";
    for database in databases_with(1, rows).await {
        let store = database.open().await;
        let token = "one".parse().unwrap();
        let cluster = load(&store, &token).await.unwrap();
        assert_eq!(cluster.protocol, Some(Protocol::Discovery(Discovery::V2)));
        assert_eq!(cluster.policy, Policy { join: JoinPolicy::Open, ..Policy::default() });
        assert_eq!(cluster.members().count(), 1);
        let member = cluster.member(&"8e9e05c52164694d".parse().unwrap()).unwrap();
        assert_eq!((cluster.size_version, member.registered, member.version), (1, Revision(2), 1));
        let events = store.events(&token, Revision(1), 10).await.unwrap();
        let kinds: Vec<EventKind> = events.iter().map(|event| event.kind).collect();
        let previous_version = |event: &Event| event.previous.as_ref().map(|previous| previous.version);
        let versions: Vec<_> = events.iter().map(|event| (event.version, previous_version(event))).collect();
        assert_eq!(versions, [(1, None), (1, None), (0, Some(1))]);
        assert_eq!(kinds, [EventKind::ClusterCreated, EventKind::MemberRegistered, EventKind::MemberRemoved]);
    }
}

/// What the servers of version 4 of the schema have stored of three clusters: `checked` by a server of its own, `shared` by
/// several servers, and nothing of `silent`.
const LIVENESS_BEFORE: &str = r#"
    insert into cluster (id, token, size, size_created_revision, size_modified_revision, revision, created_at)
    values (1, 'checked', 3, 1, 1, 1, 1000), (2, 'shared', 3, 1, 1, 1, 1000), (3, 'silent', 3, 1, 1, 1, 1000);
    insert into sighting values (1, 'a', 5000), (1, 'b', 6000), (2, 'a', 1);
    insert into listening values (2, '{"since":7000,"nodes":{"infra0":{"at":8000,"run":"run-1","sequence":3,"peer_urls":[],
        "had":{"data":{"member":"a","cluster":"c"}}}},"members":{"a":{"checked_in":8000,"answered":9000,"failing":null}}}')"#;

#[tokio::test]
async fn the_liveness_of_the_version_before_is_migrated() {
    let now = UnixMillis(10_000);
    for database in databases_with(4, LIVENESS_BEFORE).await {
        let store = database.open().await;
        let liveness = async |token: &str| store.liveness(&token.parse().unwrap(), now).await.unwrap();
        let checked = liveness("checked").await.unwrap();
        assert_eq!(checked.last_seen(), [("a", 5_000), ("b", 6_000)].map(seen).into());
        assert_eq!(checked.detector.since, now, "silence before means nothing");
        let shared = liveness("shared").await.unwrap();
        assert_eq!(shared.last_seen(), [("a", 9_000)].map(seen).into());
        assert_eq!((shared.detector.since, shared.detector.nodes.len()), (UnixMillis(7_000), 1));
        assert!(liveness("silent").await.is_none());
    }
}

#[tokio::test]
async fn a_size_that_the_version_before_has_set_still_requests_removals() {
    let rows =
        "insert into cluster (id, token, size, size_created_revision, size_modified_revision, revision, created_at)
        values (1, 'as-created', 3, 1, 1, 1, 1000), (2, 'resized', 3, 1, 7, 9, 1000)";
    for database in databases_with(7, rows).await {
        let store = database.open().await;
        for (token, lowered) in [("as-created", None), ("resized", Some(Revision(7)))] {
            let cluster = load(&store, &token.parse().unwrap()).await.unwrap();
            assert_eq!(cluster.size_lowered, lowered, "{token}");
        }
    }
}

#[tokio::test]
async fn a_server_of_the_version_before_runs_on_after_the_migration() {
    let Some(database) = databases_with(4, LIVENESS_BEFORE).await.into_iter().nth(1) else { return };
    let store = database.open().await;
    // Its statements, as they were.
    let write = r#"insert into listening (cluster, sightings) with heard (token, sightings) as (values
        ('shared', '{"since":1,"nodes":{},"members":{}}'), ('silent', '{"since":2,"nodes":{},"members":{}}'))
        select cluster.id, heard.sightings from heard join cluster on cluster.token = heard.token where true
        on conflict (cluster) do update set sightings = excluded.sightings"#;
    execute(&store, write).await;
    for (token, since) in [("shared", 1), ("silent", 2)] {
        let record = store.liveness(&token.parse().unwrap(), NOW).await.unwrap().unwrap();
        assert_eq!(record.detector.since, UnixMillis(since));
    }
    let read =
        "select token, sightings from listening join cluster on cluster.id = listening.cluster where token = 'silent'";
    let rows = store.read(async |reader| Ok(reader.fetch_all(Statement::new(read)).await?)).await.unwrap();
    assert_eq!(rows[0].try_get::<&str>("sightings").unwrap(), r#"{"since":2,"nodes":{},"members":{}}"#);
}
