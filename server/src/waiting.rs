//! Which registered nodes still wait for the others of their cluster.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use convene_lifecycle::{MemberKey, Token};
use thiserror::Error;

/// How many registrations are remembered. Beyond that, all are forgotten: it is a rare mistake that they reveal.
const MOST_REGISTRATIONS: usize = 10_000;

/// How long another node is refused by v3 from the first time on. A proxy may send requests of several nodes through one
/// connection, so the one that seems to wait may be another node, and one that comes back must not be refused for ever.
const REFUSED_FOR: Duration = Duration::from_secs(300);

/// Which registered nodes still wait for the others of their cluster.
///
/// A long poll or a watch does not name the node that waits. But an etcd keeps its connection from its registration on (Go's
/// `http.Transport` and gRPC's client reuse it), and the kernel closes the connection when the process ends. If the
/// machine ends, the server's keepalive closes it.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<Mutex<Connections>>);

#[derive(Debug, Default)]
struct Connections {
    registered: HashMap<(Token, MemberKey), Registered>,
    /// How many waits for the members of a cluster a connection has open.
    waits: HashMap<(Token, SocketAddr), usize>,
}

#[derive(Debug)]
struct Registered {
    connection: SocketAddr,
    /// When another node was first refused.
    refused_since: Option<Instant>,
}

/// An open long poll or watch for the members of a cluster.
#[derive(Debug)]
pub struct OpenWait {
    waiting: Waiting,
    wait: (Token, SocketAddr),
}

/// Why a node may not register again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a node with this name and these peer URLs has registered, and is still waiting. Give each node its own --name and \
     peer URLs. If this is the same node, stop its other etcd first"
)]
pub struct StillWaits;

impl Waiting {
    /// Remembers that a node has registered, or looked for its registration, by this connection.
    pub fn registered(&self, token: &Token, member: &MemberKey, connection: SocketAddr) {
        let mut connections = self.lock();
        if connections.registered.len() >= MOST_REGISTRATIONS {
            connections.registered.clear();
        }
        let registered = Registered { connection, refused_since: None };
        connections.registered.insert((token.clone(), member.clone()), registered);
    }

    /// A wait that is open until the result is dropped.
    pub fn wait(&self, token: &Token, connection: SocketAddr) -> OpenWait {
        let wait = (token.clone(), connection);
        *self.lock().waits.entry(wait.clone()).or_default() += 1;
        OpenWait { waiting: self.clone(), wait }
    }

    /// Whether the node of a member waits for the others.
    pub fn is_open(&self, token: &Token, member: &MemberKey) -> bool {
        let connections = self.lock();
        let registered = connections.registered.get(&(token.clone(), member.clone()));
        registered.is_some_and(|registered| connections.waits.contains_key(&(token.clone(), registered.connection)))
    }

    /// Refuses a node that registers for a member whose node waits at another address, for a bounded time. All nodes behind one
    /// proxy have the proxy's address and are not told apart.
    pub fn refuse_other(
        &self,
        token: &Token,
        member: &MemberKey,
        other: SocketAddr,
        now: Instant,
    ) -> Result<(), StillWaits> {
        let mut connections = self.lock();
        let Connections { registered, waits } = &mut *connections;
        let Some(first) = registered.get_mut(&(token.clone(), member.clone())) else { return Ok(()) };
        let is_elsewhere = first.connection.ip().to_canonical() != other.ip().to_canonical();
        if !is_elsewhere || !waits.contains_key(&(token.clone(), first.connection)) {
            return Ok(());
        }
        let since = *first.refused_since.get_or_insert(now);
        if now.duration_since(since) < REFUSED_FOR { Err(StillWaits) } else { Ok(()) }
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.0.lock().expect("no holder panics")
    }
}

impl Drop for OpenWait {
    fn drop(&mut self) {
        let mut connections = self.waiting.lock();
        let Some(open) = connections.waits.get_mut(&self.wait) else { return };
        *open -= 1;
        if *open == 0 {
            connections.waits.remove(&self.wait);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_waits_while_its_connection_has_a_wait_open() {
        let (token, other): (Token, Token) = ("one".parse().unwrap(), "two".parse().unwrap());
        let member = |n: u32| n.to_string().parse::<MemberKey>().unwrap();
        let connection = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let waiting = Waiting::default();
        waiting.registered(&token, &member(1), connection(1));
        assert!(!waiting.is_open(&token, &member(1)));

        let waits = [waiting.wait(&token, connection(1)), waiting.wait(&token, connection(1))];
        assert!(waiting.is_open(&token, &member(1)));
        assert!(!waiting.is_open(&token, &member(2)) && !waiting.is_open(&other, &member(1)));
        let [one, two] = waits;
        drop(one);
        assert!(waiting.is_open(&token, &member(1)));
        drop(two);
        assert!(!waiting.is_open(&token, &member(1)));
        let _other_node = waiting.wait(&token, connection(2));
        assert!(!waiting.is_open(&token, &member(1)));
    }
    #[test]
    fn a_node_at_another_address_is_refused_while_the_first_waits_and_for_a_bounded_time() {
        let (token, member): (Token, MemberKey) = ("one".parse().unwrap(), "1".parse().unwrap());
        let at = |host: u8, port: u16| SocketAddr::from(([10, 0, 0, host], port));
        let (waiting, begun) = (Waiting::default(), Instant::now());
        let refuse =
            |other, seconds| waiting.refuse_other(&token, &member, other, begun + Duration::from_secs(seconds));
        waiting.registered(&token, &member, at(1, 1));
        assert_eq!(refuse(at(2, 1), 0), Ok(()), "the first does not wait");

        let wait = waiting.wait(&token, at(1, 1));
        assert_eq!(refuse(at(1, 2), 0), Ok(()), "a node that comes back, or one behind the same proxy");
        assert_eq!((refuse(at(2, 1), 100), refuse(at(3, 1), 399)), (Err(StillWaits), Err(StillWaits)));
        assert_eq!(refuse(at(2, 1), 400), Ok(()));
        waiting.registered(&token, &member, at(1, 1));
        assert_eq!(refuse(at(2, 1), 500), Err(StillWaits));
        drop(wait);
        assert_eq!(refuse(at(2, 1), 501), Ok(()));
    }
}
