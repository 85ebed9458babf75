use clap::ValueEnum;
use convene_lifecycle::{ClusterSize, PolicyChange, Settings, StockWrites};
use thiserror::Error;

use crate::access::{Principal, Role};

/// Who may create clusters by `/new`, v2 and v3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NewMode {
    /// Everyone who reaches the server.
    Open,
    /// Administrators only.
    Admin,
}

/// The terms on which a request of `/new`, v2 or v3 may create a cluster.
#[derive(Clone, Copy, Debug)]
pub struct NewClusters {
    /// The largest size.
    pub max_size: ClusterSize,
    /// The policy `stock_writes` of the new cluster.
    pub stock_writes: StockWrites,
    /// Whether the request may create one.
    pub admitted: Result<(), NotAdmitted>,
}

/// Why a request may not create a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotAdmitted {
    /// Only administrators may, and the request has another credential, or none.
    #[error(
        "only administrators create clusters on this server (--new admin): ask one for a discovery URL, which convene cluster create \
         and POST /v1/clusters return, or send an API token with the role admin"
    )]
    AdministratorsOnly {
        /// Whether the request has a credential.
        is_known: bool,
    },
}

impl NewMode {
    /// Fails if this principal may not create clusters.
    pub fn check(self, principal: &Principal) -> Result<(), NotAdmitted> {
        match self == Self::Open || principal.has_for_all(Role::Admin) {
            true => Ok(()),
            false => Err(NotAdmitted::AdministratorsOnly { is_known: *principal != Principal::Anonymous }),
        }
    }
}

impl NewClusters {
    /// The settings of a new cluster.
    pub fn settings(self, size: ClusterSize) -> Result<Settings, NotAdmitted> {
        self.admitted?;
        let policy = PolicyChange { stock_writes: Some(self.stock_writes), ..PolicyChange::default() };
        Ok(Settings { size: Some(size), policy, ..Settings::default() })
    }
}
