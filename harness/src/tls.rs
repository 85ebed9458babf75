//! Throw-away certificates.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use tempfile::TempDir;

/// A CA that only the tests trust. Its files exist as long as the CA or one of its identities.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    folder: Arc<TempDir>,
}

impl Ca {
    /// A CA of its own for each test.
    pub fn new() -> Self {
        let mut about = CertificateParams::default();
        about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        about.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        about.distinguished_name = named("Convene's tests");
        let key = KeyPair::generate().unwrap();
        let certificate = about.self_signed(&key).unwrap();
        let ca = Self { issuer: Issuer::new(about, key), folder: Arc::new(TempDir::new().unwrap()) };
        fs::write(ca.file(), certificate.pem()).unwrap();
        ca
    }

    /// Its certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// An identity for servers on 127.0.0.1 and localhost. It is one for clients as well: members are each other's
    /// clients, and etcd's HTTP gateway is a client of its own server. It has no name, as that would be a user's.
    pub fn node(&self) -> Identity {
        let mut about = CertificateParams::default();
        let localhost = SanType::DnsName("localhost".try_into().unwrap());
        about.subject_alt_names = vec![SanType::IpAddress(Ipv4Addr::LOCALHOST.into()), localhost];
        about.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        about.distinguished_name = DistinguishedName::new();
        self.issue(about)
    }

    /// An identity for a server alone, under its host name.
    pub fn server(&self, host: &str) -> Identity {
        let mut about = CertificateParams::new([host.to_owned()]).unwrap();
        about.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        about.distinguished_name = named(host);
        self.issue(about)
    }

    /// An identity for a client alone, under a name that etcd takes for a user's, such as "root".
    pub fn client(&self, name: &str) -> Identity {
        let mut about = CertificateParams::default();
        about.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        about.distinguished_name = named(name);
        self.issue(about)
    }

    /// An identity for servers on 127.0.0.1 and localhost that was valid for a day, long ago.
    pub fn expired_node(&self) -> Identity {
        let mut about = CertificateParams::new(["localhost".to_owned()]).unwrap();
        about.not_before = rcgen::date_time_ymd(2020, 1, 1);
        about.not_after = rcgen::date_time_ymd(2020, 1, 2);
        self.issue(about)
    }

    /// An identity for a client under a name that was valid for a day, long ago.
    pub fn expired_client(&self, name: &str) -> Identity {
        let mut about = CertificateParams::default();
        about.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        about.distinguished_name = named(name);
        about.not_before = rcgen::date_time_ymd(2020, 1, 1);
        about.not_after = rcgen::date_time_ymd(2020, 1, 2);
        self.issue(about)
    }

    /// An identity for a client under a name that is valid for so long from now on, to the second.
    pub fn client_for(&self, name: &str, validity: Duration) -> Identity {
        let mut about = CertificateParams::default();
        about.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        about.distinguished_name = named(name);
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        about.not_after = rcgen::date_time_ymd(1970, 1, 1) + now + validity;
        self.issue(about)
    }

    fn issue(&self, mut about: CertificateParams) -> Identity {
        about.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        let certificate = about.signed_by(&key, &self.issuer).unwrap();
        let folder = tempfile::Builder::new().prefix("identity").tempdir_in(self.folder.path()).unwrap().keep();
        let identity = Identity {
            ca: self.file(),
            certificate: folder.join("tls.crt"),
            key: folder.join("tls.key"),
            _folder: self.folder.clone(),
        };
        fs::write(&identity.certificate, certificate.pem()).unwrap();
        fs::write(&identity.key, key.serialize_pem()).unwrap();
        identity
    }
}

impl Default for Ca {
    fn default() -> Self {
        Self::new()
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// A certificate with its key, and the CA that it and the other side's are checked against, in files.
#[derive(Clone)]
pub struct Identity {
    /// The CA's certificate.
    pub ca: PathBuf,
    /// The certificate.
    pub certificate: PathBuf,
    /// The certificate's key.
    pub key: PathBuf,
    _folder: Arc<TempDir>,
}

impl Identity {
    /// The same identity, which verifies the other side against any of these CAs, as during the replacement of a CA.
    pub fn trusting(self, cas: &[&Ca]) -> Self {
        let bundle: String = cas.iter().map(|ca| fs::read_to_string(ca.file()).unwrap()).collect();
        let ca = self.certificate.with_file_name("trusted.crt");
        fs::write(&ca, bundle).unwrap();
        Self { ca, ..self }
    }

    /// The same identity, whose certificate and key somebody puts into this folder.
    pub fn at(self, folder: &Path) -> Self {
        Self { certificate: folder.join("tls.crt"), key: folder.join("tls.key"), ..self }
    }

    /// Replaces the certificate and its key by those of another identity, each at once as a whole.
    pub fn replace_by(&self, other: &Self) {
        for (file, by) in [(&self.certificate, &other.certificate), (&self.key, &other.key)] {
            let copy = file.with_extension("new");
            fs::copy(by, &copy).unwrap();
            fs::rename(copy, file).unwrap();
        }
    }

    /// etcd's flags for serving clients and members with it, and for requiring a certificate.
    pub fn etcd_flags(&self) -> Vec<String> {
        self.etcd_settings().into_iter().map(|(flag, value)| format!("--{flag}={value}")).collect()
    }

    /// etcdctl's flags for showing it.
    pub fn etcdctl_flags(&self) -> Vec<String> {
        let [ca, certificate, key] = self.texts();
        vec![format!("--cacert={ca}"), format!("--cert={certificate}"), format!("--key={key}")]
    }

    pub(crate) fn etcd_settings(&self) -> Vec<(&'static str, String)> {
        let [ca, certificate, key] = self.texts();
        vec![
            ("cert-file", certificate.clone()),
            ("key-file", key.clone()),
            ("trusted-ca-file", ca.clone()),
            ("client-cert-auth", "true".to_owned()),
            ("peer-cert-file", certificate),
            ("peer-key-file", key),
            ("peer-trusted-ca-file", ca),
            ("peer-client-cert-auth", "true".to_owned()),
        ]
    }

    fn texts(&self) -> [String; 3] {
        [&self.ca, &self.certificate, &self.key]
            .map(|file| file.to_str().expect("the temporary folder's name is UTF-8").to_owned())
    }
}
