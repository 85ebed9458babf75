//! Nodes with `convene join` and nodes with `convene run` are members of one cluster.

use convene_harness::{Access, etcd::Version, writer::Writer};

use super::agent::{Agent, form, member_ids, wait_until_whole};
use crate::{
    node::{LIMIT, Node, Registry, with_each},
    replacement::assert_never_interrupted,
};

mod large {
    use super::*;

    /// Node by node from `convene run` to `convene join`, and back.
    #[test]
    fn nodes_change_from_run_to_join_and_back_without_a_change_of_the_membership() {
        with_each(Version::sample(), |version| {
            let registry = Registry::new(3);
            let mut agents = form(version, &registry, &["infra0", "infra1", "infra2"]);
            let members = member_ids(&registry);
            let writer = writer(&agents);
            let mut nodes = Vec::new();
            for agent in &mut agents {
                assert_eq!(agent.stop(), Some(0));
                let mut node = Node::at(agent.place.clone(), version, &registry, &agent.name);
                node.join_and_promote();
                nodes.push(node);
            }
            crate::node::wait_until_healthy(&nodes);
            assert_eq!(member_ids(&registry), members);
            for (agent, node) in agents.iter_mut().zip(&mut nodes) {
                node.kill();
                agent.run(&[]);
                agent.wait_for_state("voter");
            }
            wait_until_whole(version, &agents.iter().collect::<Vec<_>>());
            assert_eq!(member_ids(&registry), members);
            assert_never_interrupted(&writer.finish());
        });
    }

    /// Each is the other's spare.
    #[test]
    fn a_node_with_join_replaces_one_with_run_and_the_other_way_round() {
        with_each(Version::sample(), |version| {
            let registry = Registry::new(3);
            let mut agents = form(version, &registry, &["infra0", "infra1", "infra2"]);
            let mut joined = Node::new(version, &registry, "infra3");
            let mut joining = joined.spawn_join(&[]);
            joining.wait_for_stderr("stand_by (full)", LIMIT);
            agents.pop().unwrap().cut_power();
            joined.start_with_result(&mut joining);
            joined.promote();

            let spare = Agent::start(version, &registry, "infra4");
            spare.wait_for_state("spare");
            joined.kill();
            agents.push(spare);
            wait_until_whole(version, &agents.iter().collect::<Vec<_>>());
        });
    }
}

fn writer(agents: &[Agent]) -> Writer {
    let endpoints: Vec<&str> = agents.iter().map(|agent| agent.place.client_url.as_str()).collect();
    let writer = Writer::start(&Access::default(), &endpoints);
    writer.wait_for_writes(10, LIMIT);
    writer
}
