use axum::http::{HeaderMap, HeaderValue, header};
use base64::{Engine, prelude::BASE64_STANDARD};

use crate::secret::Secret;

/// A secret as a request presents it. It is not checked yet.
#[derive(PartialEq, Eq)]
pub enum Credential {
    /// An API token.
    ApiToken(String),
    /// The credential of a node.
    Node(String),
    /// Something else, which is no credential of this server.
    Other,
}

/// The credential of an HTTP request: `Authorization: Bearer SECRET`, `Authorization: Basic` with the secret as the password, or, as
/// etcd's JSON API has it, the secret alone. `None` if the request has none.
pub fn credential(headers: &HeaderMap) -> Option<Credential> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?;
    if values.next().is_some() {
        // It is not certain which one a proxy in between has read.
        return Some(Credential::Other);
    }
    Some(presented(value).map_or(Credential::Other, |secret| classify(&secret)))
}

/// The credential of a gRPC request: the token that [`Authenticate`](crate::v3) has returned, in `token` (etcd,
/// `api/v3rpc/rpctypes/metadatafields.go`), or one as in HTTP.
pub fn grpc_credential(headers: &HeaderMap) -> Option<Credential> {
    const TOKEN: &str = "token";
    match headers.get(TOKEN) {
        Some(value) => Some(value.to_str().map_or(Credential::Other, classify)),
        None => credential(headers),
    }
}

/// What kind of credential a secret is.
pub fn classify(secret: &str) -> Credential {
    match secret {
        _ if secret.starts_with(Secret::API_TOKEN) => Credential::ApiToken(secret.to_owned()),
        _ if secret.starts_with(Secret::NODE_CREDENTIAL) => Credential::Node(secret.to_owned()),
        _ => Credential::Other,
    }
}

fn presented(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?.trim();
    let Some((scheme, rest)) = text.split_once(' ') else { return Some(text.to_owned()) };
    let rest = rest.trim_start();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(rest).ok()?).ok()?;
    decoded.split_once(':').map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<Credential> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        credential(&headers)
    }

    #[test]
    fn a_token_is_read_from_every_scheme() {
        let token = || Some(Credential::ApiToken("cvn_abc".to_owned()));
        for value in ["Bearer cvn_abc", "bearer  cvn_abc", "cvn_abc", "Basic b3BzOmN2bl9hYmM="] {
            assert!(of(&[value]) == token(), "{value}");
        }
    }

    #[test]
    fn a_node_is_known_by_its_prefix() {
        assert!(of(&["Bearer cvnn_abc"]) == Some(Credential::Node("cvnn_abc".to_owned())));
    }

    #[test]
    fn anything_else_is_no_credential_but_not_nothing() {
        assert!(of(&[]).is_none());
        for value in ["", "Bearer", "Bearer abc", "Basic", "Basic ?", "Basic b3Bz", "Digest cvn_abc", "abc"] {
            assert!(of(&[value]) == Some(Credential::Other), "{value}");
        }
        assert!(of(&["Bearer cvn_abc", "Bearer cvn_abc"]) == Some(Credential::Other));
    }
}
