//! Starting, stopping, logs and what a supervisor sees.

use std::{os::unix::net::UnixDatagram, path::Path, time::Duration};

use convene_harness::{
    Process, free_port, http,
    server::{self, Server, sqlite_url},
    wait_for,
};
use serde_json::Value;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn health_checks_report_liveness_and_readiness() {
    let server = Server::start();
    for (path, body) in
        [("/health", "OK"), ("/livez", "ok\n"), ("/readyz", "ok\n"), ("/robots.txt", "User-agent: *\nDisallow: /")]
    {
        let answer = http::get(format!("{}{path}", server.url)).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, body));
    }
    let home = http::get(format!("{}/", server.url)).await.unwrap().text().await.unwrap();
    for command in
        [format!("curl '{}/new?size=3'", server.url), "etcd --name".to_owned(), "curl DISCOVERY-URL".to_owned()]
    {
        assert!(home.contains(&command), "{home}");
    }
    assert_eq!(http::get(format!("{}/a/b/c", server.url)).await.unwrap().status(), 404);
}

#[tokio::test]
async fn the_start_is_logged_in_one_line_with_address_and_database() {
    let server = Server::start_on_sqlite();
    let line = server.output();
    assert_eq!(line.lines().count(), 1, "{line}");
    let database = server.sqlite_file().unwrap();
    assert!(line.contains(&server.url) && line.contains(&database.display().to_string()), "{line}");
}

#[tokio::test]
async fn only_the_owner_can_read_files_with_tokens() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start_on_sqlite();
    server.new_cluster(3).await;
    for ending in ["db", "db-wal", "db-shm"] {
        let file = server.sqlite_file().unwrap().with_extension(ending);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn signals_end_the_server_in_order() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start();
        let cluster = server.new_cluster(3).await;
        let waiting = http::get(format!("{cluster}?wait=true&recursive=true")).await.unwrap();
        // A client that keeps its connection open without a request must not hold the server up.
        let idle = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        server.signal(signal);
        assert_eq!((waiting.status().as_u16(), waiting.text().await.unwrap().as_str()), (200, ""));
        let code = tokio::task::spawn_blocking(move || (server.wait_for_exit(Duration::from_secs(8)), server));
        let (code, server) = code.await.unwrap();
        assert_eq!(code, Some(0), "{}", server.output());
        let log = server.sqlite_file().map(|file| file.with_extension("db-wal"));
        assert!(!log.is_some_and(|log| log.exists()), "the database was not closed");
        drop(idle);
    }
}

#[tokio::test]
async fn a_stopped_server_starts_again_with_what_it_had() {
    let mut server = Server::start();
    let cluster = server.new_cluster(5).await;
    server.signal("TERM");
    assert_eq!(server.wait_for_exit(LIMIT), Some(0));
    let server = server.crash().restart();
    let size: Value = http::get(format!("{cluster}/_config/size")).await.unwrap().json().await.unwrap();
    assert_eq!(size["node"]["value"], "5");
    drop(server);
}

#[test]
fn a_failed_start_is_explained_in_one_line() {
    let dir = TempDir::new().unwrap();
    let running = Server::start_on_sqlite();
    let taken = running.address();
    let free = format!("127.0.0.1:{}", free_port());
    let garbage = dir.path().join("garbage.db");
    std::fs::write(&garbage, "this is no database, but it is longer than a header ".repeat(100)).unwrap();
    std::fs::set_permissions(&garbage, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();

    for (listen, database, expected) in [
        (taken, dir.path().join("a.db"), "Address already in use"),
        ("256.0.0.1:1", dir.path().join("a.db"), "can't listen on 256.0.0.1:1 (--listen)"),
        (&free, dir.path().join("none/a.db"), "none/a.db: No such file or directory"),
        (&free, garbage.clone(), "file is not a database"),
        (&free, running.sqlite_file().unwrap(), "is in use by another convene-server"),
        (&free, newer_database(dir.path()), "is newer than this convene-server"),
    ] {
        let mut command = server::command(listen, &sqlite_url(&database), &[]);
        let mut refused = Process::spawn("convene-server", &mut command);
        let code = refused.wait_for_exit(LIMIT);
        let output = refused.output();
        assert_eq!(code, Some(1), "{output}");
        assert!(output.lines().count() == 1 && output.contains(expected), "{expected}: {output}");
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&garbage).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o644, "what is no database keeps its rights");
}

#[test]
fn an_invalid_flag_is_explained() {
    for (flag, value, expected) in [
        ("--listen", "8087", "must be HOST:PORT"),
        ("--listen", ":8087", "must be HOST:PORT"),
        ("--database-url", "mysql://x", "must be sqlite:PATH"),
        ("--database-url", "sqlite::memory:", "must name a file"),
        ("--public-url", "discovery.corp", "must be http:// or https://"),
        ("--max-cluster-size", "0", "from 1 to 1000"),
        ("--unformed-ttl", "soon", "must be a duration"),
        ("--v2-folder", "/v2/keys/deis", "must be the path between /v2/keys/ and the token"),
        ("--log-format", "xml", "possible values: text, json"),
    ] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_convene-server"));
        let mut refused = Process::spawn("convene-server", command.args([flag, value]));
        assert_eq!(refused.wait_for_exit(LIMIT), Some(2));
        let output = refused.output();
        assert!(output.contains(flag) && output.contains(expected), "{output}");
    }
}

#[tokio::test]
async fn every_flag_has_a_variable() {
    let dir = TempDir::new().unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_convene-server"));
    command
        .env("CONVENE_LISTEN", &address)
        .env("CONVENE_DATABASE_URL", format!("sqlite:{}", dir.path().join("c.db").display()))
        .env("CONVENE_PUBLIC_URL", "https://discovery.example.com/etcd/")
        .env("CONVENE_LOG_FORMAT", "json")
        .env("CONVENE_MAX_CLUSTER_SIZE", "5")
        .env("CONVENE_UNFORMED_TTL", "1d")
        .env("CONVENE_V2_FOLDER", "deis/discovery,a")
        .env("CONVENE_WAIT_TIMEOUT", "1s");
    let process = Process::spawn("convene-server", &mut command);
    process.wait_for_output("listens on", LIMIT);
    for folder in ["deis/discovery", "a"] {
        let url = format!("http://{address}/v2/keys/{folder}/prod");
        assert_eq!(http::get(url).await.unwrap().status(), 404);
    }
    let made = http::get(format!("http://{address}/new?size=5")).await.unwrap().text().await.unwrap();
    assert!(made.starts_with("https://discovery.example.com/etcd/"), "{made}");
    assert_eq!(http::get(format!("http://{address}/new?size=6")).await.unwrap().status(), 400);
    process.wait_for_output("/new", LIMIT);
    for line in process.output().lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[tokio::test]
async fn each_request_is_logged_once_and_no_token_in_full() {
    let server = Server::start();
    let cluster = server.new_cluster(3).await;
    let token = cluster.rsplit_once('/').unwrap().1;
    let client = http::client();
    let value = [("value", "infra0=http://10.0.0.1:2380")];
    let requests = [
        client.get(&cluster),
        client.get(format!("{cluster}/")),
        client.get(format!("{cluster}/_config/size")),
        client.get(format!("{cluster}/1?wait=false&waitIndex=1&recursive=true&token={token}")),
        client.put(format!("{cluster}/1?prevExist=false")).form(&value),
        client.put(format!("{cluster}/1?prevExist=false")).form(&value),
        client.delete(format!("{cluster}/1")),
        client.put(format!("{}/v2/keys/_etcd/registry/{token}/_config/size", server.url)).form(&[("value", "3")]),
        client.get(format!("{}/x/{token}/y", server.url)),
        client.get(format!("{}/{token}%20", server.url)),
        client.delete(format!("{}/v2/keys/_etcd/registry/{token}?recursive=true", server.url)),
    ];
    let mut ids = Vec::new();
    for request in requests {
        let answer = request.send().await.unwrap();
        ids.push(answer.headers()["x-request-id"].to_str().unwrap().to_owned());
    }
    for id in &ids {
        let output = || server.output();
        let lines = || output().lines().filter(|line| line.contains(id) && line.contains("answered")).count();
        wait_for(LIMIT, || (lines() == 1).then_some(())).unwrap_or_else(|| panic!("{id}:\n{}", output()));
    }
    assert!(server.output().contains(&token[..6]) && !server.output().contains(&token[..7]), "{}", server.output());
}

#[tokio::test]
async fn successful_health_checks_are_not_logged() {
    let server = Server::start();
    for path in ["/livez", "/readyz", "/health", "/metrics", "/new"] {
        assert_eq!(http::get(format!("{}{path}", server.url)).await.unwrap().status(), 200);
    }
    let asked = || server.output().contains("path=/new").then_some(());
    wait_for(LIMIT, asked).unwrap_or_else(|| panic!("{}", server.output()));
    for path in ["/livez", "/readyz", "/health", "/metrics"] {
        assert!(!server.output().contains(path), "{path}: {}", server.output());
    }
}

#[tokio::test]
async fn a_request_keeps_the_id_that_its_client_gave_it() {
    let server = Server::start();
    let given =
        |id: &'static str| http::client().get(format!("{}/livez", server.url)).header("x-request-id", id).send();
    assert_eq!(given("deploy-42").await.unwrap().headers()["x-request-id"], "deploy-42");
    assert_ne!(given("no good\" id").await.unwrap().headers()["x-request-id"], "no good\" id");
}

#[tokio::test]
async fn only_tokens_without_registrations_are_deleted() {
    let server = Server::start_with(&["--unformed-ttl", "1s"]);
    let (idle, used) = (server.new_cluster(3).await, server.new_cluster(3).await);
    let value = [("value", "infra0=http://10.0.0.1:2380")];
    http::client().put(format!("{used}/1")).form(&value).send().await.unwrap();
    http::client().delete(format!("{used}/1")).send().await.unwrap();

    let deadline = tokio::time::Instant::now() + LIMIT;
    while http::get(&idle).await.unwrap().status() != 404 {
        assert!(tokio::time::Instant::now() < deadline, "{}", server.output());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(http::get(&used).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_server_keeps_serving_when_nobody_reads_its_log() {
    let dir = TempDir::new().unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = server::command(&address, &sqlite_url(&dir.path().join("c.db")), &[]);
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let client = http::client();
    let url = format!("http://{address}/livez");
    while client.get(&url).send().await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Far more than a pipe and the log's own buffer hold.
    for _ in 0..15_000 {
        assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A database as a later version of the server would leave it.
fn newer_database(dir: &Path) -> std::path::PathBuf {
    let database = dir.join("newer.db");
    let address = format!("127.0.0.1:{}", free_port());
    let mut process = Process::spawn("convene-server", &mut server::command(&address, &sqlite_url(&database), &[]));
    process.wait_for_output("listens on", LIMIT);
    process.signal("TERM");
    assert_eq!(process.wait_for_exit(LIMIT), Some(0));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        use sqlx::{ConnectOptions, Executor};
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&database);
        let mut connection = options.connect().await.unwrap();
        let later = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
                     values (9999, 'later', true, x'00', 0)";
        connection.execute(later).await.unwrap();
    });
    database
}

#[test]
fn the_service_manager_is_told_when_the_server_is_ready_and_when_it_stops() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(LIMIT)).unwrap();
    let receive = || {
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).expect("the server reports");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = server::command(&address, &sqlite_url(&dir.path().join("c.db")), &[]);
    let server = Process::spawn("convene-server", command.env("NOTIFY_SOCKET", &socket));
    assert_eq!(receive(), "READY=1\n");
    server.signal("TERM");
    assert_eq!(receive(), "STOPPING=1\n");
}
