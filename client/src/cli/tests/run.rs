//! `convene run` and the command of etcd after `--`.

use std::fs;

use super::*;

/// The flags of etcd for a node.
const ETCD: &[&str] = &[
    "--",
    "etcd",
    "-name",
    "infra0",
    "--data-dir=/var/lib/etcd",
    "--wal-dir=/wal",
    "--initial-advertise-peer-urls=http://10.0.0.1:2380,http://10.1.0.1:2380",
    "--listen-client-urls=http://10.0.0.1:2379",
    "--advertise-client-urls",
    "http://10.0.0.1:2379",
    "--trusted-ca-file=/ca",
    "--peer-trusted-ca-file=/peer-ca",
    "--peer-cert-file=/peer-cert",
    "--peer-key-file=/peer-key",
    "--listen-metrics-urls=http://127.0.0.1:2381",
];

fn run(arguments: &[&str]) -> RunArgs {
    match read(&[&["run", DISCOVERY], arguments].concat()).unwrap().command {
        Command::Run(arguments) => arguments,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_that_etcd_gets_is_written_twice() {
    let read = run(ETCD);
    let node = &read.node;
    assert_eq!(node.name.as_str(), "infra0");
    assert_eq!((&node.data_dir, &node.wal_dir), (&Some("/var/lib/etcd".into()), &Some("/wal".into())));
    let urls: Vec<_> = node.initial_advertise_peer_urls.iter().map(ToString::to_string).collect();
    assert_eq!(urls, ["http://10.0.0.1:2380", "http://10.1.0.1:2380"]);
    assert_eq!(node.advertise_client_urls.len(), 1);
    assert_eq!(node.access.listen_metrics_urls.len(), 1);
    assert_eq!((&node.access.cacert, &node.access.cert), (&Some("/ca".into()), &None));
    assert_eq!(node.access.peer_trusted_ca_file, Some("/peer-ca".into()));
    assert_eq!(node.access.peer_key_file, Some("/peer-key".into()));
    assert_eq!(read.etcd.len(), ETCD.len() - 1);
}

#[test]
fn defaults_are_those_of_the_reference() {
    let read = run(&["--", "etcd", "--name=a"]);
    assert_eq!(read.node_listen.0.as_deref(), Some("127.0.0.1:2382"));
    assert_eq!([read.stop_timeout, read.downtime, read.restart_pause].map(|limit| limit.as_secs()), [30, 600, 30]);
    assert!(!read.leave_on_stop && !read.adopt);
    assert_eq!(run(&["--node-listen=[::1]:1", "--", "etcd", "--name=a"]).node_listen.0.as_deref(), Some("[::1]:1"));
    for address in ["--node-listen=2382", "--node-listen=:2382", "--node-listen=localhost:http"] {
        let error = super::read(&["run", DISCOVERY, address, "--", "etcd", "--name=a"]).unwrap_err();
        assert_has(&error, &["must be HOST:PORT, or off"]);
    }
    let read = run(&["--node-listen=off", "-downtime=0", "--", "etcd", "--name=a"]);
    assert_eq!((read.node_listen.0, read.downtime), (None, Duration::ZERO));
}

#[test]
fn our_flags_and_variables_win_over_those_of_etcd() {
    let flags = [&["run", DISCOVERY, "--name=own", "--peer-cacert=/own"], ETCD].concat();
    let variables = [("CONVENE_DATA_DIR", "/own"), ("ETCD_NAME", "variable"), ("ETCDCTL_CACERT", "/etcdctl")];
    let expected =
        [r#"MemberName("own")"#, r#"data_dir: Some("/own")"#, r#"trusted_ca_file: Some("/own")"#, "/etcdctl"];
    assert_has(&read_with(&flags, &variables), &expected);
    let empty = read_with(&[&["run", DISCOVERY], ETCD].concat(), &[("CONVENE_NAME", ""), ("ETCD_NAME", "variable")]);
    assert_has(&empty, &[r#"MemberName("infra0")"#]);
}

#[test]
fn variables_of_etcd_count_if_it_has_no_flag() {
    let read = read_with(&["run", "--", "etcd", "--name=flag", "--wal-dir="], ETCD_VARIABLES);
    assert_has(&read, &[r#"MemberName("flag")"#, "/var/lib/etcd", "http://corp:8087/et…", "wal_dir: None"]);
    let read = read_with(&["run", "--", "etcd", "--data-dir="], &[ETCD_VARIABLES, &[("ETCD_WAL_DIR", "/w")]].concat());
    assert_has(&read, &[r#"MemberName("infra0")"#, "data_dir: None", r#"wal_dir: Some("/w")"#]);
}

#[test]
fn the_discovery_url_is_taken_from_etcd_and_warned_of() {
    let read = read(&["run", "--", "etcd", "--name=a", DISCOVERY]).unwrap();
    assert!(read.warnings[0].starts_with("--discovery shows"), "{:?}", read.warnings);
    let Command::Run(arguments) = read.command else { panic!("it is run") };
    assert_eq!(arguments.node.discovery.url().reveal(), "http://corp:8087/6c007a14875d53d9bf0ef5a6fc0257c8");
}

#[test]
fn a_configuration_file_counts_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("etcd.yml");
    let text =
        "name: file\ndiscovery: http://corp:8087/fileurl\npeer-transport-security:\n  trusted-ca-file: /peer-ca\n";
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let expected = [
        r#"MemberName("file")"#,
        "http://corp:8087/fil…",
        "data_dir: None",
        r#"trusted_ca_file: Some("/peer-ca")"#,
        "warnings: []",
    ];
    let read = read_with(&["run", "--", "etcd", "--config-file", file, "--data-dir=/x"], ETCD_VARIABLES);
    assert_has(&read, &expected);
    let of_variable = [ETCD_VARIABLES, &[("ETCD_CONFIG_FILE", file)]].concat();
    assert_has(&read_with(&["run", "--", "etcd", "--data-dir=/x"], &of_variable), &expected);
    fs::write(file, "data-dir: /x\n").unwrap();
    let missing = read_with(&["run", "--", "etcd"], &of_variable);
    assert_has(
        &missing,
        &["--name <NAME>", "--discovery <URL>", "etcd's configuration file", "silences its flags and variables"],
    );
    // It is the configuration of etcd, which `join` does not start.
    assert_has(&read_with(&["join"], &of_variable), &[r#"MemberName("infra0")"#]);
}

#[test]
fn etcds_default_name_is_no_name() {
    for etcd in [&["--", "etcd"][..], &["--", "etcd", "--name=default"], &["--", "etcd", "--name="]] {
        let error = read(&[&["run", DISCOVERY], etcd].concat()).unwrap_err();
        assert_has(&error, &["--name <NAME>", "set CONVENE_NAME", "its default name `default`"]);
    }
    let packaged = [("ETCD_NAME", "default")];
    assert_has(&read_with(&["run", DISCOVERY, "--", "etcd"], &packaged), &["--name <NAME>"]);
    assert_eq!(run(&["--name=default", "--", "etcd"]).node.name.as_str(), "default");
}

#[test]
fn the_usage_does_not_require_what_etcds_command_has() {
    let help = read(&["run", "--help"]).unwrap_err();
    assert_has(&help, &["Usage: convene run [OPTIONS] -- <ETCD>...\n", "[default: the --name of etcd]"]);
}

#[test]
fn an_error_names_where_the_value_was_found() {
    let error = read(&["run", DISCOVERY, "--", "etcd", "--name=a,b"]).unwrap_err();
    assert_has(&error, &["'a,b' for '--name <NAME>'", "the value is that of the flag --name of etcd"]);
    let error = read_with(&["run", DISCOVERY, "--", "etcd"], &[("ETCD_NAME", "a,b")]);
    assert_has(&error, &["'a,b' for '--name <NAME>'", "the value is that of the variable ETCD_NAME"]);
    let error = read(&["run", DISCOVERY, "--name=a,b", "--", "etcd", "--name=c"]).unwrap_err();
    assert!(!error.contains("the value is that of"), "{error}");
}

#[test]
fn errors_about_the_command_of_etcd_are_usage_errors() {
    for (etcd, expected) in [
        (&["etcd"][..], "'etcd'"),
        (&["--"], "<ETCD>..."),
        (&["--bogus", "--", "etcd"], "'--bogus'"),
        (&["--", "etcd", "gateway"], "`gateway` is not a flag of etcd"),
        (&["--", "etcd", "--listen-client-urls=http://10.0.0.1:2379"], "--advertise-client-urls"),
        (&["--", "etcd", "--force-new-cluster"], "remove all other members"),
    ] {
        let error = read(&[&["run", DISCOVERY, "--name=a"], etcd].concat()).unwrap_err();
        assert_has(&error, &["error: ", expected]);
    }
    let error = read(&["run", "--name=a", "--", "etcd", "--discovery=corp/secret"]).unwrap_err();
    assert_has(&error, &["invalid value '…' for '--discovery <URL>'", "the flag --discovery of etcd"]);
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn help_does_not_need_a_right_command() {
    for arguments in [&["run", "--help"][..], &["run", "-h", "--", "etcd", "--config-file=/nonexistent"]] {
        assert_has(&read(arguments).unwrap_err(), &["-- <ETCD>...", "--node-listen"]);
    }
}

#[test]
fn a_word_of_another_command_is_not_run() {
    let error = read(&["cluster", "resize", "run", "--", "etcd"]).unwrap_err();
    assert!(!error.contains("flag of etcd"), "{error}");
}
