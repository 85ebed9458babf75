//! Another user of the server's machine, without rights.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use convene_harness::{
    Process, as_nobody, free_port, programs, run_as_nobody,
    server::{self, Server, create_api_token, sqlite_url},
};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(20);

/// The user nobody.
const NOBODY: u32 = 65534;

/// A folder that all users may enter, with what a server keeps and makes in it.
fn folder(mode: u32) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    folder
}

/// Runs a command of the server, which succeeds.
fn run(arguments: &[&str], database: &str) {
    let mut command = Command::new(programs::server());
    let ended = command.args(arguments).args(["--database-url", database]).output().unwrap();
    assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
}

fn start(database: &Path, arguments: &[&str]) -> Process {
    let arguments: Vec<String> = ["--auth", "on"].iter().chain(arguments).map(|text| (*text).to_owned()).collect();
    let address = format!("127.0.0.1:{}", free_port());
    Process::spawn("convene-server", &mut server::command(&address, &sqlite_url(database), &arguments))
}

#[test]
fn another_user_reads_no_secret_and_keeps_no_server_from_starting() {
    let folder = folder(0o755);
    let path = |name: &str| folder.path().join(name);
    let database = path("convene.db");
    let url = sqlite_url(&database);
    let text = |file: &Path| file.to_str().unwrap().to_owned();
    let tls = path("tls");
    let made = Command::new(programs::server()).args(["tls", "init", "--dir"]).arg(&tls).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    run(&["token", "create", "--role", "admin", "--name", "test", "--to", &text(&path("token"))], &url);
    let (certificate, key) = (text(&tls.join("server.crt")), text(&tls.join("server.key")));
    let mut server = start(&database, &["--tls-cert", &certificate, "--tls-key", &key]);
    server.wait_for_output("listens on", LIMIT);
    run(&["export", &text(&path("export.json"))], &url);

    // What the server keeps and makes: nobody opens it, so that nobody can lock it either.
    let mut secrets: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    secrets.retain(|file| file.is_file());
    let names: Vec<_> = secrets.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    for needed in ["convene.db", "convene.db-lock", "convene.db-wal", "convene.db-shm", "export.json", "token"] {
        assert!(names.contains(&needed), "{needed}: {names:?}");
    }
    secrets.extend([tls.join("server.key"), tls.join("ca.key")]);
    for file in &secrets {
        assert!(file.is_file() && file.metadata().unwrap().mode() & 0o077 == 0, "{}", file.display());
        for attempt in
            ["cat \"$1\"", "flock -n \"$1\" true", "echo x >>\"$1\"", "mv \"$1\" \"$1.away\"", "rm -f \"$1\""]
        {
            let Some(tried) = run_as_nobody(attempt, file) else { return };
            assert!(!tried.status.success() && tried.stdout.is_empty(), "{attempt} {}: {tried:?}", file.display());
        }
    }
    let process = Path::new("/proc").join(server.id().to_string());
    for attempt in
        ["cat \"$1/environ\"", "cat \"$1/maps\"", "dd if=\"$1/mem\" count=1", "ls \"$1/fd/\"", "cat \"$1\"/fd/*"]
    {
        let tried = run_as_nobody(attempt, &process).unwrap();
        assert!(!tried.status.success() && tried.stdout.is_empty(), "{attempt}: {tried:?}");
    }
    let flags = run_as_nobody("cat \"$1/cmdline\"", &process).unwrap();
    assert!(!String::from_utf8_lossy(&flags.stdout).contains("cvn_"), "{flags:?}");

    // A lock on the directory is all that nobody gets, and the server needs none.
    let mut holder = as_nobody("flock \"$1\" sh -c 'echo locked; exec cat'", folder.path()).unwrap();
    let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut [0; 7]).unwrap();
    server.kill();
    start(&database, &[]).wait_for_output("listens on", LIMIT);
    drop(holder.stdin.take());
    holder.wait().unwrap();
}

/// As in /tmp. The server names the file, and does not use it.
#[test]
fn where_everybody_may_write_a_prepared_file_is_an_error_that_names_it() {
    for (name, script) in [
        ("convene.db", "install -m 666 /dev/null \"$1\""),
        ("convene.db", "ln -s /etc/convene-of-nobody \"$1\""),
        ("convene.db", "mkfifo \"$1\""),
        ("convene.db-lock", "install -m 666 /dev/null \"$1\""),
        ("convene.db.generation.tmp", "ln -s /etc/convene-of-nobody \"$1\""),
        ("convene.db-wal", "install -m 666 /dev/null \"$1\""),
        ("convene.db-shm", "ln -s /etc/passwd \"$1\""),
    ] {
        let folder = folder(0o1777);
        let file = folder.path().join(name);
        let Some(prepared) = run_as_nobody(script, &file) else { return };
        assert!(prepared.status.success(), "{prepared:?}");
        let mut server = start(&folder.path().join("convene.db"), &[]);
        assert_eq!(server.wait_for_exit(LIMIT), Some(1), "{script}: {}", server.output());
        let error = server.output();
        assert!(error.contains(&format!("{} belongs to user ID {NOBODY}", file.display())), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        fs::remove_file(&file).unwrap();
        start(&folder.path().join("convene.db"), &[]).wait_for_output("listens on", LIMIT);
    }
    assert!(!Path::new("/etc/convene-of-nobody").exists());
}

#[test]
fn what_an_older_version_left_open_is_closed_and_the_file_of_another_user_works_for_root() {
    let folder = folder(0o755);
    let database = folder.path().join("convene.db");
    create_api_token(&sqlite_url(&database), &["--role", "admin", "--name", "test"]);
    let files = ["convene.db", "convene.db-lock"].map(|name| folder.path().join(name));
    for file in &files {
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let server = start(&database, &[]);
    server.wait_for_output("listens on", LIMIT);
    server.wait_for_output("other users of this machine could open the file", LIMIT);
    for file in &files {
        assert_eq!(file.metadata().unwrap().mode() & 0o007, 0, "{}", file.display());
    }
    drop(server);
    // As with sudo on the database of a service.
    if chown(&database, Some(NOBODY), Some(NOBODY)).is_ok() {
        start(&database, &[]).wait_for_output("listens on", LIMIT);
    }
}

#[test]
fn no_other_process_listens_on_the_port_as_well() {
    let server = Server::start();
    let address: SocketAddr = server.address().parse().unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    assert!(socket.bind(&address.into()).is_err() || socket.listen(1).is_err());
    assert!(TcpListener::bind(address).is_err());
}
