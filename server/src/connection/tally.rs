use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard},
};

use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

use super::network::Network;

/// How many of something there are, in all and for each client address.
#[derive(Debug)]
pub struct Tally {
    most: usize,
    most_of_one: usize,
    held: Mutex<Held>,
    /// How many there are, as a metric.
    pub open: Gauge,
    /// How many were refused, as a metric.
    pub refused: Counter,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    by_network: HashMap<Network, usize>,
}

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// The one for each client address.
    OfAddress,
    /// The one for all together.
    OfAll,
}

/// One more of something, until this is dropped.
#[derive(Debug)]
pub struct Place {
    tally: Arc<Tally>,
    /// `None`: it counts only among all.
    network: Option<Network>,
}

impl Tally {
    /// Nothing yet, and the most that there may be.
    pub fn new(most: usize, most_of_one: usize) -> Self {
        Self { most, most_of_one, held: Mutex::default(), open: Gauge::default(), refused: Counter::default() }
    }

    /// One more, unless that exceeds a limit.
    pub fn take(self: &Arc<Self>, network: Option<Network>) -> Result<Place, Excess> {
        let taken = self.lock().take(network, self.most, self.most_of_one);
        match taken {
            Ok(()) => {
                self.open.inc();
                Ok(Place { tally: self.clone(), network })
            }
            Err(excess) => {
                self.refused.inc();
                Err(excess)
            }
        }
    }

    /// The limit that was reached.
    pub fn limit(&self, excess: Excess) -> usize {
        match excess {
            Excess::OfAddress => self.most_of_one,
            Excess::OfAll => self.most,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("no holder panics")
    }
}

impl Held {
    fn take(&mut self, network: Option<Network>, most: usize, most_of_one: usize) -> Result<(), Excess> {
        if self.all >= most {
            return Err(Excess::OfAll);
        }
        if let Some(network) = network {
            let of_one = self.by_network.entry(network).or_default();
            if *of_one >= most_of_one {
                return Err(Excess::OfAddress);
            }
            *of_one += 1;
        }
        self.all += 1;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.tally.lock();
        held.all -= 1;
        if let Some(network) = self.network
            && let Entry::Occupied(mut of_one) = held.by_network.entry(network)
        {
            *of_one.get_mut() -= 1;
            if *of_one.get() == 0 {
                of_one.remove();
            }
        }
        drop(held);
        self.tally.open.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_what_is_for_all_and_what_is_given_back_can_be_taken_again() {
        let tally = Arc::new(Tally::new(3, 2));
        let [one, other] =
            ["10.0.0.1", "10.0.0.2"].map(|ip| Some(Network::from(ip.parse::<std::net::IpAddr>().unwrap())));
        let (first, second) = (tally.take(one).unwrap(), tally.take(one).unwrap());
        assert_eq!(tally.take(one).unwrap_err(), Excess::OfAddress);
        let third = tally.take(other).unwrap();
        assert_eq!((tally.take(other).unwrap_err(), tally.take(None).unwrap_err()), (Excess::OfAll, Excess::OfAll));
        drop((first, second, third));
        assert!(tally.lock().by_network.is_empty(), "addresses that hold nothing cost nothing");
        let _places = [None, None, None].map(|network| tally.take(network).unwrap());
        assert_eq!((tally.open.get(), tally.refused.get()), (3, 3));
    }
}
