//! A CA and a certificate for a first set-up.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType,
};
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName};

use crate::connection::fingerprint;

/// For how long the CA is valid, and the server's certificate. Who needs shorter ones has a CA already.
const VALID_DAYS: i64 = 3650;

/// The file of the CA's certificate.
pub const CA: &str = "ca.crt";

/// The file of the CA's key.
pub const CA_KEY: &str = "ca.key";

/// The file of the server's certificate, followed by the CA's.
pub const CERTIFICATE: &str = "server.crt";

/// The file of the server's key.
pub const KEY: &str = "server.key";

/// The name of the CA.
const CA_NAME: &str = "Convene CA";

/// How far the clock of another machine may be behind.
const CLOCK_SKEW: Duration = Duration::hours(1);

/// The files of a first set-up.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The CA's certificate, for clients.
    pub ca: PathBuf,
    /// The CA's key, to issue further certificates.
    pub ca_key: PathBuf,
    /// The server's certificate, followed by the CA's.
    pub certificate: PathBuf,
    /// The server's key.
    pub key: PathBuf,
    /// `sha256:` and the SHA-256 of the CA's certificate: by it a client verifies the CA that the server sends.
    pub pin: String,
    /// The names and addresses that the server's certificate is for.
    pub names: Vec<String>,
}

/// Why the files can't be made. Nothing was changed.
#[derive(Debug, Error)]
pub enum TlsInitError {
    /// A file exists already.
    #[error("{} exists already; remove the files, or choose another --dir, to make new ones", .0.display())]
    Exists(PathBuf),
    /// A name is neither a host name nor an address.
    #[error("{0:?} is not a host name or an IP address (--host)")]
    BadHost(String),
    /// A certificate can't be made.
    #[error("can't make the certificates: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A file can't be written.
    #[error("can't write {}: {source}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// Makes a CA, and a certificate of it for this machine and these hosts, in a folder that only this user can read. Refuses
/// to replace a file.
pub fn create(dir: &Path, hosts: &[String]) -> Result<TlsFiles, TlsInitError> {
    let (names, subjects) = names(hosts)?;
    let file = |name: &str| dir.join(name);
    let files = TlsFiles {
        ca: file(CA),
        ca_key: file(CA_KEY),
        certificate: file(CERTIFICATE),
        key: file(KEY),
        pin: String::new(),
        names,
    };
    let all = [&files.ca, &files.ca_key, &files.certificate, &files.key];
    if let Some(existing) = all.iter().find(|file| fs::symlink_metadata(file).is_ok()) {
        return Err(TlsInitError::Exists((*existing).clone()));
    }

    let ca = about_ca();
    let ca_key = KeyPair::generate()?;
    let ca_certificate = ca.self_signed(&ca_key)?;
    let server_key = KeyPair::generate()?;
    let ca_key_pem = ca_key.serialize_pem();
    let certificate = about_server(subjects).signed_by(&server_key, &Issuer::new(ca, ca_key))?;

    create_dir(dir)?;
    // The server sends its CA, so that a client that knows only the pin can verify it.
    let chain = certificate.pem() + &ca_certificate.pem();
    for (file, text, mode) in [
        (&files.ca_key, ca_key_pem, 0o600),
        (&files.key, server_key.serialize_pem(), 0o600),
        (&files.ca, ca_certificate.pem(), 0o644),
        (&files.certificate, chain, 0o644),
    ] {
        write(file, &text, mode)?;
    }
    Ok(TlsFiles { pin: fingerprint(ca_certificate.der()), ..files })
}

/// A further certificate for this machine and these hosts, for the same key of the server and of the same CA, with the CA's after
/// it. The CA must be one that [`create`] has made.
pub fn reissue(ca: &str, ca_key: &str, server_key: &str, hosts: &[String]) -> Result<String, TlsInitError> {
    let (_, subjects) = names(hosts)?;
    let (ca_key, server_key) = (KeyPair::from_pem(ca_key)?, KeyPair::from_pem(server_key)?);
    let certificate = about_server(subjects).signed_by(&server_key, &Issuer::new(about_ca(), ca_key))?;
    Ok(certificate.pem() + ca)
}

/// Whether a certificate is that of a CA that [`create`] has made with this key.
pub fn is_ca_of(ca: &X509Certificate<'_>, ca_key: &str) -> bool {
    let mut names = ca.subject().iter_common_name();
    let is_named = names.next().is_some_and(|name| name.as_str() == Ok(CA_NAME)) && names.next().is_none();
    let key = KeyPair::from_pem(ca_key).map(|key| key.subject_public_key_info());
    is_named && key.is_ok_and(|key| key == ca.public_key().raw)
}

/// The hosts that a certificate is for.
pub fn hosts_of(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let host = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => {
            let v4 = <[u8; 4]>::try_from(*octets).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from)).ok().map(|address| address.to_string())
        }
        _ => None,
    };
    names.value.general_names.iter().filter_map(host).collect()
}

/// Whether one of these names in a certificate is a host.
pub fn include(names: &[String], host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let parent = host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
    let is_host = |name: &String| {
        name.eq_ignore_ascii_case(host) || parent.as_ref().is_some_and(|parent| name.eq_ignore_ascii_case(parent))
    };
    names.iter().any(is_host)
}

fn about_ca() -> CertificateParams {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    ca.distinguished_name = named(CA_NAME);
    set_validity(&mut ca);
    ca
}

fn about_server(subjects: Vec<SanType>) -> CertificateParams {
    let mut server = CertificateParams::default();
    server.subject_alt_names = subjects;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.distinguished_name = named("convene-server");
    server.use_authority_key_identifier_extension = true;
    set_validity(&mut server);
    server
}

fn set_validity(about: &mut CertificateParams) {
    let now = OffsetDateTime::now_utc();
    about.not_before = now - CLOCK_SKEW;
    about.not_after = now + Duration::days(VALID_DAYS);
}

/// The names of this machine and the given ones, each once, as texts and as alternative names.
fn names(hosts: &[String]) -> Result<(Vec<String>, Vec<SanType>), TlsInitError> {
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let own = ["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string(), Ipv6Addr::LOCALHOST.to_string()];
    // A machine's name that no certificate can have, such as an empty one, is left out.
    let machine = Some(machine).filter(|name| subject(name).is_ok());
    let mut names = Vec::new();
    for name in own.into_iter().chain(machine).chain(hosts.iter().cloned()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let subjects = names.iter().map(|name| subject(name)).collect::<Result<_, _>>()?;
    Ok((names, subjects))
}

fn subject(name: &str) -> Result<SanType, TlsInitError> {
    if let Ok(address) = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let is_label = |label: &str| {
        let fits = (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
        fits && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let bad = || TlsInitError::BadHost(name.to_owned());
    // A name such as *.example.com may have a star in front.
    if name.len() > 253 || !name.strip_prefix("*.").unwrap_or(name).split('.').all(is_label) {
        return Err(bad());
    }
    Ok(SanType::DnsName(name.try_into().map_err(|_| bad())?))
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// A folder that exists keeps its rights: it may be one that others share on purpose, and the keys are protected by their own.
fn create_dir(dir: &Path) -> Result<(), TlsInitError> {
    let failed = |source| TlsInitError::Write { file: dir.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)
}

/// Writes a file that does not exist, also not as a symbolic link of another user.
fn write(file: &Path, text: &str, mode: u32) -> Result<(), TlsInitError> {
    let failed = |source| TlsInitError::Write { file: file.to_owned(), source };
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(file).map_err(failed)?;
    opened.write_all(text.as_bytes()).and_then(|()| opened.sync_all()).map_err(failed)
}
