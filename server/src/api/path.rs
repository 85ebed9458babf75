use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};
use convene_lifecycle::Token;
use utoipa::IntoParams;

use super::problem::{Problem, Violation};

/// The cluster that a path is about.
#[derive(IntoParams)]
#[into_params(names("token"), parameter_in = Path)]
pub struct TokenPath(
    /// The cluster's token. Whoever knows it can register members: keep it secret.
    #[param(
        value_type = String,
        min_length = 1,
        max_length = 128,
        pattern = r"^(\.{0,2}[A-Za-z0-9_-]|\.{3})[A-Za-z0-9._-]*$",
        example = "6c007a14875d53d9bf0ef5a6fc0257c8"
    )]
    pub Token,
);

impl<S: Send + Sync> FromRequestParts<S> for TokenPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let invalid = |message: &str| Problem::invalid("path", vec![Violation::new("token", message)]);
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| invalid("is not UTF-8 once percent-decoded"))?;
        let given = params.iter().find(|(name, _)| *name == "token").map_or("", |(_, given)| given);
        given.parse().map(Self).map_err(|_| invalid(EXPECTED))
    }
}

const EXPECTED: &str = "must be 1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-', and neither '.' nor '..'";
