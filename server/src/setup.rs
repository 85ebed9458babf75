//! `--setup DIR`: a secure first set-up with one flag.
//!
//! What the folder and the database lack is made: a CA with a certificate for this server, an administrator's API token, and a first
//! cluster with a join token. Each secret is in its file before the database knows it, and each file appears whole, so a server
//! that was killed in between finishes its set-up at the next start. Later starts find all of it, and make nothing.

mod first_cluster;
mod folder;

use std::{io, path::PathBuf};

use convene_lifecycle::JoinTokenRequestError;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, pem};
use thiserror::Error;

use crate::{
    access::{ApiToken, AuthMode, Role, Scope},
    app::App,
    browsers::Host,
    config::{Config, PublicUrl},
    connection::fingerprint,
    registry::{Unavailable, WriteError},
    secret::Secret,
    store::{DatabaseUrl, StoreError},
    tls_init::TlsInitError,
};
use folder::Folder;

/// The file with the API token of an administrator.
const ADMIN_TOKEN: &str = "admin-token";

/// The folder of a set-up, with a certificate for the server.
#[derive(Debug)]
pub struct Setup {
    /// Locked until the set-up is finished: several servers may share the folder.
    folder: Folder,
    /// The pin of the CA.
    pin: String,
}

/// Why a set-up failed. The next start goes on with what was made.
#[derive(Debug, Error)]
pub enum SetupError {
    /// The server would not be secure.
    #[error("--setup makes a server that demands credentials, so it can't be combined with --auth off")]
    AuthOff,
    /// Nodes would not be sent to TLS.
    #[error("--setup makes a server that speaks TLS, so --public-url must begin with https://")]
    PublicUrlWithoutTls,
    /// The join line would name an address that other machines don't reach.
    #[error(
        "--setup needs --public-url with --listen {listen}: the URL at which nodes reach this server, such as https://HOST:{port}; the \
         certificate is for that host"
    )]
    NoPublicUrl {
        /// The address to listen on.
        listen: String,
        /// Its port.
        port: String,
    },
    /// Another user could replace the files.
    #[error("{} must belong to the user of this server, and does not; choose another folder for --setup, or change its owner", .0.display())]
    Foreign(PathBuf),
    /// Other users could replace the files.
    #[error("other users can write to {path}, the folder of --setup; run `chmod go-w {path}`", path = .0.display())]
    Shared(PathBuf),
    /// Only some files of the certificate are there.
    #[error(
        "{missing} is missing, and {present} exists; restore {missing}, or move {present} away, and the next start \
         creates new certificates with another pin (--setup)",
        missing = missing.display(), present = present.display()
    )]
    Incomplete {
        /// The first file that is missing.
        missing: PathBuf,
        /// A file that is there.
        present: PathBuf,
    },
    /// The certificate can't be made.
    #[error("{0} (--setup)")]
    Tls(#[from] TlsInitError),
    /// A file can't be used.
    #[error("can't {action} {}: {source} (--setup)", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file was changed by something else.
    #[error(
        "{} does not contain {expected}; move it away, and the next start creates a new one (--setup)",
        path.display()
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should contain.
        expected: &'static str,
    },
    /// The database can't be read or written.
    #[error("can't make the set-up: {0} (--setup)")]
    Database(#[from] Unavailable),
    /// The API tokens can't be read.
    #[error("can't make the set-up: {0} (--setup)")]
    Store(#[from] StoreError),
    /// The cluster can't be stored.
    #[error("can't make the first cluster: {0} (--setup)")]
    Write(#[from] WriteError),
    /// The join token can't be made.
    #[error("can't make the join token of the first cluster: {0} (--setup)")]
    JoinToken(#[from] JoinTokenRequestError),
}

impl Setup {
    /// Makes the folder and the certificate if they are missing, and lets the configuration use them. `None` without `--setup`.
    pub fn prepare(config: &mut Config) -> Result<Option<Self>, SetupError> {
        let Some(dir) = config.setup.clone() else { return Ok(None) };
        check(config)?;
        let folder = Folder::open(&dir)?;
        let tls = folder.certificate(&hosts(config))?;
        let ca = CertificateDer::from_pem_file(&tls.ca).map_err(|error| match error {
            pem::Error::Io(source) => SetupError::File { action: "read", path: tls.ca.clone(), source },
            _ => SetupError::Content { path: tls.ca.clone(), expected: "a certificate" },
        })?;
        config.tls.tls_cert = Some(tls.certificate);
        config.tls.tls_key = Some(tls.key);
        config.database.database_url.get_or_insert_with(|| DatabaseUrl::Sqlite(folder.path("convene.db")));
        Ok(Some(Self { folder, pin: fingerprint(&ca) }))
    }

    /// Makes an administrator and a first cluster if the database has none. Returns how to join the first cluster, as long as its
    /// join token lets nodes in.
    pub async fn finish(self, app: &App) -> Result<Option<String>, SetupError> {
        self.make_administrator(app).await?;
        self.describe_server(app)?;
        self.make_first_cluster(app).await?;
        self.join_line(app).await
    }

    async fn make_administrator(&self, app: &App) -> Result<(), SetupError> {
        let now = app.registry.now();
        let tokens = &app.access.tokens;
        if tokens.has_administrator(now) {
            return Ok(());
        }
        let kept = match self.folder.read(ADMIN_TOKEN)? {
            None => None,
            Some(text) => Some(Secret::parse(text.trim(), Secret::API_TOKEN).ok_or_else(|| SetupError::Content {
                path: self.folder.path(ADMIN_TOKEN),
                expected: "an API token",
            })?),
        };
        // One that the database knows was revoked, or has expired.
        let secret = match kept.filter(|secret| !tokens.has(secret.hash())) {
            Some(secret) => secret,
            None => {
                let secret = Secret::draw(Secret::API_TOKEN);
                self.folder.write(ADMIN_TOKEN, &format!("{}\n", secret.reveal()))?;
                secret
            }
        };
        let name = "setup".parse().expect("a name of a token");
        let token = ApiToken::new(name, Role::Admin, Scope::All, now, "command line".to_owned());
        tokens.create(secret.hash(), &token).await?;
        tracing::info!(id = %token.id, file = %self.folder.path(ADMIN_TOKEN).display(), "made an administrator's API token");
        Ok(())
    }

    /// Writes a file by which a shell lets `convene` administer this server.
    fn describe_server(&self, app: &App) -> Result<(), SetupError> {
        const FILE: &str = "admin.env";
        // An administrator whose token is elsewhere was there before.
        if self.folder.read(ADMIN_TOKEN)?.is_none() {
            return Ok(());
        }
        let path = self.folder.path(FILE);
        let token = self.folder.path(ADMIN_TOKEN);
        let text = format!(
            "# Lets `convene` administer this server: . {}\nexport CONVENE_SERVER={}\nexport CONVENE_ADMIN_TOKEN_FILE={}\n",
            quoted(&path.display().to_string()),
            quoted(&format!("{}#{}", app.public_url, self.pin)),
            quoted(&token.display().to_string()),
        );
        match self.folder.read(FILE)? {
            None => self.folder.write(FILE, &text)?,
            Some(found) if found == text => {}
            Some(_) => tracing::warn!(
                file = %path.display(),
                "admin.env has another URL, CA or folder than this server; move it away, and the next start creates it \
                 again"
            ),
        }
        Ok(())
    }
}

/// Checks what contradicts a secure set-up.
fn check(config: &Config) -> Result<(), SetupError> {
    if config.access.auth == AuthMode::Off {
        return Err(SetupError::AuthOff);
    }
    match &config.public_url {
        Some(url) if !url.is_https() => Err(SetupError::PublicUrlWithoutTls),
        None if listening_host(config).is_some_and(|host| host.is_unspecified()) => {
            let port = config.listen.rsplit_once(':').map_or("", |(_, port)| port).to_owned();
            Err(SetupError::NoPublicUrl { listen: config.listen.clone(), port })
        }
        _ => Ok(()),
    }
}

/// The hosts by which clients reach the server.
fn hosts(config: &Config) -> Vec<String> {
    let public = config.public_url.as_ref().and_then(PublicUrl::host);
    let hosts = public.into_iter().chain(listening_host(config)).chain(config.allowed_hosts.iter().cloned());
    hosts.filter(|host| !host.is_unspecified()).map(|host| host.to_string()).collect()
}

fn listening_host(config: &Config) -> Option<Host> {
    config.listen.rsplit_once(':').and_then(|(host, _)| host.parse().ok())
}

/// A word for a POSIX shell.
fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_a_quoted_word_as_it_is() {
        assert_eq!(quoted("/var/lib/convene"), "/var/lib/convene");
        assert_eq!(quoted("/var/lib/it's"), r"'/var/lib/it'\''s'");
    }
}
