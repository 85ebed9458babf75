use crate::{secrets, tls::Identity};

/// How a client authenticates to etcd: not at all by default.
#[derive(Clone, Default)]
pub struct Access {
    /// The certificate that it shows. etcdctl is then the user of the certificate's name, if etcd has users.
    pub identity: Option<Identity>,
    /// A user's name and password.
    pub user: Option<(String, String)>,
}

impl Access {
    /// Shows a certificate.
    pub fn with(identity: &Identity) -> Self {
        Self { identity: Some(identity.clone()), user: None }
    }

    /// The same, as a user of etcd.
    pub fn and_user(self, name: &str, password: &str) -> Self {
        secrets::remember(password);
        Self { user: Some((name.to_owned(), password.to_owned())), ..self }
    }

    /// etcdctl's flags for it.
    pub fn etcdctl_flags(&self) -> Vec<String> {
        let identity = self.identity.iter().flat_map(Identity::etcdctl_flags);
        let user = self.user.iter().map(|(name, password)| format!("--user={name}:{password}"));
        identity.chain(user).collect()
    }
}
