use std::{fmt, net::IpAddr, sync::Arc};

/// Who asked for a change, and from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The public name of the credential, such as `tok-…`, `certificate CN`, `node NAME` or `discovery-token`. Never a secret.
    pub by: Arc<str>,
    /// The address of the client. `None` if the server itself made the change.
    pub from: Option<IpAddr>,
}

impl Actor {
    /// The server itself, for example when it deletes a cluster that nobody has registered in.
    pub fn server() -> Self {
        Self { by: "server".into(), from: None }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            Some(from) => write!(f, "{} from {from}", self.by),
            None => f.write_str(&self.by),
        }
    }
}
