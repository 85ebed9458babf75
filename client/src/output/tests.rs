//! How shells, systemd and etcd read the output.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::*;

mod etcds;
mod shells;
mod systemd;

/// Values with characters that are special to a shell or to systemd.
const NASTY: [&str; 14] = [
    "plain-1.example.com",
    "two words",
    r#"it's "quoted""#,
    r"back\slash\\ \n \$ \",
    "$HOME ${HOME} $(id) `id`",
    "!! !x ^a^b",
    "# no comment",
    "; true & false | cat",
    "100% %n %% %H %",
    "märz 雪 \u{1f9ed}",
    "~",
    "~root:~",
    "[::1] * ? {a..b} (x) <y>",
    "trailing' space ",
];

#[test]
fn every_format_ends_with_one_newline_and_omits_unset_flags() {
    for format in [Format::Env, Format::Dropin, Format::Flags, Format::Json] {
        let text = print(&config("infra0", "/data"), format);
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{text:?}");
        assert!(!text.contains("ETCD_WAL_DIR") && !text.contains("--wal-dir"), "{text}");
        assert!(!text.contains("ADVERTISE_CLIENT") && !text.contains("--advertise-client"), "{text}");
    }
}

#[test]
fn variables_are_printed_one_per_line_and_exported() {
    let text = "\
ETCD_NAME=infra0
ETCD_DATA_DIR=\"/var/lib/my etcd\"
ETCD_INITIAL_ADVERTISE_PEER_URLS=http://10.0.0.1:2380
ETCD_INITIAL_CLUSTER=infra0=http://10.0.0.1:2380
ETCD_INITIAL_CLUSTER_STATE=new
ETCD_INITIAL_CLUSTER_TOKEN=t0
ETCD_DISCOVERY=
ETCD_DISCOVERY_ENDPOINTS=
ETCD_DISCOVERY_SRV=
ETCD_DISCOVERY_TOKEN=
export ETCD_NAME ETCD_DATA_DIR ETCD_INITIAL_ADVERTISE_PEER_URLS ETCD_INITIAL_CLUSTER ETCD_INITIAL_CLUSTER_STATE \
ETCD_INITIAL_CLUSTER_TOKEN ETCD_DISCOVERY ETCD_DISCOVERY_ENDPOINTS ETCD_DISCOVERY_SRV ETCD_DISCOVERY_TOKEN
";
    assert_eq!(print(&config("infra0", "/var/lib/my etcd"), Format::Env), text);
}

#[test]
fn a_drop_in_has_no_unit_section() {
    let text = r#"[Service]
Environment="ETCD_NAME=infra0"
Environment="ETCD_DATA_DIR=/var/lib/my etcd"
Environment="ETCD_INITIAL_ADVERTISE_PEER_URLS=http://10.0.0.1:2380"
Environment="ETCD_INITIAL_CLUSTER=infra0=http://10.0.0.1:2380"
Environment="ETCD_INITIAL_CLUSTER_STATE=new"
Environment="ETCD_INITIAL_CLUSTER_TOKEN=t0"
UnsetEnvironment=ETCD_DISCOVERY ETCD_DISCOVERY_ENDPOINTS ETCD_DISCOVERY_SRV ETCD_DISCOVERY_TOKEN
"#;
    assert_eq!(print(&config("infra0", "/var/lib/my etcd"), Format::Dropin), text);
}

#[test]
fn flags_are_one_line() {
    let mut config = config("infra0", "/data");
    config.wal_dir = Some("/wal".into());
    config.advertise_client_urls =
        ["http://10.0.0.1:2379", "http://10.0.0.1:4001"].map(|url| url.parse().expect("a URL")).to_vec();
    let text = "--name=infra0 --data-dir=/data --wal-dir=/wal --initial-advertise-peer-urls=http://10.0.0.1:2380 \
                --initial-cluster=infra0=http://10.0.0.1:2380 --initial-cluster-state=new --initial-cluster-token=t0 \
                --advertise-client-urls=http://10.0.0.1:2379,http://10.0.0.1:4001\n";
    assert_eq!(print(&config, Format::Flags), text);
}

#[test]
fn json_has_the_settings_as_fields_variables_and_flags() {
    let text = print(&config("infra0", "/my data"), Format::Json);
    let object: serde_json::Value = serde_json::from_str(&text).expect("an object");
    let expected = serde_json::json!({
        "action": "bootstrap",
        "reason": "complete",
        "message": "The cluster is complete.",
        "name": "infra0",
        "data_dir": "/my data",
        "wal_dir": null,
        "initial_advertise_peer_urls": ["http://10.0.0.1:2380"],
        "initial_cluster": "infra0=http://10.0.0.1:2380",
        "initial_cluster_state": "new",
        "initial_cluster_token": "t0",
        "advertise_client_urls": [],
        "env": {
            "ETCD_NAME": "infra0",
            "ETCD_DATA_DIR": "/my data",
            "ETCD_INITIAL_ADVERTISE_PEER_URLS": "http://10.0.0.1:2380",
            "ETCD_INITIAL_CLUSTER": "infra0=http://10.0.0.1:2380",
            "ETCD_INITIAL_CLUSTER_STATE": "new",
            "ETCD_INITIAL_CLUSTER_TOKEN": "t0",
            "ETCD_DISCOVERY": "",
            "ETCD_DISCOVERY_ENDPOINTS": "",
            "ETCD_DISCOVERY_SRV": "",
            "ETCD_DISCOVERY_TOKEN": "",
        },
        "flags": [
            "--name=infra0",
            "--data-dir=/my data",
            "--initial-advertise-peer-urls=http://10.0.0.1:2380",
            "--initial-cluster=infra0=http://10.0.0.1:2380",
            "--initial-cluster-state=new",
            "--initial-cluster-token=t0",
        ],
    });
    assert_eq!(object, expected);
}

#[test]
fn control_characters_are_refused_except_in_json() {
    for data_dir in ["/a\nb", "/a\tb", "/a\rb", "/a\u{7f}b", "/a\u{85}b"] {
        for format in [Format::Env, Format::Dropin, Format::Flags] {
            let error = OutputError::ControlCharacter { flag: "data-dir", value: data_dir.to_owned() };
            assert_eq!(config("a", data_dir).render(format, &|_| None), Err(error));
        }
        assert!(config("a", data_dir).render(Format::Json, &|_| None).is_ok());
    }
}

#[test]
fn paths_that_are_not_utf_8_are_refused() {
    use std::os::unix::ffi::OsStringExt;
    let mut config = config("a", "/data");
    config.wal_dir = Some(OsString::from_vec(b"/w\xff".to_vec()).into());
    for format in [Format::Env, Format::Dropin, Format::Flags, Format::Json] {
        let error = config.render(format, &|_| None).expect_err("not UTF-8");
        assert_eq!(error.to_string(), "--wal-dir \"/w\u{fffd}\" is not UTF-8; choose another path");
    }
}

#[test]
fn variables_that_override_the_output_cause_a_warning() {
    let set = |variable: &str| match variable {
        "ETCD_CONFIG_FILE" => Some(OsString::from("/etc/etcd.yaml")),
        "ETCD_FORCE_NEW_CLUSTER" => Some(OsString::from("true")),
        _ => None,
    };
    for (format, expected) in [(Format::Env, 2), (Format::Flags, 2), (Format::Dropin, 0), (Format::Json, 0)] {
        let rendered = config("a", "/data").render(format, &set).expect("printable");
        assert_eq!(rendered.warnings.len(), expected, "{:?}", rendered.warnings);
    }
}

/// A node that bootstraps a cluster alone.
pub(crate) fn config(name: &str, data_dir: &str) -> EtcdConfig {
    EtcdConfig {
        action: Action::Bootstrap,
        name: name.parse().expect("a name"),
        data_dir: data_dir.into(),
        wal_dir: None,
        initial_advertise_peer_urls: vec!["http://10.0.0.1:2380".parse().expect("a URL")],
        initial_cluster: Some(format!("{name}=http://10.0.0.1:2380")),
        initial_cluster_state: InitialClusterState::New,
        initial_cluster_token: Some("t0".to_owned()),
        advertise_client_urls: Vec::new(),
        reason: "complete".to_owned(),
        message: "The cluster is complete.".to_owned(),
    }
}

/// The output if no variable is set.
fn print(config: &EtcdConfig, format: Format) -> String {
    let rendered = config.render(format, &|_| None).expect("printable");
    assert_eq!(rendered.warnings, Vec::<String>::new());
    rendered.text
}

/// The variables that etcd should see.
fn expected(config: &EtcdConfig) -> BTreeMap<String, String> {
    let settings = config.settings().expect("UTF-8");
    settings.into_iter().map(|setting| (setting.variable(), setting.value)).collect()
}

/// The non-empty variables of etcd in the output of `env -0`.
fn seen(environment: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8(environment.to_vec()).expect("UTF-8");
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    let set = pairs.filter(|(variable, value)| variable.starts_with("ETCD_") && !value.is_empty());
    set.map(|(variable, value)| (variable.to_owned(), value.to_owned())).collect()
}

/// Runs a command without the variables of the test, for 60 seconds at most.
fn run(program: &Path, arguments: &[&str], directory: &Path) -> Output {
    let path = env::var_os("PATH").expect("PATH is set");
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", "60"]).arg(program).args(arguments).current_dir(directory);
    command.env_clear().env("PATH", path).env("HOME", directory).output().expect("timeout runs")
}
