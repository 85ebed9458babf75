use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use convene_lifecycle::{MemberKey, Token};

/// How many registrations are remembered. Beyond that, all are forgotten: it is a rare mistake that they reveal.
const MOST_REGISTRATIONS: usize = 10_000;

/// Which registered nodes still wait for the others of their cluster.
///
/// A long poll does not name the node that waits. But an etcd keeps its connection from its registration to the long poll
/// (Go's `http.Transport` reuses it), and the kernel closes the connection when the process ends.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<Mutex<Connections>>);

#[derive(Debug, Default)]
struct Connections {
    registered: HashMap<(Token, MemberKey), SocketAddr>,
    /// How many long polls for the members of a cluster a connection has open.
    polls: HashMap<(Token, SocketAddr), usize>,
}

/// An open long poll for the members of a cluster.
#[derive(Debug)]
pub struct OpenPoll {
    waiting: Waiting,
    poll: (Token, SocketAddr),
}

impl Waiting {
    /// Remembers that a node has registered, or looked for its registration, by this connection.
    pub fn registered(&self, token: &Token, member: &MemberKey, connection: SocketAddr) {
        let mut connections = self.lock();
        if connections.registered.len() >= MOST_REGISTRATIONS {
            connections.registered.clear();
        }
        connections.registered.insert((token.clone(), member.clone()), connection);
    }

    /// A long poll that is open until the result is dropped.
    pub fn poll(&self, token: &Token, connection: SocketAddr) -> OpenPoll {
        let poll = (token.clone(), connection);
        *self.lock().polls.entry(poll.clone()).or_default() += 1;
        OpenPoll { waiting: self.clone(), poll }
    }

    /// Whether the node of a member waits for the others.
    pub fn is_open(&self, token: &Token, member: &MemberKey) -> bool {
        let connections = self.lock();
        let connection = connections.registered.get(&(token.clone(), member.clone()));
        connection.is_some_and(|connection| connections.polls.contains_key(&(token.clone(), *connection)))
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.0.lock().expect("no holder panics")
    }
}

impl Drop for OpenPoll {
    fn drop(&mut self) {
        let mut connections = self.waiting.lock();
        let Some(open) = connections.polls.get_mut(&self.poll) else { return };
        *open -= 1;
        if *open == 0 {
            connections.polls.remove(&self.poll);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_waits_while_its_connection_has_a_long_poll_open() {
        let (token, other): (Token, Token) = ("one".parse().unwrap(), "two".parse().unwrap());
        let member = |n: u32| n.to_string().parse::<MemberKey>().unwrap();
        let connection = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let waiting = Waiting::default();
        waiting.registered(&token, &member(1), connection(1));
        assert!(!waiting.is_open(&token, &member(1)));

        let polls = [waiting.poll(&token, connection(1)), waiting.poll(&token, connection(1))];
        assert!(waiting.is_open(&token, &member(1)));
        assert!(!waiting.is_open(&token, &member(2)) && !waiting.is_open(&other, &member(1)));
        let [one, two] = polls;
        drop(one);
        assert!(waiting.is_open(&token, &member(1)));
        drop(two);
        assert!(!waiting.is_open(&token, &member(1)));
        let _other_node = waiting.poll(&token, connection(2));
        assert!(!waiting.is_open(&token, &member(1)));
    }
}
