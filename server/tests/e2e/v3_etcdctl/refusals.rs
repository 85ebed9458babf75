use tempfile::TempDir;

use super::operator::{every_operator, keys_of, member_key, size_key};

#[test]
fn an_invalid_size_is_refused_with_the_valid_range() {
    every_operator(|_, operator| {
        for size in ["abc", "0", "32", "1000000", "3.0", ""] {
            operator.is_refused(&["put", &size_key("prod"), size], "size: must be a whole number from 1 to 31");
        }
        assert_eq!(operator.run(&["get", &size_key("prod")]), "");
    });
}

#[test]
fn an_invalid_registration_is_refused() {
    every_operator(|_, operator| {
        operator.put(&size_key("prod"), "3");
        for value in ["", "hello", "a=", "a=http://10.0.0.1", "a=http://10.0.0.1:2380,b=http://10.0.0.2:2380"] {
            operator.is_refused(&["put", &member_key("prod", "5e3c"), value], "value: ");
        }
        assert_eq!(operator.get_prefix(&keys_of("prod")), [(size_key("prod"), "3".to_owned())]);
    });
}

#[test]
fn a_duplicate_name_or_url_is_refused_with_its_holder() {
    every_operator(|_, operator| {
        operator.put(&size_key("prod"), "3");
        operator.put(&member_key("prod", "5e3c"), "infra0=http://10.0.0.1:2380");
        for (value, cause) in [
            ("infra0=http://10.0.0.2:2380", "name infra0 is already taken by member 5e3c"),
            ("infra1=http://10.0.0.1:2380", "peer URL http://10.0.0.1:2380 is already taken by member 5e3c (infra0)"),
        ] {
            operator.is_refused(&["put", &member_key("prod", "6a01"), value], cause);
        }
        // An etcd with the same peer URL has the same key.
        let shared = ["put", &member_key("prod", "5e3c"), "infra1=http://10.0.0.1:2380"];
        operator
            .is_refused(&shared, "peer URL http://10.0.0.1:2380 is already taken by member 5e3c (infra0); give each");
        operator.put(&member_key("prod", "5e3c"), "infra0=http://10.0.0.1:2380");
    });
}

#[test]
fn a_registration_without_a_size_is_refused() {
    every_operator(|_, operator| {
        let put = ["put", &member_key("prod", "5e3c"), "infra0=http://10.0.0.1:2380"];
        operator.is_refused(&put, "create the cluster on this server first, for example with etcdctl put /_etcd/registry/TOKEN/_config/size 3");
        assert_eq!(operator.run(&["get", "--prefix", &keys_of("prod")]), "");
    });
}

#[test]
fn the_size_is_fixed_once_a_member_has_registered() {
    every_operator(|_, operator| {
        operator.put(&size_key("prod"), "3");
        operator.put(&size_key("prod"), "5");
        operator.put(&member_key("prod", "5e3c"), "infra0=http://10.0.0.1:2380");
        operator.is_refused(&["put", &size_key("prod"), "3"], "the size has been fixed at 5");
        assert_eq!(operator.value(&size_key("prod")), "5");
    });
}

#[test]
fn a_surplus_node_does_not_get_the_place_of_a_deleted_key() {
    every_operator(|_, operator| {
        operator.put(&size_key("prod"), "1");
        operator.put(&member_key("prod", "5e3c"), "infra0=http://10.0.0.1:2380");
        operator.put(&member_key("prod", "6a01"), "infra1=http://10.0.0.2:2380");
        operator.run(&["del", &member_key("prod", "5e3c")]);
        for value in ["infra1=http://10.0.0.2:2380", "infra9=http://10.0.0.2:2380"] {
            operator.is_refused(
                &["put", &member_key("prod", "6a01"), value],
                "all places of this cluster have been registered",
            );
        }
    });
}

#[test]
fn a_counted_member_cannot_register_under_another_key() {
    every_operator(|_, operator| {
        operator.put(&size_key("prod"), "3");
        operator.put(&member_key("prod", "5e3c"), "infra0=http://10.0.0.1:2380");
        operator.run(&["del", &member_key("prod", "5e3c")]);
        let other = ["put", &member_key("prod", "6a01"), "infra0=http://10.0.0.9:2380"];
        operator.is_refused(&other, "removed member 5e3c had this name");
        operator.put(&member_key("prod", "5e3c"), "infra0=http://10.0.0.1:2380");
    });
}

#[test]
fn keys_outside_the_registry_are_refused() {
    every_operator(|_, operator| {
        for arguments in [
            &["put", "foo", "bar"][..],
            &["put", "/_etcd/registry/prod", "3"],
            &["put", "/_etcd/registry/prod/something", "3"],
            &["get", "foo"],
            &["get", "--prefix", ""],
            &["get", "--prefix", "/_etcd/registry"],
            &["get", "--prefix", "/_etcd/registry/"],
            &["get", "--from-key", "/_etcd/registry/prod"],
            &["del", "foo"],
            &["del", "--prefix", "/_etcd/registry"],
        ] {
            operator.is_refused(arguments, "Convene");
        }
    });
}

#[test]
fn requests_that_only_an_etcd_can_serve_are_refused() {
    every_operator(|_, operator| {
        let dir = TempDir::new().unwrap();
        let snapshot = dir.path().join("snapshot");
        for arguments in [
            &["lease", "grant", "60"][..],
            &["compaction", "1"],
            &["snapshot", "save", snapshot.to_str().unwrap()],
            &["defrag"],
            &["member", "add", "infra1", "--peer-urls", "http://10.0.0.2:2380"],
            &["user", "list"],
            &["auth", "enable"],
        ] {
            operator.is_refused(arguments, "Convene");
        }
        assert!(!snapshot.exists());
    });
}
