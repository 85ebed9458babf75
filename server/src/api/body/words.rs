//! The words of `lifecycle` as fields of bodies.

use std::borrow::Cow;

use convene_lifecycle::{ClientUrl, ClusterId, ClusterName, MemberId, MemberName, PeerUrl, RunId, Strategy};

use super::{Field, Limits};

macro_rules! field {
    ($type:ty, $expected:literal) => {
        impl Field for $type {
            fn expected(_: &Limits) -> Cow<'static, str> {
                $expected.into()
            }
        }
    };
}

field!(bool, "true or false");
field!(ClientUrl, "a client URL: http:// or https://, a host and a port, such as http://10.0.0.1:2379");
field!(ClusterId, "a cluster ID as etcd prints it: 1 to 16 hexadecimal digits");
field!(ClusterName, "a name of 1 to 128 characters without control characters");
field!(MemberId, "a member ID as etcd prints it: 1 to 16 hexadecimal digits");
field!(MemberName, "a name as etcd's --name: not empty, without ',', '=' and control characters");
field!(PeerUrl, "a peer URL: http:// or https://, a host and a port, such as http://10.0.0.1:2380");
field!(RunId, "1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-'");
field!(Strategy, "one of prepared, add, replace and prune");
