use std::cmp::Ordering;

use convene_etcd::wire::{
    KeyValue, RangeRequest, RangeResponse, ResponseHeader,
    range_request::{SortOrder, SortTarget},
};
use convene_lifecycle::Revision;

use super::{error::V3Error, key::KeyRange};
use crate::registry::Consistency;

/// How large an answer can be: as large as most gRPC clients take. What they don't read lies here.
pub const MAX_ANSWER: usize = 4 << 20;

/// A read of a cluster's keys.
#[derive(Clone, Debug)]
pub struct Query {
    /// Which keys.
    pub range: KeyRange,
    /// As of when; `None` is now.
    pub revision: Option<Revision>,
    /// Whether the read is linearizable or serializable.
    pub consistency: Consistency,
    order: SortOrder,
    target: SortTarget,
    limit: Option<usize>,
    keys_only: bool,
    count_only: bool,
    modified: Bounds,
    created: Bounds,
}

/// The revisions from one to another, both included; 0 is no bound.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    min: i64,
    max: i64,
}

impl Query {
    /// Reads a request.
    pub fn parse(request: RangeRequest) -> Result<Self, V3Error> {
        if request.key.is_empty() {
            return Err(V3Error::EmptyKey);
        }
        let order = SortOrder::try_from(request.sort_order).map_err(|_| V3Error::InvalidSortOption)?;
        let target = SortTarget::try_from(request.sort_target).map_err(|_| V3Error::InvalidSortOption)?;
        let revision = u64::try_from(request.revision).ok().filter(|revision| *revision > 0);
        Ok(Self {
            range: KeyRange::parse(request.key, request.range_end)?,
            consistency: if request.serializable { Consistency::LatestKnown } else { Consistency::Confirmed },
            revision: revision.map(Revision),
            order,
            target,
            limit: usize::try_from(request.limit).ok().filter(|limit| *limit > 0),
            keys_only: request.keys_only,
            count_only: request.count_only,
            modified: Bounds { min: request.min_mod_revision, max: request.max_mod_revision },
            created: Bounds { min: request.min_create_revision, max: request.max_create_revision },
        })
    }

    /// Picks from all keys of the cluster, which are in order, as etcd does (`server/etcdserver/txn/txn.go:executeRange`).
    pub fn answer(&self, all: &[KeyValue], header: Option<ResponseHeader>) -> Result<RangeResponse, V3Error> {
        let mut kvs: Vec<&KeyValue> = all.iter().filter(|one| self.range.contains(&one.key)).collect();
        let count = kvs.len() as i64;
        if self.count_only {
            return Ok(RangeResponse { header, kvs: Vec::new(), more: false, count });
        }
        if let Some(limit) = self.limit.filter(|_| self.cuts_first()) {
            kvs.truncate(limit + 1);
        }
        kvs.retain(|one| self.modified.contain(one.mod_revision) && self.created.contain(one.create_revision));
        // Both are stable, and the keys are in order already.
        match self.order {
            SortOrder::None | SortOrder::Ascend => kvs.sort_by(|one, other| self.compare(one, other)),
            SortOrder::Descend => kvs.sort_by(|one, other| self.compare(other, one)),
        }
        let more = self.limit.is_some_and(|limit| kvs.len() > limit);
        kvs.truncate(self.limit.unwrap_or(usize::MAX));
        let kvs: Vec<KeyValue> = match self.keys_only {
            true => kvs.into_iter().map(without_value).collect(),
            false => {
                let bytes: usize = kvs.iter().map(|one| weight(one)).sum();
                if bytes > MAX_ANSWER {
                    return Err(V3Error::TooLarge);
                }
                kvs.into_iter().cloned().collect()
            }
        };
        Ok(RangeResponse { header, kvs, more, count })
    }

    /// Whether the limit applies before sorting and filtering, with one more key to see that there are more. An order or
    /// bounds need all keys.
    fn cuts_first(&self) -> bool {
        self.order == SortOrder::None && self.modified.are_none() && self.created.are_none()
    }

    fn compare(&self, one: &KeyValue, other: &KeyValue) -> Ordering {
        match self.target {
            SortTarget::Key => one.key.cmp(&other.key),
            SortTarget::Version => one.version.cmp(&other.version),
            SortTarget::Create => one.create_revision.cmp(&other.create_revision),
            SortTarget::Mod => one.mod_revision.cmp(&other.mod_revision),
            SortTarget::Value => one.value.cmp(&other.value),
        }
    }
}

/// How many bytes of an answer a key takes, roughly.
pub fn weight(one: &KeyValue) -> usize {
    one.key.len() + one.value.len() + 32
}

fn without_value(one: &KeyValue) -> KeyValue {
    KeyValue { key: one.key.clone(), value: Vec::new(), ..*one }
}

impl Bounds {
    fn are_none(self) -> bool {
        (self.min, self.max) == (0, 0)
    }

    fn contain(self, revision: i64) -> bool {
        (self.max == 0 || revision <= self.max) && revision >= self.min
    }
}
