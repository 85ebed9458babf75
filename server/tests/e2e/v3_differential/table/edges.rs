//! The calls that only say who a server is and how it is.

use crate::v3_differential::{
    call::Call::{Alarms, Authenticate, MemberList, Status},
    intended::NO_ETCD,
    scenario::{Scenario, once, scenario},
};

pub fn edges() -> Vec<Scenario> {
    vec![scenario("a server says who it is", |_| {
        vec![
            once(Status).differs(NO_ETCD, "Ok", "Ok"),
            once(MemberList).differs(NO_ETCD, "Ok", "Ok"),
            once(Alarms),
            once(Authenticate("root")),
            once(Authenticate("")),
        ]
    })]
}
