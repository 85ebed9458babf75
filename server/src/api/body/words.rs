//! Texts and flags as values of bodies.

use std::ops::RangeInclusive;

use convene_lifecycle::{ClientUrl, ClusterId, ClusterName, DiskId, EtcdVersion, MemberId, MemberName, PeerUrl, RunId};
use utoipa::{
    ToSchema,
    openapi::{
        Ref,
        schema::{ObjectBuilder, Type},
    },
};

/// Makes a type a value of bodies: what it expects, and its schema. A schema with a name of its own is added to the description.
macro_rules! scalar {
    ($type:ty, $expected:literal, $schema:expr $(, visible and at most $bytes:literal bytes)? $(, with schema of $named:ty)?) => {
        impl $crate::api::body::Scalar for $type {
            fn expected(_: &$crate::api::body::Limits) -> std::borrow::Cow<'static, str> {
                $expected.into()
            }

            $(fn fits(&self, _: &$crate::api::body::Limits) -> bool {
                self.as_str().len() <= $bytes && !self.as_str().contains(convene_lifecycle::is_invisible)
            })?

            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $schema.into()
            }

            $(fn add_schemas(schemas: &mut $crate::api::body::Schemas) {
                let schema = <$named as utoipa::PartialSchema>::schema();
                schemas.push((<$named as utoipa::ToSchema>::name().into_owned(), schema));
            })?
        }
    };
    ($type:ty, $expected:literal, schema of $named:ty) => {
        $crate::api::body::scalar!(
            $type,
            $expected,
            utoipa::openapi::Ref::from_schema_name(<$named as utoipa::ToSchema>::name()),
            with schema of $named
        );
    };
}

pub(in crate::api) use scalar;

scalar!(bool, "true or false", ObjectBuilder::new().schema_type(Type::Boolean));
scalar!(String, "a text", text());
scalar!(
    ClientUrl,
    "a client URL of at most 255 bytes: http:// or https://, a host and a port, such as http://10.0.0.1:2379",
    Ref::from_schema_name(Url::name()),
    visible and at most 255 bytes,
    with schema of Url
);
scalar!(ClusterId, "a cluster ID as etcd prints it: 1 to 16 hexadecimal digits", text().pattern(Some(ETCD_ID)));
scalar!(
    ClusterName,
    "a name of 1 to 128 characters without control and invisible characters",
    text_of(1..=128).pattern(Some(format!("^[^{INVISIBLE}]+$"))),
    visible and at most 512 bytes
);
scalar!(
    EtcdVersion,
    "a version of etcd such as 3.6 or 3.6.5",
    text().min_length(Some(3)).pattern(Some(r"^[0-9]{1,4}\.[0-9]{1,4}(\.[\s\S]*)?$"))
);
scalar!(MemberId, "a member ID as etcd prints it: 1 to 16 hexadecimal digits", text().pattern(Some(ETCD_ID)));
scalar!(
    MemberName,
    "a name as etcd's --name: 1 to 120 bytes without ',', '=', control and invisible characters",
    text_of(1..=120).pattern(Some(format!("^[^,={INVISIBLE}]+$"))),
    visible and at most 120 bytes
);
scalar!(
    PeerUrl,
    "a peer URL of at most 255 bytes: http:// or https://, a host and a port, such as http://10.0.0.1:2380",
    Ref::from_schema_name(Url::name()),
    visible and at most 255 bytes,
    with schema of Url
);
scalar!(DiskId, "1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-'", text_of(1..=128));
scalar!(RunId, "1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-'", text_of(1..=128));
/// `http://HOST:PORT` or `https://HOST:PORT`, with a DNS name, an IPv4 address or an IPv6 address in brackets.
#[derive(ToSchema)]
#[schema(max_length = 255, pattern = "^[Hh][Tt][Tt][Pp][Ss]?://.+:[0-9]+$")]
#[expect(dead_code, reason = "it only describes")]
struct Url(String);

/// The pattern of etcd's IDs.
const ETCD_ID: &str = "^[0-9A-Fa-f]{1,16}$";

/// The characters that texts of bodies must not have, as far as patterns of JSON Schema can name them.
const INVISIBLE: &str = r"\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb";

/// The schema of a text.
pub fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn text_of(lengths: RangeInclusive<usize>) -> ObjectBuilder {
    text().min_length(Some(*lengths.start())).max_length(Some(*lengths.end()))
}
