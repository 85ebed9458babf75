//! The registry, the machines or the agents are away for a while, and come back. No membership changes, and no data is lost.

use std::time::Duration;

use convene_harness::{
    Access,
    etcd::Version,
    server::{Crashed, Server},
    wait_for,
    writer::Writer,
};

use super::agent::{Agent, archives, form, is_running, leader, member_ids, wait_until_whole};
use crate::{
    node::{LIMIT, Registry, with_each},
    replacement::assert_never_interrupted,
};

const NAMES: [&str; 3] = ["infra0", "infra1", "infra2"];

/// Four times the time after which a silent member is dead. It stands for an hour.
const OUTAGE: Duration = Duration::from_secs(20);

/// A cluster of three, a spare, and the server.
struct Site<'a> {
    version: &'a Version,
    registry: Registry,
    agents: Vec<Agent>,
    spare: Agent,
    members: Vec<String>,
}

impl<'a> Site<'a> {
    fn new(version: &'a Version, server: &Server) -> Self {
        let registry = Registry::on(&server.url, 3);
        let agents = form(version, &registry, &NAMES);
        let spare = Agent::start(version, &registry, "infra3");
        spare.wait_for_state("spare");
        let members = member_ids(&registry);
        let site = Self { version, registry, agents, spare, members };
        let put = version.etcdctl(&site.agents[0].place.client_url, &["put", "kept", "value"]);
        put.expect("a healthy cluster takes a write");
        site
    }

    fn writer(&self) -> Writer {
        let endpoints: Vec<&str> = self.agents.iter().map(|agent| agent.place.client_url.as_str()).collect();
        let writer = Writer::start(&Access::default(), &endpoints);
        writer.wait_for_writes(10, LIMIT);
        writer
    }

    fn etcds(&self) -> Vec<u32> {
        self.agents.iter().map(Agent::etcd).collect()
    }

    /// Cuts the power of all machines at once.
    fn cut_power(&mut self) {
        let all = self.agents.iter_mut().chain([&mut self.spare]);
        std::thread::scope(|scope| all.for_each(|agent| drop(scope.spawn(|| agent.cut_power()))));
    }

    /// Waits until all is as it was.
    fn wait_until_as_before(&self) {
        wait_until_whole(self.version, &self.agents.iter().collect::<Vec<_>>());
        self.spare.wait_for_state("spare");
        let shown = wait_for(LIMIT, || (member_ids(&self.registry) == self.members).then_some(()));
        shown.unwrap_or_else(|| panic!("{}", self.registry.get("/members")));
        for agent in &self.agents {
            let read = self.version.etcdctl(&agent.place.client_url, &["get", "kept", "--print-value-only"]);
            assert_eq!(read.as_deref().map(str::trim), Ok("value"));
        }
        for agent in self.agents.iter().chain([&self.spare]) {
            assert_eq!(archives(agent), 0, "{}", agent.log());
        }
        let removed = self.registry.get("/members?removed=true")["members"].clone();
        assert_eq!(removed.as_array().unwrap().len(), 3, "{removed}");
    }

    /// Waits until every node talks to the registry again.
    fn wait_for_registry(&self) {
        for agent in self.agents.iter().chain([&self.spare]) {
            let again = wait_for(LIMIT, || {
                let registry = agent.status()?["registry"].clone();
                (registry["error"].is_null() && registry["answered"].is_string()).then_some(())
            });
            again.unwrap_or_else(|| panic!("{:?}", agent.status()));
        }
    }
}

mod large {
    use super::*;

    #[test]
    fn a_registry_that_is_away_for_long_changes_nothing_and_nobody_notices() {
        with_each(Version::sample(), |version| {
            let server = Server::start();
            let site = Site::new(version, &server);
            let (etcds, writer) = (site.etcds(), site.writer());
            let crashed = server.crash();
            let disturbed = wait_for(OUTAGE, || {
                let is_ready = |agent: &Agent| agent.get("/readyz").is_some_and(|(code, _)| code == 200);
                let bad = site.agents.iter().find(|agent| !is_ready(agent))?;
                Some(format!("{:?}", bad.get("/readyz")))
            });
            assert_eq!(disturbed, None);
            for agent in &site.agents {
                assert!(!agent.status().unwrap()["registry"]["error"].is_null(), "{:?}", agent.status());
            }
            let _server = crashed.restart();
            site.wait_for_registry();
            // The registry has heard nobody for long. That is no reason to take anybody for dead.
            let replaced = wait_for(OUTAGE / 2, || site.spare.log().contains("remove_member").then_some(()));
            assert_eq!(replaced, None, "{}", site.spare.log());
            site.wait_until_as_before();
            assert_eq!(site.etcds(), etcds, "no etcd was started again");
            assert_never_interrupted(&writer.finish());
        });
    }

    #[test]
    fn all_machines_come_back_in_any_order_with_the_server_before_or_after_them() {
        with_each(Version::sample(), |version| {
            let mut server = Server::start();
            let mut site = Site::new(version, &server);
            // The last number is the spare.
            for (order, first) in [([2, 3, 0, 1], "server"), ([3, 1, 0, 2], "nodes"), ([0, 1, 2, 3], "some nodes")] {
                let crashed = server.crash();
                site.cut_power();
                let mut off = Some(crashed);
                let mut on: Option<Server> = None;
                for (turn, number) in order.into_iter().enumerate() {
                    if (first, turn) == ("server", 0) || (first, turn) == ("some nodes", 2) {
                        on = off.take().map(Crashed::restart);
                    }
                    let agent = if number == 3 { &mut site.spare } else { &mut site.agents[number] };
                    agent.run(&[]);
                    // The next machine is switched on while this one starts.
                    wait_for(LIMIT, || agent.status()).expect("the agent runs");
                }
                if let Some(off) = off {
                    // The nodes find their quorum without the server.
                    wait_until_whole(version, &site.agents.iter().collect::<Vec<_>>());
                    on = Some(off.restart());
                }
                server = on.expect("the server is on");
                site.wait_for_registry();
                site.wait_until_as_before();
            }
        });
    }

    #[test]
    fn agents_are_killed_and_upgraded_under_running_etcds() {
        with_each(Version::sample(), |version| {
            let server = Server::start();
            let mut site = Site::new(version, &server);
            let (etcds, leads, writer) = (site.etcds(), leader(&site.agents), site.writer());

            // One after another, and then all at once, for longer than after which a silent member is dead.
            for agent in &mut site.agents {
                agent.kill_agent();
                agent.run(&["--adopt"]);
                agent.wait_for_state("voter");
            }
            site.agents.iter_mut().for_each(Agent::kill_agent);
            let replaced = wait_for(OUTAGE / 2, || {
                let ended = etcds.iter().any(|etcd| !is_running(*etcd));
                (ended || site.spare.log().contains("remove_member")).then_some(())
            });
            assert_eq!(replaced, None, "{}", site.spare.log());
            site.agents.iter_mut().for_each(|agent| agent.run(&["--adopt"]));
            site.wait_until_as_before();
            assert_eq!((site.etcds(), leader(&site.agents)), (etcds, leads));
            assert_never_interrupted(&writer.finish());

            // What the last agents were told to stop is stopped in order.
            for agent in &mut site.agents {
                assert_eq!(agent.stop(), Some(0), "{}", agent.log());
                agent.run(&["--adopt"]);
                agent.wait_for_state("voter");
            }
            site.wait_until_as_before();
        });
    }
}
