use std::{fmt, str::FromStr};

use axum::http::{HeaderValue, uri::Authority};
use thiserror::Error;
use url::{Origin as UrlOrigin, Url};

/// The origin of a web page: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

/// Why a text is not an [`Origin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be http:// or https:// with a host and without a path, such as https://tools.example.com")]
pub struct OriginError;

impl Origin {
    /// The origin that a header names. `null`, which pages without an origin send, is none.
    pub fn of(header: &HeaderValue) -> Option<Self> {
        header.to_str().ok()?.parse().ok()
    }

    /// Whether it is the origin of a server that is asked by this host, with either scheme: the server does not know that of a
    /// proxy before it.
    pub fn is_at(&self, host: &Authority) -> bool {
        ["http", "https"].into_iter().any(|scheme| format!("{scheme}://{host}").parse().as_ref() == Ok(self))
    }

    /// The value of a header that names it.
    pub fn to_header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("an origin is ASCII without control characters")
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let url = Url::parse(text).map_err(|_| OriginError)?;
        let is_bare =
            url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        let is_web = matches!(url.scheme(), "http" | "https") && url.password().is_none();
        match url.origin() {
            origin @ UrlOrigin::Tuple(..) if is_bare && is_web => Ok(Self(origin.ascii_serialization())),
            _ => Err(OriginError),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
