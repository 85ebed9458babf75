use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier},
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};
use sha2::{Digest, Sha256};
use thiserror::Error;
use x509_parser::{
    prelude::{FromDer, X509Certificate},
    time::ASN1Time,
};

use crate::config::TlsArgs;

/// Why a certificate, its key or the CAs of clients can't be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The file can't be read.
    #[error("can't read {} ({flag}): {source}", file.display())]
    Unreadable {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        file: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file is not PEM.
    #[error("{} ({flag}) must be PEM: {source}", file.display())]
    NotPem {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: pem::Error,
    },
    /// The file has no certificate.
    #[error("{} ({flag}) has no certificate: it must have a block BEGIN CERTIFICATE", file.display())]
    NoCertificate {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        file: PathBuf,
    },
    /// The certificate can't be read.
    #[error("{} (--tls-cert) has a certificate that can't be read: {reason}", file.display())]
    BadCertificate {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The certificate is not valid now.
    #[error("the certificate in {} (--tls-cert) is valid from {from} to {until} only; get a new one, or correct the clock", file.display())]
    NotValidNow {
        /// The file.
        file: PathBuf,
        /// The first moment of validity.
        from: String,
        /// The last.
        until: String,
    },
    /// The key does not belong to the certificate, or is of a kind that is not supported.
    #[error("the key in {} (--tls-key) can't be used with the certificate in {}: {source}", key.display(), certificate.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// A CA of clients can't be used.
    #[error("{} (--tls-client-ca) has a CA that can't be used: {reason}", file.display())]
    BadCa {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Files that can be used.
pub struct Loaded {
    pub config: Arc<ServerConfig>,
    /// The hash of everything that was read, to notice whether anything is new.
    pub identity: [u8; 32],
    /// The end of the certificate's validity, in seconds since 1970.
    pub not_after: i64,
    /// The key's file, if every user of the machine can read it.
    exposed_key: Option<PathBuf>,
}

impl Loaded {
    /// Warns of what is legal and dangerous.
    pub fn warn(&self) {
        if let Some(key) = &self.exposed_key {
            tracing::warn!(
                key = %key.display(),
                "every user of this machine can read the private key (--tls-key); run `chmod 0600` on it"
            );
        }
    }
}

/// Reads the files; `None` if there is no certificate to read.
pub fn load(files: &TlsArgs) -> Result<Option<Loaded>, TlsError> {
    let (Some(certificate), Some(key)) = (&files.tls_cert, &files.tls_key) else { return Ok(None) };
    let mut identity = Sha256::new();
    let chain_pem = read("--tls-cert", certificate, &mut identity)?;
    let chain = certificates("--tls-cert", certificate, &chain_pem)?;
    let not_after = valid_until(certificate, &chain[0])?;
    let key_pem = read("--tls-key", key, &mut identity)?;
    let private_key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|source| TlsError::NotPem {
        flag: "--tls-key",
        file: key.clone(),
        source,
    })?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let unusable = |source| TlsError::Unusable { certificate: certificate.clone(), key: key.clone(), source };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match &files.tls_client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let pem = read("--tls-client-ca", file, &mut identity)?;
            let cas = certificates("--tls-client-ca", file, &pem)?;
            let verifier = verifier(cas, provider)
                .map_err(|error| TlsError::BadCa { file: file.clone(), reason: error.to_string() })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, private_key).map_err(unusable)?;
    if files.tls_client_ca.is_some() {
        // A resumed session does not verify the client's certificate again, which may have expired since.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let exposed_key = is_exposed(key).then(|| key.clone());
    Ok(Some(Loaded { config: Arc::new(config), identity: identity.finalize().into(), not_after, exposed_key }))
}

fn read(flag: &'static str, file: &Path, identity: &mut Sha256) -> Result<Vec<u8>, TlsError> {
    let bytes = fs::read(file).map_err(|source| TlsError::Unreadable { flag, file: file.to_owned(), source })?;
    identity.update(bytes.len().to_le_bytes());
    identity.update(&bytes);
    Ok(bytes)
}

/// One certificate or more.
fn certificates(flag: &'static str, file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|source| TlsError::NotPem { flag, file: file.to_owned(), source })?;
    if found.is_empty() { Err(TlsError::NoCertificate { flag, file: file.to_owned() }) } else { Ok(found) }
}

/// The end of a certificate's validity, which has begun and has not ended.
fn valid_until(file: &Path, certificate: &CertificateDer<'_>) -> Result<i64, TlsError> {
    let parsed = X509Certificate::from_der(certificate);
    let (_, parsed) =
        parsed.map_err(|error| TlsError::BadCertificate { file: file.to_owned(), reason: error.to_string() })?;
    let validity = parsed.validity();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(now).ok().and_then(|now| ASN1Time::from_timestamp(now).ok());
    if now.is_none_or(|now| validity.is_valid_at(now)) {
        return Ok(validity.not_after.timestamp());
    }
    let (from, until) = (validity.not_before.to_string(), validity.not_after.to_string());
    Err(TlsError::NotValidNow { file: file.to_owned(), from, until })
}

/// Verifies the certificate of a client that shows one.
fn verifier(
    cas: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, VerifierBuilderError> {
    let mut roots = RootCertStore::empty();
    for ca in cas {
        roots.add(ca).map_err(|_| VerifierBuilderError::NoRootAnchors)?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).allow_unauthenticated().build()
}

fn is_exposed(key: &Path) -> bool {
    fs::metadata(key).is_ok_and(|about| about.permissions().mode() & 0o007 != 0)
}
