use std::borrow::Cow;

use convene_lifecycle::ClusterSize;
use serde::de::DeserializeOwned;

/// What a body's field can hold.
pub trait Field: DeserializeOwned {
    /// What a value must be, to follow "must be": "a whole number from 1 to 9".
    fn expected(limits: &Limits) -> Cow<'static, str>;

    /// Whether the value is within limits that its type does not know.
    fn fits(&self, _: &Limits) -> bool {
        true
    }
}

/// How this server was started, as far as it limits what can be asked of it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest size that a cluster may be made with.
    pub max_cluster_size: ClusterSize,
}

impl Field for String {
    fn expected(_: &Limits) -> Cow<'static, str> {
        "a text".into()
    }
}
