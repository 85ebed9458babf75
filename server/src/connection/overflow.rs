use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
};

use tokio::task::AbortHandle;

use super::network::Network;

/// How many connections beyond the limit are open at a time, to be refused in words, or to answer a health check.
const MOST: usize = 64;

/// How many of them one address has.
const MOST_OF_ONE: usize = 4;

/// The connections beyond the limit. A new one takes the place of the oldest, so that whoever holds these connections
/// without a word keeps nobody out.
#[derive(Debug, Default)]
pub struct Overflow(Mutex<VecDeque<(Option<Network>, AbortHandle)>>);

impl Overflow {
    /// Makes room for a connection, and keeps it in mind.
    pub fn add(&self, network: Option<Network>, connection: AbortHandle) {
        let mut open = self.lock();
        open.retain(|(_, connection)| !connection.is_finished());
        if open.iter().filter(|(of, _)| of.is_some() && *of == network).count() >= MOST_OF_ONE
            && let Some(oldest) = open.iter().position(|(of, _)| *of == network)
        {
            open.remove(oldest).into_iter().for_each(|(_, connection)| connection.abort());
        }
        if open.len() >= MOST {
            open.pop_front().into_iter().for_each(|(_, connection)| connection.abort());
        }
        open.push_back((network, connection));
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Option<Network>, AbortHandle)>> {
        self.0.lock().expect("no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, net::IpAddr};

    use super::*;

    #[tokio::test]
    async fn the_oldest_connection_makes_room_and_one_address_does_not_take_all() {
        let overflow = Overflow::default();
        let add = |address: [u8; 4]| {
            let connection = tokio::spawn(pending::<()>());
            overflow.add(Some(IpAddr::from(address).into()), connection.abort_handle());
            connection
        };
        let first = add([10, 0, 0, 1]);
        let flood: Vec<_> = (0..1_000).map(|_| add([10, 0, 0, 2])).collect();
        assert_eq!(overflow.lock().len(), 1 + MOST_OF_ONE);
        for gone in flood.into_iter().take(1_000 - MOST_OF_ONE) {
            assert!(gone.await.unwrap_err().is_cancelled());
        }
        assert!(!first.is_finished());
        let others: Vec<_> = (0..MOST).map(|n| add([10, 0, 1, n as u8])).collect();
        assert!(first.await.unwrap_err().is_cancelled());
        assert!(overflow.lock().len() == MOST && others.iter().all(|other| !other.is_finished()));
    }
}
