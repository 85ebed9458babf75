//! `convene join` is killed in the middle of its work. The next run, on the same machine or on another, completes it.

use std::sync::Arc;

use convene_harness::{Place, etcd::Version};

use crate::node::{LIMIT, Node, Registry, form, join_together, wait_until_healthy, with_each};

/// The log lines of `convene join` for each step of the replacement of a dead member.
const STEPS: [&str; 4] = ["wait (", "removing member", "adding this node", "join (added)"];

#[test]
fn killed_at_any_step_of_a_replacement_the_same_node_completes_it() {
    with_each_step(|version, step| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        nodes[1].kill();
        let mut newcomer = Node::new(version, &registry, "infra3");
        newcomer.spawn_join(&[]).kill_at(step, LIMIT);

        newcomer.join_and_promote();
        nodes[1] = newcomer;
        wait_until_healthy(&nodes);
    });
}

#[test]
fn killed_while_the_learner_catches_up_the_next_joining_node_promotes_it() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(1);
        let mut nodes = form(version, &registry, 1);
        registry.administer(&["cluster", "resize", "3"]);
        // It starts as a learner, and `convene promote` never runs for it.
        let mut second = Node::new(version, &registry, "infra1");
        second.join(&[]);
        let mut third = Node::new(version, &registry, "infra2");
        third.join_and_promote();
        nodes.extend([second, third]);
        wait_until_healthy(&nodes);
    });
}

#[test]
fn killed_while_the_cluster_forms_the_same_node_or_another_takes_the_place() {
    with_each(Version::oldest_and_newest(), |version| {
        for name in ["infra2", "infra3"] {
            let registry = Registry::new(3);
            let gone = Node::new(version, &registry, "infra2");
            gone.spawn_join(&[]).kill_at("wait (forming)", LIMIT);
            let third = if name == gone.name { gone } else { Node::new(version, &registry, name) };
            let mut nodes = vec![third];
            nodes.extend(["infra0", "infra1"].map(|name| Node::new(version, &registry, name)));
            join_together(&mut nodes);
            wait_until_healthy(&nodes);
        }
    });
}

#[test]
fn killed_after_the_bootstrap_instruction_the_same_node_or_another_takes_the_place() {
    with_each(Version::oldest_and_newest(), |version| {
        for name in ["infra2", "infra3"] {
            let registry = Registry::new(3);
            let mut nodes: Vec<Node> =
                (0..3).map(|number| Node::new(version, &registry, &format!("infra{number}"))).collect();
            let mut joining: Vec<_> = nodes.iter().map(|node| node.spawn_join(&[])).collect();
            joining[2].kill_at("bootstrap (roster_complete)", LIMIT);
            for (node, joining) in nodes.iter_mut().zip(&mut joining).take(2) {
                node.start_with_result(joining);
            }

            let lost = nodes.pop().unwrap();
            let mut back = if name == lost.name { lost } else { Node::new(version, &registry, name) };
            back.join_and_promote();
            nodes.push(back);
            wait_until_healthy(&nodes);
        }
    });
}

#[test]
fn killed_after_the_bootstrap_instruction_all_nodes_form_the_cluster_again() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut nodes: Vec<Node> =
            (0..3).map(|number| Node::new(version, &registry, &format!("infra{number}"))).collect();
        let mut joining: Vec<_> = nodes.iter().map(|node| node.spawn_join(&[])).collect();
        for joining in &mut joining {
            joining.kill_at("bootstrap (roster_complete)", LIMIT);
        }
        join_together(&mut nodes);
        wait_until_healthy(&nodes);
    });
}

#[test]
fn killed_after_archiving_stale_data_the_same_node_joins() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        let id = nodes[2].member_id();
        nodes[2].kill();
        nodes[0].remove_by_hand(&id);
        nodes[2].spawn_join(&[]).kill_at("archive_data", LIMIT);
        nodes[2].join_and_promote();
        wait_until_healthy(&nodes);
    });
}

#[test]
fn killed_while_its_peer_urls_are_updated_the_same_node_restarts() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        let before = nodes[2].member_id();
        nodes[2].kill();
        nodes[2].place = Arc::new(Place::moved(&nodes[2].place));
        nodes[2].spawn_join(&[]).kill_at("update_member", LIMIT);
        nodes[2].join_and_promote();
        wait_until_healthy(&nodes);
        assert_eq!(nodes[2].member_id(), before);
    });
}

/// Runs a test for every step at the same time, with the oldest and the newest etcd.
fn with_each_step(test: impl Fn(&Version, &str) + Sync) {
    with_each(Version::oldest_and_newest(), |version| {
        std::thread::scope(|scope| {
            for step in STEPS {
                let test = &test;
                let thread = std::thread::Builder::new().name(format!("etcd {}, killed at {step:?}", version.name));
                thread.spawn_scoped(scope, move || test(version, step)).expect("a thread can be started");
            }
        });
    });
}

/// As long as the story in which the same node comes back.
mod large {
    use super::*;

    #[test]
    fn killed_at_any_step_of_a_replacement_another_node_completes_it() {
        with_each_step(|version, step| {
            let registry = Registry::new(3);
            let mut nodes = form(version, &registry, 3);
            nodes[1].kill();
            Node::new(version, &registry, "infra3").spawn_join(&[]).kill_at(step, LIMIT);

            let mut another = Node::new(version, &registry, "infra4");
            another.join_and_promote();
            nodes[1] = another;
            wait_until_healthy(&nodes);
        });
    }
}
