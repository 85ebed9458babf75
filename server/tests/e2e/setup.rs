//! `convene-server --setup`: the first start makes a secure set-up, and prints how to join.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};

use convene_harness::{
    Place, Process, SetUp, cluster::every_member_serves_what_another_wrote, etcd::Version, programs, wait_for,
};

const LIMIT: Duration = Duration::from_secs(30);

/// The files of a whole set-up that must stay as they are.
const FILES: [&str; 8] =
    ["ca.crt", "ca.key", "server.crt", "server.key", "admin-token", "admin.env", "discovery", "join-token"];

#[test]
fn the_first_start_makes_what_is_missing_and_later_starts_change_nothing() {
    let set_up = SetUp::new();
    let first = set_up.start();
    let mode = |name: &str| fs::metadata(set_up.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(""), 0o700);
    for secret in ["ca.key", "server.key", "admin-token", "admin.env", "discovery", "join-token", "convene.db"] {
        assert_eq!(mode(secret), 0o600, "{secret}");
    }
    let printed = how_to_join(&first);
    assert!(printed.contains(", 3 nodes can join the first cluster "), "{printed}");
    assert_eq!(clusters_and_tokens(&set_up), (1, 1));
    assert_eq!(join_tokens(&set_up), 1);

    let before = FILES.map(|name| set_up.read(name));
    stop(first);
    let again = set_up.start();
    assert!(before == FILES.map(|name| set_up.read(name)), "no file has changed");
    assert_eq!((clusters_and_tokens(&set_up), join_tokens(&set_up)), ((1, 1), 1));
    assert!(how_to_join(&again).contains("3 nodes can join"), "{}", again.stdout());
    assert_eq!(leftovers(&set_up), Vec::<String>::new());

    // What becomes of the cluster is the administrator's business.
    administer(&set_up, &["cluster", "delete", "first"]);
    stop(again);
    let last = set_up.start();
    assert_eq!(clusters_and_tokens(&set_up), (0, 1));
    assert_eq!(last.stdout(), "");
}

#[test]
fn three_nodes_join_by_the_line_that_is_printed_and_no_other_node() {
    let Some(version) = Version::find("3.7") else { return };
    let set_up = SetUp::new();
    let server = set_up.start();
    let printed = how_to_join(&server);
    let line = |start: &str| {
        let line = printed.lines().find(|line| line.trim().starts_with(start)).unwrap_or_else(|| panic!("{printed}"));
        line.trim().split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    let copy = line("scp ");
    let join = line("convene run ");
    assert_eq!(join[join.len() - 3..], ["--", "etcd", "…"], "{printed}");
    let node = set_up.parent().join("node");
    fs::create_dir(&node).unwrap();
    for file in &copy[1..copy.len() - 1] {
        let file = Path::new(file);
        fs::copy(file, node.join(file.file_name().unwrap())).unwrap();
    }
    let places: Vec<_> = (0..4).map(|_| Arc::new(Place::new())).collect();
    let call = |n: usize, flags: &[String]| {
        let place = &places[n];
        let mut command = Command::new(programs::client());
        // Before each start, `convene join` does what `convene run` does, with the same flags.
        command.current_dir(&node).arg("join").args(flags).args([
            "--name",
            &format!("infra{n}"),
            "--output",
            "env",
            "--data-dir",
        ]);
        command.arg(place.data_dir()).args(["--initial-advertise-peer-urls", &place.peer_url]);
        command.args(["--advertise-client-urls", &place.client_url, "--timeout", "60s"]);
        Process::spawn("convene join", &mut command)
    };
    let flags = &join[2..join.len() - 3];

    // Before the cluster forms, a node without a join token, or with another one, would take a place.
    fs::write(node.join("other"), format!("cvnj_{}\n", "A".repeat(43))).unwrap();
    let without = [flags[0].clone(), flags[1].clone()];
    let other = [&without[..], &["--join-token-file".to_owned(), "other".to_owned()]].concat();
    for (flags, says) in [(&without[..], "sent no join token"), (&other[..], "join-token-unknown")] {
        let mut refused = call(3, flags);
        assert_eq!(refused.wait_for_exit(LIMIT), Some(3), "{}", refused.output());
        assert!(refused.stderr().contains(says), "{}", refused.stderr());
    }

    let mut joining: Vec<_> = (0..3).map(|n| call(n, flags)).collect();
    let etcds: Vec<_> = joining
        .iter_mut()
        .zip(&places)
        .map(|(join, place)| {
            assert_eq!(join.wait_for_exit(LIMIT), Some(0), "{}", join.output());
            version.start_with_environment(place, &join.stdout())
        })
        .collect();
    every_member_serves_what_another_wrote(&etcds);

    let mut refused = call(3, flags);
    assert_eq!(refused.wait_for_exit(LIMIT), Some(3), "{}", refused.output());
    assert!(refused.stderr().contains("join-token-used"), "{}", refused.stderr());
}

#[test]
fn a_set_up_that_was_killed_at_any_file_is_finished_by_the_next_start() {
    for name in ["ca.crt", "convene.db", "admin-token", ".first-cluster"] {
        let set_up = SetUp::new();
        let mut killed = Process::spawn("convene-server", &mut set_up.command(&[]));
        wait_for(LIMIT, || (set_up.path(name).exists() || set_up.path("discovery").exists()).then_some(())).unwrap();
        killed.kill();
        drop(killed);
        is_whole(&set_up);
    }
}

#[test]
fn what_is_in_a_file_already_is_used_rather_than_made_again() {
    let set_up = SetUp::new();
    set_up.start().kill();
    let before = FILES.map(|name| set_up.read(name));
    let token = set_up.read("discovery").rsplit_once('#').unwrap().0.rsplit_once('/').unwrap().1.to_owned();
    let first_cluster = format!("{token}\n{}\n", set_up.read("join-token"));

    // Killed after the last write to the database, then before the first one.
    for removes_database in [false, true] {
        fs::write(set_up.path(".first-cluster"), &first_cluster).unwrap();
        fs::remove_file(set_up.path("discovery")).unwrap();
        if removes_database {
            fs::remove_file(set_up.path("join-token")).unwrap();
            let files = fs::read_dir(set_up.path("")).unwrap().map(|file| file.unwrap());
            for file in files.filter(|file| file.file_name().to_string_lossy().starts_with("convene.db")) {
                fs::remove_file(file.path()).unwrap();
            }
        }
        // Killed while the certificates were moved to their places.
        fs::create_dir(set_up.path(".tls-finished")).unwrap();
        for name in ["server.crt", "server.key"] {
            fs::rename(set_up.path(name), set_up.path(".tls-finished").join(name)).unwrap();
        }
        is_whole(&set_up);
        assert!(before == FILES.map(|name| set_up.read(name)), "no file has changed");
    }

    // An administrator's token that was revoked gets a successor.
    let server = set_up.start();
    let listed = administer(&set_up, &["token", "list"]);
    let id = listed.split_whitespace().find(|word| word.starts_with("tok-")).unwrap();
    administer(&set_up, &["token", "revoke", id]);
    stop(server);
    let _server = set_up.start();
    assert_ne!(set_up.read("admin-token"), before[4]);
    assert_eq!(clusters_and_tokens(&set_up), (1, 2));
}

#[tokio::test]
async fn the_certificate_is_for_the_host_of_the_public_url() {
    let set_up = SetUp::new();
    let port = set_up.address().rsplit_once(':').unwrap().1.to_owned();
    let public = format!("https://discovery.example.com:{port}");
    let arguments = ["--listen", &format!("0.0.0.0:{port}"), "--public-url", &public];
    let server = Process::spawn("convene-server", &mut set_up.command(&arguments));
    server.wait_for_output("listens on", LIMIT);
    assert!(
        set_up.read("discovery").starts_with(&format!("{public}/")) && set_up.read("discovery").contains("#sha256:")
    );
    assert!(set_up.read("admin.env").contains(&format!("export CONVENE_SERVER='{public}#sha256:")));
    let address = set_up.address().parse().unwrap();
    let ca = reqwest::Certificate::from_pem(&fs::read(set_up.path("ca.crt")).unwrap()).unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([ca])
        .resolve("discovery.example.com", address)
        .build()
        .unwrap();
    assert_eq!(client.get(format!("{public}/livez")).send().await.unwrap().status(), 200);

    // The server moves. CA, pin and key stay, so its nodes notice nothing.
    stop(server);
    let kept = ["ca.crt", "ca.key", "server.key"].map(|name| set_up.read(name));
    let moved = ["--listen", &set_up.address(), "--public-url", "https://moved.example.com"];
    let server = Process::spawn("convene-server", &mut set_up.command(&moved));
    server.wait_for_output("made a new certificate of the same CA", LIMIT);
    server.wait_for_output("listens on", LIMIT);
    assert_eq!(["ca.crt", "ca.key", "server.key"].map(|name| set_up.read(name)), kept);
    let ca = reqwest::Certificate::from_pem(&fs::read(set_up.path("ca.crt")).unwrap()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([ca]).resolve("moved.example.com", address);
    let url = format!("https://moved.example.com:{port}/livez");
    assert_eq!(client.build().unwrap().get(url).send().await.unwrap().status(), 200);

    // Without the key of the CA it can only be said.
    stop(server);
    fs::remove_file(set_up.path("ca.key")).unwrap();
    let again = ["--listen", &set_up.address(), "--public-url", "https://again.example.com"];
    let server = Process::spawn("convene-server", &mut set_up.command(&again));
    let warned = server.wait_for_output("the certificate is not valid for this host", LIMIT);
    assert!(warned.contains("again.example.com") && warned.contains("ca.key"), "{warned}");
    server.wait_for_output("listens on", LIMIT);
    stop(server);
}

#[test]
fn what_would_not_be_secure_is_refused_in_words() {
    let refused = |set_up: &SetUp, arguments: &[&str], says: &str| {
        let mut server = Process::spawn("convene-server", &mut set_up.command(arguments));
        assert_eq!(server.wait_for_exit(LIMIT), Some(1), "{}", server.output());
        let output = server.output();
        assert!(output.contains(says) && output.lines().count() == 1, "{says}: {output}");
    };
    let set_up = SetUp::new();
    refused(&set_up, &["--auth", "off"], "can't be combined with --auth off");
    refused(&set_up, &["--public-url", "http://discovery.corp:8087"], "--public-url must begin with https://");
    refused(&set_up, &["--listen", "0.0.0.0:8087"], "needs --public-url with --listen 0.0.0.0:8087");
    assert!(!set_up.path("").exists());

    fs::write(set_up.path("").as_os_str().to_str().unwrap().trim_end_matches('/'), "").unwrap();
    refused(&set_up, &[], "can't make the folder convene: File exists");

    let set_up = SetUp::new();
    fs::create_dir(set_up.path("")).unwrap();
    fs::set_permissions(set_up.path(""), fs::Permissions::from_mode(0o770)).unwrap();
    refused(&set_up, &[], "run `chmod go-w ");
    fs::set_permissions(set_up.path(""), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(set_up.path("server.key"), "").unwrap();
    refused(&set_up, &[], "ca.crt is missing, and ");
    fs::remove_file(set_up.path("server.key")).unwrap();

    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if is_root {
        chown(set_up.path(""), Some(65_534), None).unwrap();
        refused(&set_up, &[], "must belong to the user of this server, and does not");
        chown(set_up.path(""), Some(0), None).unwrap();
    } else {
        fs::set_permissions(set_up.path(""), fs::Permissions::from_mode(0o500)).unwrap();
        refused(&set_up, &[], "can't lock ");
        fs::set_permissions(set_up.path(""), fs::Permissions::from_mode(0o700)).unwrap();
    }
}

/// Starts the server, and checks that everything is there and works.
fn is_whole(set_up: &SetUp) {
    let server = set_up.start();
    for name in FILES {
        assert!(!set_up.read(name).is_empty(), "{name}");
    }
    assert_eq!((clusters_and_tokens(set_up), join_tokens(set_up)), ((1, 1), 1));
    assert_eq!(leftovers(set_up), Vec::<String>::new());
    assert!(how_to_join(&server).contains("3 nodes can join"), "{}", server.stdout());
    stop(server);
}

/// What the server prints about joining.
fn how_to_join(server: &Process) -> String {
    server.wait_for_stdout("convene run", LIMIT);
    server.stdout()
}

fn stop(mut server: Process) {
    server.signal("TERM");
    assert_eq!(server.wait_for_exit(LIMIT), Some(0), "{}", server.output());
}

/// What is in the folder for the time of the set-up alone.
fn leftovers(set_up: &SetUp) -> Vec<String> {
    let files = fs::read_dir(set_up.path("")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.') && name != ".lock").collect()
}

fn clusters_and_tokens(set_up: &SetUp) -> (usize, usize) {
    let count = |what: &str, field: &str| {
        let listed: serde_json::Value =
            serde_json::from_str(&administer(set_up, &[what, "list", "-o", "json"])).unwrap();
        listed[field].as_array().unwrap().len()
    };
    (count("cluster", "clusters"), count("token", "tokens"))
}

fn join_tokens(set_up: &SetUp) -> usize {
    administer(set_up, &["cluster", "join-token", "list", "first"]).matches("join-").count()
}

/// Runs `convene` as the administrator that admin.env makes of a shell.
fn administer(set_up: &SetUp, arguments: &[&str]) -> String {
    let script = r#". "$0" && exec "$@""#;
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(set_up.path("admin.env")).arg(programs::client()).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
