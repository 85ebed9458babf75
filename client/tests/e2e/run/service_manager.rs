//! `convene run` under a real systemd, by the unit in deploy/.

use std::{
    fs,
    path::{Path, PathBuf},
};

use convene_harness::{Place, etcd::Version, programs, systemd::Systemd, wait_for};
use tempfile::TempDir;

use super::agent::{Agent, form, member_ids, wait_until_whole};
use crate::node::{LIMIT, Registry, with_each};

const UNIT: &str = "etcd-node.service";

const SHIPPED: &str = include_str!("../../../../deploy/etcd-node.service");

/// A node that systemd runs by the unit in deploy/.
struct Service {
    /// Its name, directories, ports and HTTP port. systemd runs its agent, and not this.
    node: Agent,
    systemd: Systemd,
    folder: TempDir,
}

impl Service {
    /// A node without data, which was not started yet. `None`, with the reason printed, if systemd can't run here.
    fn new(version: &Version, registry: &Registry, name: &str) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let node = Agent::new(version, registry, name);
        for (program, name) in [(programs::client().as_path(), "convene"), (version.program(), "etcd")] {
            fs::copy(program, folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("node.env"), variables(&node, registry)).unwrap();
        let systemd = Systemd::start(&[(UNIT, &unit(folder.path(), &node.place))])?;
        Some(Self { node, systemd, folder })
    }

    fn run(&self, arguments: &[&str]) {
        let done = self.systemd.systemctl(arguments);
        done.unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{}\n{}", self.log(), self.systemd.output()));
    }

    fn wait_for(&self, property: &str, value: &str) {
        self.wait_until(property, |found| found == value);
    }

    fn wait_until(&self, property: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let found = wait_for(LIMIT, || {
            last = self.property(property);
            wanted(&last).then(|| last.clone())
        });
        let shown = || self.systemd.systemctl(&["show", UNIT]);
        found.unwrap_or_else(|| {
            panic!("{property} is {last:?}:\n{:?}\n{}\n{}", shown(), self.log(), self.systemd.output())
        })
    }

    fn property(&self, property: &str) -> String {
        self.systemd.systemctl(&["show", UNIT, "--value", "-p", property]).unwrap().trim_end().to_owned()
    }

    /// What the agent and etcd have logged.
    fn log(&self) -> String {
        fs::read_to_string(log(self.folder.path())).unwrap_or_default()
    }

    fn wait_for_log(&self, text: &str) {
        let logged = wait_for(LIMIT, || self.log().contains(text).then_some(()));
        logged.unwrap_or_else(|| panic!("{text:?} is not logged:\n{}", self.log()));
    }
}

fn log(folder: &Path) -> PathBuf {
    folder.join("log")
}

/// The file with the variables of the node.
fn variables(node: &Agent, registry: &Registry) -> String {
    let of_etcd = node.flags_of_etcd().into_iter().map(|flag| {
        let (flag, value) = flag.trim_start_matches("--").split_once('=').expect("a flag has a value");
        format!("ETCD_{}={value}\n", flag.replace('-', "_").to_uppercase())
    });
    let own = format!(
        "CONVENE_DISCOVERY={}\nCONVENE_INSECURE_DISCOVERY=true\nCONVENE_NODE_LISTEN={}\n",
        registry.url,
        node.listens_at()
    );
    own + &of_etcd.collect::<String>()
}

/// What a user's systemd can't do: change the user, make a directory under /var/lib, and hide what the system's one has prepared to be
/// hidden.
const LEFT_OUT: [&str; 6] =
    ["User=", "Group=", "StateDirectory", "ProtectHome=", "ProtectKernelLogs=", "ProtectKernelTunables="];

/// The unit with the paths of the test and a short watchdog.
fn unit(folder: &Path, place: &Place) -> String {
    let (folder, disk) = (folder.display(), place.data_dir());
    let disk = disk.parent().expect("the data is in a folder").display();
    let lines = SHIPPED.lines().filter(|line| !LEFT_OUT.iter().any(|setting| line.starts_with(setting)));
    let lines = lines.map(|line| match line.split_once('=') {
        Some(("ExecStart", _)) => format!("ExecStart={folder}/convene run -- {folder}/etcd"),
        Some(("EnvironmentFile", _)) => format!("EnvironmentFile={folder}/node.env"),
        Some(("WatchdogSec", _)) => "WatchdogSec=5".to_owned(),
        // With control groups of version 1, a systemd in a namespace never learns that those of a service are empty.
        Some(("TimeoutStopSec", _)) => "TimeoutStopSec=15".to_owned(),
        _ => line.to_owned(),
    });
    let of_test = format!(
        "[Service]\nUnsetEnvironment=LD_LIBRARY_PATH\nStandardOutput=append:{folder}/log\nStandardError=append:{folder}/log\n\
         BindPaths={folder} {disk}\n"
    );
    lines.map(|line| line + "\n").collect::<String>() + &of_test
}

mod large {
    use super::*;

    /// The unit does all that a node needs, and none of it changes the membership.
    #[test]
    fn the_unit_runs_a_node_for_its_whole_life() {
        with_each(Version::sample(), |version| {
            let registry = Registry::new(3);
            let Some(service) = Service::new(version, &registry, "infra0") else { return };

            // A start lasts until etcd serves, which takes the other founders.
            service.run(&["start", "--no-block", UNIT]);
            service.wait_until("StatusText", |text| text.starts_with("waiting: ") && text.ends_with("(forming)"));
            assert_eq!(service.property("ActiveState"), "activating");
            let others = ["infra1", "infra2"].map(|name| Agent::start(version, &registry, name));
            service.run(&["start", UNIT]);
            let serves = version.etcdctl(&service.node.place.client_url, &["endpoint", "health"]);
            assert!(serves.is_ok(), "ready means that etcd serves: {serves:?}");
            service.wait_until("StatusText", |text| text.starts_with("voter: "));
            wait_until_whole(version, &[&service.node, &others[0], &others[1]]);
            let members = member_ids(&registry);
            let is_unchanged = |what: &str| {
                wait_until_whole(version, &[&service.node, &others[0], &others[1]]);
                assert_eq!(member_ids(&registry), members, "{what}");
            };

            // A reload disturbs nobody.
            let etcd = service.node.etcd();
            service.run(&["reload", UNIT]);
            service.wait_for_log("reload: certificates, keys and tokens were read again");
            service.wait_for("ActiveState", "active");
            assert_eq!(service.node.etcd(), etcd);

            // An agent that hangs is killed and started again, and so is one that was killed.
            service.run(&["kill", "--kill-whom=main", "--signal=STOP", UNIT]);
            service.wait_for("NRestarts", "1");
            service.wait_for("ActiveState", "active");
            is_unchanged("the agent has hung");
            service.run(&["kill", "--kill-whom=main", "--signal=KILL", UNIT]);
            service.wait_for("NRestarts", "2");
            service.wait_for("ActiveState", "active");
            is_unchanged("the agent was killed");

            // A stop is clean, and the next start goes on with the same member.
            service.run(&["stop", UNIT]);
            assert_eq!(service.property("ActiveState"), "inactive");
            assert_eq!(service.property("Result"), "success");
            assert_eq!(service.property("ExecMainStatus"), "0");
            service.wait_for_log("this node does not count as dead for the next 10m");
            service.run(&["start", UNIT]);
            is_unchanged("the node was stopped and started");

            // An evicted node stays and is ready: it is a spare.
            let spare = Agent::start(version, &registry, "infra3");
            registry.administer(&["member", "evict", "infra0"]);
            service.wait_until("StatusText", |text| text.starts_with("spare: "));
            wait_until_whole(version, &[&spare, &others[0], &others[1]]);
            assert_eq!(service.property("ActiveState"), "active");
            service.run(&["stop", UNIT]);
            assert_eq!(service.property("Result"), "success");
        });
    }

    /// Another start can't succeed before a person has acted.
    #[test]
    fn a_node_that_is_refused_for_good_is_not_started_again() {
        let Some(version) = Version::all().pop() else { return };
        let registry = Registry::new(1);
        let others = form(&version, &registry, &["infra0"]);
        let Some(service) = Service::new(&version, &registry, "infra0") else { return };
        let started = service.systemd.systemctl(&["start", UNIT]);
        assert!(started.is_err(), "the start fails: {started:?}");
        service.wait_for("ActiveState", "failed");
        assert_eq!(service.property("ExecMainStatus"), "6", "{}", service.log());
        assert_eq!(service.property("NRestarts"), "0");
        service.wait_for_log("refused: ");
        service.wait_until("StatusText", |status| status.starts_with("refused: ") && status.contains("name_taken"));
        wait_until_whole(&version, &[&others[0]]);
    }
}
