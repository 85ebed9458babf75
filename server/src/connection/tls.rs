//! The server's certificate, and who its clients may be.

mod load;
mod reload;

use std::sync::{Arc, RwLock};

use prometheus_client::metrics::gauge::Gauge;
use rustls::ServerConfig;

use crate::config::TlsArgs;
use load::{Loaded, load};

pub use load::TlsError;
pub use reload::reload_on_change;

/// The TLS configuration of the next connection. Those that are open keep the one that they began with.
pub struct CurrentTls {
    files: TlsArgs,
    loaded: RwLock<Loaded>,
    not_after: Gauge,
}

impl CurrentTls {
    /// Loads the files; `None` without a certificate.
    pub fn load(files: &TlsArgs) -> Result<Option<Arc<Self>>, TlsError> {
        let Some(loaded) = load(files)? else { return Ok(None) };
        loaded.warn();
        let not_after = Gauge::default();
        not_after.set(loaded.not_after);
        Ok(Some(Arc::new(Self { files: files.clone(), loaded: RwLock::new(loaded), not_after })))
    }

    /// The configuration for a new connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.loaded.read().expect("no holder panics").config.clone()
    }

    /// When the certificate in use ends, in seconds since 1970.
    pub fn not_after(&self) -> &Gauge {
        &self.not_after
    }

    /// Loads the files again. If they can't be used, the old certificate stays. Returns whether anything is new.
    fn reload(&self) -> Result<bool, TlsError> {
        // The flags are the same, so there is a certificate.
        let Some(new) = load(&self.files)? else { return Ok(false) };
        let mut loaded = self.loaded.write().expect("no holder panics");
        let is_new = new.identity != loaded.identity;
        if is_new {
            new.warn();
            self.not_after.set(new.not_after);
            *loaded = new;
        }
        Ok(is_new)
    }
}
