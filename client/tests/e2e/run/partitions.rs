//! Cuts between the machines of agents. A member is replaced only if the voters' side, a spare and the registry all hear nothing
//! of it.

use std::{sync::Arc, time::Duration};

use convene_harness::{
    Access, Place,
    cluster::{Member, member_list},
    etcd::Version,
    network::{Host, Network},
    wait_for,
    writer::Writer,
};

use super::agent::{Agent, is_running, leader, signal, wait_until_whole};
use crate::node::{LIMIT, Registry, with_each};

/// How long a cut lasts that must change nothing: four times as long as a member must be silent to count as dead.
const CUT: Duration = Duration::from_secs(20);

/// Each story takes at least one cut that is longer than a member may be silent.
mod large {
    use super::*;

    #[test]
    fn a_leader_that_is_cut_off_from_all_is_replaced_and_becomes_a_spare() {
        with_each(Version::oldest_and_newest(), |version| {
            let Some(cluster) = Cluster::form(version, 3, 1) else { return };
            let writer = cluster.write();
            let isolated = leader(&cluster.agents);
            let etcd = cluster.agents[isolated].etcd();
            let cut = cluster.cut_off(&[isolated]);
            wait_until_whole(version, &cluster.all_but(&[isolated]));
            assert!(is_running(etcd), "nobody's word ends an etcd that runs");

            cut.mend();
            cluster.agents[isolated].wait_for_state("spare");
            cluster.agents[isolated].wait_for_log("archive_data (removed_member)");
            wait_until_whole(version, &cluster.all_but(&[isolated]));
            expect_nothing_lost(writer);
        });
    }

    #[test]
    fn a_member_that_is_cut_off_from_all_stays_if_nobody_can_take_its_place() {
        with_each(Version::oldest_and_newest(), |version| {
            let Some(cluster) = Cluster::form(version, 3, 0) else { return };
            let writer = cluster.write();
            for place in [0, 1] {
                let isolated = cluster.places_after_leader(place);
                let cut = cluster.cut_off(&[isolated]);
                cluster.expect_no_change(CUT, (isolated + 1) % 3);
                cut.mend();
                cluster.expect_all_as_before();
            }
            expect_nothing_lost(writer);
        });
    }

    #[test]
    fn a_leader_that_is_cut_off_from_the_registry_stays() {
        with_each(Version::oldest_and_newest(), |version| {
            let Some(cluster) = Cluster::form(version, 3, 1) else { return };
            let writer = cluster.write();
            let leader = leader(&cluster.agents);
            let cut = cluster.cut_off_from_registry(&[leader]);
            cluster.expect_no_change(CUT, leader);
            let agent = &cluster.agents[leader];
            assert!(!agent.status().unwrap()["registry"]["error"].is_null(), "the cut works");
            assert_eq!(agent.get("/readyz").unwrap().0, 200);
            cut.mend();
            cluster.expect_all_as_before();
            expect_nothing_lost(writer);
        });
    }

    #[test]
    fn a_registry_that_nobody_reaches_changes_nothing() {
        with_each(Version::oldest_and_newest(), |version| {
            let Some(cluster) = Cluster::form(version, 3, 1) else { return };
            let writer = cluster.write();
            let cuts = [3, 2, 1, 0].map(|number| cluster.cut_off_from_registry(&[number]));
            cluster.expect_no_change(CUT, 0);
            // They come back one after another, the spare first. Who is last is as alive as who is first.
            for cut in cuts {
                cut.mend();
                cluster.expect_no_change(CUT / 2, 0);
            }
            cluster.expect_all_as_before();
            expect_nothing_lost(writer);
        });
    }

    /// An agent reports that its etcd answers, whoever does not reach it.
    #[test]
    fn members_of_which_one_does_not_reach_the_other_stay() {
        with_each(Version::oldest_and_newest(), |version| {
            let Some(cluster) = Cluster::form(version, 3, 1) else { return };
            let writer = cluster.write();
            for (from, to, third) in [(0, 1, 2), (1, 0, 2), (1, 2, 0)] {
                let [from, to, third] = [from, to, third].map(|place| cluster.places_after_leader(place));
                let (from, to) = (&cluster.hosts()[from], &cluster.hosts()[to]);
                from.cut_to(&to.address);
                assert!(!from.connects_to(&peer_port(to)), "the cut works");
                cluster.expect_no_change(CUT, third);
                from.mend_to(&to.address);
                cluster.expect_all_as_before();
            }
            expect_nothing_lost(writer);
        });
    }

    /// As behind a firewall that lacks a rule: the member reaches all others, and nobody can connect to it.
    #[test]
    fn a_member_to_which_nobody_can_connect_stays() {
        with_each(Version::oldest_and_newest(), |version| {
            let Some(cluster) = Cluster::form(version, 3, 1) else { return };
            let writer = cluster.write();
            let follower = cluster.places_after_leader(1);
            let host = &cluster.hosts()[follower];
            for other in (0..4).filter(|other| *other != follower) {
                let other = &cluster.hosts()[other];
                let Some(()) = host.deny_connections_from(&other.address) else { return };
                assert!(!other.connects_to(&peer_port(host)), "the rule works");
            }
            assert!(host.connects_to(&peer_port(&cluster.hosts()[cluster.places_after_leader(0)])));
            // What is connected stays connected, so it starts anew.
            let agent = &cluster.agents[follower];
            signal(agent.etcd(), "KILL");
            agent.wait_for_log("etcd ended by signal 9");
            agent.wait_for_state("voter");
            cluster.expect_no_change(CUT, follower);
            // It has a quorum by the connections that it has opened itself.
            let status = agent.status().unwrap();
            assert!(!status["etcd"]["leader"].is_null(), "{status}");
            expect_nothing_lost(writer);
        });
    }

    #[test]
    fn a_spare_that_does_not_reach_the_leader_removes_nobody_and_keeps_no_place_from_another_spare() {
        with_each(Version::oldest_and_newest(), |version| {
            let Some(mut cluster) = Cluster::form(version, 3, 2) else { return };
            let writer = cluster.write();
            let [leader, dead, third] = [0, 1, 2].map(|place| cluster.places_after_leader(place));
            let (cut_off, free) = (3, 4);
            let cut = Cut::make(vec![(cluster.hosts()[cut_off].clone(), cluster.hosts()[leader].clone())]);
            cluster.expect_no_change(CUT, leader);

            cluster.agents[dead].cut_power();
            cluster.agents[dead].place.lose_disk();
            wait_until_whole(version, &cluster.all(&[leader, third, free]));
            cut.mend();
            cluster.agents[dead].run(&[]);
            for spare in [dead, cut_off] {
                cluster.agents[spare].wait_for_state("spare");
            }
            wait_until_whole(version, &cluster.all(&[leader, third, free]));
            expect_nothing_lost(writer);
        });
    }

    #[test]
    fn a_minority_with_the_registry_and_a_spare_removes_nobody() {
        with_each(Version::oldest_and_newest(), |version| {
            let Some(cluster) = Cluster::form(version, 5, 1) else { return };
            let writer = cluster.write();
            // The registry comes after the nodes.
            let (spare, registry) = (5, 6);
            let minority = [0, 1].map(|place| cluster.places_after_leader(place));
            let cut = cluster.cut_off(&[minority[0], minority[1], spare, registry]);
            cluster.expect_no_change(CUT, (0..5).find(|number| !minority.contains(number)).unwrap());
            cut.mend();
            cluster.expect_all_as_before();
            expect_nothing_lost(writer);
        });
    }

    #[test]
    fn a_minority_without_the_registry_is_replaced_and_becomes_spares() {
        with_each(Version::oldest_and_newest(), |version| {
            let Some(cluster) = Cluster::form(version, 5, 2) else { return };
            let writer = cluster.write();
            let minority = [0, 1].map(|place| cluster.places_after_leader(place));
            let cut = cluster.cut_off(&minority);
            wait_until_whole(version, &cluster.all_but(&minority));
            cut.mend();
            for number in minority {
                cluster.agents[number].wait_for_state("spare");
            }
            wait_until_whole(version, &cluster.all_but(&minority));
            expect_nothing_lost(writer);
        });
    }
}

/// A cluster of agents, each on a machine of its own. The registry is on the last machine, and the test is on none.
struct Cluster {
    version: Version,
    /// First the members, then the spares.
    agents: Vec<Agent>,
    /// The members when the cluster had formed, and their etcds.
    before: Vec<Member>,
    etcds: Vec<u32>,
    // Dropped after the agents.
    _registry: Registry,
    network: Network,
}

impl Cluster {
    fn form(version: &Version, members: usize, spares: usize) -> Option<Self> {
        let network = Network::new(members + spares + 1)?;
        let (of_registry, hosts) = network.hosts.split_last().expect("there is a machine for the registry");
        let registry = Registry::on_host(of_registry, members);
        let new_agent = |number: usize| {
            let mut agent = Agent::at(Place::on_host(&hosts[number]), version, &registry, &format!("infra{number}"));
            agent.run(&[]);
            agent
        };
        let mut agents: Vec<Agent> = (0..members).map(new_agent).collect();
        let before = wait_until_whole(version, &agents.iter().collect::<Vec<_>>());
        let etcds = agents.iter().map(Agent::etcd).collect();
        agents.extend((members..members + spares).map(new_agent));
        agents[members..].iter().for_each(|spare| drop(spare.wait_for_state("spare")));
        Some(Self { version: version.clone(), agents, before, etcds, _registry: registry, network })
    }

    /// The machines: those of the agents, and the registry's.
    fn hosts(&self) -> &[Arc<Host>] {
        &self.network.hosts
    }

    /// The number of the member that is so many places after the leader.
    fn places_after_leader(&self, place: usize) -> usize {
        let members = self.before.len();
        (leader(&self.agents[..members]) + place) % members
    }

    fn all(&self, numbers: &[usize]) -> Vec<&Agent> {
        numbers.iter().map(|number| &self.agents[*number]).collect()
    }

    fn all_but(&self, numbers: &[usize]) -> Vec<&Agent> {
        let others = (0..self.agents.len()).filter(|number| !numbers.contains(number));
        others.map(|number| &self.agents[number]).collect()
    }

    /// Writes through the nodes all the time.
    fn write(&self) -> Writer {
        let endpoints: Vec<&str> = self.agents.iter().map(|agent| agent.place.client_url.as_str()).collect();
        Writer::start(&Access::default(), &endpoints)
    }

    /// Cuts these machines off from all others, and not from each other.
    fn cut_off(&self, numbers: &[usize]) -> Cut {
        let others = (0..self.hosts().len()).filter(|number| !numbers.contains(number));
        Cut::make(
            others
                .flat_map(|other| numbers.iter().map(move |number| (*number, other)))
                .map(|(number, other)| (self.hosts()[number].clone(), self.hosts()[other].clone()))
                .collect(),
        )
    }

    /// Cuts these machines off from the registry.
    fn cut_off_from_registry(&self, numbers: &[usize]) -> Cut {
        let registry = self.hosts().last().expect("the registry has a machine");
        Cut::make(numbers.iter().map(|number| (self.hosts()[*number].clone(), registry.clone())).collect())
    }

    /// Expects that etcd lists the same members for a while, to one that reaches a quorum.
    fn expect_no_change(&self, time: Duration, witness: usize) {
        let endpoint = &self.agents[witness].place.client_url;
        let list = || member_list(&self.version, &Access::default(), endpoint).ok();
        let changed = wait_for(time, || list().filter(|listed| *listed != self.before));
        assert_eq!(changed, None, "before: {:?}", self.before);
        assert_eq!(wait_for(LIMIT, list), Some(self.before.clone()));
    }

    /// Waits until the members are healthy and the other nodes are spares, and expects that each is what it was.
    fn expect_all_as_before(&self) {
        let (members, spares) = self.agents.split_at(self.before.len());
        assert_eq!(wait_until_whole(&self.version, &members.iter().collect::<Vec<_>>()), self.before);
        assert_eq!(members.iter().map(Agent::etcd).collect::<Vec<_>>(), self.etcds);
        spares.iter().for_each(|spare| drop(spare.wait_for_state("spare")));
    }
}

/// Pairs of machines that are cut off from each other.
struct Cut(Vec<(Arc<Host>, Arc<Host>)>);

impl Cut {
    fn make(pairs: Vec<(Arc<Host>, Arc<Host>)>) -> Self {
        for (one, other) in &pairs {
            one.cut_to(&other.address);
            other.cut_to(&one.address);
        }
        Self(pairs)
    }

    fn mend(self) {
        for (one, other) in self.0 {
            one.mend_to(&other.address);
            other.mend_to(&one.address);
        }
    }
}

fn peer_port(host: &Host) -> String {
    format!("{}:2380", host.address)
}

fn expect_nothing_lost(writer: Writer) {
    let report = writer.finish();
    assert!(report.acknowledged > 0 && report.lost.is_empty(), "{report:?}");
}
