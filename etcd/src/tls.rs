use std::{
    error::Error as StdError,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use reqwest::ClientBuilder;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use thiserror::Error;
use tonic::transport::{ClientTlsConfig, Endpoint};

use crate::{
    EtcdError,
    classify::{describe, is_https},
};

/// Certificates and keys in PEM.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The trusted CA; `None` for the CAs of the system.
    pub ca: Option<Vec<u8>>,
    /// The client certificate.
    pub identity: Option<TlsIdentity>,
    /// Whether etcds are also called in clear text, at `http` URLs.
    pub clear_text: ClearText,
}

/// Whether etcds are also called in clear text. Anybody on the way, and whoever names the URL, could then answer for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClearText {
    /// `http` URLs are called.
    #[default]
    Allowed,
    /// `http` URLs are not called.
    Refused,
}

/// A client certificate with its key.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    /// The certificate, and its chain to the CA.
    pub cert: Vec<u8>,
    /// The key. It is never printed.
    pub key: Vec<u8>,
}

/// Why [`Tls::read`] failed.
#[derive(Debug, Error)]
#[error("TLS file {}: {problem}", path.display())]
pub struct TlsFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: TlsFileProblem,
}

/// What is wrong with a TLS file.
#[derive(Debug, Error)]
pub enum TlsFileProblem {
    /// The file can't be read.
    #[error("{0}")]
    Unreadable(io::Error),
    /// The file has no certificate in PEM.
    #[error("has no certificate in PEM")]
    NoCertificate,
    /// The file has no private key in PEM, or only an encrypted one.
    #[error("has no unencrypted private key in PEM")]
    NoKey,
    /// The certificate has no key.
    #[error("is a certificate without a key; give its key too")]
    KeyMissing,
    /// The key has no certificate.
    #[error("is a key without a certificate; give its certificate too")]
    CertificateMissing,
}

impl Tls {
    /// Reads certificates and keys from files. With a CA, etcds are not called in clear text.
    pub fn read(ca: Option<&Path>, cert: Option<&Path>, key: Option<&Path>) -> Result<Self, TlsFileError> {
        let identity = match (cert, key) {
            (Some(cert), Some(key)) => Some(TlsIdentity { cert: read_certificates(cert)?, key: read_key(key)? }),
            (Some(cert), None) => return Err(TlsFileProblem::KeyMissing.of(cert)),
            (None, Some(key)) => return Err(TlsFileProblem::CertificateMissing.of(key)),
            (None, None) => None,
        };
        let clear_text = if ca.is_some() { ClearText::Refused } else { ClearText::Allowed };
        Ok(Self { ca: ca.map(read_certificates).transpose()?, identity, clear_text })
    }

    /// Fails if an etcd at this URL is not called because of its scheme.
    pub(crate) fn check_scheme(&self, endpoint: &str) -> Result<(), EtcdError> {
        match self.clear_text {
            ClearText::Refused if !is_https(endpoint) => Err(EtcdError::ClearText { endpoint: endpoint.to_owned() }),
            _ => Ok(()),
        }
    }

    /// Configures TLS for a gRPC connection.
    pub(crate) fn secure(&self, endpoint: Endpoint) -> Result<Endpoint, EtcdError> {
        let mut config = match &self.ca {
            Some(ca) => ClientTlsConfig::new().ca_certificate(tonic::transport::Certificate::from_pem(ca)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        if let Some(TlsIdentity { cert, key }) = &self.identity {
            config = config.identity(tonic::transport::Identity::from_pem(cert, key));
        }
        endpoint.tls_config(config).map_err(|error| unusable(&error))
    }

    /// Makes an HTTP client trust only our CA, or no CA if there is none, and never the CAs of the system.
    pub(crate) fn trust_own(&self, client: ClientBuilder) -> Result<ClientBuilder, EtcdError> {
        let certificates = self.ca.as_ref().map(|ca| reqwest::Certificate::from_pem_bundle(ca)).transpose();
        Ok(client.tls_certs_only(certificates.map_err(|error| unusable(&error))?.unwrap_or_default()))
    }

    /// Makes an HTTP client use our client certificate.
    pub(crate) fn identify(&self, client: ClientBuilder) -> Result<ClientBuilder, EtcdError> {
        let Some(TlsIdentity { cert, key }) = &self.identity else { return Ok(client) };
        let pem = [cert.as_slice(), key].join(&b'\n');
        Ok(client.identity(reqwest::Identity::from_pem(&pem).map_err(|error| unusable(&error))?))
    }
}

fn read_certificates(path: &Path) -> Result<Vec<u8>, TlsFileError> {
    let pem = read_file(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(pem),
        _ => Err(TlsFileProblem::NoCertificate.of(path)),
    }
}

fn read_key(path: &Path) -> Result<Vec<u8>, TlsFileError> {
    let pem = read_file(path)?;
    match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(_) => Ok(pem),
        Err(_) => Err(TlsFileProblem::NoKey.of(path)),
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsFileError> {
    fs::read(path).map_err(|error| TlsFileProblem::Unreadable(error).of(path))
}

fn unusable(error: &(dyn StdError + 'static)) -> EtcdError {
    EtcdError::UnusableTls { reason: describe(error) }
}

impl TlsFileProblem {
    fn of(self, path: &Path) -> TlsFileError {
        TlsFileError { path: path.to_owned(), problem: self }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ca, identity) = (self.ca.is_some(), self.identity.is_some());
        f.debug_struct("Tls").field("ca", &ca).field("identity", &identity).finish_non_exhaustive()
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_file_and_the_problem() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = |name: &str| dir.path().join(name);
        let identity = convene_harness::tls::Ca::new().client("root");
        fs::copy(&identity.certificate, path("cert")).unwrap();
        fs::copy(&identity.key, path("key")).unwrap();
        fs::write(path("text"), "neither").unwrap();
        let read = |ca: Option<&str>, cert: Option<&str>, key: Option<&str>| {
            let [ca, cert, key] = [ca, cert, key].map(|name| name.map(path));
            Tls::read(ca.as_deref(), cert.as_deref(), key.as_deref())
        };

        let tls = read(Some("cert"), Some("cert"), Some("key")).unwrap();
        assert!(tls.ca.is_some() && tls.identity.is_some());
        assert_eq!(format!("{tls:?}"), "Tls { ca: true, identity: true, .. }");
        assert_eq!(read(None, None, None).unwrap(), Tls::default());
        assert!(matches!(tls.check_scheme("http://127.0.0.1:2379"), Err(EtcdError::ClearText { .. })));
        assert_eq!(tls.check_scheme("https://127.0.0.1:2379"), Ok(()));
        assert_eq!(Tls::default().check_scheme("http://127.0.0.1:2379"), Ok(()));

        for (ca, cert, key, file, problem) in [
            (Some("none"), None, None, "none", "No such file or directory"),
            (Some("text"), None, None, "text", "no certificate"),
            (Some("key"), None, None, "key", "no certificate"),
            (None, Some("text"), Some("key"), "text", "no certificate"),
            (None, Some("cert"), Some("text"), "text", "no unencrypted private key"),
            (None, Some("cert"), Some("cert"), "cert", "no unencrypted private key"),
            (None, Some("cert"), None, "cert", "without a key"),
            (None, None, Some("key"), "key", "without a certificate"),
        ] {
            let error = read(ca, cert, key).unwrap_err();
            assert_eq!(error.path, path(file));
            let message = error.to_string();
            assert!(message.contains(problem) && message.contains(file), "{message}");
        }
    }
}
