//! The command lines of elastic-etcd's README work, with `convene join` instead of `elastic-etcd`. Hosts, ports and paths
//! are adapted, and two typos of the README are corrected: a missing `\`, and spaces after another one.

use std::{env, fs, os::unix::fs::symlink, path::PathBuf, process::Command, sync::Arc};

use convene_harness::{
    Access, Process,
    cluster::{Member, wait_until_members},
    etcd::Version,
    free_port, programs,
    server::Server,
    wait_for,
};
use tempfile::TempDir;

use crate::node::{LIMIT, with_each};

/// "`elastic-etcd -o flags ...` … This allows to embed the elastic-etcd output directly into the command line of etcd"
const FLAGS: &str = r"
set -e
ELASTIC_PARAMS=$(elastic-etcd -v=6 -logtostderr -o flags \
    -discovery=$DISCOVERY_URL -name=master2 -client-port=2379 \
    -initial-advertise-peer-urls=http://1.2.3.4:2380 \
  )
etcd2 $ELASTIC_PARAMS \
     -listen-peer-urls=http://1.2.3.4:2480 \
     -listen-client-urls=http://1.2.3.4:2379 \
     -advertise-client-urls=http://1.2.3.4:2379
";

/// "`elastic-etcd -o env ...`". In the README this line has `-o flags`, but the text is about `-o env`.
const ENV: &str = r"
eval $(elastic-etcd -v=6 -logtostderr -discovery=$DISCOVERY_URL -o env \
                -name=master2 -client-port=2379 \
                -initial-advertise-peer-urls=http://1.2.3.4:2380 \
   )
etcd2 -listen-peer-urls=http://1.2.3.4:2480 \
        -listen-client-urls=http://1.2.3.4:2379 \
        -advertise-client-urls=http://1.2.3.4:2379
";

/// "`elastic-etcd -o dropin ...`", the argument of `/bin/sh -c` in `ExecStart=` of the cloud-config.
const DROPIN: &str = "/var/lib/elastic-etcd/elastic-etcd -o dropin -data-dir=/var/lib/etcd2 \
    -initial-advertise-peer-urls=http://$private_ipv4:2380 -name=$private_ipv4 -discovery={{.DiscoveryURL}} -v=6 \
    -logtostderr > /run/systemd/system/etcd2.service.d/99-elastic-etcd.conf";

/// How the same machine is run by `convene run`, with the flags of etcd in the README.
const RUN: &str = r"
exec convene run -discovery=$DISCOVERY_URL -node-listen=off -- etcd2 -name=master2 \
     -initial-advertise-peer-urls=http://1.2.3.4:2380 \
     -listen-peer-urls=http://1.2.3.4:2480 \
     -listen-client-urls=http://1.2.3.4:2379 \
     -advertise-client-urls=http://1.2.3.4:2379
";

#[test]
fn the_output_is_embedded_into_the_command_line_of_etcd() {
    with_each(Version::oldest_and_newest(), |version| {
        let mut machines = form(version, Way::Flags);
        let members = wait_until_healthy(&machines);
        machines[1].stop();
        start(&mut machines[1..2]);
        assert_eq!(wait_until_healthy(&machines), members);

        // The promoter promotes the new member.
        machines[2].stop();
        fs::remove_dir_all(machines[2].disk.path().join(format!("{}.etcd", machines[2].name))).unwrap();
        start(&mut machines[2..]);
        let after = wait_until_healthy(&machines);
        assert_eq!(members.iter().filter(|member| after.contains(member)).count(), 2, "{after:?}");
    });
}

#[test]
fn the_output_is_a_drop_in_for_systemd() {
    with_each(Version::oldest_and_newest(), |version| forms_and_restarts(version, Way::Dropin));
}

#[test]
fn the_output_is_evaluated_by_the_shell() {
    with_each(Version::oldest_and_newest(), |version| forms_and_restarts(version, Way::Env));
}

/// Longer than the others, each of which has one way of starting etcd.
mod large {
    use super::*;

    #[test]
    fn machines_change_to_convene_run_and_back_one_by_one() {
        with_each(Version::sample(), |version| {
            let mut machines = form(version, Way::Flags);
            let members = wait_until_healthy(&machines);
            for way in [Way::Run, Way::Flags] {
                for number in 0..machines.len() {
                    machines[number].stop();
                    machines[number].way = way;
                    start(&mut machines[number..=number]);
                    assert_eq!(wait_until_healthy(&machines), members);
                }
            }
        });
    }

    #[test]
    fn machines_form_their_cluster_with_convene_run_and_without_it_at_once() {
        with_each(Version::sample(), |version| {
            let mut machines = new_machines(version, Way::Flags);
            machines[1].way = Way::Run;
            start(&mut machines);
            wait_until_healthy(&machines);
        });
    }
}

fn forms_and_restarts(version: &Version, way: Way) {
    let mut machines = form(version, way);
    let members = wait_until_healthy(&machines);
    machines[0].stop();
    start(&mut machines[..1]);
    assert_eq!(wait_until_healthy(&machines), members);
}

/// The ways to use the output in the README.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Flags,
    Dropin,
    Env,
    Run,
}

/// The ports, which are the same on every machine, as elastic-etcd requires.
#[derive(Clone, Copy)]
struct Ports {
    client: u16,
    old_client: u16,
    peer: u16,
}

struct Machine {
    way: Way,
    version: Version,
    discovery_url: String,
    /// The address, which differs for each machine.
    host: String,
    name: String,
    ports: Ports,
    /// The working directory, with all files of the machine.
    disk: TempDir,
    etcd: Option<Process>,
    _server: Arc<Server>,
}

impl Machine {
    /// Runs the line of the README. If the line ends with etcd, the process becomes etcd.
    fn run_line(&self) -> Process {
        let Ports { client, peer, .. } = self.ports;
        let script = match self.way {
            Way::Flags => FLAGS.to_owned(),
            Way::Env => ENV.to_owned(),
            Way::Run => RUN.to_owned(),
            Way::Dropin => self.dropin_line(),
        };
        let script = script
            .replace("elastic-etcd -", "convene join -")
            .replace("\netcd2", "\nexec etcd2")
            .replace("1.2.3.4:2480", &format!("{}:{peer}", self.host))
            .replace("1.2.3.4:2380", &format!("{}:{peer}", self.host))
            .replace("1.2.3.4:2379", &format!("{}:{client}", self.host))
            .replace("-client-port=2379", &format!("-client-port={client}"))
            .replace("master2", &self.name);
        let mut shell = self.command("/bin/sh");
        Process::spawn(&script, shell.args(["-c", &script]).env("DISCOVERY_URL", &self.discovery_url))
    }

    fn dropin_line(&self) -> String {
        let dropin = self.dropin();
        fs::create_dir_all(dropin.parent().unwrap()).unwrap();
        DROPIN
            .replace("/var/lib/elastic-etcd/elastic-etcd", "elastic-etcd")
            .replace("/run/systemd/system/etcd2.service.d/99-elastic-etcd.conf", dropin.to_str().unwrap())
            .replace("/var/lib/etcd2", self.disk.path().join("etcd2").to_str().unwrap())
            .replace(":2380", &format!(":{}", self.ports.peer))
            .replace("$private_ipv4", &self.host)
            .replace("{{.DiscoveryURL}}", &self.discovery_url)
    }

    /// The etcd that the line has started, or the one that its drop-in is for.
    fn start_etcd(&self, mut line: Process) -> Process {
        if self.way != Way::Dropin {
            return line;
        }
        assert_eq!(line.wait_for_exit(LIMIT), Some(0), "{}", line.output());
        let Ports { client, old_client, peer } = self.ports;
        let host = &self.host;
        let mut etcd = self.command("etcd2");
        // The settings of etcd2 in the cloud-config.
        etcd.env("ETCD_NAME", host)
            .env("ETCD_ADVERTISE_CLIENT_URLS", format!("http://{host}:{client},http://{host}:{old_client}"))
            .env("ETCD_LISTEN_CLIENT_URLS", format!("http://{host}:{client},http://{host}:{old_client}"))
            .env("ETCD_LISTEN_PEER_URLS", format!("http://{host}:{peer}"));
        apply_dropin(&fs::read_to_string(self.dropin()).unwrap(), &mut etcd);
        Process::spawn("etcd2.service", &mut etcd)
    }

    fn dropin(&self) -> PathBuf {
        self.disk.path().join("etcd2.service.d/99-elastic-etcd.conf")
    }

    /// Kills etcd; or has its agent stop it, because etcd would outlive an agent that is killed.
    fn stop(&mut self) {
        let stopped = self.etcd.take();
        if self.way == Way::Run
            && let Some(mut agent) = stopped
        {
            agent.signal("TERM");
            assert_eq!(agent.wait_for_exit(LIMIT), Some(0), "{}", agent.output());
        }
    }

    /// A program in the machine's working directory, with `convene` and `etcd2` on its PATH, and no other variables.
    fn command(&self, program: &str) -> Command {
        let bin = self.disk.path().join("bin");
        let path = format!("{}:{}", bin.display(), env::var("PATH").unwrap());
        let program = if program.starts_with('/') { PathBuf::from(program) } else { bin.join(program) };
        let mut command = Command::new(program);
        command.env_clear().env("PATH", path).current_dir(self.disk.path());
        command
    }

    fn client_url(&self) -> String {
        format!("http://{}:{}", self.host, self.ports.client)
    }
}

/// Three machines that form a cluster.
fn form(version: &Version, way: Way) -> Vec<Machine> {
    let mut machines = new_machines(version, way);
    start(&mut machines);
    machines
}

/// Three machines on which nothing runs yet. The discovery URL is created as in the README.
fn new_machines(version: &Version, way: Way) -> Vec<Machine> {
    let server = Arc::new(Server::start());
    let ports = Ports { client: free_port(), old_client: free_port(), peer: free_port() };
    let discovery_url = new_discovery_url(&server);
    let machine = |number: usize| {
        let disk = TempDir::new().unwrap();
        let bin = disk.path().join("bin");
        fs::create_dir(&bin).unwrap();
        symlink(programs::client(), bin.join("convene")).unwrap();
        symlink(version.program(), bin.join("etcd2")).unwrap();
        Machine {
            way,
            version: version.clone(),
            discovery_url: discovery_url.clone(),
            host: format!("127.0.0.{}", number + 1),
            name: format!("master{number}"),
            ports,
            disk,
            etcd: None,
            _server: server.clone(),
        }
    };
    (0..3).map(machine).collect()
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.way != Way::Run {
            return;
        }
        if let Some(agent) = &mut self.etcd
            && agent.is_running()
        {
            agent.signal("TERM");
            wait_for(LIMIT, || (!agent.is_running()).then_some(()));
        }
    }
}

fn new_discovery_url(server: &Server) -> String {
    let script = "export DISCOVERY_URL=$(curl -s 'https://discovery.etcd.io/new?size=3'); echo $DISCOVERY_URL"
        .replace("https://discovery.etcd.io", &server.url);
    let mut shell = Process::spawn(&script, Command::new("/bin/sh").args(["-c", &script]));
    assert_eq!(shell.wait_for_exit(LIMIT), Some(0), "{}", shell.output());
    shell.stdout().trim().to_owned()
}

/// Starts all machines at the same time.
fn start(machines: &mut [Machine]) {
    let lines: Vec<Process> = machines.iter().map(Machine::run_line).collect();
    for (machine, line) in machines.iter_mut().zip(lines) {
        machine.etcd = Some(machine.start_etcd(line));
    }
}

fn wait_until_healthy(machines: &[Machine]) -> Vec<Member> {
    let endpoints: Vec<String> = machines.iter().map(Machine::client_url).collect();
    let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
    wait_until_members(&machines[0].version, &Access::default(), &endpoints, machines.len(), LIMIT)
}

/// Sets the variables of a drop-in. No value here needs escaping; the unit tests of the output cover that with systemd.
fn apply_dropin(dropin: &str, service: &mut Command) {
    let mut lines = dropin.lines();
    assert_eq!(lines.next(), Some("[Service]"));
    for line in lines {
        if let Some(names) = line.strip_prefix("UnsetEnvironment=") {
            for name in names.split(' ') {
                service.env_remove(name);
            }
            continue;
        }
        let variable = line.strip_prefix("Environment=\"").and_then(|line| line.strip_suffix('"'));
        let (name, value) = variable.and_then(|variable| variable.split_once('=')).unwrap_or_else(|| panic!("{line}"));
        assert!(!value.contains(['\\', '%', '"']), "{line}");
        service.env(name, value);
    }
}
