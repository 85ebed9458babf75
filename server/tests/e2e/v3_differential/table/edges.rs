//! The calls about the identity and the health of a server.

use crate::v3_differential::{
    call::Call::{Alarms, Authenticate, MemberList, Status},
    intended::NO_ETCD,
    scenario::{Scenario, once, scenario},
};

pub fn edges() -> Vec<Scenario> {
    vec![scenario("the identity of a server", |_| {
        vec![
            once(Status).differs(NO_ETCD, "Ok", "Ok"),
            once(MemberList).differs(NO_ETCD, "Ok", "Ok"),
            once(Alarms),
            once(Authenticate("root")),
            once(Authenticate("")),
        ]
    })]
}
