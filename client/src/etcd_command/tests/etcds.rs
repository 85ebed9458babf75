//! Real etcds of every version start with the resulting command.

use std::time::Duration;

use convene_harness::{Place, Process, etcd::Version, wait_for};
use serde_json::json;

use super::*;

/// A node that bootstraps a cluster alone.
struct Node {
    version: Version,
    place: Place,
    config: EtcdConfig,
    directory: tempfile::TempDir,
}

impl Node {
    fn new(version: &Version) -> Self {
        let place = Place::new();
        let directory = tempfile::tempdir().expect("a directory");
        let mut config = config("infra0", &directory.path().join("data"));
        config.initial_cluster = Some(format!("infra0={}", place.peer_url));
        config.initial_advertise_peer_urls = vec![place.peer_url.parse().expect("a URL")];
        config.advertise_client_urls = vec![place.client_url.parse().expect("a URL")];
        Self { version: version.clone(), place, config, directory }
    }

    /// The command with these flags, and those with which etcd listens at the place.
    fn command(&self, flags: &[&str], variables: Variables) -> EtcdCommand {
        let Place { client_url, peer_url, .. } = &self.place;
        let listen = [format!("--listen-peer-urls={peer_url}"), format!("--listen-client-urls={client_url}")];
        let program = self.version.program().to_str().expect("UTF-8");
        let listen = listen.iter().map(String::as_str);
        let command: Vec<&str> = [program].into_iter().chain(listen).chain(flags.iter().copied()).collect();
        read(&command, variables).expect("the command is right")
    }

    /// Starts etcd, waits until its cluster is healthy, and returns the warnings and its log.
    async fn starts(&self, command: &EtcdCommand) -> (Vec<String>, String) {
        let name = self.version.name;
        let program = command.inspect().await.expect("etcd accepts its flags");
        assert!(program.version.as_ref().expect("etcd").starts_with(name));
        let launch = command.launch(&program, &self.config).expect("etcd can be started");
        let mut started = launch.command();
        for variable in command.variables.names().filter(|name| !launch.removed_variables.contains(name)) {
            started.env(variable, command.variables.get(variable.to_str().expect("UTF-8")).expect("it is one of them"));
        }
        started.current_dir(self.directory.path());
        let mut etcd = Process::spawn(&format!("etcd {name}"), started.as_std_mut());
        let healthy = wait_for(Duration::from_secs(60), || {
            assert!(etcd.is_running(), "etcd {name} ended: {}", etcd.output());
            self.version.etcdctl(&self.place.client_url, &["endpoint", "health"]).ok()
        });
        assert!(healthy.is_some(), "etcd {name} does not become healthy: {}", etcd.output());
        assert!(self.config.data_dir.join("member/wal").exists());
        (program.warnings, etcd.output())
    }
}

fn is_older_than(version: &Version, minor: u16) -> bool {
    version.name.parse::<convene_lifecycle::EtcdVersion>().expect("a version").minor < minor
}

#[tokio::test]
async fn etcd_starts_with_flags_and_variables_that_would_end_it() {
    for version in Version::all() {
        let node = Node::new(&version);
        let flags = ["-name", "old", "-initial-cluster=b=http://10.0.0.9:2380", "--discovery-srv=corp", "--pre-vote"];
        let variables = [
            ("ETCD_NAME", "other"),
            ("ETCD_DATA_DIR", "/nonexistent"),
            ("ETCD_PRE_VOTE", "true"),
            ("ETCD_INITIAL_CLUSTER_STATE", ""),
            ("ETCD_DISCOVERY", "http://127.0.0.1:1/x"),
            ("ETCD_DISCOVERY_ENDPOINTS", "http://127.0.0.1:1"),
            ("ETCD_MAX_WALS", "7"),
        ];
        let (warnings, log) = node.starts(&node.command(&flags, variables.into())).await;
        assert!(warnings.iter().any(|warning| warning.starts_with("ETCD_NAME has no effect")), "{warnings:?}");
        assert!(log.contains("ETCD_MAX_WALS"), "the other variables are used: {log}");
    }
}

#[tokio::test]
async fn etcd_starts_with_a_configuration_file() {
    for version in Version::all() {
        let node = Node::new(&version);
        let Place { client_url, peer_url, .. } = &node.place;
        let file = node.directory.path().join("etcd.yml");
        let settings = format!(
            "name: old\nlisten-peer-urls: {peer_url}\nlisten-client-urls: {client_url}\nauto-compaction-retention: \"1\"\npre-vote: yes\n\
             grpc-keepalive-interval: 3600000000000\ninitial-cluster: old=http://10.0.0.9:2380\nlog-level: warn\n"
        );
        fs::write(&file, settings).expect("written");
        let program = version.program().to_str().expect("UTF-8");
        let flags = [program, "--config-file", file.to_str().expect("UTF-8"), "--name=ignored"];
        let variables = [("ETCD_NAME", "other"), ("ETCD_DATA_DIR", "/nonexistent")];
        let command = read(&flags, variables.into()).expect("the command is right");
        let (warnings, log) = node.starts(&command).await;
        assert!(warnings.iter().any(|warning| warning.starts_with("--name has no effect")), "{warnings:?}");
        assert!(!log.contains(r#""level":"info","#), "the file's log-level is used: {log}");
    }
}

#[tokio::test]
async fn etcd_starts_with_flags_of_older_versions() {
    for version in Version::all() {
        let node = Node::new(&version);
        let flags = [
            "--experimental-initial-corrupt-check",
            "--experimental-corrupt-check-time=1h",
            "--enable-v2=false",
            "--proxy=off",
            "--log-outputs=stderr",
        ];
        let (warnings, _) = node.starts(&node.command(&flags, Variables::default())).await;
        for (flag, since) in [
            ("experimental-initial-corrupt-check", 7),
            ("experimental-corrupt-check-time", 7),
            ("enable-v2", 6),
            ("proxy", 6),
        ] {
            let is_changed = warnings.iter().any(|warning| warning.contains(&format!("has no --{flag},")));
            assert_eq!(is_changed, !is_older_than(&version, since), "{} {flag}: {warnings:?}", version.name);
        }
    }
}

#[tokio::test]
async fn keys_of_older_versions_are_renamed_and_not_lost() {
    for version in Version::all() {
        let file = json!({
            "experimental-initial-corrupt-check": true,
            "experimental-corrupt-check-time": 3_600_000_000_000_u64,
            "experimental-snapshot-catch-up-entries": 5000,
        });
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("etcd.yml");
        fs::write(&path, file.to_string()).expect("written");
        let program = version.program().to_str().expect("UTF-8");
        let command = read(&[program, "--config-file", path.to_str().expect("UTF-8")], Variables::default());
        let command = command.expect("the command is right");
        let inspected = command.inspect().await.expect("the file does not matter to --version");
        let crate::etcd_command::program::Settings::File(settings) = inspected.settings else { panic!("it is a file") };
        let expected = match version.name {
            "3.7" => json!({
                "corrupt-check-time": 3_600_000_000_000_u64,
                "feature-gates": "InitialCorruptCheck=true",
                "snapshot-catchup-entries": 5000,
            }),
            _ => file,
        };
        assert_eq!(serde_json::Value::from(settings), expected, "{}", version.name);
    }
}

#[tokio::test]
async fn what_etcd_does_not_accept_is_found_before_it_starts() {
    for version in Version::all() {
        let node = Node::new(&version);
        for (flag, problem) in [
            ("--no-such-flag=1", "has no flag --no-such-flag;"),
            ("--experimental-no-such-flag=1", "has no flag --experimental-no-such-flag;"),
            (
                "--quota-backend-bytes=8GB",
                "does not accept its flags: invalid value \"8GB\" for flag -quota-backend-bytes",
            ),
        ] {
            let error = node.command(&[flag], Variables::default()).inspect().await.expect_err(flag).to_string();
            assert!(error.starts_with(&format!("etcd {}.", version.name)) && error.contains(problem), "{error}");
        }
        let v2 = node.command(&["--enable-v2"], Variables::default()).inspect().await;
        assert_eq!(v2.is_ok(), is_older_than(&version, 6), "{}: {v2:?}", version.name);
    }
}

#[tokio::test]
async fn a_program_without_a_version_of_etcd_gets_its_flags_unchanged() {
    let shell = read(&["sh", "--experimental-no-such-flag=1"], Variables::default()).expect("the command is right");
    let program = shell.inspect().await.expect("it ends");
    assert_eq!((&program.version, program.etcd_version()), (&None, None));
    assert!(program.warnings[0].ends_with("so its flags are not checked"), "{:?}", program.warnings);
    let launch = shell.launch(&program, &config("infra0", Path::new("/data"))).expect("it can be started");
    assert_eq!(launch.arguments[0], "--experimental-no-such-flag=1");
}

#[tokio::test]
async fn a_program_that_is_missing_is_named() {
    let missing = read(&["/nonexistent/etcd", "--name=a"], Variables::default()).expect("the command is right");
    let error = missing.inspect().await.expect_err("there is none").to_string();
    assert!(error.starts_with("cannot run /nonexistent/etcd: No such file"), "{error}");
}
