//! A separate systemd reads the output and starts services with it.

use std::fs;

use convene_harness::peers;

use super::*;

/// Starts a user manager in its own namespaces. There it does not see the machine's systemd, cannot move foreign
/// processes, and is killed together with everything that it has started. It needs writable cgroups, and
/// `/run/systemd/system`, by which it detects systemd.
const START: &str = r#"
mount=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
cgroup=$mount$(sed -n 's/^0:://p' /proc/self/cgroup)/convene-test-$$
mkdir "$cgroup" || exit 1
sh -c 'echo $$ >"$0/cgroup.procs" && exec unshare --user --map-root-user --mount --pid --fork --kill-child \
    --mount-proc --cgroup sh inside' "$cgroup"
find "$cgroup" -depth -type d -exec rmdir {} \;
"#;
const INSIDE: &str = r#"
mount -t tmpfs none /run && mkdir -p /run/systemd/system && mount -t cgroup2 none /sys/fs/cgroup || exit 1
export XDG_RUNTIME_DIR="$PWD" SYSTEMD_UNIT_PATH="$PWD/units" SYSTEMD_LOG_TARGET=console LD_LIBRARY_PATH="$LIBRARIES"
timeout -s KILL 30 "$SYSTEMD" --user --unit=all.target
"#;

#[test]
fn systemd_preserves_every_value_of_a_drop_in_and_of_an_environment_file() {
    let mut units = Units::new();
    for (number, nasty) in NASTY.into_iter().enumerate() {
        let config = nasty_config(nasty);
        let dropin = print(&config, Format::Dropin);
        units.service(&format!("dropin{number}"), "Environment=ETCD_DISCOVERY=a ETCD_NAME=b", &dropin);
        let file = units.directory.path().join(format!("env{number}"));
        fs::write(&file, print(&config, Format::Env)).expect("written");
        let read = format!("[Service]\nEnvironmentFile={}\n", file.display());
        units.service(&format!("file{number}"), "Environment=ETCD_DISCOVERY=a ETCD_NAME=b", &read);
    }
    let Some(seen) = units.run() else { return };
    for (number, nasty) in NASTY.into_iter().enumerate() {
        let expected = expected(&nasty_config(nasty));
        assert_eq!(seen(&format!("dropin{number}")), expected);
        assert_eq!(seen(&format!("file{number}")), expected);
    }
}

/// Debian's unit reads `/etc/default/etcd`, whose other variables win over a drop-in.
#[test]
fn a_drop_in_unsets_discovery_variables_of_an_environment_file() {
    let mut units = Units::new();
    let file = units.directory.path().join("default");
    fs::write(&file, "ETCD_DISCOVERY=http://10.0.0.9/x\nETCD_DISCOVERY_SRV=example.com\n").expect("written");
    let read = format!("EnvironmentFile={}", file.display());
    units.service("etcd", &read, &print(&nasty_config("a"), Format::Dropin));
    let Some(seen) = units.run() else { return };
    assert_eq!(seen("etcd"), expected(&nasty_config("a")));
}

/// docs/adopt.md has these units.
#[test]
fn a_unit_before_etcds_unit_writes_the_environment_file() {
    let mut units = Units::new();
    let directory = units.directory.path().to_owned();
    fs::write(directory.join("printed"), print(&nasty_config("two words"), Format::Env)).expect("written");
    let join = format!(
        "[Unit]\nDefaultDependencies=no\nBefore=etcd.service\n[Service]\nType=oneshot\n\
         ExecStart=/bin/sh -c 'sleep 1; cat {0}/printed >{0}/written'\n",
        directory.display()
    );
    fs::write(directory.join("units/convene-join.service"), join).expect("written");
    let requires = directory.join("units/etcd.service.requires");
    fs::create_dir(&requires).expect("made");
    std::os::unix::fs::symlink("../convene-join.service", requires.join("convene-join.service")).expect("linked");
    units.service("etcd", "", &format!("[Service]\nEnvironmentFile={}/written\n", directory.display()));
    let Some(seen) = units.run() else { return };
    assert_eq!(seen("etcd"), expected(&nasty_config("two words")));
}

fn nasty_config(nasty: &str) -> EtcdConfig {
    let mut config = config(nasty, &format!("/data/{nasty}"));
    config.wal_dir = Some(format!("{nasty}.wal").into());
    config
}

/// Units with drop-ins. Each writes its environment to a file.
struct Units {
    directory: tempfile::TempDir,
    names: Vec<String>,
}

impl Units {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("units")).expect("made");
        Self { directory, names: Vec::new() }
    }

    fn service(&mut self, name: &str, setting: &str, dropin: &str) {
        let units = self.directory.path().join("units");
        let out = self.directory.path().join(format!("{name}.out"));
        let unit = format!(
            "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\n{setting}\nExecStart=/bin/sh -c 'env -0 >{}'\n",
            out.display()
        );
        fs::write(units.join(format!("{name}.service")), unit).expect("written");
        let folder = units.join(format!("{name}.service.d"));
        fs::create_dir(&folder).expect("made");
        fs::write(folder.join("99-convene.conf"), dropin).expect("written");
        self.names.push(format!("{name}.service"));
    }

    /// Starts all units, and returns a function that reads the environment of one. `None` if systemd cannot run here; then
    /// the test is logged as skipped.
    fn run(self) -> Option<impl Fn(&str) -> BTreeMap<String, String>> {
        let systemd = peers::program("systemd", "lib/systemd/systemd")?;
        let directory = self.directory.path();
        let all = format!("[Unit]\nDefaultDependencies=no\nWants=end.service {}\n", self.names.join(" "));
        let end = format!(
            "[Unit]\nDefaultDependencies=no\nAfter={}\nSuccessAction=exit-force\n\
             [Service]\nType=oneshot\nExecStart=/bin/sh -c '>{}/end'\n",
            self.names.join(" "),
            directory.display()
        );
        for (file, text) in [("units/all.target", all), ("units/end.service", end)] {
            fs::write(directory.join(file), text).expect("written");
        }
        let root = systemd.ancestors().nth(3).expect("a folder of the peers");
        let libraries =
            ["lib/x86_64-linux-gnu/systemd", "usr/lib/x86_64-linux-gnu/systemd", "usr/lib/x86_64-linux-gnu"];
        let libraries = libraries.map(|folder| root.join(folder).display().to_string()).join(":");
        let inside = format!("SYSTEMD='{}' LIBRARIES='{libraries}'\n{INSIDE}", systemd.display());
        fs::write(directory.join("inside"), inside).expect("written");
        let output = run(Path::new("sh"), &["-c", START], directory);
        if !directory.join("end").exists() {
            peers::skip(&format!("systemd needs its own cgroups and namespaces, which take root: {output:?}"));
            return None;
        }
        Some(move |name: &str| {
            let out = self.directory.path().join(format!("{name}.out"));
            seen(&fs::read(&out).unwrap_or_else(|error| panic!("{name}: {error}: {output:?}")))
        })
    }
}
