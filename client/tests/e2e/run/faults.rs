//! What can be wrong with a machine: what its agent reports, what happens, and what a person reads.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::mpsc::{RecvTimeoutError, channel},
    time::Duration,
};

use convene_harness::{
    Place, SmallDisk,
    cluster::{member_list, wait_until_members},
    etcd::Version,
    tls::{Ca, Identity},
    wait_for,
};
use serde_json::Value;

use super::agent::{Agent, archives, form, member_ids, wait_until_whole};
use crate::node::{LIMIT, Registry, with_each};

const NAMES: [&str; 3] = ["infra0", "infra1", "infra2"];

/// A cluster of three with a key, and what does not change unless a rule says so.
struct Cluster<'a> {
    version: &'a Version,
    registry: Registry,
    agents: Vec<Agent>,
    members: Vec<String>,
}

impl<'a> Cluster<'a> {
    fn form(version: &'a Version, registry: Registry, agents: Vec<Agent>) -> Self {
        let mut agents = agents;
        // Failures follow each other quickly.
        agents.iter_mut().for_each(|agent| agent.run(&["--restart-pause=1s"]));
        wait_until_whole(version, &agents.iter().collect::<Vec<_>>());
        let members = member_ids(&registry);
        let cluster = Self { version, registry, agents, members };
        cluster.put("kept", "value").unwrap();
        cluster
    }

    fn put(&self, key: &str, value: &str) -> Result<String, String> {
        self.version.etcdctl_reading(&self.agents[0].place.client_url, &["put", key], value)
    }

    /// The last node, with which something is wrong.
    fn bad(&mut self) -> &mut Agent {
        self.agents.last_mut().unwrap()
    }

    /// Waits until the last node says so, and until the registry shows it, too.
    fn wait_for_message(&mut self, text: &str) {
        let told = self.bad().wait_for_message(text);
        println!("etcd {}: {} {}", self.version.name, told["state"], told["message"]);
        let bad = self.bad().name.clone();
        wait_until_shown(&self.registry, &bad, text);
        let start = format!("Warning: {bad} reported ");
        let warns = |shown: &String| shown.lines().any(|line| line.starts_with(&start) && line.contains(text));
        let shown = || self.registry.administer(&["status"]);
        wait_for(LIMIT, || Some(shown()).filter(warns)).unwrap_or_else(|| panic!("{}", shown()));
    }

    /// Waits until the registry has counted starts without an answer. Without a spare, nothing else happens.
    fn wait_until_failing(&self) {
        self.wait_until_failing_while(|| {});
    }

    /// The same while something is done again and again.
    fn wait_until_failing_while(&self, again: impl Fn()) {
        let events = || {
            again();
            self.registry.administer(&["cluster", "events"])
        };
        wait_for(LIMIT, || events().contains("member_failing").then_some(())).unwrap_or_else(|| panic!("{}", events()));
        assert_eq!(member_ids(&self.registry), self.members);
    }

    /// Waits until all is as it was: the same members, healthy, with the key, and nothing archived.
    fn wait_until_as_before(&self) {
        wait_until_whole(self.version, &self.agents.iter().collect::<Vec<_>>());
        assert_eq!(member_ids(&self.registry), self.members);
        for agent in &self.agents {
            let read = self.version.etcdctl_as(
                &agent.place.access(),
                &agent.place.client_url,
                &["get", "kept", "--print-value-only"],
            );
            assert_eq!(read.as_deref().map(str::trim), Ok("value"));
            assert_eq!(archives(agent), 0, "{}", agent.name);
        }
    }

    /// The last node is replaced by a spare, keeps its data in an archive, and becomes a spare itself.
    fn wait_until_replaced(&mut self) {
        let spare = Agent::start(self.version, &self.registry, "infra3");
        let mut replaced = self.agents.pop().unwrap();
        self.agents.push(spare);
        wait_until_whole(self.version, &self.agents.iter().collect::<Vec<_>>());
        replaced.wait_for_state("spare");
        assert_eq!(archives(&replaced), 1, "{}", replaced.log());
        assert_eq!(replaced.stop(), Some(0));
    }
}

impl Agent {
    /// Waits until the node says so in its status, which it returns.
    fn wait_for_message(&self, text: &str) -> Value {
        let says = |status: &Value| status["message"].as_str().is_some_and(|message| message.contains(text));
        let told = wait_for(LIMIT, || self.status().filter(says));
        told.unwrap_or_else(|| panic!("{} does not say {text:?}: {:?}\n{}", self.name, self.status(), self.log()))
    }
}

/// Waits until the registry shows a text as what a node reports.
fn wait_until_shown(registry: &Registry, name: &str, text: &str) {
    let shown = || {
        let nodes = registry.get("/nodes")["nodes"].clone();
        let node = nodes.as_array().unwrap().iter().find(|node| node["name"] == name)?.clone();
        Some(node["etcd"].to_string())
    };
    let found = wait_for(LIMIT, || shown().filter(|shown| shown.contains(text)));
    found.unwrap_or_else(|| panic!("the registry does not show {text:?} for {name}: {:?}", shown()));
}

fn nodes(version: &Version, registry: &Registry) -> Vec<Agent> {
    NAMES.iter().map(|name| Agent::new(version, registry, name)).collect()
}

mod large {
    use super::*;

    #[test]
    fn a_member_on_a_full_disk_goes_on_once_there_is_room_or_is_replaced() {
        with_each(Version::sample(), |version| {
            let registry = Registry::new(3);
            let agents = nodes(version, &registry);
            let Some(disk) = SmallDisk::mount(agents[2].place.data_dir().parent().unwrap(), 192) else { return };
            let mut cluster = Cluster::form(version, registry, agents);
            disk.fill();
            let value = "x".repeat(512 << 10);
            let ends = wait_for(LIMIT, || {
                cluster.put("large", &value).ok()?;
                cluster.bad().log().contains("etcd ended").then_some(())
            });
            ends.unwrap_or_else(|| panic!("etcd does not end: {}", cluster.bad().log()));
            cluster.wait_for_message("no space left on device");
            // etcd deletes what it has allocated in vain when it starts again.
            cluster.wait_until_failing_while(|| disk.fill());
            disk.free();
            cluster.wait_until_as_before();

            disk.fill();
            let endings = |agent: &Agent| agent.log().matches("etcd ended").count();
            let before = endings(cluster.bad());
            let ends = wait_for(LIMIT, || {
                cluster.put("large", &value).ok()?;
                (endings(cluster.bad()) > before).then_some(())
            });
            ends.unwrap_or_else(|| panic!("etcd does not end again: {}", cluster.bad().log()));
            // On a full disk etcd may start, and end only once it has to write.
            let (url, (stop, stopped)) = (cluster.agents[0].place.client_url.clone(), channel::<()>());
            let (disk, value) = (&disk, &value);
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                        disk.fill();
                        let _ = version.etcdctl_reading(&url, &["put", "large"], value);
                    }
                });
                cluster.wait_until_replaced();
                drop(stop);
            });
        });
    }

    #[test]
    fn a_member_with_a_damaged_log_is_reported_and_replaced_by_a_spare_only() {
        with_each(Version::sample(), |version| {
            let registry = Registry::new(3);
            let agents = nodes(version, &registry);
            let mut cluster = Cluster::form(version, registry, agents);
            cluster.put("key", &VALUE.repeat(64)).unwrap();
            cluster.put("another", "value").unwrap();
            cluster.bad().cut_power();
            let damaged = damage(&wal(cluster.bad()), in_value);
            cluster.bad().run(&["--restart-pause=1s"]);
            cluster.wait_for_message("crc mismatch");
            cluster.wait_until_failing();
            assert_eq!(member_ids(&cluster.registry), cluster.members);
            assert_eq!(archives(cluster.bad()), 0);
            // It goes on with data that is whole again.
            cluster.bad().stop();
            damaged.mend();
            cluster.bad().run(&["--restart-pause=1s"]);
            cluster.wait_until_as_before();

            cluster.bad().cut_power();
            damage(&wal(cluster.bad()), in_value);
            cluster.bad().run(&["--restart-pause=1s"]);
            cluster.wait_until_replaced();
        });
    }

    /// The member that the data belongs to can't be read any more. The others are a quorum without it.
    #[test]
    fn data_without_a_readable_head_is_archived_and_the_node_joins_again() {
        with_each(Version::sample(), |version| {
            let registry = Registry::new(3);
            let agents = nodes(version, &registry);
            let mut cluster = Cluster::form(version, registry, agents);
            cluster.bad().cut_power();
            damage(&wal(cluster.bad()), |_| 16);
            cluster.bad().run(&[]);
            cluster.bad().wait_for_log("archive_data (unreadable_data)");
            wait_until_whole(version, &cluster.agents.iter().collect::<Vec<_>>());
            assert_eq!(archives(cluster.bad()), 1);
        });
    }

    /// An upgrade was taken back on one node, or the wrong program was installed.
    #[test]
    fn an_etcd_that_is_older_than_its_data_or_its_cluster_changes_nothing() {
        let (Some(old), Some(new)) = (Version::find("3.5"), Version::find("3.7")) else { return };
        let registry = Registry::new(3);
        let agents = nodes(&new, &registry);
        let mut cluster = Cluster::form(&new, registry, agents);
        assert_eq!(cluster.bad().stop(), Some(0));
        cluster.bad().program = old.program().to_str().unwrap().to_owned();
        cluster.bad().run(&["--restart-pause=1s"]);
        cluster.wait_for_message("downgrade");

        // Nor does a spare with that program take a place that is free.
        let mut spare = Agent::new(&old, &cluster.registry, "infra3");
        let program = spare.place.data_dir().with_file_name("etcd-of-spare");
        install(&old, &program);
        spare.program = program.to_str().unwrap().to_owned();
        spare.run(&[]);
        cluster.registry.administer(&["cluster", "resize", "4"]);
        spare.wait_for_log("(version_mismatch)");
        spare.wait_for_state("refused");
        assert_eq!(member_ids(&cluster.registry), cluster.members);

        cluster.registry.administer(&["cluster", "resize", "3"]);
        // It ends as its etcd did, if that had just ended by itself.
        assert!(matches!(cluster.bad().stop(), Some(0 | 1)));
        cluster.bad().program = new.program().to_str().unwrap().to_owned();
        cluster.bad().run(&[]);
        cluster.wait_until_as_before();

        // The spare notices the upgrade of its program without a restart.
        install(&new, &program);
        cluster.registry.administer(&["cluster", "resize", "4"]);
        spare.wait_for_state("voter");
    }

    /// Installs etcd at a path, in the place of another version that may be running.
    fn install(version: &Version, program: &Path) {
        let new = program.with_extension("new");
        fs::copy(version.program(), &new).unwrap();
        fs::rename(new, program).unwrap();
    }

    /// Somebody has renewed the certificate of one node with one of another CA.
    #[test]
    fn a_member_with_a_certificate_of_another_ca_says_so_and_keeps_its_place() {
        with_each(Version::sample(), |version| {
            let (ca, other) = (Ca::new(), Ca::new());
            let registry = Registry::new(3);
            let mut agents: Vec<_> = NAMES.iter().map(|name| secured(version, &registry, name, &ca)).collect();
            wait_until_whole(version, &agents.iter().map(|(agent, _)| agent).collect::<Vec<_>>());
            let members = member_ids(&registry);

            let (bad, identity) = &mut agents[2];
            assert_eq!(bad.stop(), Some(0));
            identity.replace_by(&other.node());
            run_with(bad, identity);
            let told = bad.wait_for_message("certificate");
            println!("etcd {}: {} {}", version.name, told["state"], told["message"]);
            assert_eq!(bad.get("/readyz").unwrap().0, 503);
            wait_until_shown(&registry, &bad.name, "certificate");
            assert_eq!(member_ids(&registry), members);

            assert_eq!(bad.stop(), Some(0));
            identity.replace_by(&ca.node());
            run_with(bad, identity);
            wait_until_whole(version, &agents.iter().map(|(agent, _)| agent).collect::<Vec<_>>());
            assert_eq!(member_ids(&registry), members);
            assert_eq!(archives(&agents[2].0), 0);
        });
    }

    /// etcd serves, but does not let the agent in.
    #[test]
    fn an_agent_with_a_certificate_that_etcd_does_not_accept_says_so_and_changes_nothing() {
        with_each(Version::sample(), |version| {
            let (ca, other) = (Ca::new(), Ca::new());
            let registry = Registry::new(3);
            let mut agents: Vec<_> = NAMES.iter().map(|name| secured(version, &registry, name, &ca)).collect();
            wait_until_whole(version, &agents.iter().map(|(agent, _)| agent).collect::<Vec<_>>());
            let members = member_ids(&registry);
            let (spare, _) = secured(version, &registry, "infra3", &ca);
            spare.wait_for_state("spare");

            let (bad, _) = &mut agents[2];
            assert_eq!(bad.stop(), Some(0));
            run_with(bad, &other.client("stranger"));
            let told = || bad.get("/readyz").filter(|(code, why)| *code == 503 && why.contains("certificate"));
            let (_, told) = wait_for(LIMIT, told).unwrap_or_else(|| panic!("{:?}", bad.status()));
            println!("etcd {}: {told}", version.name);
            wait_until_shown(&registry, &bad.name, "certificate");
            // The cluster is all right, and stays as it is: for more than twice the time after which a silent member is dead.
            let endpoints: Vec<&str> = agents.iter().map(|(agent, _)| agent.place.client_url.as_str()).collect();
            wait_until_members(version, &agents[0].0.place.access(), &endpoints, 3, LIMIT);
            let changed = wait_for(Duration::from_secs(12), || (member_ids(&registry) != members).then_some(()));
            assert_eq!(changed, None, "{}", spare.log());
        });
    }

    #[test]
    fn a_node_that_advertises_a_peer_url_which_nobody_reaches_gets_no_vote() {
        with_each(Version::sample(), |version| {
            let registry = Registry::new(3);
            let mut agents = form(version, &registry, &NAMES);
            let mut hidden = Agent::new(version, &registry, "infra3");
            hidden.place = Place::with_unreachable_peer_url().into();
            hidden.run(&[]);
            hidden.wait_for_state("spare");
            agents[2].cut_power();
            let told = hidden.wait_for_message("check the learner's peer URLs and the firewall in front of them");
            println!("etcd {}: {} {}", version.name, told["state"], told["message"]);
            assert_eq!(told["reason"], "peer_url_unreachable");
            // The next one gets the place.
            let able = Agent::start(version, &registry, "infra4");
            wait_until_whole(version, &[&agents[0], &agents[1], &able]);
        });
    }

    #[test]
    fn a_full_database_is_an_alarm_that_every_node_shows_with_what_to_do() {
        with_each(Version::sample(), |version| {
            let registry = Registry::new(3);
            let mut agents = nodes(version, &registry);
            for agent in &mut agents {
                agent.etcd_flags.push("--quota-backend-bytes=2097152".to_owned());
            }
            let cluster = Cluster::form(version, registry, agents);
            let value = "x".repeat(512 << 10);
            let full =
                wait_for(LIMIT, || cluster.put("large", &value).err().filter(|error| error.contains("space exceeded")));
            full.expect("the database gets full");
            for agent in &cluster.agents {
                let alarm = wait_for(LIMIT, || {
                    let (code, body) = agent.get("/readyz/alarms")?;
                    (code == 503 && body.contains("NOSPACE")).then_some(body)
                });
                let alarm = alarm.unwrap_or_else(|| panic!("{:?}", agent.status()));
                assert!(alarm.contains("`etcdctl alarm disarm`"), "{alarm}");
                wait_until_shown(&cluster.registry, &agent.name, "NOSPACE");
            }
            assert!(cluster.registry.administer(&["status"]).contains("alarm:NOSPACE"));
            assert_eq!(member_ids(&cluster.registry), cluster.members);
            let list = member_list(version, &cluster.agents[0].place.access(), &cluster.agents[0].place.client_url);
            assert_eq!(list.unwrap().len(), 3);
        });
    }
}

/// A node over TLS alone, whose agent runs, with the certificate of its etcd.
fn secured(version: &Version, registry: &Registry, name: &str, ca: &Ca) -> (Agent, Identity) {
    let identity = ca.node();
    let mut agent = Agent::new(version, registry, name);
    agent.place = Place::with_tls(&identity).into();
    run_with(&mut agent, &identity);
    (agent, identity)
}

/// Starts the agent with a certificate for etcd's client ports.
fn run_with(agent: &mut Agent, identity: &Identity) {
    let [certificate, key] = [&identity.certificate, &identity.key].map(|file| file.display());
    agent.run(&[&format!("--cert={certificate}"), &format!("--key={key}")]);
}

/// The last file of a node's write-ahead log.
fn wal(agent: &Agent) -> PathBuf {
    let folder = fs::read_dir(agent.place.data_dir().join("member/wal")).unwrap();
    let files = folder.map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "wal")).max().unwrap()
}

/// A file in which some bytes are wrong.
struct Damaged {
    file: PathBuf,
    at: u64,
    right: Vec<u8>,
}

/// Damages a file at a place that depends on what it has.
fn damage(file: &PathBuf, at: impl Fn(&[u8]) -> usize) -> Damaged {
    let all = fs::read(file).unwrap();
    let start = at(&all);
    let right = all[start..start + 32].to_vec();
    let wrong: Vec<u8> = right.iter().map(|byte| !byte).collect();
    let at = start.try_into().unwrap();
    File::options().write(true).open(file).unwrap().write_all_at(&wrong, at).unwrap();
    Damaged { file: file.clone(), at, right }
}

/// The value of the key that is damaged, so that only the checksum of the entry is wrong.
const VALUE: &str = "damaged-";

/// Where the value is.
fn in_value(log: &[u8]) -> usize {
    log.windows(VALUE.len()).position(|found| found == VALUE.as_bytes()).expect("the log has the value")
}

impl Damaged {
    fn mend(&self) {
        File::options().write(true).open(&self.file).unwrap().write_all_at(&self.right, self.at).unwrap();
    }
}
