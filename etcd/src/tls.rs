use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Certificates and key, as PEM.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Whose certificates are trusted. Without it: those whom the system trusts.
    pub ca: Option<Vec<u8>>,
    /// What we show who we are with.
    pub identity: Option<TlsIdentity>,
}

/// A client certificate with its key.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsIdentity {
    /// The certificate, and those that lead from it to the CA.
    pub cert: Vec<u8>,
    /// Its key. Never shown.
    pub key: Vec<u8>,
}

/// Why [`Tls::read`] can't read a file.
#[derive(Debug, Error)]
#[error("TLS file {}: {problem}", path.display())]
pub struct TlsFileError {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: TlsFileProblem,
}

/// What is wrong with a TLS file.
#[derive(Debug, Error)]
pub enum TlsFileProblem {
    /// It can't be read.
    #[error("{0}")]
    Unreadable(io::Error),
    /// It holds no certificate in PEM.
    #[error("has no certificate in PEM")]
    NoCertificate,
    /// It holds no private key in PEM, or only one that is encrypted.
    #[error("has no unencrypted private key in PEM")]
    NoKey,
    /// A certificate is of no use without its key.
    #[error("is a certificate without a key; give its key too")]
    KeyMissing,
    /// A key is of no use without its certificate.
    #[error("is a key without a certificate; give its certificate too")]
    CertificateMissing,
}

impl Tls {
    /// Reads what is given from files.
    pub fn read(ca: Option<&Path>, cert: Option<&Path>, key: Option<&Path>) -> Result<Self, TlsFileError> {
        let _ = (ca, cert, key);
        todo!()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ca, identity) = (self.ca.is_some(), self.identity.is_some());
        f.debug_struct("Tls").field("ca", &ca).field("identity", &identity).finish()
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity").finish_non_exhaustive()
    }
}
