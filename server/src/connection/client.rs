use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    http::{StatusCode, request::Parts},
};
use convene_lifecycle::UnixMillis;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

/// The address of the client that sent a request. Every request has it as an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(SocketAddr);

impl ClientAddress {
    /// The address of the other end of a connection.
    pub fn of_peer(peer: SocketAddr) -> Self {
        // A socket for both families shows IPv4 as ::ffff:a.b.c.d, and nobody thinks of a limit or a rule by that.
        Self(SocketAddr::new(peer.ip().to_canonical(), peer.port()))
    }

    /// Another client, whose request came by the same connection.
    pub fn at(self, client: IpAddr) -> Self {
        Self(SocketAddr::new(client.to_canonical(), self.0.port()))
    }

    /// The client's IP address, canonical: an IPv4 address is never one of IPv6.
    pub fn ip(&self) -> IpAddr {
        self.0.ip()
    }

    /// The IP address, with the port of the connection that brought the request: tells connections of one client apart.
    pub fn connection(&self) -> SocketAddr {
        self.0
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        // Every connection adds it. Without it no limit and no audit could be right, so nothing is answered.
        parts.extensions.get().copied().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// The certificate by which the client of a request has proved who it is. Requests have it as an extension if the client
/// has shown a certificate that a CA of `--tls-client-ca` has issued for clients, and that was valid during the handshake.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientCertificate {
    /// The subject's common name.
    pub common_name: Option<String>,
    /// The DNS names among the subject's alternative names.
    pub dns_names: Vec<String>,
    /// The URIs among the subject's alternative names, such as a SPIFFE ID.
    pub uris: Vec<String>,
    /// When its validity ends.
    pub not_after: UnixMillis,
    /// `sha256:` and 64 lower-case hexadecimal digits: the SHA-256 of the whole certificate.
    pub fingerprint: String,
}

impl ClientCertificate {
    /// Reads a verified certificate. A certificate that can't be read, or whose names can't, proves nothing.
    pub fn parse(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        // With two common names, which one counts is a matter of opinion; none does.
        let mut common_names = certificate.subject().iter_common_name();
        let common_name = common_names.next().filter(|_| common_names.next().is_none());
        let common_name = common_name.and_then(|name| name.as_str().ok()).map(str::to_owned);
        let (mut dns_names, mut uris) = (Vec::new(), Vec::new());
        if let Some(names) = certificate.subject_alternative_name().ok()? {
            for name in &names.value.general_names {
                match name {
                    GeneralName::DNSName(name) => dns_names.push((*name).to_owned()),
                    GeneralName::URI(uri) => uris.push((*uri).to_owned()),
                    _ => {}
                }
            }
        }
        let not_after = UnixMillis(certificate.validity().not_after.timestamp().saturating_mul(1000));
        Some(Self { common_name, dns_names, uris, not_after, fingerprint: fingerprint(der) })
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for ClientCertificate {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, StatusCode> {
        Ok(parts.extensions.get().cloned())
    }
}

/// `sha256:` and the SHA-256 of a certificate, as lower-case hexadecimal digits.
pub fn fingerprint(der: &[u8]) -> String {
    use fmt::Write;
    Sha256::digest(der).iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_client_of_a_socket_for_both_families_has_its_ipv4_address() {
        let address = ClientAddress::of_peer("[::ffff:10.0.0.1]:5".parse().unwrap());
        assert_eq!((address.ip().to_string().as_str(), address.to_string().as_str()), ("10.0.0.1", "10.0.0.1:5"));
    }
}
