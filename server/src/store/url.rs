use std::{fmt, fs, path::PathBuf, str::FromStr};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use thiserror::Error;
use url::Url;

/// The URL of a database: `sqlite:PATH` or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`. `Display` and `Debug` hide the
/// password.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// A file that one server owns.
    Sqlite(PathBuf),
    /// A database that several servers can share.
    Postgres(Box<PgConnectOptions>),
}

/// Why a text is not a [`DatabaseUrl`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DatabaseUrlError {
    /// Another kind of database.
    #[error(
        "must be sqlite:PATH, such as sqlite:convene.db, or postgres://USER:PASSWORD@HOST:PORT/DATABASE; other databases \
         are not supported"
    )]
    Scheme,
    /// A SQLite database without a file.
    #[error(
        "must name a file and nothing else, such as sqlite:convene.db; a database in memory would lose acknowledged writes"
    )]
    NoFile,
    /// Not a PostgreSQL URL.
    #[error("must be postgres://USER:PASSWORD@HOST:PORT/DATABASE: {0}")]
    Postgres(String),
    /// The user or the password contains a character that ends the host name.
    #[error(
        "must be postgres://USER:PASSWORD@HOST:PORT/DATABASE; in the user and the password write %2F for /, %3F for ?, %23 \
         for # and %40 for @"
    )]
    Unescaped,
    /// A TLS file that can't be used.
    #[error("has {parameter}={}, and {reason}", path.display())]
    File {
        /// The parameter that names it.
        parameter: &'static str,
        /// Its path.
        path: PathBuf,
        /// Why it can't be used.
        reason: String,
    },
    /// A root certificate that would not be used.
    #[error("has sslrootcert, which needs sslmode=verify-full or verify-ca")]
    NotVerified,
    /// A parameter that would be ignored.
    #[error("has the parameter {0}, which is not supported; supported are {known}", known = PARAMETERS.join(", "))]
    Parameter(String),
}

/// The query parameters of a PostgreSQL URL.
const PARAMETERS: &[&str] = &[
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, DatabaseUrlError> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            return sqlite(path);
        }
        match text.split_once("://") {
            Some(("postgres" | "postgresql", _)) => postgres(text),
            _ => Err(DatabaseUrlError::Scheme),
        }
    }
}

fn sqlite(path: &str) -> Result<DatabaseUrl, DatabaseUrlError> {
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.starts_with(':') || path.contains('?') {
        return Err(DatabaseUrlError::NoFile);
    }
    Ok(DatabaseUrl::Sqlite(path.into()))
}

fn postgres(text: &str) -> Result<DatabaseUrl, DatabaseUrlError> {
    let wrong = |error: &dyn fmt::Display| DatabaseUrlError::Postgres(error.to_string());
    let behind_scheme = text.split_once("://").map_or("", |(_, rest)| rest);
    let (_, behind_host) = behind_scheme.split_once(['/', '?', '#']).unwrap_or((behind_scheme, ""));
    if behind_host.contains('@') || behind_scheme.matches('@').count() > 1 {
        return Err(DatabaseUrlError::Unescaped);
    }
    let url = Url::parse(text).map_err(|error| wrong(&error))?;
    if let Some((unknown, _)) = url.query_pairs().find(|(name, _)| !PARAMETERS.contains(&&**name)) {
        return Err(DatabaseUrlError::Parameter(unknown.into_owned()));
    }
    let options = PgConnectOptions::from_str(text).map_err(|error| wrong(&error))?;
    check_tls(&url, options.get_ssl_mode())?;
    Ok(DatabaseUrl::Postgres(Box::new(options)))
}

/// Checks that the TLS files exist and contain what they should. An error of the connection would name none of them.
fn check_tls(url: &Url, mode: PgSslMode) -> Result<(), DatabaseUrlError> {
    for (parameter, content) in [("sslrootcert", "CERTIFICATE"), ("sslcert", "CERTIFICATE"), ("sslkey", "PRIVATE KEY")]
    {
        let Some((_, path)) = url.query_pairs().find(|(name, _)| name == parameter) else { continue };
        let wrong = |reason| DatabaseUrlError::File { parameter, path: PathBuf::from(&*path), reason };
        let text = fs::read(&*path).map_err(|error| wrong(format!("the file can't be read: {error}")))?;
        let label = format!("{content}-----");
        if !text.windows(label.len()).any(|window| window == label.as_bytes()) {
            return Err(wrong(format!("the file contains no PEM {content}")));
        }
        if parameter == "sslrootcert" && !matches!(mode, PgSslMode::VerifyCa | PgSslMode::VerifyFull) {
            return Err(DatabaseUrlError::NotVerified);
        }
    }
    Ok(())
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres(options) => {
                let database = options.get_database().unwrap_or(options.get_username());
                match options.get_socket() {
                    Some(socket) => write!(f, "{database} of PostgreSQL at {}", socket.display()),
                    None => write!(f, "{database} of PostgreSQL at {}:{}", options.get_host(), options.get_port()),
                }
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, DatabaseUrlError> {
        text.parse().map(|url: DatabaseUrl| url.to_string())
    }

    #[test]
    fn a_url_can_name_a_sqlite_file() {
        for (text, path) in [
            ("sqlite:convene.db", "convene.db"),
            ("sqlite:///var/c.db", "/var/c.db"),
            ("sqlite:/a b/c.db", "/a b/c.db"),
        ] {
            assert_eq!(shown(text), Ok(path.to_owned()));
        }
        for text in ["sqlite:", "sqlite::memory:", "sqlite://:memory:", "sqlite:a.db?mode=memory"] {
            assert_eq!(shown(text), Err(DatabaseUrlError::NoFile), "{text}");
        }
        for text in ["", "convene.db", "mysql://localhost/convene", "postgres:convene"] {
            assert_eq!(shown(text), Err(DatabaseUrlError::Scheme), "{text}");
        }
    }

    #[test]
    fn a_postgresql_url_is_shown_without_its_password() {
        let text = "postgres://convene:secret@db.example.com:6432/registry?sslmode=verify-full";
        assert_eq!(shown(text), Ok("registry of PostgreSQL at db.example.com:6432".to_owned()));
        let url: DatabaseUrl = text.parse().unwrap();
        assert!(!format!("{url:?}").contains("secret"));
        assert_eq!(shown("postgresql:///convene?host=/run/db"), Ok("convene of PostgreSQL at /run/db".to_owned()));
        let unknown = "postgres://a:secret@h/c?target_session_attrs=any";
        assert_eq!(shown(unknown), Err(DatabaseUrlError::Parameter("target_session_attrs".to_owned())));
        for password in ["/secret", "12/secret", "12?secret", "?secret", "12#secret", "a@secret"] {
            let error = shown(&format!("postgres://u:{password}@127.0.0.1/db")).unwrap_err();
            assert_eq!(error, DatabaseUrlError::Unescaped);
        }
        for text in ["postgres://a:secret@h:x/c", "postgres://a:secret@h/c?sslmode=maybe"] {
            let error = shown(text).unwrap_err();
            assert!(matches!(error, DatabaseUrlError::Postgres(_)) && !error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn tls_files_are_checked() {
        let dir = tempfile::TempDir::new().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let certificate = file("ca.pem", "-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----\n");
        let key = file("key.pem", "-----BEGIN EC PRIVATE KEY-----\n…\n-----END EC PRIVATE KEY-----\n");
        let error =
            |parameters: &str| shown(&format!("postgres://a@h/c?{parameters}")).err().map(|error| error.to_string());
        assert_eq!(error(&format!("sslmode=verify-ca&sslrootcert={certificate}")), None);
        assert_eq!(error(&format!("sslcert={certificate}&sslkey={key}")), None);
        let not_found = "the file can't be read: No such file or directory (os error 2)";
        for (parameters, expected) in [
            (
                format!("sslmode=verify-full&sslrootcert={key}"),
                format!("has sslrootcert={key}, and the file contains no PEM CERTIFICATE"),
            ),
            (
                format!("sslcert={certificate}&sslkey={certificate}"),
                format!("has sslkey={certificate}, and the file contains no PEM PRIVATE"),
            ),
            ("sslcert=/nope.pem".to_owned(), format!("has sslcert=/nope.pem, and {not_found}")),
            (format!("sslrootcert={certificate}"), "has sslrootcert, which needs sslmode=verify-full".to_owned()),
        ] {
            let message = error(&parameters).unwrap_or_else(|| panic!("{parameters} is accepted"));
            assert!(message.starts_with(&expected), "{message}");
        }
    }
}
