use std::sync::Arc;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use thiserror::Error;

use super::Requirement;
use crate::{operation::plain_error, refusal::Refusal, registry::Unavailable};

/// Why a request is refused before its handler sees it. Each message says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Denial {
    /// The request has no credential, and needs one.
    #[error("this request needs {}; send an API token in the header Authorization: Bearer cvn_… (convene: --admin-token-file)", needs.in_words())]
    NoCredential {
        /// What the route needs.
        needs: Requirement,
    },
    /// The request has no credential, and nobody can have one yet.
    #[error(
        "this request needs {}, and this server has no administrator yet; create the first API token on the server: \
         convene-server token create --role admin --name NAME --database-url URL",
        needs.in_words()
    )]
    NoAdministrator {
        /// What the route needs.
        needs: Requirement,
    },
    /// This server does not know the credential.
    #[error(
        "this server does not know the credential in the request; check that the token is complete, and from this \
         server"
    )]
    UnknownCredential,
    /// The credential is not valid any more.
    #[error("the API token {id} has expired; an administrator creates a new one with `convene token create`")]
    Expired {
        /// Its public name.
        id: String,
    },
    /// The connection was opened with a certificate that is not valid any more.
    #[error(
        "the client certificate of {name} has expired since the connection was opened; connect again with a newer one"
    )]
    ExpiredCertificate {
        /// The name that has the role.
        name: Arc<str>,
    },
    /// The credential was revoked.
    #[error("the API token {id} was revoked; an administrator creates a new one with `convene token create`")]
    Revoked {
        /// Its public name.
        id: String,
    },
    /// The credential is known, and may not do this.
    #[error("{by} is not allowed to do this: the request needs {}", needs.in_words())]
    Forbidden {
        /// The public name of the credential.
        by: Arc<str>,
        /// What the route needs.
        needs: Requirement,
    },
    /// The database that knows the credentials or the cluster does not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Denial {
    /// The HTTP status: 401 if no valid credential was given, 403 if a valid one is not enough.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNAUTHORIZED,
        }
    }

    /// Whose credential was refused, for the audit log.
    pub fn by(&self) -> Arc<str> {
        match self {
            Self::NoCredential { .. } | Self::NoAdministrator { .. } | Self::Unavailable(_) => "nobody".into(),
            Self::UnknownCredential => "unknown credential".into(),
            Self::Expired { id } | Self::Revoked { id } => id.as_str().into(),
            Self::ExpiredCertificate { name } => format!("certificate {name}").into(),
            Self::Forbidden { by, .. } => by.clone(),
        }
    }

    /// A response of plain text, for everything that is not `/v1`.
    pub fn into_text_response(self) -> Response {
        let mut response = plain_error(self.status(), format!("{self}\n")).into_response();
        Refusal::new(self.to_string()).attach(&mut response);
        self.add_headers(&mut response);
        response
    }

    /// Adds what the status demands: how to authenticate (RFC 9110, section 11.6.1), or when to try again.
    pub fn add_headers(&self, response: &mut Response) {
        let (name, value) = match self.status() {
            StatusCode::UNAUTHORIZED => (header::WWW_AUTHENTICATE, "Bearer realm=\"convene\", Basic realm=\"convene\""),
            StatusCode::SERVICE_UNAVAILABLE => (header::RETRY_AFTER, "1"),
            _ => return,
        };
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
}
