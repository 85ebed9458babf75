use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// Declares the kinds: each with its HTTP status, its name, its title, and its description.
macro_rules! kinds {
    // utoipa does not read a name that is a `literal`.
    ($($variant:ident $status:ident $name:tt $title:literal $description:literal;)+) => {
        /// The kinds of problems.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
        #[schema(as = ProblemType)]
        pub enum Kind {
            $(
                #[doc = $description]
                #[serde(rename = $name)]
                $variant,
            )+
        }

        impl Kind {
            /// Every kind, with its name.
            #[cfg(test)]
            const ALL: &[(Self, &str)] = &[$((Self::$variant, $name),)+];

            /// The title, which is the same for all problems of this kind.
            pub fn title(self) -> &'static str {
                match self {
                    $(Self::$variant => $title,)+
                }
            }

            /// The HTTP status.
            pub fn status(self) -> StatusCode {
                match self {
                    $(Self::$variant => StatusCode::$status,)+
                }
            }
        }
    };
}

kinds! {
    InvalidRequest BAD_REQUEST "urn:convene:problem:invalid-request"
        "The request is not valid" "The body, the query, the path or a header is not valid.";
    Unauthenticated UNAUTHORIZED "urn:convene:problem:unauthenticated"
        "A valid credential is needed" "The request has no valid credential.";
    Forbidden FORBIDDEN "urn:convene:problem:forbidden"
        "The role is not enough" "The credential is valid, and its role is not enough.";
    NotFound NOT_FOUND "urn:convene:problem:not-found"
        "Not found" "The cluster, member or path does not exist.";
    OtherSite FORBIDDEN "urn:convene:problem:other-site"
        "The request comes from another site" "A web page of another site made a browser send the request.";
    Misdirected MISDIRECTED_REQUEST "urn:convene:problem:misdirected"
        "The server does not know this host" "The server does not know the host that the request names.";
    NodeNotAuthenticated UNAUTHORIZED "urn:convene:problem:node-not-authenticated"
        "The node is not authenticated" "The check-in has no valid proof of the name of its node. `code` is the reason.";
    NodeNotAdmitted FORBIDDEN "urn:convene:problem:node-not-admitted"
        "The node is not admitted" "The credential, join token or certificate of the check-in does not admit its node. `code` is the reason.";
    MethodNotAllowed METHOD_NOT_ALLOWED "urn:convene:problem:method-not-allowed"
        "The path does not support this method" "The path does not support the method.";
    BodyTooLate REQUEST_TIMEOUT "urn:convene:problem:body-too-late"
        "The body did not arrive in time" "The body did not arrive in time.";
    Conflict CONFLICT "urn:convene:problem:conflict"
        "The request conflicts with the current state" "The request conflicts with the state of the cluster.";
    TokenUsedUp CONFLICT "urn:convene:problem:token-used-up"
        "The token was already used" "The token belonged to a deleted cluster that had members.";
    Forgotten GONE "urn:convene:problem:forgotten"
        "The events are not available" "The requested events have been deleted, or the registry never had them.";
    PreconditionFailed PRECONDITION_FAILED "urn:convene:problem:precondition-failed"
        "The precondition failed" "The cluster is not at the revision that `If-Match` names.";
    BodyTooLarge PAYLOAD_TOO_LARGE "urn:convene:problem:body-too-large"
        "The body is too large" "The body exceeds the limit.";
    UnsupportedMediaType UNSUPPORTED_MEDIA_TYPE "urn:convene:problem:unsupported-media-type"
        "The body is not declared as JSON" "The `Content-Type` of the body is not JSON.";
    TooManyRequests TOO_MANY_REQUESTS "urn:convene:problem:too-many-requests"
        "Too many requests" "The client uses more of the server than it may; try again after `Retry-After` seconds.";
    Overloaded SERVICE_UNAVAILABLE "urn:convene:problem:overloaded"
        "The server is overloaded" "All clients together use as much of the server as they may; try again after `Retry-After` seconds.";
    QuotaExceeded INSUFFICIENT_STORAGE "urn:convene:problem:quota-exceeded"
        "The registry can't take more" "The registry has the maximum number of clusters or bytes.";
    Unavailable SERVICE_UNAVAILABLE "urn:convene:problem:unavailable"
        "The database is not available" "The database does not answer.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use convene_harness::{Section, code_spans};

    use super::*;

    #[test]
    fn the_reference_and_troubleshooting_have_every_kind_with_its_status() {
        let short = |name: &'static str| name.strip_prefix("urn:convene:problem:").unwrap();
        let kinds: BTreeSet<_> =
            Kind::ALL.iter().map(|(kind, name)| (kind.status().as_u16(), short(name).to_owned())).collect();
        for (page, heading) in [("docs/reference/api.md", "Problems"), ("docs/troubleshooting.md", "HTTP problems")] {
            assert_eq!(documented(&Section::read(page, heading)), kinds, "{page}");
        }
    }

    /// The kinds in the first table, with their statuses. A row may have several statuses, each with its kind.
    fn documented(section: &Section) -> BTreeSet<(u16, String)> {
        let rows = section.rows("status");
        let pairs = rows.iter().flat_map(|row| row[0].split(", ").zip(code_spans(row[1])));
        pairs.map(|(status, kind)| (status.parse().unwrap(), kind.to_owned())).collect()
    }
}
