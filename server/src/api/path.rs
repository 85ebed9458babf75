use std::str::FromStr;

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};
use convene_lifecycle::{MemberKey, MemberName, Token};
use utoipa::IntoParams;

use super::problem::{Problem, Violation};
use crate::access::{ApiTokenId, Target};

/// The cluster in a path.
#[derive(IntoParams)]
#[into_params(names("cluster"), parameter_in = Path)]
pub struct TokenPath(
    /// The cluster's ID or its token. Keep the token secret: anyone who knows the token can read the cluster, and register nodes
    /// while it forms.
    #[param(
        value_type = String,
        min_length = 1,
        max_length = 128,
        pattern = r"^(\.{0,2}[A-Za-z0-9_-]|\.{3})[A-Za-z0-9._-]*$",
        example = "cl-00019a2b3c4d5e6f"
    )]
    pub Token,
);

impl<S: Send + Sync> FromRequestParts<S> for TokenPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // Resolved before, together with the check of access.
        if let Some(target) = parts.extensions.get::<Target>() {
            return target.token.clone().map(Self).ok_or_else(Problem::no_such_cluster);
        }
        parameter(parts, state, Target::PARAMETER, EXPECTED).await.map(Self)
    }
}

/// The member in a path.
#[derive(IntoParams)]
#[into_params(names("member"), parameter_in = Path)]
pub struct MemberPath(
    /// The member's ID, as etcd prints it.
    #[param(
        value_type = String,
        min_length = 1,
        max_length = 128,
        pattern = r"^(\.{0,2}[A-Za-z0-9-]|\.{3})[A-Za-z0-9._-]*$",
        example = "8e9e05c52164694d"
    )]
    pub MemberKey,
);

impl<S: Send + Sync> FromRequestParts<S> for MemberPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        parameter(parts, state, "member", EXPECTED_MEMBER).await.map(Self)
    }
}

/// The API token in a path.
#[derive(IntoParams)]
#[into_params(names("id"), parameter_in = Path)]
pub struct ApiTokenPath(
    /// The token's ID.
    #[param(value_type = String, pattern = "^tok-[0-9a-f]{16}$", example = "tok-5e0f3c1a2b4d6879")]
    pub ApiTokenId,
);

impl<S: Send + Sync> FromRequestParts<S> for ApiTokenPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        parameter(parts, state, "id", EXPECTED_API_TOKEN).await.map(Self)
    }
}

/// The join token in a path.
#[derive(IntoParams)]
#[into_params(names("id"), parameter_in = Path)]
pub struct JoinTokenPath(
    /// The join token's public ID.
    #[param(value_type = String, min_length = 1, max_length = 128, example = "join-6f1ed002ab559585")]
    pub String,
);

impl<S: Send + Sync> FromRequestParts<S> for JoinTokenPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        parameter(parts, state, "id", "must be the ID of a join token").await.map(Self)
    }
}

/// The node in a path.
#[derive(IntoParams)]
#[into_params(names("node"), parameter_in = Path)]
pub struct NodePath(
    /// The node's name.
    #[param(value_type = String, min_length = 1, example = "infra3")]
    pub MemberName,
);

impl<S: Send + Sync> FromRequestParts<S> for NodePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        parameter(parts, state, "node", "must be a node's name, without ',', '=' and control characters")
            .await
            .map(Self)
    }
}

async fn parameter<T: FromStr, S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    name: &'static str,
    expected: &str,
) -> Result<T, Problem> {
    let params = RawPathParams::from_request_parts(parts, state).await;
    let params = params.map_err(|_| invalid(name, "is not UTF-8 after percent-decoding"))?;
    let given = params.iter().find(|(given, _)| *given == name).map_or("", |(_, given)| given);
    given.parse().map_err(|_| invalid(name, expected))
}

fn invalid(name: &'static str, message: &str) -> Problem {
    Problem::invalid("path", vec![Violation::new(name, message)])
}

const EXPECTED_API_TOKEN: &str = "must be the ID of an API token: tok- and 16 hexadecimal digits in lower case";

const EXPECTED_MEMBER: &str =
    "must be a member's ID as etcd prints it: hexadecimal digits, or the key under which a v2 client registered it";

const EXPECTED: &str = "must be a cluster's ID, or its token: 1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-', and neither '.' nor '..'";
