use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, header, request::Parts},
};
use convene_lifecycle::{Presented, SecretHash};
use utoipa::{
    IntoParams,
    openapi::{
        ObjectBuilder,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::Type,
    },
};

use crate::{
    access::AuthMode,
    api::problem::{Problem, Violation},
    app::App,
    connection::{ClientAddress, ClientCertificate},
    secret::{Secret, hash_of},
};

/// A join token.
const JOIN_TOKEN: HeaderName = HeaderName::from_static("convene-join-token");

/// The SHA-256 of the credential with which a node will replace its present one.
const NEXT_CREDENTIAL: HeaderName = HeaderName::from_static("convene-next-credential");

/// What a check-in brings to show that it may speak for its node. `None` if this server demands nothing.
pub struct PresentedHeaders(pub Option<Presented>);

impl FromRequestParts<Arc<App>> for PresentedHeaders {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        if app.access.mode == AuthMode::Off {
            return Ok(Self(None));
        }
        let (headers, extensions) = (&parts.headers, &parts.extensions);
        Ok(Self(Some(Presented {
            credential: credential(headers),
            next: next_credential(headers)?,
            join_token: only(headers, &JOIN_TOKEN).map(hash_of),
            certificate_names: extensions.get().map(certificate_names).unwrap_or_default(),
            from: extensions.get::<ClientAddress>().map(ClientAddress::ip),
        })))
    }
}

fn certificate_names(certificate: &ClientCertificate) -> Vec<String> {
    certificate.common_name.iter().chain(&certificate.dns_names).cloned().collect()
}

/// The hash of the node's credential. Any other credential says nothing about a node.
fn credential(headers: &HeaderMap) -> Option<SecretHash> {
    let (scheme, secret) = only(headers, &header::AUTHORIZATION)?.split_once(' ')?;
    let secret = secret.trim();
    let is_of_node = scheme.eq_ignore_ascii_case("bearer") && secret.starts_with(Secret::NODE_CREDENTIAL);
    is_of_node.then(|| hash_of(secret))
}

fn next_credential(headers: &HeaderMap) -> Result<Option<SecretHash>, Problem> {
    let parsed = only(headers, &NEXT_CREDENTIAL).map(|digits| digits.to_ascii_lowercase().parse()).transpose();
    parsed.map_err(|error| {
        let violation = Violation::new("Convene-Next-Credential", format!("{error}"));
        Problem::invalid("headers", vec![violation])
    })
}

/// The value of a header that is there once. Of several values it is not certain which one a proxy in between has seen.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok().map(str::trim) }
}

impl IntoParams for PresentedHeaders {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let parameter = |name: &str, description: &str| {
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Header)
                .description(Some(description))
                .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
                .build()
        };
        vec![
            parameter(
                "Convene-Join-Token",
                "A join token, with a node's first check-in. The credential in `Authorization: Bearer cvnn_…`, which the node has \
                 made itself, is then bound to its name.",
            ),
            parameter(
                "Convene-Next-Credential",
                "The SHA-256, in hexadecimal digits, of the credential with which the node is about to replace its present one. The \
                 first use of that one retires the present one.",
            ),
        ]
    }
}
