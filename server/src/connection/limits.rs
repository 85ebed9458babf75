use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use prometheus_client::registry::Registry;
use thiserror::Error;

use super::{
    budget::{Account, Budget},
    client::ClientAddress,
    network::Network,
    proxies::TrustedProxies,
    resets::Resets,
    tally::{Excess, Place, Tally},
};
use crate::config::LimitArgs;

/// Open files that connections may not take: the database's, the log's, and those of connections that are refused in words.
const RESERVED_FILES: usize = 256;

/// How much clients may hold, and what they hold.
#[derive(Debug)]
pub struct Limits {
    /// Open connections.
    pub connections: Arc<Tally>,
    /// Open long polls, watches, event streams and held check-ins.
    waits: Arc<Tally>,
    /// Bytes of requests and answers.
    queued: Arc<Budget>,
    queued_of_address: usize,
    queued_of_connection: usize,
    addresses: Mutex<Addresses>,
    /// Requests that clients reset before they are answered.
    pub resets: Resets,
    /// Whose word about the client's address counts.
    pub proxies: TrustedProxies,
    /// HTTP/2 requests of one connection.
    pub streams: u32,
    /// How long an answer may wait without progress.
    pub write_timeout: Duration,
}

#[derive(Debug, Default)]
struct Addresses {
    budgets: HashMap<Network, Weak<Budget>>,
    /// How many there may be before those without a connection are removed.
    most: usize,
}

/// Too many long polls, watches, event streams or held check-ins are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TooManyWaits {
    /// Of the client's address.
    #[error(
        "this address has {0} open long polls, watches, event streams and held check-ins, the maximum \
         (--max-waits-per-address); end some, or try again later"
    )]
    OfAddress(usize),
    /// Of all clients.
    #[error(
        "{0} long polls, watches, event streams and held check-ins are open, the maximum (--max-waits); try again later"
    )]
    OfAll(usize),
}

/// A long poll, a watch, an event stream or a held check-in that counts until this is dropped.
pub type Wait = Place;

impl Limits {
    /// The limits that the flags set, for a process that may open this many files.
    pub fn new(args: &LimitArgs, open_files: u64) -> Self {
        let most_by_files = usize::try_from(open_files).unwrap_or(usize::MAX).saturating_sub(RESERVED_FILES).max(1);
        if most_by_files < args.max_connections {
            tracing::warn!(
                most = most_by_files,
                "the limit of open files allows fewer connections than --max-connections; raise it (ulimit -n, LimitNOFILE=)"
            );
        }
        let most = args.max_connections.min(most_by_files);
        // Files that the process does not get must not be the reason why one address can take all connections.
        let most_of_address = if most < args.max_connections {
            args.max_connections_per_address.min(most.div_ceil(2))
        } else {
            args.max_connections_per_address
        };
        for (of_address, of_all, flag) in [
            (most_of_address, most, "--max-connections-per-address"),
            (args.max_waits_per_address, args.max_waits, "--max-waits-per-address"),
        ] {
            if of_address >= of_all {
                tracing::warn!(
                    flag,
                    of_address,
                    of_all,
                    "one address can use the whole limit, so others get nothing; set the flag lower"
                );
            }
        }
        Self {
            connections: Arc::new(Tally::new(most, most_of_address)),
            waits: Arc::new(Tally::new(args.max_waits, args.max_waits_per_address)),
            queued: Arc::new(Budget::new(args.max_queued)),
            // A quarter is kept for addresses that hold little.
            queued_of_address: args.max_queued / 4,
            queued_of_connection: args.max_queued_per_connection,
            addresses: Mutex::default(),
            resets: Resets::default(),
            proxies: TrustedProxies::new(args.trusted_proxies.clone()),
            streams: args.max_streams,
            write_timeout: args.write_timeout,
        }
    }

    /// One more long poll, watch, event stream or held check-in of a client. One without an address is the server's own.
    pub fn wait(&self, client: Option<ClientAddress>) -> Result<Wait, TooManyWaits> {
        self.waits.take(client.map(|client| client.ip().into())).map_err(|excess| match excess {
            Excess::OfAddress => TooManyWaits::OfAddress(self.waits.limit(excess)),
            Excess::OfAll => TooManyWaits::OfAll(self.waits.limit(excess)),
        })
    }

    /// The network whose limits count for a client. `None` for a trusted proxy, which passes on what its clients do.
    pub fn limited_network(&self, address: IpAddr) -> Option<Network> {
        (!self.proxies.contain(address)).then(|| address.into())
    }

    /// The account of a new connection; `None` for one of a trusted proxy.
    pub fn account(&self, network: Option<Network>) -> Account {
        let address = network.map(|network| self.budget_of(network));
        let connection = network.map(|_| Budget::new(self.queued_of_connection));
        Account::new(self.queued.clone(), address, connection)
    }

    fn budget_of(&self, network: Network) -> Arc<Budget> {
        const FEW: usize = 1024;
        let mut addresses = self.addresses.lock().expect("no holder panics");
        if let Some(budget) = addresses.budgets.get(&network).and_then(Weak::upgrade) {
            return budget;
        }
        if addresses.budgets.len() >= addresses.most {
            addresses.budgets.retain(|_, budget| budget.strong_count() > 0);
            addresses.most = (2 * addresses.budgets.len()).max(FEW);
        }
        let budget = Arc::new(Budget::new(self.queued_of_address));
        addresses.budgets.insert(network, Arc::downgrade(&budget));
        budget
    }

    /// Shows what is held and what was refused.
    pub fn register(&self, convene: &mut Registry) {
        let (connections, waits) = (&self.connections, &self.waits);
        convene.register("connections", "Open connections", connections.open.clone());
        let help = "Connections that were refused because too many were open, of one address or in all";
        convene.register("connections_refused", help, connections.refused.clone());
        let help = "Long polls, watches, event streams and check-ins that were not held because too many were open";
        convene.register("waits_refused", help, waits.refused.clone());
        let help = "Connections that were closed or not accepted because their address had reset too many requests";
        convene.register("connections_cut_for_resets", help, self.resets.cut.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_one_address_share_a_budget_and_addresses_without_any_are_forgotten() {
        let limits = Limits::new(&LimitArgs::default(), u64::MAX);
        let network = |n: u32| Network::from(std::net::IpAddr::from(n.to_be_bytes()));
        let kept = limits.budget_of(network(1));
        assert!(Arc::ptr_eq(&kept, &limits.budget_of(network(1))));
        for n in 2..5_000 {
            limits.budget_of(network(n));
        }
        let addresses = limits.addresses.lock().unwrap();
        assert!(addresses.budgets.len() <= 1024 && addresses.budgets.contains_key(&network(1)));
    }
}
