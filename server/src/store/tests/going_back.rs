//! A database that is an older copy of itself is noticed.

use std::{fs, path::Path};

use super::{
    moving::{Database, empty_postgres, empty_sqlite},
    *,
};

/// Writes a cluster of one member, which has formed.
async fn form(store: &Store, token: &str) {
    let size = ClusterSize::new(1).unwrap();
    let created = create_at(token, size, NOW);
    let registered = register(&created.after.clone().unwrap(), 1, Action::Create);
    assert!(registered.after.as_ref().unwrap().formed.is_some());
    commit(store, &[write(None, vec![created, registered])]).await.unwrap();
}

fn path(database: &Database) -> &Path {
    let DatabaseUrl::Sqlite(path) = &database.url else { panic!("{:?} is no file", database.url) };
    path
}

/// Opens the database, and closes it in a state in which the file can be copied.
async fn with<T>(database: &Database, work: impl AsyncFnOnce(&Store) -> T) -> T {
    let store = database.open().await;
    let result = work(&store).await;
    store.close().await;
    result
}

async fn went_back(database: &Database) -> Option<String> {
    with(database, async |store| store.went_back().await.unwrap().map(|went_back| went_back.to_string())).await
}

async fn remember(database: &Database) {
    with(database, async |store| store.remember_state().await.unwrap()).await;
}

#[tokio::test]
async fn a_file_that_is_restored_from_a_copy_is_noticed_until_it_is_remembered() {
    let database = empty_sqlite();
    remember(&database).await;
    let copy = fs::read(path(&database)).unwrap();
    with(&database, async |store| form(store, "one").await).await;
    assert_eq!(went_back(&database).await, None);

    fs::write(path(&database), copy).unwrap();
    let noticed = Some("it is at generation 0, and was at 1 before".to_owned());
    assert_eq!(went_back(&database).await, noticed);
    assert_eq!(went_back(&database).await, noticed, "a crash right now must not forget it");
    remember(&database).await;
    assert_eq!(went_back(&database).await, None);
}

#[tokio::test]
async fn a_commit_that_founds_nothing_begins_no_generation() {
    let database = empty_sqlite();
    remember(&database).await;
    let copy = fs::read(path(&database)).unwrap();
    with(&database, async |store| commit(store, &[write(None, vec![create("one")])]).await.unwrap()).await;
    fs::write(path(&database), copy).unwrap();
    assert_eq!(went_back(&database).await, None);
}

/// Somebody has restored a copy on another machine, or the file is damaged. Clusters may have formed since, even if none had when the
/// copy was made.
#[tokio::test]
async fn a_file_with_clusters_without_its_generation_next_to_it_may_be_an_older_copy() {
    let database = empty_sqlite();
    let moved = |generation: Option<&str>| {
        let moved = empty_sqlite();
        fs::copy(path(&database), path(&moved)).unwrap();
        let file = path(&moved).with_added_extension("generation");
        match generation {
            Some(text) => fs::write(file, text).unwrap(),
            None => assert!(!file.exists()),
        }
        moved
    };
    with(&database, async |_| ()).await;
    assert_eq!(went_back(&moved(None)).await, None, "nothing can have formed");
    with(&database, async |store| commit(store, &[write(None, vec![create("other")])]).await.unwrap()).await;
    for generation in [0, 1] {
        for damaged in [None, Some(""), Some("another-registry 7\n"), Some("\0\0\0")] {
            let moved = moved(damaged);
            let suspected = went_back(&moved).await.expect("it is suspected");
            assert!(suspected.starts_with(&format!("it is at generation {generation}, and its file")), "{suspected}");
            remember(&moved).await;
            assert_eq!(went_back(&moved).await, None, "{damaged:?}");
            fs::copy(path(&database), path(&moved)).unwrap();
            let again = went_back(&moved).await.expect("the same copy again is noticed");
            assert!(again.starts_with(&format!("it is at generation {generation}, and was at")), "{again}");
        }
        with(&database, async |store| form(store, &format!("formed-{generation}")).await).await;
    }
}

/// The database has been on another machine in the meantime, where more clusters have formed than the file here knows.
#[tokio::test]
async fn a_file_that_is_more_than_one_commit_behind_its_database_shows_nothing() {
    let database = empty_sqlite();
    let registry_id = with(&database, async |store| {
        for token in ["one", "two", "three"] {
            form(store, token).await;
        }
        store.registry_id().to_owned()
    })
    .await;
    let file = path(&database).with_added_extension("generation");
    let suspected = async |lines: &str| {
        fs::write(&file, lines.replace("ID", &registry_id)).unwrap();
        went_back(&database).await.is_some()
    };
    // A crash between the commit and the file leaves such a file.
    assert!(!suspected("ID 2\n").await);
    for lines in ["ID 1\n", "ID 0\n", "ID 3", "ID -3\n", "ID +3\n", "ID 3\nID 4\n"] {
        assert!(suspected(lines).await, "{lines}");
    }
    remember(&database).await;
    assert_eq!(went_back(&database).await, None);
}

#[tokio::test]
async fn nothing_is_written_to_an_older_copy_that_is_put_into_the_database_of_a_running_server() {
    let database = empty_sqlite();
    with(&database, async |store| {
        store.remember_state().await.unwrap();
        form(store, "one").await;
        form(store, "two").await;
        let mut transaction = store.begin().await.unwrap();
        transaction.connection().run("update registry set generation = 0").await.unwrap();
        transaction.commit().await.unwrap();
        let error = commit(store, &[write(None, vec![create("three")])]).await.unwrap_err().to_string();
        assert!(store.probe().await.is_err());
        assert!(error.contains("it is at generation 0, and was at 2 before"), "{error}");
    })
    .await;
    assert_eq!(went_back(&database).await, Some("it is at generation 0, and was at 2 before".to_owned()));
}

#[tokio::test]
async fn a_new_registry_at_the_path_of_another_is_not_suspected() {
    let database = empty_sqlite();
    with(&database, async |store| form(store, "one").await).await;
    fs::remove_file(path(&database)).unwrap();
    assert_eq!(went_back(&database).await, None);
}

/// The server was started without its database before an administrator restored a copy.
#[tokio::test]
async fn a_copy_that_comes_back_after_another_registry_is_noticed() {
    let database = empty_sqlite();
    with(&database, async |store| form(store, "one").await).await;
    let copy = fs::read(path(&database)).unwrap();
    with(&database, async |store| form(store, "two").await).await;
    for _ in 0..2 {
        fs::remove_file(path(&database)).unwrap();
        remember(&database).await;
        with(&database, async |store| form(store, "three").await).await;
    }
    fs::write(path(&database), copy).unwrap();
    assert_eq!(went_back(&database).await, Some("it is at generation 1, and was at 2 before".to_owned()));
}

#[tokio::test]
async fn an_import_is_not_suspected_even_at_the_path_of_its_export() {
    let database = empty_sqlite();
    with(&database, async |store| form(store, "one").await).await;
    let dump = database.dump().await;
    with(&database, async |store| form(store, "two").await).await;
    fs::remove_file(path(&database)).unwrap();
    database.import(&dump).await.unwrap();
    assert_eq!(went_back(&database).await, None);
    with(&database, async |store| form(store, "two").await).await;
    assert_eq!(went_back(&database).await, None);
}

#[tokio::test]
async fn a_copy_from_before_an_import_is_noticed_even_if_it_had_more_generations() {
    let database = empty_sqlite();
    with(&database, async |store| form(store, "one").await).await;
    with(&database, async |store| form(store, "two").await).await;
    let copy = fs::read(path(&database)).unwrap();
    let dump = database.dump().await;
    let moved = empty_sqlite();
    moved.import(&dump).await.unwrap();
    fs::write(path(&moved), copy).unwrap();
    let noticed = went_back(&moved).await.expect("it is noticed");
    assert!(noticed.starts_with("it is at generation 2, and was at"), "{noticed}");
}

/// The server would hold clusters for a mistake of whoever copied the file.
#[tokio::test]
async fn a_database_whose_generation_can_not_be_read_is_not_opened() {
    let database = empty_sqlite();
    with(&database, async |store| form(store, "one").await).await;
    let generation = path(&database).with_added_extension("generation");
    fs::remove_file(&generation).unwrap();
    // Root reads every file, whatever its mode.
    fs::create_dir(&generation).unwrap();
    let error = Store::open(&database.url, DatabaseLimits::default()).await.unwrap_err().to_string();
    assert!(error.contains(&format!("can't read {}: ", generation.display())), "{error}");
}

#[tokio::test]
async fn another_postgresql_or_timeline_is_noticed_until_it_is_remembered() {
    let Some(database) = empty_postgres() else { return };
    assert_eq!(went_back(&database).await, None, "nothing is remembered yet");
    remember(&database).await;
    assert_eq!(went_back(&database).await, None);
    with(&database, async |store| {
        let mut transaction = store.begin().await.unwrap();
        transaction.connection().run("update registry set system = '1/00000001'").await.unwrap();
        transaction.commit().await.unwrap();
    })
    .await;
    let noticed = went_back(&database).await.unwrap();
    assert!(noticed.ends_with(", and were 1/00000001 before"), "{noticed}");
    remember(&database).await;
    assert_eq!(went_back(&database).await, None);
}
