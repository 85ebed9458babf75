use std::fmt;

use crate::Tls;

/// What an etcd wants to see before it lets somebody in.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Whom to trust, and by which certificate to be trusted.
    pub tls: Tls,
    /// Who to be if etcd's authentication is on. Not needed where it goes by the client certificate's CN.
    pub user: Option<User>,
}

/// A user of etcd's authentication.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Such as `root`.
    pub name: String,
    /// Never shown.
    pub password: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}
