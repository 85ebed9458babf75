//! The words of `lifecycle` as fields of bodies.

use std::borrow::Cow;

use convene_lifecycle::{ClientUrl, ClusterId, ClusterName, MemberId, MemberName, PeerUrl, RunId, Strategy};

use super::{Field, Limits};

macro_rules! field {
    ($type:ty, $expected:literal $(, at most $bytes:literal)?) => {
        impl Field for $type {
            fn expected(_: &Limits) -> Cow<'static, str> {
                $expected.into()
            }

            $(fn fits(&self, _: &Limits) -> bool {
                self.as_str().len() <= $bytes
            })?
        }
    };
}

field!(bool, "true or false");
field!(
    ClientUrl,
    "a client URL of at most 255 bytes: http:// or https://, a host and a port, such as http://10.0.0.1:2379"
);
field!(ClusterId, "a cluster ID as etcd prints it: 1 to 16 hexadecimal digits");
field!(ClusterName, "a name of 1 to 128 characters without control characters");
field!(MemberId, "a member ID as etcd prints it: 1 to 16 hexadecimal digits");
field!(MemberName, "a name as etcd's --name: 1 to 120 bytes without ',', '=' and control characters", at most 120);
field!(PeerUrl, "a peer URL of at most 255 bytes: http:// or https://, a host and a port, such as http://10.0.0.1:2380", at most 255);
field!(RunId, "1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-'");
field!(Strategy, "one of prepared, add, replace and prune");
