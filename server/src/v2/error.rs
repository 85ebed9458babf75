use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use convene_lifecycle::{MemberName, RegisterRefusal, Revision, SizeIsFixed, StockWriteRefused};
use serde::Serialize;

use super::answer::{ETCD_INDEX, json_response};
use crate::{
    connection::TooManyWaits,
    new_clusters::NotAdmitted,
    operation::plain_error,
    rates::TooFast,
    refusal::Refusal,
    registry::{QuotaExceeded, Unavailable, WriteError},
    waiting::StillWaits,
};

/// An error of etcd's v2 API (`etcdserver/api/v2error/error.go`). A node's etcd logs the message and the cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct V2Error {
    code: Code,
    status: StatusCode,
    cause: String,
    index: Option<Revision>,
    node: Option<MemberName>,
    retry_after: Option<TooFast>,
}

/// Declares the errors: each with its code, etcd's message, and its description.
macro_rules! codes {
    ($($variant:ident $code:literal $message:literal $description:literal;)+) => {
        /// The errors of etcd's v2 API that v2 discovery returns.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = $description] $variant = $code,)+
        }

        impl Code {
            /// Every error.
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$variant,)+];

            fn message(self) -> &'static str {
                match self {
                    $(Self::$variant => $message,)+
                }
            }
        }
    };
}

// docs/reference/v2.md lists them.
codes! {
    KeyNotFound 100 "Key not found" "There is no such key.";
    CompareFailed 101 "Compare failed" "The state is not what the request expects.";
    NotAFile 102 "Not a file" "The request is for a key with a value, and this is a directory.";
    KeyExists 105 "Key already exists" "The key exists. etcd logs this as \"duplicate id\", without the cause.";
    DirectoryNotEmpty 108 "Directory not empty" "The directory has something in it.";
    Unauthorized 110 "The request requires user authentication"
        "The request has no credential that allows it, or the cluster may not be changed.";
    PrevValueRequired 201 "PrevValue is Required in POST form" "`prevValue` is empty.";
    TtlNotANumber 202 "The given TTL in POST form is not a number" "A time to live is not a number.";
    IndexNotANumber 203 "The given index in POST form is not a number" "An index is not a number.";
    InvalidField 209 "Invalid field" "A field's value is not allowed.";
    InvalidForm 210 "Invalid POST form" "The query or the body can't be read.";
    Internal 300 "Raft Internal Error" "The server failed.";
    EventIndexCleared 401 "The event in requested index is outdated and cleared"
        "The history from that index on has been compacted.";
}

impl Code {
    fn status(self) -> StatusCode {
        match self {
            Self::KeyNotFound => StatusCode::NOT_FOUND,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotAFile | Self::DirectoryNotEmpty => StatusCode::FORBIDDEN,
            Self::CompareFailed | Self::KeyExists => StatusCode::PRECONDITION_FAILED,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl V2Error {
    /// An error with what caused it: the key, or a sentence.
    pub fn new(code: Code, cause: impl Into<String>) -> Self {
        Self { code, status: code.status(), cause: cause.into(), index: None, node: None, retry_after: None }
    }

    /// An invalid field.
    pub fn invalid_field(cause: impl ToString) -> Self {
        Self::new(Code::InvalidField, cause.to_string())
    }

    /// With the cluster's revision, which clients take as the index to wait from.
    pub fn at(self, index: Revision) -> Self {
        Self { index: Some(index), ..self }
    }

    /// With the node that wants to register, for the log.
    pub fn of_node(self, node: MemberName) -> Self {
        Self { node: Some(node), ..self }
    }

    /// The message of etcd for the code; a credential helps against 401 only.
    fn message(&self) -> &'static str {
        match (self.code, self.status) {
            (Code::Unauthorized, status) if status != StatusCode::UNAUTHORIZED => "Not allowed",
            (code, _) => code.message(),
        }
    }

    /// For the log. That an existing cluster lacks a key is the answer to a read, and no refusal.
    fn refusal(&self) -> Refusal {
        let is_answer = self.code == Code::KeyNotFound && self.index.is_some();
        let reason = format!("{} ({})", self.message(), self.cause);
        Refusal::new(reason).of_node(self.node.clone()).of_writes_only(is_answer)
    }

    /// The cause alone, as text: `/new` is no key, and curl users read its answer as it is.
    pub fn into_text_response(self) -> Response {
        let mut response = plain_error(self.status, format!("{}\n", self.cause)).into_response();
        Refusal::new(&self.cause).attach(&mut response);
        with_retry_after(response, self.retry_after)
    }

    /// With another status than etcd's for the code.
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

impl From<RegisterRefusal> for V2Error {
    fn from(refusal: RegisterRefusal) -> Self {
        match refusal {
            RegisterRefusal::StockWrites(refused) => refused.into(),
            other => Self::new(Code::CompareFailed, other.to_string()),
        }
    }
}

impl From<StockWriteRefused> for V2Error {
    fn from(refused: StockWriteRefused) -> Self {
        Self::new(Code::Unauthorized, refused.to_string()).with_status(StatusCode::FORBIDDEN)
    }
}

impl From<NotAdmitted> for V2Error {
    fn from(refused: NotAdmitted) -> Self {
        let error = Self::new(Code::Unauthorized, refused.to_string());
        match refused {
            NotAdmitted::AdministratorsOnly { is_known: false } => error,
            NotAdmitted::AdministratorsOnly { is_known: true } => error.with_status(StatusCode::FORBIDDEN),
            NotAdmitted::TooFast(too_fast) => {
                Self { retry_after: Some(too_fast), ..error.with_status(StatusCode::TOO_MANY_REQUESTS) }
            }
            NotAdmitted::Quota(exceeded) => exceeded.into(),
        }
    }
}

impl From<QuotaExceeded> for V2Error {
    fn from(exceeded: QuotaExceeded) -> Self {
        let status = match exceeded {
            QuotaExceeded::ClustersOfAddress(_) => StatusCode::FORBIDDEN,
            _ => StatusCode::INSUFFICIENT_STORAGE,
        };
        Self::new(Code::Unauthorized, exceeded.to_string()).with_status(status)
    }
}

impl From<SizeIsFixed> for V2Error {
    fn from(fixed: SizeIsFixed) -> Self {
        Self::new(Code::CompareFailed, fixed.to_string())
    }
}

impl From<StillWaits> for V2Error {
    fn from(waits: StillWaits) -> Self {
        Self::new(Code::CompareFailed, waits.to_string())
    }
}

impl From<Unavailable> for V2Error {
    fn from(error: Unavailable) -> Self {
        Self::new(Code::Internal, error.to_string()).with_status(StatusCode::SERVICE_UNAVAILABLE)
    }
}

/// With the status after which etcd tries again (`client/client.go:httpClusterClient.Do`): after 429 it would give up.
impl From<TooManyWaits> for V2Error {
    fn from(error: TooManyWaits) -> Self {
        Self::new(Code::Internal, error.to_string()).with_status(StatusCode::SERVICE_UNAVAILABLE)
    }
}

impl From<WriteError> for V2Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Unavailable(unavailable) => unavailable.into(),
            WriteError::Quota(exceeded) => exceeded.into(),
            WriteError::TokenUsedUp => Self::new(Code::CompareFailed, error.to_string()),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorBody<'a> {
    error_code: u16,
    message: &'static str,
    cause: &'a str,
    index: u64,
}

impl IntoResponse for V2Error {
    fn into_response(self) -> Response {
        let index = self.index.map_or(0, |index| index.0);
        let body = ErrorBody { error_code: self.code as u16, message: self.message(), cause: &self.cause, index };
        let mut response = json_response(self.status, &body);
        response.headers_mut().insert(ETCD_INDEX, HeaderValue::from(index));
        self.refusal().attach(&mut response);
        with_retry_after(response, self.retry_after)
    }
}

fn with_retry_after(mut response: Response, too_fast: Option<TooFast>) -> Response {
    let unavailable = (response.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
    if let Some(seconds) = too_fast.map(TooFast::seconds).or(unavailable) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use convene_harness::Section;

    use super::*;

    #[test]
    fn the_reference_has_every_code() {
        let page = Section::read("docs/reference/v2.md", "Answers");
        let rows = page.rows("Status");
        let codes = rows.iter().filter(|row| !row[1].is_empty()).flat_map(|row| row[1].split(", "));
        let documented: BTreeSet<u16> = codes.map(|code| code.parse().unwrap()).collect();
        assert_eq!(documented, Code::ALL.iter().map(|code| *code as u16).collect());
    }
}
