//! Shells evaluate the output.

use std::fs;

use convene_harness::peers;
use proptest::prelude::*;

use super::*;

#[test]
fn shells_preserve_every_value() {
    for shell in shells() {
        for nasty in NASTY {
            let config = nasty_config(nasty);
            for script in [r#"eval "$(cat env)"; exec env -0"#, ". ./env; exec env -0"] {
                assert_eq!(evaluate(&shell, script, &config), expected(&config), "{shell:?} {script}");
            }
        }
    }
}

/// elastic-etcd's README omits the quotes. Consecutive spaces would become one.
#[test]
fn eval_without_quotes_also_exports() {
    for shell in shells() {
        for nasty in ["plain", "two words", r#"it's "quoted" \ $HOME `id`"#, "#x", "; & | ~"] {
            let config = nasty_config(nasty);
            assert_eq!(evaluate(&shell, "eval $(cat env); exec env -0", &config), expected(&config), "{shell:?}");
        }
    }
}

#[test]
fn discovery_variables_are_emptied() {
    let script = r#"ETCD_DISCOVERY=http://10.0.0.9/x ETCD_DISCOVERY_SRV=example.com; export ETCD_DISCOVERY ETCD_DISCOVERY_SRV
        eval "$(cat env)"; exec env -0"#;
    let config = nasty_config("a");
    for shell in shells() {
        assert_eq!(evaluate(&shell, script, &config), expected(&config), "{shell:?}");
    }
}

#[test]
fn shells_do_not_change_flags() {
    let mut config = config("märz#%~", "~/data");
    config.initial_cluster = Some("a=http://[::1]:2380,b=https://[2001:db8::2]:2380".to_owned());
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("flags"), print(&config, Format::Flags)).expect("written");
    let flags: Vec<_> =
        config.settings().expect("UTF-8").iter().map(|s| flags::flag(s.flag, &s.value) + "\n").collect();
    for shell in shells() {
        let output = sh(&shell, "printf '%s\\n' $(cat flags)", directory.path());
        assert_eq!(String::from_utf8(output).expect("UTF-8"), flags.concat(), "{shell:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn sh_preserves_any_name_and_path(
        name in r"[^,=\p{Cc}]{1,20}",
        data_dir in r"/[^\p{Cc}]{0,30}",
        wal_dir in proptest::option::of("[ -~]{1,30}"),
    ) {
        prop_assume!(!name.contains(is_unsafe) && !data_dir.contains(is_unsafe));
        let mut config = config(&name, &data_dir);
        config.wal_dir = wal_dir.map(PathBuf::from);
        let evaluated = evaluate(&["sh".to_owned()], r#"eval "$(cat env)"; exec env -0"#, &config);
        prop_assert_eq!(evaluated, expected(&config));
    }
}

fn nasty_config(nasty: &str) -> EtcdConfig {
    let mut config = config(nasty, &format!("/data/{nasty}"));
    config.wal_dir = Some(nasty.into());
    config
}

/// The variables that a script sees. It finds the output in the file `env`.
fn evaluate(shell: &[String], script: &str, config: &EtcdConfig) -> BTreeMap<String, String> {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("env"), print(config, Format::Env)).expect("written");
    seen(&sh(shell, script, directory.path()))
}

fn sh(shell: &[String], script: &str, directory: &Path) -> Vec<u8> {
    let options = shell[1..].iter().map(String::as_str);
    let output = run(Path::new(&shell[0]), &options.chain(["-c", script]).collect::<Vec<_>>(), directory);
    assert!(output.status.success() && output.stderr.is_empty(), "{shell:?}: {output:?}");
    output.stdout
}

/// The shells that are installed, each with its options.
fn shells() -> Vec<Vec<String>> {
    let mut shells = vec![vec!["sh".to_owned()]];
    for shell in [vec!["dash"], vec!["bash"], vec!["bash", "--posix"]] {
        match run(Path::new("which"), &shell[..1], Path::new("/")).status.success() {
            true => shells.push(shell.into_iter().map(str::to_owned).collect()),
            false => peers::skip(&format!("{} is missing", shell[0])),
        }
    }
    let busybox = peers::program("busybox/bin", "busybox");
    shells.extend(busybox.map(|busybox| vec![busybox.display().to_string(), "sh".to_owned()]));
    shells
}
