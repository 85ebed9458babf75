use std::fmt;

use convene_lifecycle::ClientUrl;
use reqwest::Url;

use crate::Tls;

/// The credentials for a connection to etcd.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The trusted CA and the client certificate.
    pub tls: Tls,
    /// The user, if etcd's auth is on. None is needed if etcd takes the user from the CN of the client certificate.
    pub user: Option<User>,
    /// Which etcds may be sent the password, and the token of a login.
    pub send_password: SendPassword,
}

/// A user of etcd's auth.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name, such as `root`.
    pub name: String,
    /// The password. It is never printed.
    pub password: String,
}

/// Which etcds may be sent the password, and the token of a login.
///
/// Most URLs come from a registry or from etcd's member list, so that others decide where a connection leads. The system trusts
/// dozens of CAs, and anybody gets a certificate for a host of his own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendPassword {
    /// Any etcd whose certificate [`Tls::ca`] has signed for that host. Besides, those at these URLs, which this node is configured
    /// with: over TLS with any trusted CA, or in clear text at a loopback address.
    Verified {
        /// The URLs of this node's own etcd.
        own: Vec<ClientUrl>,
    },
    /// Any etcd, also in clear text.
    Anybody,
}

impl Default for SendPassword {
    fn default() -> Self {
        Self::Verified { own: Vec::new() }
    }
}

/// That the etcd at a URL may be sent secrets. Only [`Access::may_send_secrets`] creates it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaySendSecrets {
    /// Whether the host must turn out to be this machine.
    pub loopback_only: bool,
}

impl Access {
    /// Whether the etcd at this URL may be sent the password. A connection to an `https` URL is established only once the
    /// certificate is verified for the host of the URL.
    pub(crate) fn may_send_secrets(&self, url: &ClientUrl) -> Option<MaySendSecrets> {
        let own = match &self.send_password {
            SendPassword::Anybody => return Some(MaySendSecrets { loopback_only: false }),
            SendPassword::Verified { own } => own,
        };
        let parsed = Url::parse(url.as_str()).ok()?;
        match parsed.scheme() {
            "https" if self.tls.ca.is_some() || own.contains(url) => Some(MaySendSecrets { loopback_only: false }),
            "http" if own.contains(url) && is_loopback(&parsed) => Some(MaySendSecrets { loopback_only: true }),
            _ => None,
        }
    }
}

/// Whether the URL has a loopback address. `localhost` is one if the resolver agrees, which [`MaySendSecrets::loopback_only`]
/// demands.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    address.map_or(host.eq_ignore_ascii_case("localhost"), |address| address.to_canonical().is_loopback())
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> ClientUrl {
        text.parse().unwrap()
    }

    #[test]
    fn the_password_goes_to_verified_hosts_and_to_own_loopback_addresses() {
        let own = [
            "http://127.0.0.1:2379",
            "http://[::1]:2379",
            "http://localhost:2379",
            "http://10.0.0.1:2379",
            "https://own:2379",
        ];
        let of_others = ["http://127.0.0.1:1", "http://localhost:1", "https://10.0.0.2:2379", "http://10.0.0.2:2379"];
        let access = |ca: Option<Vec<u8>>| Access {
            tls: Tls { ca, ..Tls::default() },
            user: None,
            send_password: SendPassword::Verified { own: own.map(url).to_vec() },
        };
        let sent_to = |access: &Access, urls: &[&str]| -> Vec<bool> {
            urls.iter().map(|text| access.may_send_secrets(&url(text)).is_some()).collect()
        };
        assert_eq!(sent_to(&access(None), &own), [true, true, true, false, true]);
        assert_eq!(sent_to(&access(None), &of_others), [false, false, false, false]);
        assert_eq!(sent_to(&access(Some(Vec::new())), &of_others), [false, false, true, false]);
        let anybody = Access { send_password: SendPassword::Anybody, ..access(None) };
        assert_eq!(sent_to(&anybody, &of_others), [true; 4]);
        assert!(Access::default().may_send_secrets(&url(own[0])).is_none(), "nothing is this node's own by default");
    }

    #[test]
    fn a_name_that_only_looks_like_this_machine_is_another_one() {
        for text in
            ["http://localhost.evil:1", "http://127.0.0.1.evil:1", "http://localhost@evil:1", "http://128.0.0.1:1"]
        {
            let Ok(url) = text.parse::<ClientUrl>() else { continue };
            let own = SendPassword::Verified { own: vec![url.clone()] };
            assert!(Access { send_password: own, ..Access::default() }.may_send_secrets(&url).is_none(), "{text}");
        }
    }
}
