use std::sync::Arc;

use clap::ValueEnum;
use convene_lifecycle::{ClusterSize, JoinPolicy, PolicyChange, Settings, StockWrites, Token};
use thiserror::Error;

use crate::{
    access::{Caller, Principal, Role},
    rates::{Rates, TooFast},
    registry::{Quota, QuotaExceeded},
};

/// Who may create clusters by `/new`, v2 and v3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NewMode {
    /// Everyone who reaches the server.
    Open,
    /// Administrators only.
    Admin,
}

/// Who may create clusters by `/new`, v2 and v3, and how many.
#[derive(Debug)]
pub struct CreationLimits {
    /// Who.
    pub mode: NewMode,
    /// How many an hour.
    pub rates: Arc<Rates>,
    /// How many in all.
    pub quota: Arc<Quota>,
}

/// The terms on which a request of `/new`, v2 or v3 may create a cluster.
#[derive(Clone, Debug)]
pub struct NewClusters {
    /// The largest size.
    pub max_size: ClusterSize,
    /// The policy `stock_writes` of the new cluster.
    pub stock_writes: StockWrites,
    /// Who may create one.
    pub limits: Arc<CreationLimits>,
    /// Who asks.
    pub caller: Caller,
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
    /// The address has created too many within an hour.
    #[error(
        "this address has reached the limit of new clusters in an hour (--max-new-per-hour); retry in {} s, or ask an \
         administrator for a discovery URL",
        .0.seconds()
    )]
    TooFast(TooFast),
    /// The address has created too many.
    #[error(transparent)]
    Quota(QuotaExceeded),
}

impl NewClusters {
    /// The settings of a new cluster with this token, which counts from now on.
    pub fn admit(&self, token: &Token, size: ClusterSize) -> Result<Settings, NotAdmitted> {
        self.limits.admit(&self.caller, token)?;
        // Nobody is there to hand out a join token.
        let (stock_writes, join) = (Some(self.stock_writes), Some(JoinPolicy::Open));
        let policy = PolicyChange { stock_writes, join, ..PolicyChange::default() };
        Ok(Settings { size: Some(size), policy, ..Settings::default() })
    }
}

impl CreationLimits {
    fn admit(&self, caller: &Caller, token: &Token) -> Result<(), NotAdmitted> {
        let is_administrator = caller.principal.has_for_all(Role::Admin);
        if self.mode == NewMode::Admin && !is_administrator {
            return Err(NotAdmitted::AdministratorsOnly { is_known: caller.principal != Principal::Anonymous });
        }
        let is_verified = is_administrator && caller.principal != Principal::Unchecked;
        if let Some(client) = caller.actor.from.filter(|_| !is_verified) {
            self.quota.check_address(client).map_err(NotAdmitted::Quota)?;
            self.rates.new_cluster(client).map_err(NotAdmitted::TooFast)?;
            self.quota.created_by(client, token);
        }
        Ok(())
    }
}
