//! The registry has lost the cluster, and with it the credentials of the nodes.

use std::fs;

use convene_harness::{etcd::Version, wait_for};
use reqwest::Method;
use serde_json::json;

use super::agent::{Agent, archives, signal, wait_until_whole};
use crate::{
    admission::Admitting,
    node::{LIMIT, with_each},
};

mod large {
    use super::*;

    #[test]
    fn nodes_without_data_found_no_second_cluster_beside_members_that_the_registry_refuses() {
        with_each(Version::oldest_and_newest(), |version| {
            let admitting = Admitting::start(json!({ "size": 3 }));
            let registry = admitting.registry();
            let file = admitting.join_token("members", json!({ "uses": 3 }));
            let start = |name: &str, file: &str| {
                let mut agent = Agent::new(version, &registry, name);
                agent.run(&[&format!("--join-token-file={file}")]);
                agent
            };
            let mut members = ["infra0", "infra1", "infra2"].map(|name| start(name, file.to_str().unwrap()));
            wait_until_whole(version, &members.each_ref());
            fs::remove_file(&file).unwrap();

            admitting.lose_registry(json!({ "size": 3 }));
            members[0].wait_for_log("wait (not_admitted)");
            let others = admitting.join_token("others", json!({ "uses": 3 }));
            let others = ["infra3", "infra4", "infra5"].map(|name| start(name, others.to_str().unwrap()));
            for other in &others {
                other.wait_for_log("wait (held)");
            }

            // The members get join tokens, as the message says.
            admitting.join_token("members", json!({ "uses": 3 }));
            for member in &mut members {
                signal(member.process().id(), "HUP");
            }
            let cluster = || admitting.administer(Method::GET, "", json!({}));
            wait_for(LIMIT, || (cluster()["phase"] == "bootstrapped").then_some(()))
                .expect("the members show the cluster");
            wait_until_whole(version, &members.each_ref());
            for other in &others {
                other.wait_for_state("spare");
            }
            assert_eq!(members.iter().map(archives).sum::<usize>(), 0);
        });
    }
}
