use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
};

use convene_lifecycle::Token;

use crate::store::Stamp;

/// How many writes are remembered.
const REMEMBERED: usize = 64;

/// The last states that this server has written. If the database lacks one, an older copy was restored beneath the server.
#[derive(Debug, Default)]
pub(super) struct RecentWrites(Mutex<VecDeque<(Token, Stamp)>>);

impl RecentWrites {
    pub fn record(&self, token: Token, stamp: Stamp) {
        let mut writes = self.lock();
        if writes.len() == REMEMBERED {
            writes.pop_front();
        }
        writes.push_back((token, stamp));
    }

    pub fn all(&self) -> Vec<(Token, Stamp)> {
        self.lock().iter().cloned().collect()
    }

    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Token, Stamp)>> {
        self.0.lock().expect("no holder panics")
    }
}
