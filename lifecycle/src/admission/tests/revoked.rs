//! The name of a node whose credential was revoked.

use super::*;

impl World {
    fn revoked(mut self, node: &str) -> Self {
        let revoked = self.cluster.revoke_credential(&name(node), self.now).unwrap().unwrap();
        self.cluster = revoked.after.unwrap();
        self
    }
}

/// Its member may still run, so whoever has the name speaks for a member.
#[test]
fn a_revoked_name_is_given_only_by_a_join_token_for_that_very_name() {
    for policy in [JoinPolicy::Open, JoinPolicy::Token] {
        let spare = || World::new(policy).bound("a", 1).revoked("a");
        let member = || World::new(policy).formed_with("a").bound("a", 1).revoked("a");
        for (case, mut world) in [("a spare", spare()), ("a member", member())] {
            world.join_token(100, |_| {}).join_token(101, |token| token.node = Some(name("b")));
            world.join_token(102, |token| (token.node, token.ttl) = (Some(name("a")), Duration::ZERO));
            world.join_token(103, |token| token.node = Some(name("a")));
            // However long nothing is heard of its node.
            for seconds in [1_000, 2_000] {
                world.now = at(seconds);
                for presented in [
                    credential(1),
                    with_token(1, 100),
                    credential(2),
                    with_token(2, 100),
                    with_token(2, 101),
                    with_token(2, 77),
                ] {
                    let denial = world.admit("a", &presented).unwrap_err();
                    assert_eq!(denial, NodeDenial::CredentialRevoked(name("a")), "{policy:?}, {case}: {presented:?}");
                    assert!(
                        denial.remedy().contains("join-token create --node a CLUSTER`") && !denial.may_pass(),
                        "{denial:?}"
                    );
                }
            }
            assert_eq!(world.code("a", &with_token(2, 102)), "join-token-expired", "{policy:?}, {case}");
            assert_eq!(world.admit("a", &with_token(2, 103)), Ok(vec![EventKind::NodeAdmitted]), "{policy:?}, {case}");
            assert_eq!(world.admit("a", &credential(2)), Ok(Vec::new()), "{policy:?}, {case}");
            assert_eq!(world.code("a", &credential(1)), "node-bound", "{policy:?}, {case}: the former credential");
        }
    }
}
