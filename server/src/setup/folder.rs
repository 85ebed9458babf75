use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustls_pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::SetupError;
use crate::tls_init::{self, CA, CA_KEY, CERTIFICATE, KEY};

/// The rights of others to write.
const WRITTEN_BY_OTHERS: u32 = 0o022;

/// Certificates that are being made. If a server is killed meanwhile, they are of no use.
const UNFINISHED: &str = ".tls-unfinished";

/// Certificates that are complete, and are being moved to their places.
const FINISHED: &str = ".tls-finished";

/// The folder of a set-up, which belongs to the user of the server.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    _lock: File,
}

/// The files that the server needs to speak TLS.
pub(super) struct Certificate {
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Folder {
    /// Makes the folder if it is missing, and locks it.
    pub fn open(dir: &Path) -> Result<Self, SetupError> {
        let failed = |action| move |source| SetupError::File { action, path: dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("make the folder"))?;
        // The files name each other, and those who use them may start elsewhere.
        let dir = dir.canonicalize().map_err(failed("use"))?;
        let found = fs::metadata(&dir).map_err(failed("use"))?;
        if found.uid() != rustix::process::geteuid().as_raw() {
            return Err(SetupError::Foreign(dir));
        }
        if found.mode() & WRITTEN_BY_OTHERS != 0 {
            return Err(SetupError::Shared(dir));
        }
        let path = dir.join(".lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = lock.and_then(|lock| wait_for_lock(&lock, &path).map(|()| lock));
        let lock = lock.map_err(|source| SetupError::File { action: "lock", path, source })?;
        Ok(Self { dir, _lock: lock })
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The text of a file; `None` if there is none.
    pub fn read(&self, name: &str) -> Result<Option<String>, SetupError> {
        match fs::read_to_string(self.path(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SetupError::File { action: "read", path: self.path(name), source }),
        }
    }

    /// Writes a file that only its owner can read. It appears whole, or not at all.
    pub fn write(&self, name: &str, text: &str) -> Result<(), SetupError> {
        let path = self.path(name);
        let unfinished = self.path(&format!(".{name}-unfinished"));
        let written = remove(&unfinished, |path| fs::remove_file(path)).and_then(|()| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            self.sync()
        });
        written.map_err(|source| SetupError::File { action: "write", path, source })
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) -> Result<(), SetupError> {
        let path = self.path(name);
        let removed = remove(&path, |path| fs::remove_file(path)).and_then(|()| self.sync());
        removed.map_err(|source| SetupError::File { action: "remove", path, source })
    }

    /// The certificate; makes it for these hosts if it is missing.
    pub fn certificate(&self, hosts: &[String]) -> Result<Certificate, SetupError> {
        let finished = self.path(FINISHED);
        // An administrator may have taken the key of the CA offline.
        let needed = [CA, CERTIFICATE, KEY];
        if !finished.exists() {
            let present = [CA, CA_KEY, CERTIFICATE, KEY].into_iter().find(|name| self.path(name).exists());
            let missing = needed.into_iter().find(|name| !self.path(name).exists());
            match (missing, present) {
                (Some(missing), Some(present)) => {
                    return Err(SetupError::Incomplete { missing: self.path(missing), present: self.path(present) });
                }
                (Some(_), None) => self.make_certificate(hosts)?,
                (None, _) => {}
            }
        }
        if finished.exists() {
            self.move_certificate().map_err(|source| SetupError::File { action: "move", path: finished, source })?;
        }
        let [ca, certificate, key] = needed.map(|name| self.path(name));
        self.keep_up_with(hosts)?;
        Ok(Certificate { ca, certificate, key })
    }

    /// Makes the certificate again if it is not for one of the hosts, which may be new, and if the set-up has made the old one. Nodes
    /// notice nothing: CA, pin and key stay.
    fn keep_up_with(&self, hosts: &[String]) -> Result<(), SetupError> {
        let read = |name| fs::read_to_string(self.path(name));
        let Ok(found) = read(CERTIFICATE) else { return Ok(()) };
        let Some(old) = with_first(&found, tls_init::hosts_of) else { return Ok(()) };
        let Some(host) = hosts.iter().find(|host| !tls_init::include(&old, host)) else { return Ok(()) };
        let path = self.path(CERTIFICATE);
        if let (Ok(ca), Ok(ca_key), Ok(key)) = (read(CA), read(CA_KEY), read(KEY))
            && with_first(&ca, |ca| tls_init::is_ca_of(ca, &ca_key)) == Some(true)
        {
            // Servers that share the folder may have different hosts.
            let all = [&old[..], hosts].concat();
            self.write(CERTIFICATE, &tls_init::reissue(&ca, &ca_key, &key, &all)?)?;
            tracing::info!(host, file = %path.display(), "made a new certificate of the same CA, because the old one was not for this host");
        } else {
            tracing::warn!(
                host,
                file = %path.display(),
                "the certificate is not valid for this host, so clients that use this host refuse the server; issue a \
                 certificate for this host with your CA, or put ca.key back and start the server again (--setup, \
                 --public-url)"
            );
        }
        Ok(())
    }

    fn make_certificate(&self, hosts: &[String]) -> Result<(), SetupError> {
        let unfinished = self.path(UNFINISHED);
        let failed = |source| SetupError::File { action: "write", path: unfinished.clone(), source };
        remove(&unfinished, |path| fs::remove_dir_all(path)).map_err(failed)?;
        tls_init::create(&unfinished, hosts)?;
        let synced = File::open(&unfinished).and_then(|folder| folder.sync_all());
        synced.and_then(|()| fs::rename(&unfinished, self.path(FINISHED))).and_then(|()| self.sync()).map_err(failed)
    }

    fn move_certificate(&self) -> io::Result<()> {
        let finished = self.path(FINISHED);
        for name in [CA, CA_KEY, CERTIFICATE, KEY] {
            let from = finished.join(name);
            // The others were moved before the server was killed.
            if from.exists() {
                fs::rename(from, self.path(name))?;
            }
        }
        self.sync()?;
        fs::remove_dir(&finished)
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

/// What is so of the first certificate in a text; `None` if there is none.
fn with_first<T>(pem: &str, of: impl FnOnce(&X509Certificate<'_>) -> T) -> Option<T> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    X509Certificate::from_der(&der).ok().map(|(_, certificate)| of(&certificate))
}

/// Locks a file. Another server may hold the lock until its own set-up is finished.
fn wait_for_lock(lock: &File, path: &Path) -> io::Result<()> {
    match lock.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            tracing::info!(file = %path.display(), "waiting for another server that makes its set-up in this folder (--setup)");
            lock.lock()
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Removes what may be missing.
fn remove(path: &Path, remove: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    match remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
