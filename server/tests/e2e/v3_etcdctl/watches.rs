use convene_harness::wait_for;

use super::operator::{LIMIT, every_operator, every_operator_of_an_own_server, keys_of, member_key, size_key};
use crate::test_cluster::TestCluster;

#[test]
fn a_watch_receives_the_history_and_then_new_events() {
    every_operator(|_, operator| {
        operator.put(&size_key("prod"), "5");
        operator.put(&size_key("prod"), "3");
        operator.put(&member_key("prod", "5e3c"), "infra0=http://10.0.0.1:2380");
        let watch = operator.watch(&["--prefix", "--rev=1", &keys_of("prod")]);
        watch.wait_for_stdout("infra0=", LIMIT);

        operator.put(&member_key("prod", "6a01"), "infra1=http://10.0.0.2:2380");
        watch.wait_for_stdout("infra1=", LIMIT);
        operator.run(&["del", &member_key("prod", "5e3c")]);
        watch.wait_for_stdout("DELETE", LIMIT);
        // Nobody else's keys are among them.
        operator.put(&size_key("other"), "1");
        operator.put(&member_key("prod", "7b12"), "infra2=http://10.0.0.3:2380");
        watch.wait_for_stdout("infra2=", LIMIT);

        let (size, member) = (size_key("prod"), |id: &str| member_key("prod", id));
        assert_eq!(
            watch.stdout(),
            [
                format!("PUT\n{size}\n5\n"),
                format!("PUT\n{size}\n3\n"),
                format!("PUT\n{}\ninfra0=http://10.0.0.1:2380\n", member("5e3c")),
                format!("PUT\n{}\ninfra1=http://10.0.0.2:2380\n", member("6a01")),
                format!("DELETE\n{}\n\n", member("5e3c")),
                format!("PUT\n{}\ninfra2=http://10.0.0.3:2380\n", member("7b12")),
            ]
            .concat()
        );
    });
}

#[test]
fn a_watch_receives_changes_by_v1_and_v2() {
    every_operator(|server, operator| {
        let cluster = TestCluster::create(server, 5);
        let (size, member) = (size_key(cluster.token()), member_key(cluster.token(), "5e3c"));
        let watch = operator.watch(&["--prefix", "--rev=1", &keys_of(cluster.token())]);
        watch.wait_for_stdout(&size, LIMIT);
        cluster.resize(3);
        cluster.v2_register("5e3c", "infra0=http://10.0.0.1:2380");
        cluster.v2_remove("5e3c");
        watch.wait_for_stdout("DELETE", LIMIT);
        // The last of its lines comes after the one that was waited for.
        let expected =
            format!("PUT\n{size}\n5\nPUT\n{size}\n3\nPUT\n{member}\ninfra0=http://10.0.0.1:2380\nDELETE\n{member}\n\n");
        let complete = wait_for(LIMIT, || (watch.stdout().len() >= expected.len()).then_some(()));
        assert_eq!((watch.stdout(), complete), (expected, Some(())));
    });
}

#[test]
fn a_watch_starts_at_the_given_revision() {
    every_operator(|_, operator| {
        operator.put(&size_key("prod"), "3");
        operator.put(&member_key("prod", "5e3c"), "infra0=http://10.0.0.1:2380");
        let next = (operator.entry(&member_key("prod", "5e3c")).revision + 1).to_string();
        let members = format!("{}/members", keys_of("prod"));
        let watch = operator.watch(&["--prefix", "--rev", &next, &members]);
        let of_one = operator.watch(&["--rev", &next, &member_key("prod", "6a01")]);

        operator.put(&member_key("prod", "6a01"), "infra1=http://10.0.0.2:2380");
        for watch in [&watch, &of_one] {
            watch.wait_for_stdout("infra1=", LIMIT);
            let expected = format!("PUT\n{}\ninfra1=http://10.0.0.2:2380\n", member_key("prod", "6a01"));
            assert_eq!(watch.stdout(), expected);
        }
    });
}

#[test]
fn a_watch_returns_the_previous_value_on_request() {
    every_operator(|_, operator| {
        let (size, member) = (size_key("prod"), member_key("prod", "5e3c"));
        operator.put(&size, "5");
        operator.put(&size, "3");
        operator.put(&member, "infra0=http://10.0.0.1:2380");
        operator.run(&["del", &member]);
        let watch = operator.watch(&["--prefix", "--rev=1", "--prev-kv", &keys_of("prod")]);
        watch.wait_for_stdout("DELETE", LIMIT);
        operator.put(&member_key("prod", "6a01"), "infra1=http://10.0.0.2:2380");
        watch.wait_for_stdout("infra1=", LIMIT);
        assert_eq!(
            watch.stdout(),
            [
                format!("PUT\n{size}\n5\n"),
                format!("PUT\n{size}\n5\n{size}\n3\n"),
                format!("PUT\n{member}\ninfra0=http://10.0.0.1:2380\n"),
                format!("DELETE\n{member}\ninfra0=http://10.0.0.1:2380\n{member}\n\n"),
                format!("PUT\n{}\ninfra1=http://10.0.0.2:2380\n", member_key("prod", "6a01")),
            ]
            .concat()
        );
    });
}

#[test]
fn a_watch_can_request_progress() {
    every_operator(|_, operator| {
        if operator.is_older_than_3_5() {
            return;
        }
        operator.put(&size_key("prod"), "3");
        let watch = operator.watch(&["--prefix", "--rev=1", "--progress-notify", &keys_of("prod")]);
        watch.wait_for_stdout(&size_key("prod"), LIMIT);
        operator.put(&member_key("prod", "5e3c"), "infra0=http://10.0.0.1:2380");
        watch.wait_for_stdout("infra0=", LIMIT);
    });
}

#[test]
fn a_watch_continues_after_a_crash() {
    every_operator_of_an_own_server(|server, operator| {
        operator.put(&size_key("prod"), "3");
        operator.put(&member_key("prod", "5e3c"), "infra0=http://10.0.0.1:2380");
        let watch = operator.watch(&["--prefix", "--rev=1", &keys_of("prod")]);
        watch.wait_for_stdout("infra0=", LIMIT);

        let _server = server.crash().restart();
        operator.put(&member_key("prod", "6a01"), "infra1=http://10.0.0.2:2380");
        watch.wait_for_stdout("infra1=", LIMIT);
        operator.run(&["del", &member_key("prod", "5e3c")]);
        watch.wait_for_stdout("DELETE", LIMIT);
        let printed = watch.stdout().lines().filter(|line| line.starts_with("infra")).count();
        assert_eq!(printed, 2, "no event is repeated: {}", watch.stdout());
    });
}

#[test]
fn a_watch_receives_the_deletion_of_a_cluster() {
    every_operator(|_, operator| {
        operator.put(&size_key("prod"), "3");
        operator.put(&member_key("prod", "5e3c"), "infra0=http://10.0.0.1:2380");
        let watch = operator.watch(&["--prefix", "--rev=1", &keys_of("prod")]);
        watch.wait_for_stdout("infra0=", LIMIT);
        operator.run(&["del", "--prefix", &format!("{}/", keys_of("prod"))]);

        let (size, member) = (size_key("prod"), member_key("prod", "5e3c"));
        let gone = format!("DELETE\n{size}\n\nDELETE\n{member}\n\n");
        let printed = wait_for(LIMIT, || watch.stdout().ends_with(&gone).then_some(()));
        assert_eq!(printed, Some(()), "{}", watch.output());
    });
}

#[test]
fn a_watch_that_reaches_beyond_the_registry_is_refused() {
    every_operator(|_, operator| {
        for arguments in [&["foo"][..], &["--prefix", ""], &["--prefix", "/_etcd/registry"]] {
            let mut watch = operator.watch(arguments);
            watch.wait_for_output("Convene", LIMIT);
            assert_ne!(watch.wait_for_exit(LIMIT), Some(0), "{arguments:?}: {}", watch.output());
        }
    });
}
