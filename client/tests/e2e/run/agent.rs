use std::{fs, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use convene_harness::{
    Place, Process,
    cluster::{Member, wait_until_members},
    convene::Convene,
    etcd::Version,
    free_port, wait_for,
};
use serde_json::Value;

use crate::node::{LIMIT, Registry};

/// A machine with `convene run` and its etcd.
pub struct Agent {
    /// The name of the node.
    pub name: String,
    /// The directories and ports of its etcd.
    pub place: Arc<Place>,
    /// What runs as etcd.
    pub program: String,
    /// Further flags of etcd.
    pub etcd_flags: Vec<String>,
    url: String,
    /// The address of the node's own port.
    address: String,
    process: Option<Process>,
    /// The etcd that runs without an agent, because that was killed.
    orphan: Option<u32>,
    /// What earlier agents have logged.
    log: String,
}

impl Agent {
    /// A machine without data, on which nothing runs yet.
    pub fn new(version: &Version, registry: &Registry, name: &str) -> Self {
        Self::at(Place::new(), version, registry, name)
    }

    /// A machine at a place, on which nothing runs yet.
    pub fn at(place: Place, version: &Version, registry: &Registry, name: &str) -> Self {
        let address = match place.host() {
            Some(host) => format!("{}:2382", host.address),
            None => format!("127.0.0.1:{}", free_port()),
        };
        Self {
            name: name.to_owned(),
            place: Arc::new(place),
            program: version.program().to_str().unwrap().to_owned(),
            etcd_flags: Vec::new(),
            url: registry.url.clone(),
            address,
            process: None,
            orphan: None,
            log: String::new(),
        }
    }

    /// A machine without data, whose agent runs.
    pub fn start(version: &Version, registry: &Registry, name: &str) -> Self {
        let mut agent = Self::new(version, registry, name);
        agent.run(&[]);
        agent
    }

    /// Starts `convene run`, with further flags.
    pub fn run(&mut self, more: &[&str]) {
        self.process = Some(self.call(more).spawn());
        self.orphan = None;
    }

    /// The call of `convene run`, with further flags.
    pub fn call(&self, more: &[&str]) -> Convene {
        let mut arguments = vec!["run".to_owned(), format!("--node-listen={}", self.address)];
        arguments.extend(more.iter().map(|flag| (*flag).to_owned()));
        arguments.extend(["--".to_owned(), self.program.clone()]);
        arguments.extend(self.flags_of_etcd());
        let command = Convene::new(arguments).env("CONVENE_DISCOVERY", &self.url);
        match self.place.host() {
            Some(host) => command.on(host),
            None => command,
        }
    }

    /// The flags of its etcd.
    pub fn flags_of_etcd(&self) -> Vec<String> {
        let own = [format!("--name={}", self.name), format!("--initial-advertise-peer-urls={}", self.place.peer_url)];
        own.into_iter().chain(self.place.etcd_flags()).chain(self.etcd_flags.iter().cloned()).collect()
    }

    /// Where the node's own port is.
    pub fn listens_at(&self) -> &str {
        &self.address
    }

    /// From the next start on, etcd writes one line and ends with exit code 7. It still has its version.
    pub fn break_etcd(&mut self) {
        self.begin_etcd_with("echo 'no space left on device' >&2; exit 7");
    }

    /// From the next start on, etcd runs as the child of a script.
    pub fn put_script_before_etcd(&mut self) {
        let etcd = self.program.clone();
        self.begin_etcd_with(&format!("{etcd} \"$@\"; exit $?"));
    }

    /// From the next start on, etcd accepts connections for this time before it answers, as one that loads much data.
    pub fn delay_etcd(&mut self, time: Duration) {
        let address = |url: &str| url.rsplit_once(':').expect("a URL has a port").1.to_owned();
        let ports = [&self.place.client_url, &self.place.peer_url].map(|url| address(url)).join(", ");
        self.begin_etcd_with(&format!(
            "python3 -c 'import socket, time\nkept = [socket.create_server((\"127.0.0.1\", port)) for port in ({ports})]\ntime.sleep({})'",
            time.as_secs()
        ));
    }

    /// From the next start on, etcd is a script that begins with these commands. It still has its version.
    fn begin_etcd_with(&mut self, commands: &str) {
        let program = self.place.data_dir().parent().unwrap().join("script");
        let etcd = &self.program;
        let script = format!(
            "#!/bin/sh\ncase \"$*\" in *--version*) exec {etcd} \"$@\" ;; esac\n{commands}\nexec {etcd} \"$@\"\n"
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        self.program = program.to_str().unwrap().to_owned();
    }

    /// The process of the agent.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the agent runs")
    }

    /// The ID of the etcd that the agent runs.
    pub fn etcd(&self) -> u32 {
        let id = wait_for(LIMIT, || self.status()?["process"].as_u64());
        id.unwrap_or_else(|| panic!("{} runs no etcd:\n{}", self.name, self.log())).try_into().unwrap()
    }

    /// Kills the agent alone.
    pub fn kill_agent(&mut self) {
        if let Some(mut process) = self.process.take() {
            let etcd = self.status().and_then(|status| status["process"].as_u64());
            self.orphan = etcd.map(|etcd| etcd.try_into().unwrap());
            process.kill();
            self.log += &process.stderr();
        }
    }

    /// Kills the agent and its etcd, as a power cut does.
    pub fn cut_power(&mut self) {
        self.kill_agent();
        if let Some(etcd) = self.orphan.take() {
            signal(etcd, "KILL");
            wait_for(LIMIT, || (!is_running(etcd)).then_some(())).expect("etcd is killed");
        }
    }

    /// Stops the agent with SIGTERM, and returns its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.process().signal("TERM");
        self.wait_for_exit()
    }

    /// Waits until the agent ends by itself, and returns its exit code.
    pub fn wait_for_exit(&mut self) -> Option<i32> {
        let mut process = self.process.take().expect("the agent runs");
        let code = process.wait_for_exit(LIMIT);
        self.log += &process.stderr();
        code
    }

    /// What the agent, and those before, have logged so far.
    pub fn log(&self) -> String {
        let present = self.process.as_ref().map(Process::stderr).unwrap_or_default();
        format!("{}{present}", self.log)
    }

    /// Waits until the log has a text, and returns the line with it.
    pub fn wait_for_log(&self, text: &str) -> String {
        let line = wait_for(LIMIT, || self.log().lines().find(|line| line.contains(text)).map(str::to_owned));
        line.unwrap_or_else(|| panic!("{} has not logged {text:?}:\n{}", self.name, self.log()))
    }

    /// What the node's own port answers at a path: the status code and the body. `None` if nobody answers.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let url = format!("http://{}{path}", self.address);
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let answer = convene_harness::http::client().get(url).send().await.ok()?;
            Some((answer.status().as_u16(), answer.text().await.ok()?))
        })
    }

    /// The status of the node as its own port shows it.
    pub fn status(&self) -> Option<Value> {
        serde_json::from_str(&self.get("/status")?.1).ok()
    }

    /// Waits until the node is in a state, and returns its status.
    pub fn wait_for_state(&self, state: &str) -> Value {
        let status = wait_for(LIMIT, || self.status().filter(|status| status["state"] == state));
        status.unwrap_or_else(|| panic!("{} is not {state}: {:?}\n{}", self.name, self.status(), self.log()))
    }

    /// Whether the node answers a load balancer that it is the leader.
    pub fn leads(&self) -> bool {
        self.get("/leader").is_some_and(|(code, _)| code == 200)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: {:?}\n{}", self.name, self.status(), self.log());
        }
        self.cut_power();
    }
}

/// Starts agents with these names and waits until they run the healthy voters of the cluster.
pub fn form(version: &Version, registry: &Registry, names: &[&str]) -> Vec<Agent> {
    let agents: Vec<Agent> = names.iter().map(|name| Agent::start(version, registry, name)).collect();
    wait_until_whole(version, &agents.iter().collect::<Vec<_>>());
    agents
}

/// Waits until exactly these nodes run the healthy voters of the cluster, and returns these in the order of their IDs.
pub fn wait_until_whole(version: &Version, agents: &[&Agent]) -> Vec<Member> {
    let endpoints: Vec<&str> = agents.iter().map(|agent| agent.place.client_url.as_str()).collect();
    let members = wait_until_members(version, &agents[0].place.access(), &endpoints, agents.len(), LIMIT);
    for agent in agents {
        agent.wait_for_state("voter");
    }
    members
}

/// The place of the leader in the list.
pub fn leader(agents: &[Agent]) -> usize {
    let leader = wait_for(LIMIT, || agents.iter().position(Agent::leads));
    leader.expect("one of the nodes leads")
}

/// Sends a signal to a process.
pub fn signal(process: u32, signal: &str) {
    // It may have ended.
    let _ = std::process::Command::new("kill").args([&format!("-{signal}"), &process.to_string()]).status();
}

/// Whether a process exists and has not ended.
pub fn is_running(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let first_thread_runs = stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']));
    // The others of a killed process may end later, and hold its locks until then.
    first_thread_runs || fs::read_dir(format!("/proc/{process}/task")).is_ok_and(|threads| threads.count() > 1)
}

/// The IDs of the members that the registry knows, in order.
pub fn member_ids(registry: &Registry) -> Vec<String> {
    let members = registry.get("/members")["members"].clone();
    let mut ids: Vec<String> =
        members.as_array().unwrap().iter().map(|member| member["id"].as_str().unwrap().to_owned()).collect();
    ids.sort_unstable();
    ids
}

/// How many archives of data a node has.
pub fn archives(agent: &Agent) -> usize {
    let data_dir = agent.place.data_dir();
    let parent = fs::read_dir(data_dir.parent().unwrap()).unwrap();
    let names = parent.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("data.archived-")).count()
}
