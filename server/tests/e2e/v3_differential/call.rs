//! The calls, with revisions as ours counts them: from 1, which is the cluster's creation.

use convene_etcd::wire::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest, compare::TargetUnion,
    request_op::Request,
};

/// A call that has one answer.
#[derive(Clone, Debug)]
pub enum Call {
    Range(RangeRequest),
    Put(PutRequest),
    DeleteRange(DeleteRangeRequest),
    Txn(TxnRequest),
    /// As this user.
    Authenticate(&'static str),
    /// Which alarms there are.
    Alarms,
    MemberList,
    Status,
}

impl From<RangeRequest> for Call {
    fn from(request: RangeRequest) -> Self {
        Self::Range(request)
    }
}

impl From<PutRequest> for Call {
    fn from(request: PutRequest) -> Self {
        Self::Put(request)
    }
}

impl From<DeleteRangeRequest> for Call {
    fn from(request: DeleteRangeRequest) -> Self {
        Self::DeleteRange(request)
    }
}

impl From<TxnRequest> for Call {
    fn from(request: TxnRequest) -> Self {
        Self::Txn(request)
    }
}

impl From<Call> for RequestOp {
    fn from(call: Call) -> Self {
        let request = match call {
            Call::Range(request) => Request::RequestRange(request),
            Call::Put(request) => Request::RequestPut(request),
            Call::DeleteRange(request) => Request::RequestDeleteRange(request),
            Call::Txn(request) => Request::RequestTxn(request),
            Call::Authenticate(_) | Call::Alarms | Call::MemberList | Call::Status => {
                unreachable!("no transaction holds {call:?}")
            }
        };
        Self { request: Some(request) }
    }
}

/// A request in which revisions stand.
pub trait Rebase {
    /// Counts them from another base. Zero and less are no revisions, and stay.
    fn rebase(&mut self, base: i64);
}

impl Rebase for i64 {
    fn rebase(&mut self, base: i64) {
        if *self > 0 {
            *self += base;
        }
    }
}

impl Rebase for RangeRequest {
    fn rebase(&mut self, base: i64) {
        let modified = [&mut self.min_mod_revision, &mut self.max_mod_revision];
        let created = [&mut self.min_create_revision, &mut self.max_create_revision];
        modified.into_iter().chain(created).chain([&mut self.revision]).for_each(|revision| revision.rebase(base));
    }
}

impl Rebase for WatchCreateRequest {
    fn rebase(&mut self, base: i64) {
        self.start_revision.rebase(base);
    }
}

impl Rebase for TxnRequest {
    fn rebase(&mut self, base: i64) {
        for compare in &mut self.compare {
            if let Some(TargetUnion::CreateRevision(revision) | TargetUnion::ModRevision(revision)) =
                &mut compare.target_union
            {
                revision.rebase(base);
            }
        }
        for operation in self.success.iter_mut().chain(&mut self.failure) {
            match &mut operation.request {
                Some(Request::RequestRange(request)) => request.rebase(base),
                Some(Request::RequestTxn(request)) => request.rebase(base),
                Some(Request::RequestPut(_) | Request::RequestDeleteRange(_)) | None => {}
            }
        }
    }
}
