use super::operator::{every_operator, keys_of, member_key, size_key};
use crate::test_cluster::TestCluster;

const VALUE: &str = "infra0=http://10.0.0.1:2380";

#[test]
fn a_put_key_can_be_read() {
    every_operator(|_, operator| {
        let (size, member) = (size_key("prod"), member_key("prod", "5e3c"));
        operator.put(&size, "3");
        operator.put(&member, VALUE);
        assert_eq!(operator.value(&size), "3");
        assert_eq!(operator.run(&["get", &size, "--print-value-only"]), "3\n");

        let both = [(size.clone(), "3".to_owned()), (member.clone(), VALUE.to_owned())];
        assert_eq!(operator.get_prefix(&keys_of("prod")), both);
        assert_eq!(operator.get_prefix(&format!("{}/", keys_of("prod"))), both);
        assert_eq!(operator.get_prefix(&format!("{}/members", keys_of("prod"))), both[1..]);
        let descending = operator.run(&["get", "--prefix", &keys_of("prod"), "--order", "DESCEND", "--limit", "1"]);
        assert_eq!(descending, format!("{member}\n{VALUE}\n"));
        assert_eq!(
            operator.run(&["get", "--prefix", &keys_of("prod"), "--keys-only"]),
            format!("{size}\n\n{member}\n\n")
        );
        if !operator.is_older_than_3_5() {
            let counted = operator.run(&["get", "--prefix", &keys_of("prod"), "--count-only", "-w", "fields"]);
            assert!(counted.contains("\"Count\" : 2\n") && !counted.contains("\"Key\""), "{counted}");
        }
    });
}

#[test]
fn a_key_that_was_never_put_is_not_found() {
    every_operator(|_, operator| {
        assert_eq!(operator.run(&["get", &size_key("nobodys")]), "");
        assert_eq!(operator.run(&["get", "--prefix", &keys_of("nobodys")]), "");
        operator.put(&size_key("prod"), "3");
        assert_eq!(operator.run(&["get", &member_key("prod", "5e3c")]), "");
        assert_eq!(operator.run(&["del", &member_key("prod", "5e3c")]), "0\n");
    });
}

#[test]
fn each_put_is_counted() {
    every_operator(|_, operator| {
        let size = size_key("prod");
        operator.put(&size, "3");
        let first = operator.entry(&size);
        assert_eq!((first.modified, first.version, first.revision), (first.created, 1, first.created));

        assert_eq!(operator.run(&["put", "--prev-kv", &size, "5"]), format!("OK\n{size}\n3\n"));
        let second = operator.entry(&size);
        assert_eq!((second.created, second.version), (first.created, 2));
        assert!(second.modified > first.modified && second.revision == second.modified, "{first:?}, {second:?}");

        let member = member_key("prod", "5e3c");
        operator.put(&member, VALUE);
        let member = operator.entry(&member);
        assert!(member.created > second.modified, "{second:?}, {member:?}");
        // Another key's put leaves its own revisions as they are.
        let size = operator.entry(&size);
        assert_eq!((size.created, size.modified, size.version), (second.created, second.modified, 2));
        assert_eq!(size.revision, member.revision);
    });
}

#[test]
fn a_deleted_member_can_register_again() {
    every_operator(|_, operator| {
        let (size, member) = (size_key("prod"), member_key("prod", "5e3c"));
        operator.put(&size, "3");
        operator.put(&member, VALUE);
        let before = operator.entry(&member);
        // As an etcd does whose first try was not answered.
        operator.put(&member, VALUE);
        assert_eq!(operator.entry(&member).created, before.created);

        assert_eq!(operator.run(&["del", &member, "--prev-kv"]), format!("1\n{member}\n{VALUE}\n"));
        assert_eq!(operator.run(&["get", &member]), "");
        operator.put(&member, VALUE);
        let after = operator.entry(&member);
        assert_eq!(after.version, 1);
        assert!(after.created > before.modified, "{before:?}, {after:?}");
    });
}

#[test]
fn earlier_revisions_are_readable() {
    every_operator(|_, operator| {
        let (size, member) = (size_key("prod"), member_key("prod", "5e3c"));
        operator.put(&size, "3");
        let small = operator.entry(&size).revision.to_string();
        operator.put(&size, "5");
        operator.put(&member, VALUE);
        let full = operator.entry(&member).revision.to_string();
        operator.run(&["del", &member]);

        assert_eq!(operator.run(&["get", &size, "--rev", &small]), format!("{size}\n3\n"));
        assert_eq!(operator.run(&["get", &member, "--rev", &small]), "");
        let all = operator.run(&["get", "--prefix", &keys_of("prod"), "--rev", &full]);
        assert_eq!(all, format!("{size}\n5\n{member}\n{VALUE}\n"));
        operator.is_refused(&["get", &size, "--rev", "1000000"], "required revision is a future revision");
    });
}

#[test]
fn a_size_is_put_only_if_there_is_none() {
    every_operator(|_, operator| {
        let size = size_key("prod");
        let unless_there = |value: &str| format!("create(\"{size}\") = \"0\"\n\nput {size} {value}\n\nget {size}\n\n");
        assert_eq!(operator.transact(&unless_there("3")), "SUCCESS\n\nOK\n");
        assert_eq!(operator.transact(&unless_there("5")), format!("FAILURE\n\n{size}\n3\n"));
        assert_eq!(operator.value(&size), "3");
    });
}

#[test]
fn a_cluster_is_deleted_with_all_its_keys() {
    every_operator(|server, operator| {
        let cluster = TestCluster::of(server, "prod");
        operator.put(&size_key("prod"), "3");
        operator.put(&member_key("prod", "5e3c"), VALUE);
        // A neighbour whose token begins the same.
        operator.put(&size_key("prod2"), "5");
        assert_eq!(cluster.statuses(), [200, 200]);

        assert_eq!(operator.run(&["del", "--prefix", &format!("{}/", keys_of("prod"))]), "2\n");
        assert_eq!(cluster.statuses(), [404, 404]);
        assert_eq!(operator.run(&["get", "--prefix", &format!("{}/", keys_of("prod"))]), "");
        assert_eq!(operator.run(&["get", &size_key("prod")]), "");
        assert_eq!(operator.value(&size_key("prod2")), "5");
    });
}
