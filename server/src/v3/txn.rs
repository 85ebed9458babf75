use std::cmp::Ordering;

use convene_etcd::wire::{
    self, KeyValue, RequestOp, ResponseHeader, ResponseOp, TxnRequest, TxnResponse,
    compare::{CompareResult, CompareTarget, TargetUnion},
    request_op::Request,
    response_op::Response,
};
use convene_lifecycle::{Cluster, Revision, Token, Transition, UnixMillis};

use super::{
    change::{Delete, Put},
    error::V3Error,
    headers::{Headers, signed},
    key::KeyRange,
    range::{MAX_ANSWER, Query, weight},
    view,
};
use crate::new_clusters::NewClusters;

/// The most comparisons, and operations of a branch: etcd's `--max-txn-ops`.
const MAX_OPERATIONS: usize = 128;

/// A transaction: comparisons, and the operations of both branches.
#[derive(Clone, Debug)]
pub struct Txn {
    /// Whose keys; `None` if there are none in it.
    pub token: Option<Token>,
    comparisons: Vec<Comparison>,
    success: Vec<Operation>,
    failure: Vec<Operation>,
}

/// What keys are expected to be.
#[derive(Clone, Debug)]
struct Comparison {
    range: KeyRange,
    compare: wire::Compare,
}

#[derive(Clone, Debug)]
enum Operation {
    Range(Query),
    Put(Put),
    Delete(Delete),
}

impl Txn {
    /// Reads a request. All of its keys are one cluster's, and each branch makes one change at most, because each change
    /// of a cluster has a revision of its own.
    pub fn parse(request: TxnRequest, new: &NewClusters) -> Result<Self, V3Error> {
        let TxnRequest { compare, success, failure } = request;
        if compare.len().max(success.len()).max(failure.len()) > MAX_OPERATIONS {
            return Err(V3Error::TooManyOperations);
        }
        let comparisons = compare.into_iter().map(Comparison::parse).collect::<Result<Vec<_>, _>>()?;
        let success = parse_branch(success, new)?;
        let failure = parse_branch(failure, new)?;
        let tokens = comparisons.iter().map(|comparison| &comparison.range.token);
        let mut tokens = tokens.chain(success.iter().chain(&failure).map(Operation::token));
        let token = tokens.next().cloned();
        if tokens.any(|other| Some(other) != token.as_ref()) {
            return Err(V3Error::Outside("the transaction has keys of more than one token"));
        }
        Ok(Self { token, comparisons, success, failure })
    }

    /// Whether it can't change anything.
    pub fn is_read_only(&self) -> bool {
        !self.success.iter().chain(&self.failure).any(Operation::is_write)
    }

    /// The change of the cluster, if any, and the answer.
    pub fn apply(
        &self,
        cluster: Option<&Cluster>,
        headers: Headers,
        at: UnixMillis,
    ) -> Result<(Option<Transition>, TxnResponse), V3Error> {
        let key_values = cluster.map(view::key_values).unwrap_or_default();
        let mut state = State { before: cluster, transition: None, key_values, answered: 0 };
        let succeeded = self.comparisons.iter().all(|comparison| comparison.holds(&state.key_values));
        let branch = if succeeded { &self.success } else { &self.failure };
        let responses = branch.iter().map(|operation| state.answer(operation, at)).collect::<Result<_, _>>()?;
        let header = headers.at(state.revision());
        Ok((state.transition, TxnResponse { header, succeeded, responses }))
    }
}

/// A cluster in the course of a transaction.
struct State<'a> {
    before: Option<&'a Cluster>,
    transition: Option<Transition>,
    /// What there is now.
    key_values: Vec<KeyValue>,
    /// How large the answer is so far, in bytes.
    answered: usize,
}

impl State<'_> {
    fn cluster(&self) -> Option<&Cluster> {
        self.transition.as_ref().map_or(self.before, |transition| transition.after.as_ref())
    }

    fn change(&mut self, transition: Option<Transition>) {
        self.transition = transition;
        self.key_values = self.cluster().map(view::key_values).unwrap_or_default();
    }

    fn revision(&self) -> Revision {
        let changed = self.transition.as_ref().and_then(|transition| transition.events.last());
        let before = || self.before.map_or(Revision(0), |cluster| cluster.revision);
        changed.map_or_else(before, |event| event.revision)
    }

    /// The headers within a transaction's answer have nothing but the revision, as etcd's.
    fn header(&self) -> Option<ResponseHeader> {
        Some(ResponseHeader { revision: signed(self.revision()), ..ResponseHeader::default() })
    }

    fn answer(&mut self, operation: &Operation, at: UnixMillis) -> Result<ResponseOp, V3Error> {
        let response = match operation {
            Operation::Range(query) => {
                match query.revision.filter(|asked| *asked != self.revision()) {
                    Some(asked) if asked > self.revision() => return Err(V3Error::FutureRevision),
                    Some(_) => {
                        return Err(V3Error::Unsupported("reading an earlier revision in a transaction"));
                    }
                    None => {}
                }
                let response = query.answer(&self.key_values, self.header())?;
                self.answered += response.kvs.iter().map(weight).sum::<usize>();
                Response::ResponseRange(response)
            }
            Operation::Put(put) => {
                let transition = put.apply(self.cluster(), at)?;
                let mut response = put.answer(&self.key_values, None);
                self.change(Some(transition));
                response.header = self.header();
                Response::ResponsePut(response)
            }
            Operation::Delete(delete) => {
                let transition = self.cluster().map(|cluster| delete.apply(cluster, at)).transpose()?;
                let mut response = delete.answer(&self.key_values, None);
                self.change(transition.flatten());
                response.header = self.header();
                self.answered += response.prev_kvs.iter().map(weight).sum::<usize>();
                Response::ResponseDeleteRange(response)
            }
        };
        if self.answered > MAX_ANSWER {
            return Err(V3Error::TooLarge);
        }
        Ok(ResponseOp { response: Some(response) })
    }
}

impl Comparison {
    fn parse(compare: wire::Compare) -> Result<Self, V3Error> {
        let range = KeyRange::parse(compare.key.clone(), compare.range_end.clone())?;
        Ok(Self { range, compare })
    }

    /// Whether it holds for each of the keys, or for one that is not there
    /// (`server/etcdserver/txn/txn.go:applyCompare`).
    fn holds(&self, all: &[KeyValue]) -> bool {
        let mut keys = all.iter().filter(|one| self.range.contains(&one.key)).peekable();
        if keys.peek().is_none() {
            // No value is not the same as an empty one.
            return self.compare.target != i32::from(CompareTarget::Value) && self.holds_for(&KeyValue::default());
        }
        keys.all(|key_value| self.holds_for(key_value))
    }

    /// Compares as etcd does (`server/etcdserver/txn/txn.go:compareKV`), which takes a number of another kind for 0, a target
    /// that it doesn't know for equal, and a relation that it doesn't know for true.
    fn holds_for(&self, key_value: &KeyValue) -> bool {
        let against = &self.compare.target_union;
        let order = match (CompareTarget::try_from(self.compare.target), against) {
            (Ok(CompareTarget::Version), Some(TargetUnion::Version(version))) => key_value.version.cmp(version),
            (Ok(CompareTarget::Version), _) => key_value.version.cmp(&0),
            (Ok(CompareTarget::Create), Some(TargetUnion::CreateRevision(at))) => key_value.create_revision.cmp(at),
            (Ok(CompareTarget::Create), _) => key_value.create_revision.cmp(&0),
            (Ok(CompareTarget::Mod), Some(TargetUnion::ModRevision(at))) => key_value.mod_revision.cmp(at),
            (Ok(CompareTarget::Mod), _) => key_value.mod_revision.cmp(&0),
            (Ok(CompareTarget::Value), Some(TargetUnion::Value(value))) => key_value.value.cmp(value),
            (Ok(CompareTarget::Value), _) => key_value.value.as_slice().cmp(&[]),
            (Ok(CompareTarget::Lease), Some(TargetUnion::Lease(lease))) => key_value.lease.cmp(lease),
            (Ok(CompareTarget::Lease), _) => key_value.lease.cmp(&0),
            (Err(_), _) => Ordering::Equal,
        };
        match CompareResult::try_from(self.compare.result) {
            Ok(CompareResult::Equal) => order == Ordering::Equal,
            Ok(CompareResult::NotEqual) => order != Ordering::Equal,
            Ok(CompareResult::Greater) => order == Ordering::Greater,
            Ok(CompareResult::Less) => order == Ordering::Less,
            Err(_) => true,
        }
    }
}

impl Operation {
    fn parse(operation: RequestOp, new: &NewClusters) -> Result<Self, V3Error> {
        // etcd returns the same error for an empty operation.
        match operation.request.ok_or(V3Error::KeyNotFound)? {
            Request::RequestRange(range) => Ok(Self::Range(Query::parse(range)?)),
            Request::RequestPut(put) => Ok(Self::Put(Put::parse(put, new.clone())?)),
            Request::RequestDeleteRange(delete) => Ok(Self::Delete(Delete::parse(delete)?)),
            Request::RequestTxn(_) => Err(V3Error::Unsupported("nested transactions")),
        }
    }

    fn token(&self) -> &Token {
        match self {
            Self::Range(query) => &query.range.token,
            Self::Put(put) => &put.key.token,
            Self::Delete(delete) => &delete.range.token,
        }
    }

    fn is_write(&self) -> bool {
        !matches!(self, Self::Range(_))
    }

    /// Whether both write to one key, which etcd refuses (`server/etcdserver/api/v3rpc/key.go:checkIntervals`).
    fn clashes_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Put(one), Self::Put(other)) => one.key == other.key,
            (Self::Put(put), Self::Delete(delete)) | (Self::Delete(delete), Self::Put(put)) => {
                delete.range.contains(&put.key.to_bytes())
            }
            _ => false,
        }
    }
}

fn parse_branch(operations: Vec<RequestOp>, new: &NewClusters) -> Result<Vec<Operation>, V3Error> {
    let operations: Vec<Operation> =
        operations.into_iter().map(|operation| Operation::parse(operation, new)).collect::<Result<_, _>>()?;
    let writes: Vec<&Operation> = operations.iter().filter(|operation| operation.is_write()).collect();
    let clash = writes.iter().enumerate().any(|(at, one)| writes[at + 1..].iter().any(|other| one.clashes_with(other)));
    if clash {
        return Err(V3Error::DuplicateKey);
    }
    if writes.len() > 1 {
        return Err(V3Error::Unsupported("several writes in one transaction; send one request for each"));
    }
    Ok(operations)
}
