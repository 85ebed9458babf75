use std::{fs, path::Path};

use super::*;
use crate::output::EtcdConfig;

mod etcds;
mod launching;

fn read(command: &[&str], variables: Variables) -> Result<EtcdCommand, EtcdCommandError> {
    let command: Vec<OsString> = command.iter().map(OsString::from).collect();
    EtcdCommand::read(&command, variables)
}

fn with_flags(flags: &[&str]) -> Result<EtcdCommand, EtcdCommandError> {
    read(&[&["etcd"], flags].concat(), Variables::default())
}

/// The error of a command, as a person reads it.
fn error(flags: &[&str]) -> String {
    with_flags(flags).expect_err("the command is wrong").to_string()
}

fn with_file(text: &str) -> (tempfile::TempDir, Result<EtcdCommand, EtcdCommandError>) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("etcd.yml");
    fs::write(&path, text).expect("written");
    let read = with_flags(&["--config-file", path.to_str().expect("UTF-8")]);
    (directory, read)
}

fn value(command: &EtcdCommand, flag: &str) -> Option<String> {
    command.get(flag).map(|setting| setting.value.into_string().expect("UTF-8"))
}

/// A configuration of the registry.
fn config(name: &str, data_dir: &Path) -> EtcdConfig {
    crate::output::tests::config(name, data_dir.to_str().expect("UTF-8"))
}

#[test]
fn flags_are_read_in_all_forms_of_go() {
    for flags in [&["-name=a"][..], &["--name=a"], &["-name", "a"], &["--name", "a"], &["--pre-vote", "--name", "a"]] {
        assert_eq!(value(&with_flags(flags).unwrap(), "name").as_deref(), Some("a"), "{flags:?}");
    }
    let command = with_flags(&["--auto-tls", "--name=a", "--name", "b=c", "--data-dir="]).unwrap();
    assert_eq!(value(&command, "auto-tls").as_deref(), Some("true"));
    assert_eq!(value(&command, "name").as_deref(), Some("b=c"), "the last one counts");
    assert_eq!(value(&command, "data-dir").as_deref(), Some(""));
    assert_eq!(value(&command, "wal-dir"), None);
}

#[test]
fn arguments_that_etcd_would_not_accept_are_refused() {
    for flags in
        [&["gateway"][..], &["--pre-vote", "false"], &["--name=a", "--", "b"], &["---name=a"], &["-"], &["--=a"]]
    {
        assert!(error(flags).contains("is not a flag of etcd"), "{flags:?}");
    }
    assert!(with_flags(&["--name=a", "--"]).is_ok());
    for flags in [&["--name"][..], &["--name", "--data-dir=/x"], &["--max-learners", "-1"]] {
        assert!(error(flags).contains("write --"), "{flags:?}");
    }
    for flags in [&["--help"][..], &["-h"], &["--version"]] {
        assert!(error(flags).contains("does not run as a server"), "{flags:?}");
    }
}

#[test]
fn an_error_does_not_repeat_a_discovery_url() {
    for word in ["http://corp:8087/secret", "secret14875d53d9bf0ef5a6fc0257c8"] {
        assert!(!error(&[word]).contains("secret"));
    }
}

#[test]
fn what_would_not_be_a_member_is_refused() {
    for (flags, word) in [
        (&["--force-new-cluster"][..], "the flag --force-new-cluster of etcd would remove all other members"),
        (&["--proxy=on"], "the flag --proxy of etcd makes etcd a proxy"),
    ] {
        assert!(error(flags).starts_with(word), "{}", error(flags));
    }
    assert!(with_flags(&["--force-new-cluster=false", "--proxy=off"]).is_ok());
    let forced = read(&["etcd"], [("ETCD_FORCE_NEW_CLUSTER", "true")].into()).unwrap_err().to_string();
    assert!(forced.starts_with("the variable ETCD_FORCE_NEW_CLUSTER"), "{forced}");
    let (_directory, forced) = with_file("force-new-cluster: yes\n");
    assert!(forced.unwrap_err().to_string().starts_with("the key `force-new-cluster` in "));
}

#[test]
fn a_flag_has_precedence_over_its_variable() {
    let variables: Variables = [("ETCD_NAME", "b"), ("ETCD_DATA_DIR", "/b"), ("ETCD_WAL_DIR", "")].into();
    let command = read(&["etcd", "--name=a"], variables).unwrap();
    assert_eq!(command.get("name").unwrap().origin, Origin::Flag("name".to_owned()));
    assert_eq!(command.get("data-dir").unwrap().origin, Origin::Variable("ETCD_DATA_DIR".to_owned()));
    assert_eq!(command.get("wal-dir"), None);
    assert!(!command.reads_variable("ETCD_NAME") && command.reads_variable("ETCD_DATA_DIR"));
    assert_eq!(command.warnings(), ["ETCD_NAME has no effect: the flag --name of etcd is given as well"]);
}

#[test]
fn a_configuration_file_silences_flags_and_variables() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("etcd.yml");
    fs::write(&path, "Name: infra0\nclient-transport-security:\n  Trusted-CA-File: /ca\n").unwrap();
    let path = path.to_str().unwrap();
    let of_variable: Variables = [("ETCD_CONFIG_FILE", path), ("ETCD_DATA_DIR", "/b")].into();
    let of_flag: Variables = [("ETCD_DATA_DIR", "/b")].into();
    let empty = &["etcd", "--config-file=", "--wal-dir=/w"][..];
    for (command, variables) in [(empty, of_variable), (&["etcd", "-config-file", path, "--wal-dir=/w"], of_flag)] {
        let command = read(command, variables).unwrap();
        assert_eq!(value(&command, "name").as_deref(), Some("infra0"));
        assert_eq!(value(&command, "trusted-ca-file").as_deref(), Some("/ca"));
        assert_eq!((value(&command, "data-dir"), value(&command, "wal-dir")), (None, None));
        assert!(!command.reads_variable("ETCD_DATA_DIR"));
        assert_eq!(command.warnings(), [format!("--wal-dir has no effect: etcd reads {path} instead of its flags")]);
        let origin = command.get("trusted-ca-file").unwrap().origin.to_string();
        assert_eq!(origin, format!("the key `client-transport-security.trusted-ca-file` in {path}"));
    }
}

#[test]
fn a_file_is_read_as_etcd_reads_it() {
    let (_directory, command) = with_file(
        "name: \"123\"\nwal-dir:\nauto-compaction-retention: \"1\"\nmax-wals: 7\nx: &urls\n  peer-transport-security: {cert-file: /c, client-cert-auth: on}\n\
         <<: *urls\n",
    );
    let command = command.unwrap();
    assert_eq!(value(&command, "name").as_deref(), Some("123"));
    assert_eq!(value(&command, "wal-dir"), None);
    assert_eq!(value(&command, "peer-cert-file").as_deref(), Some("/c"));
    assert_eq!(value(&command, "cert-file"), None);
    let settings = command.file.as_ref().unwrap().settings();
    assert_eq!(settings["peer-transport-security"]["client-cert-auth"], true);
    assert_eq!((&settings["auto-compaction-retention"], &settings["max-wals"]), (&"1".into(), &7.into()));
    assert!(with_file("").1.is_ok() && with_file("{\"name\": \"a\"}").1.is_ok());
}

#[test]
fn a_file_that_can_be_misread_is_refused() {
    for (text, problem) in [
        ("quota-backend-bytes: 8_000_000_000", "decimal digits"),
        ("socket-options:\n  x: 010", "`socket-options.x: 010`"),
        ("name: a\nNAME: b", "the key `name` twice"),
        ("advertise-client-urls: [http://10.0.0.1:2379]", "must be a text; separate"),
        ("name: 123", "must be a text; write it in quotes"),
        ("auto-compaction-retention: 1", "must be a text; write it in quotes"),
        ("experimental-corrupt-check-time: 1h", "must be a number of nanoseconds"),
        ("- name", "must have keys"),
        ("name: [", "not YAML"),
    ] {
        let error = with_file(text).1.unwrap_err().to_string();
        assert!(error.contains(problem), "{text}: {error}");
    }
    assert!(error(&["--config-file=/nonexistent"]).contains("cannot read it"));
    assert!(with_file("name: \"0123\"").1.is_ok());
}

#[test]
fn listening_without_advertising_is_refused_before_etcd_refuses_it() {
    let command = with_flags(&["--listen-client-urls=http://10.0.0.1:2379"]).unwrap();
    assert!(command.check_client_urls(&[]).unwrap_err().to_string().contains("add this flag of etcd"));
    assert!(command.check_client_urls(&["http://10.0.0.1:2379".parse().unwrap()]).is_ok());
    let both = with_flags(&["--listen-client-urls=unix://s", "--advertise-client-urls=unix://s"]).unwrap();
    assert!(both.check_client_urls(&[]).is_ok());
    assert!(with_file("listen-client-urls: http://10.0.0.1:2379").1.unwrap().check_client_urls(&[]).is_ok());
}
