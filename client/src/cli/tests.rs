use std::{
    env,
    ffi::{OsStr, OsString},
    process::Command as Process,
};

use convene_lifecycle::Strategy;

use super::{placement_args::SizeOverride, *};

mod run;

const DISCOVERY: &str = "-discovery=http://corp:8087/6c007a14875d53d9bf0ef5a6fc0257c8";

/// The variable with the arguments for the process that [`read_with`] starts.
const ARGUMENTS: &str = "TEST_ARGUMENTS";

/// The prefix of the result in the output of that process.
const READ: &str = "read: ";

#[test]
fn the_reference_describes_the_command_line_as_it_is() {
    convene_harness::cli_reference::check(Cli::command());
}

#[test]
fn the_reference_of_limits_has_every_time_of_a_node() {
    let command = Cli::command();
    let commands = ["run", "join", "promote", "leave"].map(|verb| command.find_subcommand(verb).unwrap());
    convene_harness::limits::check(commands, &["DURATION"], &["Nodes: `convene run`, `join`, `promote`, `leave`"]);
}

fn read(arguments: &[&str]) -> Result<Cli, String> {
    let arguments = ["convene"].iter().chain(arguments).map(OsString::from);
    Cli::from_arguments(arguments, &Variables::default()).map_err(|error| error.to_string())
}

fn join(arguments: &[&str]) -> JoinArgs {
    match read(&[&["join"], arguments].concat()).unwrap().command {
        Command::Join(arguments) => arguments,
        other => panic!("{other:?}"),
    }
}

/// The debug output of the command line that is read from arguments and variables. It is read in another process, because
/// variables can't be changed while other tests read them.
fn read_with(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let mut process = Process::new(env::current_exe().unwrap());
    for (name, _) in env::vars_os() {
        if ["CONVENE_", "ETCD_", "ETCDCTL_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            process.env_remove(name);
        }
    }
    process.args(["--exact", "cli::tests::read_in_another_process", "--ignored", "--nocapture"]);
    process.env(ARGUMENTS, arguments.join("\n")).envs(variables.iter().copied());
    let output = String::from_utf8(process.output().unwrap().stdout).unwrap();
    let (_, read) = output.split_once(READ).unwrap_or_else(|| panic!("{output}"));
    read.to_owned()
}

#[test]
#[ignore = "other tests run it, with variables"]
fn read_in_another_process() {
    let arguments = env::var(ARGUMENTS).unwrap();
    let arguments = ["convene"].into_iter().chain(arguments.lines()).map(OsString::from);
    match Cli::from_arguments(arguments, &Variables::of_process()) {
        Ok(cli) => println!("{READ}{cli:?}"),
        Err(error) => println!("{READ}{error}"),
    }
}

/// The variables of etcd for a node.
const ETCD_VARIABLES: &[(&str, &str)] = &[
    ("ETCD_DISCOVERY", "http://corp:8087/etcds"),
    ("ETCD_NAME", "infra0"),
    ("ETCD_DATA_DIR", "/var/lib/etcd"),
    ("ETCD_INITIAL_ADVERTISE_PEER_URLS", "http://10.0.0.1:2380,http://10.1.0.1:2380"),
    ("ETCD_ADVERTISE_CLIENT_URLS", "http://10.0.0.1:2379"),
];

fn assert_has(read: &str, expected: &[&str]) {
    for expected in expected {
        assert!(read.contains(expected), "{expected}: {read}");
    }
}

#[test]
fn command_lines_of_elastic_etcd_are_accepted() {
    let read = join(&[
        "-v=6",
        "-logtostderr",
        "-o",
        "flags",
        DISCOVERY,
        "-name=infra0",
        "-client-port=2378",
        "-initial-advertise-peer-urls=http://10.0.0.1:2380,http://10.1.0.1:2380",
        "-data-dir=/var/lib/etcd",
        "-join-strategy",
        "add",
        "-cluster-size=5",
    ]);
    assert_eq!(read.output, Format::Flags);
    assert_eq!(read.node.discovery.url().reveal(), "http://corp:8087/6c007a14875d53d9bf0ef5a6fc0257c8");
    assert_eq!(read.node.name.as_str(), "infra0");
    assert_eq!(read.node.client_port, 2378);
    let urls: Vec<_> = read.node.initial_advertise_peer_urls.iter().map(ToString::to_string).collect();
    assert_eq!(urls, ["http://10.0.0.1:2380", "http://10.1.0.1:2380"]);
    assert_eq!(read.node.data_dir, Some("/var/lib/etcd".into()));
    assert_eq!(read.placement.join_strategy, Some(Strategy::Add));
    assert_eq!(read.placement.cluster_size, SizeOverride(Some(5)));
}

#[test]
fn flags_of_glog_are_ignored() {
    for flag in [
        "-v=6",
        "-v",
        "--v=6",
        "-logtostderr",
        "-logtostderr=true",
        "-alsologtostderr",
        "-alsologtostderr=false",
        "-log_dir=/tmp",
        "-log_backtrace_at=a.go:1",
        "-stderrthreshold=2",
        "-vmodule=a=1",
    ] {
        let value: &[&str] = if flag == "-v" { &["6"] } else { &[] };
        let before = [&["-name=infra0", DISCOVERY, flag], value].concat();
        assert_eq!(join(&before).node.name.as_str(), "infra0", "{flag}");
        let before_the_verb = [&[flag], value, &["join", "-name=infra0", DISCOVERY]].concat();
        assert!(read(&before_the_verb).is_ok(), "{flag}");
    }
}

#[test]
fn one_dash_means_the_same_as_two() {
    for dash in ["-", "--"] {
        let flag = |rest: &str| format!("{dash}{rest}");
        let read = join(&[DISCOVERY, &flag("name"), "infra0", &flag("once"), &flag("peer-cacert=/ca"), "-o", "json"]);
        assert!(read.once);
        assert_eq!(read.node.access.peer_trusted_ca_file, Some("/ca".into()));
        assert_eq!(read.output, Format::Json);
    }
}

#[test]
fn the_version_of_etcd_is_read_with_and_without_its_patch() {
    for (text, minor) in [("3.6.5", 6), ("3.7", 7), ("3.5.30-rc.0", 5)] {
        let read = join(&[DISCOVERY, "-name=infra0", "--etcd-version", text]);
        assert_eq!(read.etcd_version, Some(EtcdVersion { major: 3, minor }));
    }
    for text in ["3", "v3.6", "latest"] {
        assert!(read(&["join", DISCOVERY, "-name=infra0", "--etcd-version", text]).is_err(), "{text}");
    }
}

#[test]
fn without_a_size_the_cluster_keeps_its_own() {
    for arguments in [&["-cluster-size=-1"][..], &["-cluster-size", "-1"], &["--cluster-size", "-1"], &[]] {
        let read = join(&[&[DISCOVERY, "-name=infra0"], arguments].concat());
        assert_eq!(read.placement.cluster_size, SizeOverride(None), "{arguments:?}");
    }
    for size in ["0", "-2", "1001", "three", ""] {
        let error = read(&["join", DISCOVERY, "-name=a", &format!("-cluster-size={size}")]).unwrap_err();
        assert_has(&error, &["--cluster-size"]);
    }
}

#[test]
fn defaults_are_those_of_etcd_and_elastic_etcd() {
    let read = join(&[DISCOVERY, "-name=infra0"]);
    assert_eq!(read.output, Format::Env);
    assert_eq!(read.node.client_port, 2379);
    assert!(read.node.initial_advertise_peer_urls.is_empty());
    assert_eq!(read.node.data_dir, None);
    assert_eq!((read.once, read.dry_run, read.no_promote, read.timeout), (false, false, false, None));
}

#[test]
fn variables_of_etcd_are_used() {
    assert_has(
        &read_with(&["join"], ETCD_VARIABLES),
        &[
            "http://corp:8087/et…",
            r#"MemberName("infra0")"#,
            "/var/lib/etcd",
            "http://10.0.0.1:2380",
            "http://10.1.0.1:2380",
            "http://10.0.0.1:2379",
        ],
    );
}

#[test]
fn variables_of_etcd_with_unusable_values_are_ignored() {
    let more = [("ETCDCTL_USER", "root"), ("ETCD_ADVERTISE_CLIENT_URLS", "unix://etcd.sock")];
    assert_has(&read_with(&["join"], &[ETCD_VARIABLES, &more].concat()), &["user: None", "advertise_client_urls: []"]);
    let blanks = [("CONVENE_INITIAL_ADVERTISE_PEER_URLS", "http://10.0.0.8:2380, http://10.0.0.9:2380")];
    assert_has(&read_with(&["join"], &[ETCD_VARIABLES, &blanks].concat()), &["http://10.0.0.9:2380"]);
}

#[test]
fn flags_win_over_our_variables_and_those_over_etcds() {
    let ours = [("CONVENE_DISCOVERY", "http://corp:8087/ours"), ("CONVENE_NAME", "own")];
    let variables = [ETCD_VARIABLES, &ours].concat();
    assert_has(&read_with(&["join"], &variables), &["http://corp:8087/ou…", r#"MemberName("own")"#, "/var/lib/etcd"]);
    let flags = ["join", "-discovery=http://corp:8087/flags", "--name=given"];
    assert_has(&read_with(&flags, &variables), &["http://corp:8087/fl…", r#"MemberName("given")"#]);
    assert_has(&read_with(&flags, ETCD_VARIABLES), &["http://corp:8087/fl…", r#"MemberName("given")"#]);
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let empty = [("CONVENE_NAME", ""), ("CONVENE_CLUSTER_SIZE", ""), ("CONVENE_ONCE", ""), ("CONVENE_DATA_DIR", "")];
    let read = read_with(&["join"], &[ETCD_VARIABLES, &empty].concat());
    assert_has(&read, &[r#"MemberName("infra0")"#, "SizeOverride(None)", "once: false", "/var/lib/etcd"]);
    let read = read_with(&["join", DISCOVERY], &[("ETCD_NAME", ""), ("CONVENE_NAME", "")]);
    assert_has(&read, &["--name <NAME>"]);
    let read = read_with(&["status"], &[("CONVENE_DISCOVERY", ""), ("ETCD_DISCOVERY", "http://corp:8087/etcds")]);
    assert_has(&read, &["http://corp:8087/et…"]);
}

#[test]
fn a_missing_flag_is_reported_with_its_variable() {
    let two = "set CONVENE_NAME and CONVENE_DISCOVERY, or pass the flags";
    assert_has(&read(&["join"]).unwrap_err(), &["--discovery <URL>", two]);
    assert_has(&read(&["join", DISCOVERY]).unwrap_err(), &["--name <NAME>", "set CONVENE_NAME, or pass the flags"]);
}

#[test]
fn boolean_variables_accept_the_usual_words() {
    for (word, expected) in [("1", true), ("true", true), ("yes", true), ("0", false), ("false", false), ("no", false)]
    {
        let read =
            read_with(&["join"], &[ETCD_VARIABLES, &[("CONVENE_ONCE", word), ("CONVENE_DRY_RUN", word)]].concat());
        assert_has(&read, &[&format!("once: {expected}"), &format!("dry_run: {expected}")]);
    }
    let read = read_with(&["join"], &[ETCD_VARIABLES, &[("CONVENE_ONCE", "perhaps")]].concat());
    assert_has(&read, &["--once", "perhaps"]);
}

#[test]
fn an_error_names_the_bad_value_and_its_flag() {
    for (argument, flag) in [
        ("-name=a,b", "--name"),
        ("-client-port=0", "--client-port"),
        ("-initial-advertise-peer-urls=corp", "--initial-advertise-peer-urls"),
        ("-join-strategy=hope", "--join-strategy"),
        ("-timeout=soon", "--timeout"),
        ("-o=xml", "--output"),
    ] {
        let (_, value) = argument.split_once('=').unwrap();
        let error = read(&["join", DISCOVERY, argument]).unwrap_err();
        assert_has(&error, &[flag, value]);
    }
    assert_has(&read_with(&["join", DISCOVERY], &[("CONVENE_NAME", "a,b")]), &["--name", "a,b"]);
}

#[test]
fn no_error_repeats_a_secret() {
    for arguments in [
        &["status", "--discovery=http://corp:8087/sec%20ret"][..],
        &["status", "--discovery=sec ret"],
        &["status", "-discovery", "ftp://corp/secret"],
        &["status", "http://corp:8087/secret"],
        &["status", DISCOVERY, "secret14875d53d9bf0ef5a6fc0257c8"],
        &["cluster", "http://corp:8087/secret"],
        &["cluster", "secret14875d53d9bf0ef5a6fc0257c8"],
        &["cluster", "list", "--server=me:secret@corp"],
        &["cluster", "create", "--token=sec/ret"],
        &["cluster", "events", "a", "http://corp:8087/secret"],
        &["join", DISCOVERY, "-name=a", "--user=:secret"],
        &["join", DISCOVERY, "-name=a", "-user", "secret"],
        &["http://corp:8087/secret"],
        &["join", DISCOVERY, "-name=a", "--client-port=http://corp:8087/secret"],
        &["join", DISCOVERY, "-name=a", "--log-format=http://corp:8087/secret"],
        &["status", "--discoverer=http://corp:8087/secret"],
        &["status", "-d=http://corp:8087/secret"],
        &["status", "--=http://corp:8087/secret"],
    ] {
        let error = read(arguments).unwrap_err();
        assert!(!error.contains("sec"), "{arguments:?}: {error}");
        assert!(!error.contains("6c007a1"), "{arguments:?}: {error}");
    }
    let error = read(&["status", "--discovery=ftp://corp/secret"]).unwrap_err();
    assert_has(&error, &["'--discovery <URL>'", "must begin with http:// or https://"]);
    let error = read(&["join", DISCOVERY, "-name=a", "-user", "secret"]).unwrap_err();
    assert_has(&error, &["'--user <NAME:PASSWORD>'", "must be NAME:PASSWORD"]);
    let variables = [("CONVENE_USER", "secret"), ("ETCD_DISCOVERY", "corp/secret"), ("CONVENE_SERVER", "secret")];
    for arguments in [&["status"][..], &["join", DISCOVERY, "-name=a"], &["cluster", "list"]] {
        let error = read_with(arguments, &variables);
        assert_has(&error, &["invalid value '…' for '--"]);
        assert!(!error.contains("secret"), "{arguments:?}: {error}");
    }
}

#[test]
fn an_error_names_a_mistyped_command() {
    assert_has(&read(&["clutser"]).unwrap_err(), &["'clutser'", "cluster"]);
    assert_has(&read(&["cluster", "resize", "many"]).unwrap_err(), &["<SIZE>", "many"]);
}

#[test]
fn help_lists_variables_without_their_secrets() {
    let variables = [
        ("CONVENE_DISCOVERY", "http://corp:8087/hunter2"),
        ("CONVENE_USER", "root:hunter2"),
        ("CONVENE_SERVER", "http://me:hunter2@corp"),
        ("CONVENE_NAME", "infra0"),
    ];
    let help = read_with(&["join", "--help"], &variables);
    assert_has(&help, &["[env: CONVENE_DISCOVERY]", "[env: CONVENE_USER]", "[env: CONVENE_NAME=infra0]"]);
    assert!(!help.contains("hunter2"), "{help}");
    let help = read_with(&["cluster", "show", "--help"], &variables);
    assert_has(&help, &["[env: CONVENE_DISCOVERY]", "[env: CONVENE_SERVER]"]);
    assert!(!help.contains("hunter2"), "{help}");
    let help = read_with(&["join", "--help"], &[("ETCD_DISCOVERY", "http://corp:8087/hunter2"), ("CONVENE_NAME", "")]);
    assert_has(&help, &["CONVENE_DISCOVERY", "CONVENE_NAME"]);
    assert!(!help.contains("hunter2"), "{help}");
}

#[test]
fn every_flag_of_a_node_has_our_variable() {
    let command = Cli::command();
    for verb in ["run", "join", "promote", "leave"] {
        let arguments = command.find_subcommand(verb).unwrap().get_arguments();
        for argument in arguments.filter(|argument| !argument.is_hide_set() && !argument.is_positional()) {
            let name = argument.get_long().unwrap().to_uppercase().replace('-', "_");
            let expected = match name.as_str() {
                "DISCOVERY" => "CONVENE_DISCOVERY".to_owned(),
                _ => format!("CONVENE_{name}"),
            };
            assert_eq!(argument.get_env(), Some(OsStr::new(&expected)), "{verb}");
        }
    }
}

#[test]
fn delete_needs_an_explicit_cluster() {
    assert!(read_with(&["cluster", "delete"], ETCD_VARIABLES).contains("<CLUSTER>"));
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}
