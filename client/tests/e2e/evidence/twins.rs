//! Two machines with the same name and peer URL, and without data, as two copies of one template.

use convene_harness::{Place, etcd::Version};

use crate::node::{LIMIT, Node, Registry, form, wait_until_healthy, with_each};

/// Nothing shows of the first machine between the end of `convene join` and the start of its etcd.
#[test]
fn only_one_of_two_machines_with_one_configuration_joins() {
    with_each(Version::oldest_and_newest(), |version| {
        let registry = Registry::new(3);
        let mut nodes = form(version, &registry, 3);
        registry.administer(&["cluster", "resize", "4"]);
        let mut first = Node::new(version, &registry, "infra3");
        let mut joining = first.spawn_join(&[]);
        assert_eq!(joining.wait_for_exit(LIMIT), Some(0), "{}", joining.output());

        let twin = Node::at(Place::new().at_address_of(&first.place), version, &registry, "infra3");
        let mut twin_joining = twin.spawn_join(&[]);
        twin_joining.wait_for_stderr("was instructed to join as member infra3", LIMIT);
        first.start_with_result(&mut joining);
        first.promote();
        nodes.push(first);
        wait_until_healthy(&nodes);
        assert_ne!(twin_joining.wait_for_exit(LIMIT), Some(0), "the twin joins: {}", twin_joining.output());
        twin_joining.wait_for_stderr("name_taken", LIMIT);
    });
}
