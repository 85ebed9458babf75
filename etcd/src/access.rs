use std::fmt;

use crate::Tls;

/// The credentials for a connection to etcd.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The trusted CA and the client certificate.
    pub tls: Tls,
    /// The user, if etcd's auth is on. None is needed if etcd takes the user from the CN of the client certificate.
    pub user: Option<User>,
}

/// A user of etcd's auth.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name, such as `root`.
    pub name: String,
    /// The password. It is never printed.
    pub password: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}
