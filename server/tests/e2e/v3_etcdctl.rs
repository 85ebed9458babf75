//! etcdctl of every version creates, reads and deletes clusters as on an etcd that serves for discovery.

mod keys;
mod operator;
mod refusals;
mod watches;

use convene_harness::{etcd::Version, server::Server};
use serde_json::Value;

use crate::test_cluster::TestCluster;
use operator::{LIMIT, Operator, every_operator, keys_of, member_key, size_key};

#[test]
fn an_etcdctl_sees_one_healthy_etcd() {
    every_operator(|server, operator| {
        let (url, endpoint) = (server.url.as_str(), operator.endpoint.as_str());
        for (arguments, shown) in [(&["endpoint", "health"][..], endpoint), (&["endpoint", "health", "--cluster"], url)]
        {
            let health = operator.run_for_json(arguments);
            let endpoint = &health[0]["endpoint"];
            assert_eq!((health.as_array().unwrap().len(), endpoint), (1, &Value::from(shown)), "{health}");
            assert_eq!(health[0]["health"], true, "{health}");
        }
        let mut asked = vec![(&["endpoint", "status"][..], endpoint)];
        if operator.takes_urls() {
            asked.push((&["endpoint", "status", "--cluster"], url));
        }
        for (arguments, shown) in asked {
            let status = operator.run_for_json(arguments);
            let endpoint = &status[0]["Endpoint"];
            assert_eq!((status.as_array().unwrap().len(), endpoint), (1, &Value::from(shown)), "{status}");
            let status = &status[0]["Status"];
            assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
            assert!(status["leader"].as_u64().is_some_and(|leader| leader > 0), "{status}");
            assert_eq!(status["leader"], status["header"]["member_id"]);
            // etcdctl leaves out what is false.
            assert_eq!(status["isLearner"], Value::Null);
        }
        let listed = operator.run(&["member", "list"]);
        assert_eq!(listed.lines().count(), 1, "{listed}");
        assert!(listed.contains(", started, ") && listed.contains(url), "{listed}");
    });
}

/// etcdctl 3.4 sends the endpoint as the authority of commands to a single endpoint, which HTTP/2 forbids of a URL.
#[test]
fn etcdctl_3_4_needs_an_endpoint_without_scheme_for_commands_to_one_endpoint() {
    let Some(version) = Version::find("3.4") else { return };
    let server = Server::start();
    let with_scheme = Operator { version, endpoint: server.url.clone() };
    with_scheme.run(&["endpoint", "health"]);
    with_scheme.put(&size_key("prod"), "3");
    for arguments in [&["endpoint", "status"][..], &["endpoint", "status", "--cluster"], &["defrag"]] {
        with_scheme.is_refused(arguments, "stream terminated by RST_STREAM with error code: PROTOCOL_ERROR");
    }
}

#[test]
fn no_token_is_logged_in_full() {
    every_operator(|server, operator| {
        let token = "6c007a14875d53d9bf0ef5a6fc0257c8";
        operator.put(&size_key(token), "3");
        operator.put(&member_key(token, "5e3c"), "infra0=http://10.0.0.1:2380");
        operator.get_prefix(&keys_of(token));
        operator.is_refused(&["put", &size_key(token), "abc"], "size: ");
        operator.is_refused(&["put", &format!("{}/else", keys_of(token)), "abc"], "Convene");
        operator.run(&["del", "--prefix", &format!("{}/", keys_of(token))]);
        server.wait_for_output("/etcdserverpb.KV/DeleteRange", LIMIT);
        let logged = server.output();
        assert!(logged.contains(&token[..6]) && !logged.contains(&token[..7]), "{logged}");
    });
}

#[test]
fn v1_and_v2_show_keys_put_by_etcdctl() {
    every_operator(|server, operator| {
        let cluster = TestCluster::of(server, "prod");
        operator.put(&size_key("prod"), "3");
        operator.put(&member_key("prod", "5e3c"), "infra0=http://10.0.0.1:2380,infra0=http://10.0.0.2:2380");
        assert_eq!(cluster.v2_size(), "3");
        let shown = cluster.v2_members();
        assert_eq!(shown["5e3c"], "infra0=http://10.0.0.1:2380,infra0=http://10.0.0.2:2380", "{shown:?}");
        let shown = cluster.cluster();
        assert_eq!((&shown["size"], &shown["voter_count"], &shown["phase"]), (&3.into(), &1.into(), &"forming".into()));
        assert_eq!(cluster.members()["5e3c"], "infra0");

        operator.run(&["del", &member_key("prod", "5e3c")]);
        assert!(cluster.v2_members().is_empty() && cluster.members().is_empty());
    });
}

#[test]
fn etcdctl_shows_clusters_created_by_v1_and_v2() {
    every_operator(|server, operator| {
        let drawn = TestCluster::draw(server, 5);
        assert_eq!(operator.value(&size_key(drawn.token())), "5");

        let created = TestCluster::create(server, 1);
        created.resize(3);
        assert_eq!(operator.value(&size_key(created.token())), "3");
        created.v2_register("5e3c", "infra0=http://10.0.0.1:2380");
        let keys = operator.get_prefix(&keys_of(created.token()));
        let expected = [
            (size_key(created.token()), "3".to_owned()),
            (member_key(created.token(), "5e3c"), "infra0=http://10.0.0.1:2380".to_owned()),
        ];
        assert_eq!(keys, expected);
        created.v2_remove("5e3c");
        assert_eq!(operator.get_prefix(&keys_of(created.token())), expected[..1]);
    });
}
