//! `convene join` is killed in the middle of what it does. Whoever runs it again, on the same machine or on another,
//! brings the cluster to its full strength.

use std::sync::Arc;

use convene_harness::{Place, etcd::Version};

use crate::node::{LIMIT, Node, Registry, form, join_together, wait_until_whole, with_each};

/// What `convene join` says at each of its steps when it replaces a dead member.
const STEPS: [&str; 4] = ["not_dead_yet", "removing member", "adding this node", "join (added)"];

#[test]
fn killed_at_any_step_of_a_replacement_the_same_node_goes_on() {
    with_each_step(|version, step| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        nodes[1].die();
        let mut newcomer = Node::new(version, &registry, "infra3");
        newcomer.spawn_join(&[]).kill_at(step, LIMIT);

        newcomer.get_in();
        nodes[1] = newcomer;
        wait_until_whole(&nodes);
    });
}

#[test]
fn killed_at_any_step_of_a_replacement_another_node_goes_on() {
    with_each_step(|version, step| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        nodes[1].die();
        Node::new(version, &registry, "infra3").spawn_join(&[]).kill_at(step, LIMIT);

        let mut another = Node::new(version, &registry, "infra4");
        another.get_in();
        nodes[1] = another;
        wait_until_whole(&nodes);
    });
}

#[test]
fn killed_while_the_learner_catches_up_the_next_newcomer_promotes_it() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(1);
        let mut nodes = form(version, &registry, 1);
        registry.administer(&["cluster", "resize", "3"]);
        // It starts as a learner, and nobody ever runs `convene promote` for it.
        let mut second = Node::new(version, &registry, "infra1");
        second.join(&[]);
        let mut third = Node::new(version, &registry, "infra2");
        third.get_in();
        nodes.extend([second, third]);
        wait_until_whole(&nodes);
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
            wait_until_whole(&nodes);
        }
    });
}

#[test]
fn killed_when_it_was_told_to_bootstrap_the_same_node_or_another_takes_the_place() {
    with_each(Version::oldest_and_newest(), |version| {
        for name in ["infra2", "infra3"] {
            let registry = Registry::new(3);
            let mut nodes: Vec<Node> =
                (0..3).map(|number| Node::new(version, &registry, &format!("infra{number}"))).collect();
            let mut joining: Vec<_> = nodes.iter().map(|node| node.spawn_join(&[])).collect();
            joining[2].kill_at("bootstrap (roster_complete)", LIMIT);
            for (node, joining) in nodes.iter_mut().zip(&mut joining).take(2) {
                node.start_when_told(joining);
            }

            let lost = nodes.pop().unwrap();
            let mut back = if name == lost.name { lost } else { Node::new(version, &registry, name) };
            back.get_in();
            nodes.push(back);
            wait_until_whole(&nodes);
        }
    });
}

#[test]
fn killed_all_of_them_when_they_were_told_to_bootstrap_they_begin_anew() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut nodes: Vec<Node> =
            (0..3).map(|number| Node::new(version, &registry, &format!("infra{number}"))).collect();
        let mut joining: Vec<_> = nodes.iter().map(|node| node.spawn_join(&[])).collect();
        for joining in &mut joining {
            joining.kill_at("bootstrap (roster_complete)", LIMIT);
        }
        join_together(&mut nodes);
        wait_until_whole(&nodes);
    });
}

#[test]
fn killed_when_it_set_stale_data_aside_the_same_node_goes_on() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        let id = nodes[2].member_id();
        nodes[2].die();
        nodes[0].remove_by_hand(&id);
        nodes[2].spawn_join(&[]).kill_at("archive_data", LIMIT);
        nodes[2].get_in();
        wait_until_whole(&nodes);
    });
}

#[test]
fn killed_while_it_follows_a_new_address_the_same_node_goes_on() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        let before = nodes[2].member_id();
        nodes[2].die();
        nodes[2].place = Arc::new(Place::moved(&nodes[2].place));
        nodes[2].spawn_join(&[]).kill_at("update_member", LIMIT);
        nodes[2].get_in();
        wait_until_whole(&nodes);
        assert_eq!(nodes[2].member_id(), before);
    });
}

/// Tells a story for every step, all at the same time, with an old and a new etcd.
fn with_each_step(story: impl Fn(&Version, &str) + Sync) {
    with_each(Version::oldest_and_newest(), |version| {
        std::thread::scope(|scope| {
            for step in STEPS {
                let story = &story;
                let telling = std::thread::Builder::new().name(format!("etcd {}, killed at {step:?}", version.name));
                telling.spawn_scoped(scope, move || story(version, step)).expect("a thread can be started");
            }
        });
    });
}
