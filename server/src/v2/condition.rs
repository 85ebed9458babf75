use convene_lifecycle::{Action, Cluster, Member, Revision};

use super::error::{Code, V2Error};

/// The preconditions of a write (`prevExist`, `prevValue`, `prevIndex`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conditions {
    exists: Option<bool>,
    value: Option<String>,
    index: Option<u64>,
}

/// The value of a key, and the revision that set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentValue {
    value: String,
    modified: Revision,
}

impl Conditions {
    /// The conditions that a request sets.
    pub fn new(exists: Option<bool>, value: Option<String>, index: Option<u64>) -> Self {
        Self { exists, value, index }
    }

    /// Whether the key must not exist.
    pub fn creates(&self) -> bool {
        self.exists == Some(false)
    }

    /// What putting a key amounts to, as `etcdserver/apply_v2.go:Put` decides it, or why it may not be done.
    pub fn put(&self, key: &str, present: Option<&CurrentValue>) -> Result<Action, V2Error> {
        match (self.exists, self.compares()) {
            (Some(false), _) if present.is_some() => Err(V2Error::new(Code::KeyExists, key)),
            (Some(false), _) => Ok(Action::Create),
            (_, true) => self.compare(key, present).map(|()| Action::CompareAndSwap),
            (Some(true), false) => present.map(|_| Action::Update).ok_or_else(|| not_found(key)),
            (None, false) => Ok(Action::Set),
        }
    }

    /// What deleting a key amounts to (`etcdserver/apply_v2.go:Delete`), or why it may not be done.
    pub fn delete(&self, key: &str, present: &CurrentValue) -> Result<Action, V2Error> {
        if !self.compares() {
            return Ok(Action::Delete);
        }
        self.compare(key, Some(present)).map(|()| Action::CompareAndDelete)
    }

    /// Whether the write depends on what the key holds now.
    pub fn compares(&self) -> bool {
        self.value.is_some() || self.index.is_some()
    }

    /// The cause names what differs, in etcd's form (`v2store/store.go:getCompareFailCause`).
    fn compare(&self, key: &str, present: Option<&CurrentValue>) -> Result<(), V2Error> {
        let present = present.ok_or_else(|| not_found(key))?;
        let other_value = self.value.as_deref().filter(|value| *value != present.value);
        let other_index = self.index.filter(|index| *index != present.modified.0);
        let value = || format!("[{} != {}]", self.value.as_deref().unwrap_or_default(), present.value);
        let index = || format!("[{} != {}]", self.index.unwrap_or_default(), present.modified);
        let cause = match (other_value, other_index) {
            (None, None) => return Ok(()),
            (Some(_), None) => value(),
            (None, Some(_)) => index(),
            (Some(_), Some(_)) => format!("{} {}", value(), index()),
        };
        Err(V2Error::new(Code::CompareFailed, cause))
    }
}

impl From<&Member> for CurrentValue {
    fn from(member: &Member) -> Self {
        Self { value: member.registration.to_string(), modified: member.registered }
    }
}

impl CurrentValue {
    /// The value of a cluster's size.
    pub fn size(cluster: &Cluster) -> Self {
        Self { value: cluster.size.to_string(), modified: cluster.size_modified }
    }
}

fn not_found(key: &str) -> V2Error {
    V2Error::new(Code::KeyNotFound, key)
}
