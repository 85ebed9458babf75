//! A registry moves to another database, or is kept as a copy.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command, time::Duration};

use convene_harness::{
    Postgres, Process, http,
    server::{Server, sqlite_url},
};
use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(20);

/// Runs a command of the server to its end: its exit code, and its output on each stream.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_convene-server"));
    let mut process = Process::spawn("convene-server", command.args(arguments));
    let code = process.wait_for_exit(LIMIT);
    (code, process.stdout(), process.stderr())
}

fn must(arguments: &[&str]) -> String {
    let (code, stdout, stderr) = run(arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
    stdout
}

/// A document without the moment at which it was made.
fn undated(document: &str) -> Vec<&str> {
    document.lines().filter(|line| !line.contains("\"exported_at\"")).collect()
}

/// What a client reads of a cluster: its registry's ID and its members.
async fn look(cluster: &str) -> (String, Value) {
    let answer = http::get(cluster.to_owned()).await.unwrap();
    let id = answer.headers()["x-etcd-cluster-id"].to_str().unwrap().to_owned();
    (id, answer.json().await.unwrap())
}

async fn fill(server: &Server) -> String {
    let cluster = server.new_cluster(3).await;
    for n in 0..2 {
        let value = format!("infra{n}=http://10.0.0.{n}:2380");
        let put = Client::new().put(format!("{cluster}/{n}")).form(&[("value", value)]);
        assert_eq!(put.send().await.unwrap().status(), 201);
    }
    cluster
}

async fn moves_to(database_url: &str) {
    let mut server = Server::start();
    let cluster = fill(&server).await;
    let before = look(&cluster).await;
    let live = must(&["export", "--database-url", &server.database_url()]);
    server.signal("TERM");
    assert_eq!(server.wait_for_exit(LIMIT), Some(0));

    let dir = TempDir::new().unwrap();
    let copy = dir.path().join("copy.json");
    let copy_text = copy.to_str().unwrap();
    must(&["export", "--database-url", &server.database_url(), copy_text]);
    let text = fs::read_to_string(&copy).unwrap();
    assert_eq!(undated(&text), undated(&live), "a running server's registry is the same");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");

    must(&["import", "--database-url", database_url, copy_text]);
    assert_eq!(undated(&must(&["export", "--database-url", database_url])), undated(&text));
    let moved = Server::start_on(database_url, &[]);
    let token = cluster.rsplit_once('/').unwrap().1;
    assert_eq!(look(&format!("{}/{token}", moved.url)).await, before);

    let (code, _, output) = run(&["import", "--database-url", database_url, copy_text]);
    assert!(
        output.contains("in use by another convene-server")
            || output.contains("other clients are connected to the database (convene-server"),
        "{output}"
    );
    assert_eq!((code, output.lines().count()), (Some(1), 1));
}

#[tokio::test]
async fn a_registry_moves_to_another_file() {
    let dir = TempDir::new().unwrap();
    moves_to(&sqlite_url(&dir.path().join("moved.db"))).await;
}

#[tokio::test]
async fn a_registry_moves_to_postgresql() {
    let Some(postgres) = Postgres::shared() else { return };
    moves_to(&postgres.create_database()).await;
}

#[tokio::test]
async fn an_inconsistent_document_is_refused_before_the_database_is_created() {
    let server = Server::start();
    let cluster = fill(&server).await;
    let dir = TempDir::new().unwrap();
    let (copy, database) = (dir.path().join("copy.json"), dir.path().join("c.db"));
    let text = must(&["export", "--database-url", &server.database_url()]);
    let wrong = text.replace("\"revision\": 3,", "\"revision\": 4,").replace("\"epoch\": 1", "\"epoch\": 0");
    fs::write(&copy, wrong).unwrap();
    let (code, _, output) = run(&["import", "--database-url", &sqlite_url(&database), copy.to_str().unwrap()]);
    let token = cluster.rsplit_once('/').unwrap().1;
    assert_eq!(code, Some(1));
    assert!(
        output.contains(&format!("clusters[0] ({}…): epoch: is 0 and must be 1 or more\n", &token[..6])),
        "{output}"
    );
    assert!(output.contains("events[2].revision: is 4 and must be 3") && !output.contains(token), "{output}");
    assert!(!database.exists());
}

#[tokio::test]
async fn no_cluster_with_a_reserved_token_is_imported() {
    let server = Server::start();
    let cluster = fill(&server).await;
    let dir = TempDir::new().unwrap();
    let (copy, database) = (dir.path().join("copy.json"), dir.path().join("c.db"));
    let text = must(&["export", "--database-url", &server.database_url()]);
    fs::write(&copy, text.replace(cluster.rsplit_once('/').unwrap().1, "docs")).unwrap();
    let (code, _, output) = run(&["import", "--database-url", &sqlite_url(&database), copy.to_str().unwrap()]);
    let refusal = "token: \"docs\" is reserved for the server's own URLs; choose another token";
    assert!(code == Some(1) && output.contains(refusal) && !database.exists(), "{output}");
}

#[test]
fn a_failed_export_keeps_the_previous_file() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    fs::write(at("copy.json"), "the last one").unwrap();
    fs::write(at("garbage.db"), "this is no database, but it is longer than a header ".repeat(100)).unwrap();
    must(&["migrate", "--database-url", &sqlite_url(&at("c.db"))]);
    for (database, to) in
        [("missing.db", "copy.json"), ("garbage.db", "copy.json"), ("c.db", "none/copy.json"), ("c.db", "")]
    {
        let (code, _, output) = run(&["export", "--database-url", &sqlite_url(&at(database)), &text(&at(to))]);
        assert_eq!((code, output.lines().count()), (Some(1), 1), "{output}");
    }
    assert_eq!(fs::read_to_string(at("copy.json")).unwrap(), "the last one");
    must(&["export", "--database-url", &sqlite_url(&at("c.db")), &text(&at("copy.json"))]);
    assert!(fs::read_to_string(at("copy.json")).unwrap().contains("\"clusters\": []"));
}

#[test]
fn migrate_prints_the_applied_migrations() {
    let dir = TempDir::new().unwrap();
    let url = sqlite_url(&dir.path().join("c.db"));
    let output = must(&["migrate", "--database-url", &url]);
    assert!(output.contains("is up to date; applied 0001 initial, 0002 lifecycle"), "{output}");
    let output = must(&["migrate", "--database-url", &url]);
    assert!(output.contains("is up to date; no migration was missing"), "{output}");
}

#[test]
fn a_subcommand_accepts_no_flags_of_the_server() {
    for arguments in [&["--listen", "127.0.0.1:0", "export"][..], &["export", "--listen", "127.0.0.1:0"], &["import"]] {
        let (code, _, output) = run(arguments);
        assert_eq!(code, Some(2), "{output}");
    }
}
