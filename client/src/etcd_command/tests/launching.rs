//! How etcd is started, without a real one.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::etcd_command::{
    compatibility::{Change, FEATURE_GATES},
    go_flags::Flag,
};

/// A program whose version is unknown.
fn unknown(command: &EtcdCommand) -> EtcdProgram {
    EtcdProgram { version: None, warnings: Vec::new(), settings: command.settings() }
}

fn launch(command: &EtcdCommand, config: &EtcdConfig) -> Launch {
    command.launch(&unknown(command), config).expect("etcd can be started")
}

#[test]
fn the_registrys_settings_replace_those_of_the_user() {
    let flags = [
        "-name",
        "old",
        "--initial-cluster=old=http://10.0.0.9:2380",
        "--initial-cluster-state=new",
        "--initial-cluster-token=old",
        "--discovery=http://corp:8087/secret",
        "--discovery-fallback=proxy",
        "--discovery-srv=corp",
        "--quota-backend-bytes",
        "8000000000",
        "--pre-vote",
        "--advertise-client-urls=unix://etcd.sock",
    ];
    let command = with_flags(&flags).unwrap();
    let mut config = config("infra0", Path::new("/data"));
    config.initial_cluster_token = None;
    assert_eq!(
        launch(&command, &config).arguments,
        [
            "--quota-backend-bytes=8000000000",
            "--pre-vote=true",
            "--advertise-client-urls=unix://etcd.sock",
            "--name=infra0",
            "--data-dir=/data",
            "--initial-advertise-peer-urls=http://10.0.0.1:2380",
            "--initial-cluster=infra0=http://10.0.0.1:2380",
            "--initial-cluster-state=new",
        ]
    );
    let warnings = command.warnings();
    assert!(warnings.contains(
        &"the flag --initial-cluster of etcd has no effect: the registry determines how this node starts".to_owned()
    ));
    assert!(!warnings.iter().any(|warning| warning.contains("--discovery of")), "{warnings:?}");
}

#[test]
fn etcd_gets_no_variable_that_it_would_die_of_and_none_of_ours() {
    let removed = [
        ("ETCD_NAME", "a"),
        ("ETCD_DATA_DIR", ""),
        ("ETCD_PRE_VOTE", "true"),
        ("ETCD_INITIAL_CLUSTER_TOKEN", "t"),
        ("ETCD_DISCOVERY", "http://corp:8087/secret"),
        ("ETCD_DISCOVERY_SRV", "corp"),
        ("ETCD_CONFIG_FILE", ""),
        ("CONVENE_USER", "root:secret"),
        ("NOTIFY_SOCKET", "/run/notify"),
        ("WATCHDOG_USEC", "1"),
        ("LISTEN_FDS", "1"),
    ];
    let kept = [("ETCD_QUOTA_BACKEND_BYTES", "1"), ("PATH", "/bin"), ("GOMEMLIMIT", "1GiB"), ("LISTEN_ADDRESS", "x")];
    let variables: Vec<_> = removed.into_iter().chain(kept).collect();
    let variables: [(&str, &str); 15] = variables.try_into().unwrap();
    let command = read(&["etcd", "--pre-vote"], variables.into()).unwrap();
    let launch = launch(&command, &config("infra0", Path::new("/data")));
    assert_eq!(launch.removed_variables, removed.map(|(name, _)| name));
}

#[test]
fn a_configuration_file_is_merged() {
    let (directory, command) = with_file(
        "name: old\ninitial-cluster: old=http://10.0.0.9:2380\ndiscovery: http://corp:8087/secret\ndiscovery-config: {token: t}\n\
         quota-backend-bytes: 8000000000\nbackend-batch-interval: 100000000\nlog-outputs: [stderr]\n\
         peer-transport-security: {auto-tls: yes}\n",
    );
    let data_dir = directory.path().join("data");
    let launch = launch(&command.unwrap(), &config("infra0", &data_dir));
    let path = directory.path().join(".data.convene/etcd.json");
    assert_eq!(launch.arguments, [format!("--config-file={}", path.display()).as_str()]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let written: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(
        written,
        serde_json::json!({
            "name": "infra0",
            "data-dir": data_dir,
            "initial-advertise-peer-urls": "http://10.0.0.1:2380",
            "initial-cluster": "infra0=http://10.0.0.1:2380",
            "initial-cluster-state": "new",
            "initial-cluster-token": "t0",
            "quota-backend-bytes": 8_000_000_000_u64,
            "backend-batch-interval": 100_000_000,
            "log-outputs": ["stderr"],
            "peer-transport-security": {"auto-tls": true},
        })
    );
}

#[test]
fn a_flag_that_was_renamed_keeps_its_value() {
    let changed = |flags: &[&str], old: &str| {
        let mut flags = with_flags(flags).unwrap().flags;
        let value = flags.iter().rev().find(|flag| flag.name == old).unwrap().value.clone();
        Change::of(old, value.to_str().unwrap()).expect("it was renamed").apply_to_flags(old, &mut flags);
        flags.iter().map(|flag| flag.argument().into_string().unwrap()).collect::<Vec<_>>()
    };
    let check_time = "experimental-corrupt-check-time";
    assert_eq!(changed(&["--experimental-corrupt-check-time=1h"], check_time), ["--corrupt-check-time=1h"]);
    let both = ["--experimental-corrupt-check-time=1h", "--corrupt-check-time=2h"];
    assert_eq!(changed(&both, check_time), ["--corrupt-check-time=2h"]);
    let check = "experimental-initial-corrupt-check";
    assert_eq!(changed(&["--experimental-initial-corrupt-check"], check), ["--feature-gates=InitialCorruptCheck=true"]);
    let explicit = ["--feature-gates=A=true,InitialCorruptCheck=false", "--experimental-initial-corrupt-check"];
    assert_eq!(changed(&explicit, check), [explicit[0]]);
    assert_eq!(changed(&["--proxy=off"], "proxy"), [""; 0]);
    assert_eq!(Change::of("enable-v2", "true"), None);
    assert_eq!(Change::of("force", "true"), None);
}

#[test]
fn a_key_that_was_renamed_keeps_its_value() {
    let mut settings = serde_json::json!({"experimental-initial-corrupt-check": true, FEATURE_GATES: "A=true"});
    let settings = settings.as_object_mut().unwrap();
    Change::Gate("InitialCorruptCheck").apply_to_file("experimental-initial-corrupt-check", settings);
    assert_eq!(
        serde_json::Value::from(settings.clone()),
        serde_json::json!({FEATURE_GATES: "A=true,InitialCorruptCheck=true"})
    );
}

#[test]
fn arguments_need_not_be_utf_8() {
    use std::os::unix::ffi::OsStringExt;
    let path = OsString::from_vec(b"--cert-file=/\xff".to_vec());
    let command = EtcdCommand::read(&["etcd".into(), path.clone()], Variables::default()).unwrap();
    assert_eq!(command.flags, [Flag::new("cert-file", OsString::from_vec(b"/\xff".to_vec()))]);
    assert_eq!(launch(&command, &config("a", Path::new("/data"))).arguments[0], path);
}
