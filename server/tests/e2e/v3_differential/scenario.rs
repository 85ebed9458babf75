use std::fmt;

use convene_etcd::wire::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest,
    compare::{CompareResult, CompareTarget, TargetUnion},
};

use super::{call::Call, conversation::Move};
use crate::comparison::{Expected, Intended};

/// Calls that are made one after another, of the reference and of ours, about a token of the scenario's own.
pub struct Scenario {
    pub title: &'static str,
    token: String,
    pub steps: Vec<Step>,
}

/// One thing to do, and what to expect of it.
pub struct Step {
    pub ask: Ask,
    pub differs: Option<Expected>,
}

pub enum Ask {
    Call(Call),
    /// The requests and responses on one watch stream, and what happens meanwhile.
    Watch(Vec<Move>),
}

/// The keys of a token.
pub struct Keys {
    token: String,
}

/// A key, or a range of keys.
#[derive(Clone)]
pub struct Span {
    key: Vec<u8>,
    end: Vec<u8>,
}

impl Scenario {
    /// The key of the cluster's size.
    pub fn size_key(&self) -> Vec<u8> {
        Keys { token: self.token.clone() }.size().key
    }

    /// What is asked, as far as it is the same in every scenario.
    pub fn without_token(&self, asked: &str) -> String {
        asked.replace(&self.token, "TOKEN")
    }
}

impl Step {
    /// The response differs from the reference's on purpose.
    pub fn differs(self, intended: Intended, reference: &'static str, ours: &'static str) -> Self {
        Self { differs: Some(Expected { intended, reference, ours }), ..self }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(call) => f.write_str(&legible(&format!("{call:?}"))),
            Self::Watch(moves) => f.write_str(&legible(&format!("{moves:?}"))),
        }
    }
}

/// Debug output in which bytes are text. A list of numbers is nothing else there.
fn legible(debug: &str) -> String {
    let mut text = String::new();
    for (n, piece) in debug.split('[').enumerate() {
        let listed = piece.split_once(']').and_then(|(list, rest)| {
            let bytes: Option<Vec<u8>> = list.split(", ").map(|number| number.parse().ok()).collect();
            Some(format!("{:?}{rest}", String::from_utf8_lossy(&bytes?)))
        });
        let bracket = if n == 0 || listed.is_some() { "" } else { "[" };
        text += bracket;
        text += listed.as_deref().unwrap_or(piece);
    }
    text
}

impl Keys {
    /// A key below the token's.
    pub fn key(&self, below: &str) -> Span {
        Span { key: format!("/_etcd/registry/{}{below}", self.token).into(), end: Vec::new() }
    }

    /// All keys that begin so.
    pub fn prefix(&self, below: &str) -> Span {
        let Span { key, .. } = self.key(below);
        let mut end = key.clone();
        *end.last_mut().expect("no prefix is empty") += 1;
        Span { key, end }
    }

    pub fn size(&self) -> Span {
        self.key("/_config/size")
    }

    pub fn member(&self, id: &str) -> Span {
        self.key(&format!("/members/{id}"))
    }

    /// What etcd's own client asks for, without a slash at the end.
    pub fn members(&self) -> Span {
        self.prefix("/members")
    }

    /// The size and all members.
    pub fn all(&self) -> Span {
        self.prefix("/")
    }

    /// Creates a cluster.
    pub fn create(&self, size: u32) -> Step {
        once(self.size().put(&size.to_string()))
    }

    /// Registers a member `a`, `b` or `c`, whose name and URL are made of its ID.
    pub fn register(&self, id: &str) -> Step {
        once(self.registration(id))
    }

    /// The put that registers a member.
    pub fn registration(&self, id: &str) -> PutRequest {
        self.member(id).put(&format!("{id}=http://{id}.example.com:2380"))
    }
}

impl Span {
    /// A key, wherever it is.
    pub fn of(key: &str) -> Self {
        Self { key: key.into(), end: Vec::new() }
    }

    /// All keys from this one on and before another.
    pub fn before(self, end: &str) -> Self {
        Self { end: end.into(), ..self }
    }

    /// All keys from this one on and before the other's.
    pub fn to(self, end: Self) -> Self {
        Self { end: end.key, ..self }
    }

    pub fn get(self) -> RangeRequest {
        RangeRequest { key: self.key, range_end: self.end, ..RangeRequest::default() }
    }

    pub fn put(self, value: &str) -> PutRequest {
        PutRequest { key: self.key, value: value.into(), ..PutRequest::default() }
    }

    pub fn delete(self) -> DeleteRangeRequest {
        DeleteRangeRequest { key: self.key, range_end: self.end, prev_kv: false }
    }

    pub fn watch(self) -> WatchCreateRequest {
        WatchCreateRequest { key: self.key, range_end: self.end, ..WatchCreateRequest::default() }
    }

    pub fn compare(self, target: CompareTarget, result: CompareResult, with: TargetUnion) -> Compare {
        Compare {
            key: self.key,
            range_end: self.end,
            target: target.into(),
            result: result.into(),
            target_union: Some(with),
        }
    }
}

/// A scenario with a token that has no cluster yet. The token is derived from the title.
pub fn scenario(title: &'static str, steps: impl FnOnce(&Keys) -> Vec<Step>) -> Scenario {
    let letters = |word: &str| word.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    let token = title.split(' ').map(letters).collect::<Vec<_>>().join("-");
    let keys = Keys { token };
    Scenario { title, steps: steps(&keys), token: keys.token }
}

/// One call.
pub fn once(call: impl Into<Call>) -> Step {
    Step { ask: Ask::Call(call.into()), differs: None }
}

/// A conversation on one stream of watches.
pub fn watch(moves: Vec<Move>) -> Step {
    Step { ask: Ask::Watch(moves), differs: None }
}

/// A transaction.
pub fn txn(compare: Vec<Compare>, success: Vec<Call>, failure: Vec<Call>) -> TxnRequest {
    let operations = |calls: Vec<Call>| calls.into_iter().map(RequestOp::from).collect();
    TxnRequest { compare, success: operations(success), failure: operations(failure) }
}
