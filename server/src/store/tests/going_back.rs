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
        }
        with(&database, async |store| form(store, &format!("formed-{generation}")).await).await;
    }
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
