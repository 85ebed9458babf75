use axum::{
    extract::{FromRequest, Request},
    http::Method,
};

use super::{
    condition::Conditions,
    error::{Code, V2Error},
    form::Form,
};

/// The fields of a request.
#[derive(Clone, Debug)]
pub struct KeyRequest {
    /// Whether the nodes below are meant, too.
    pub recursive: bool,
    /// Whether a directory's nodes are wanted in the order of their keys.
    pub sorted: bool,
    /// Whether it is a long poll.
    pub wait: bool,
    /// Whether the read goes through the quorum. Every read here is linearizable.
    pub quorum: bool,
    /// From which index on it waits; without one, from the next event on.
    pub wait_index: Option<u64>,
    /// Whether it wants every event from then on.
    pub stream: bool,
    /// Whether it is about a directory.
    pub dir: bool,
    /// Whether the answer to a write is wanted without nodes.
    pub no_value_on_success: bool,
    /// Whether the request sets or refreshes a time to live.
    pub expires: bool,
    /// The preconditions of a write.
    pub conditions: Conditions,
    /// What to write.
    pub value: Option<String>,
}

impl KeyRequest {
    /// Checks every field whatever the method, and in the order of `v2http/client.go:parseKeyRequest`, so that
    /// of several mistakes the one is named that etcd names.
    fn parse(method: &Method, form: &Form) -> Result<Self, V2Error> {
        if let Some(field) = form.fields().find(|(name, value)| !FIELDS.contains(name) && value.contains("://")) {
            return Err(stray_url(field));
        }
        let prev_index = form.index("prevIndex")?;
        let wait_index = form.index("waitIndex")?;
        let recursive = form.flag("recursive")?;
        let sorted = form.flag("sorted")?;
        let wait = form.flag("wait")?;
        let dir = form.flag("dir")?;
        let quorum = form.flag("quorum")?;
        let stream = form.flag("stream")?;
        if wait && *method != Method::GET {
            return Err(V2Error::invalid_field("\"wait\" can only be used with GET requests"));
        }
        let prev_value = form.get("prevValue").map(str::to_owned);
        if prev_value.as_deref() == Some("") {
            return Err(V2Error::new(Code::PrevValueRequired, "\"prevValue\" cannot be empty"));
        }
        let no_value_on_success = form.flag("noValueOnSuccess")?;
        let ttl = form.get("ttl").filter(|ttl| !ttl.is_empty());
        if ttl.is_some() {
            form.number("ttl", Code::TtlNotANumber)?;
        }
        let prev_exist = form.choice("prevExist")?;
        let refresh = form.choice("refresh")?.unwrap_or(false);
        Ok(Self {
            recursive,
            sorted,
            wait,
            quorum,
            wait_index,
            stream,
            dir,
            no_value_on_success,
            expires: ttl.is_some() || refresh,
            conditions: Conditions::new(prev_exist, prev_value, prev_index),
            value: form.get("value").map(str::to_owned),
        })
    }
}

/// The fields of etcd's v2 keys API.
const FIELDS: [&str; 14] = [
    "dir",
    "noValueOnSuccess",
    "prevExist",
    "prevIndex",
    "prevValue",
    "quorum",
    "recursive",
    "refresh",
    "sorted",
    "stream",
    "ttl",
    "value",
    "wait",
    "waitIndex",
];

/// The error for `value=NAME=URL&NAME=URL`, whose second URL would be lost: etcd's documentation of the discovery protocol
/// writes a member with two URLs so.
fn stray_url((name, url): (&str, &str)) -> V2Error {
    V2Error::invalid_field(format!(
        "{name:?}: no such field, and its value {url:?} looks like a URL; several peer URLs of a member have commas between them, \
         as in value=infra0=http://10.0.0.1:2380,infra0=http://10.0.0.1:7001"
    ))
}

impl<S: Sync> FromRequest<S> for KeyRequest {
    type Rejection = V2Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, V2Error> {
        let method = request.method().clone();
        let form = Form::from_request(request, state).await?;
        Self::parse(&method, &form)
    }
}
