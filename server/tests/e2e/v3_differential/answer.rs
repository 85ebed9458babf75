//! Messages taken apart into facts. Each message is named field by field, so that none that comes to be is overlooked.

use convene_etcd::wire::{
    AlarmResponse, DeleteRangeResponse, Event, KeyValue, Member, MemberListResponse, PutResponse, RangeResponse,
    ResponseHeader, ResponseOp, StatusResponse, TxnResponse, WatchResponse, response_op::Response,
};
use tonic::Status;

use crate::comparison::{Answer, Facts};

/// Where answers come from: what stands in them and can't be the same elsewhere.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The revision before the scenario's first, which is counted as 1.
    pub base: i64,
    pub server: Server,
}

/// The identity of a server, in the header of every response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub cluster_id: u64,
    pub member_id: u64,
    pub raft_term: u64,
}

impl Server {
    pub fn of(header: &ResponseHeader) -> Self {
        let ResponseHeader { cluster_id, member_id, revision: _, raft_term } = *header;
        assert!(cluster_id != 0 && member_id != 0 && raft_term != 0, "a server has to say who it is: {header:?}");
        Self { cluster_id, member_id, raft_term }
    }
}

/// The answer to a call that has failed.
pub fn failure(status: &Status) -> Answer {
    let facts = Facts::from([
        ("status".to_owned(), gist(status)),
        ("message".to_owned(), status.message().to_owned()),
        ("details".to_owned(), format!("{:?}", status.details())),
    ]);
    Answer { summary: gist(status), facts }
}

/// The gist of a failure.
pub fn gist(status: &Status) -> String {
    format!("{:?}", status.code())
}

fn fact(name: &str, value: impl ToString) -> Facts {
    Facts::from([(name.to_owned(), value.to_string())])
}

fn text(name: &str, bytes: &[u8]) -> Facts {
    fact(name, String::from_utf8_lossy(bytes))
}

fn below(name: &str, facts: Facts) -> Facts {
    facts.into_iter().map(|(below, value)| (format!("{name}.{below}"), value)).collect()
}

fn listed<T>(name: &str, items: &[T], facts: impl Fn(&T) -> Facts) -> Facts {
    let of_items = items.iter().enumerate().flat_map(|(n, item)| below(&format!("{name}[{n}]"), facts(item)));
    of_items.chain(fact(&format!("{name}.length"), items.len())).collect()
}

fn all<const N: usize>(facts: [Facts; N]) -> Facts {
    facts.into_iter().flatten().collect()
}

impl Origin {
    pub fn range(&self, answer: &RangeResponse) -> Facts {
        let RangeResponse { header, kvs, more, count } = answer;
        all([
            self.header("header", header.as_ref()),
            listed("kvs", kvs, |kv| self.key_value(kv)),
            fact("more", more),
            fact("count", count),
        ])
    }

    pub fn put(&self, answer: &PutResponse) -> Facts {
        let PutResponse { header, prev_kv } = answer;
        all([self.header("header", header.as_ref()), listed("prev_kv", prev_kv.as_slice(), |kv| self.key_value(kv))])
    }

    pub fn delete_range(&self, answer: &DeleteRangeResponse) -> Facts {
        let DeleteRangeResponse { header, deleted, prev_kvs } = answer;
        all([
            self.header("header", header.as_ref()),
            fact("deleted", deleted),
            listed("prev_kvs", prev_kvs, |kv| self.key_value(kv)),
        ])
    }

    pub fn txn(&self, answer: &TxnResponse) -> Facts {
        let TxnResponse { header, succeeded, responses } = answer;
        all([
            self.header("header", header.as_ref()),
            fact("succeeded", succeeded),
            listed("responses", responses, |response| self.operation(response)),
        ])
    }

    fn operation(&self, answer: &ResponseOp) -> Facts {
        let ResponseOp { response } = answer;
        match response {
            Some(Response::ResponseRange(answer)) => below("range", self.range(answer)),
            Some(Response::ResponsePut(answer)) => below("put", self.put(answer)),
            Some(Response::ResponseDeleteRange(answer)) => below("delete_range", self.delete_range(answer)),
            Some(Response::ResponseTxn(answer)) => below("txn", self.txn(answer)),
            None => fact("none", true),
        }
    }

    pub fn alarms(&self, answer: &AlarmResponse) -> Facts {
        let AlarmResponse { header } = answer;
        self.header("header", header.as_ref())
    }

    /// Each server has a name and URLs of its own, so that it counts whether there are any.
    pub fn member_list(&self, answer: &MemberListResponse) -> Facts {
        let MemberListResponse { header, members } = answer;
        let member = |member: &Member| {
            let Member { id, name, peer_urls, client_urls, is_learner } = member;
            all([
                fact("id is the server's", *id == self.server.member_id),
                fact("has a name", !name.is_empty()),
                fact("has peer URLs", !peer_urls.is_empty()),
                fact("has client URLs", !client_urls.is_empty()),
                fact("is_learner", is_learner),
            ])
        };
        all([self.header("header", header.as_ref()), listed("members", members, member)])
    }

    /// What is there differs from server to server; it has to be there all the same.
    pub fn status(&self, answer: &StatusResponse) -> Facts {
        let StatusResponse {
            header,
            version,
            db_size,
            leader,
            raft_index,
            raft_term,
            raft_applied_index,
            errors,
            db_size_in_use,
            is_learner,
            // etcd before 3.6 says none either.
            db_size_quota: _,
            downgrade_info,
        } = answer;
        all([
            self.header("header", header.as_ref()),
            fact("version is of three numbers", is_version(version)),
            fact("db_size > 0", *db_size > 0),
            fact("leader is the server", *leader == self.server.member_id),
            fact("raft_index > 0", *raft_index > 0),
            fact("raft_term is the header's", *raft_term == self.server.raft_term),
            fact("all is applied", raft_applied_index == raft_index),
            fact("errors", errors.join(", ")),
            fact("db_size_in_use > 0", *db_size_in_use > 0),
            fact("is_learner", is_learner),
            fact("tells of downgrades", downgrade_info.is_some()),
        ])
    }

    /// An answer on a stream of watches, but for its events.
    pub fn watch_answer(&self, answer: &WatchResponse) -> Facts {
        // The watch ID already distinguishes the responses.
        let WatchResponse {
            header,
            watch_id: _,
            created,
            canceled,
            compact_revision,
            cancel_reason,
            fragment,
            events: _,
        } = answer;
        all([
            self.header("header", header.as_ref()),
            fact("created", created),
            fact("canceled", canceled),
            fact("compact_revision", self.revision(*compact_revision)),
            fact("cancel_reason", cancel_reason),
            fact("fragment", fragment),
        ])
    }

    pub fn event(&self, event: &Event) -> Facts {
        let Event { r#type, kv, prev_kv } = event;
        all([
            fact("type", r#type),
            listed("kv", kv.as_slice(), |kv| self.key_value(kv)),
            listed("prev_kv", prev_kv.as_slice(), |kv| self.key_value(kv)),
        ])
    }

    fn key_value(&self, kv: &KeyValue) -> Facts {
        let KeyValue { key, create_revision, mod_revision, version, value, lease } = kv;
        all([
            text("key", key),
            fact("create_revision", self.revision(*create_revision)),
            fact("mod_revision", self.revision(*mod_revision)),
            fact("version", version),
            text("value", value),
            fact("lease", lease),
        ])
    }

    /// A header names the server, except within a transaction.
    pub fn header(&self, name: &str, header: Option<&ResponseHeader>) -> Facts {
        let Some(ResponseHeader { cluster_id, member_id, revision, raft_term }) = header else {
            return fact(name, "none");
        };
        let named = |id: u64, server: u64| match id {
            0 => "none".to_owned(),
            id if id == server => "the server's".to_owned(),
            id => format!("another: {id}"),
        };
        let server = &self.server;
        let facts = all([
            fact("cluster_id", named(*cluster_id, server.cluster_id)),
            fact("member_id", named(*member_id, server.member_id)),
            fact("revision", self.revision(*revision)),
            fact("raft_term", named(*raft_term, server.raft_term)),
        ]);
        below(name, facts)
    }

    /// Zero means that there is none.
    fn revision(&self, revision: i64) -> i64 {
        if revision == 0 { 0 } else { revision - self.base }
    }
}

fn is_version(text: &str) -> bool {
    let numbers: Vec<_> = text.split('.').map(str::parse::<u32>).collect();
    numbers.len() == 3 && numbers.iter().all(Result::is_ok)
}
