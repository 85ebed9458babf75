use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use convene_etcd::{Access, Client, Connector, EtcdError, ListedMember, MemberList, PeerClient, Status, Tls};
use convene_lifecycle::ClientUrl;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::exit::Failure;

/// What came of asking a member for its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It told.
    Up(Status),
    /// Some etcd answers there, and does not tell.
    Answers,
    /// Nobody answers, or another member does, as with one that advertises localhost.
    Silent,
}

/// Connections to members, each kept for as long as the command runs.
pub struct Endpoints {
    connector: Connector,
    clients: Mutex<BTreeMap<ClientUrl, Arc<Client>>>,
    peers: PeerClient,
}

impl Endpoints {
    /// Nobody is connected to yet.
    pub fn new(access: Access, peer_tls: &Tls) -> Result<Self, Failure> {
        let peers = PeerClient::new(peer_tls).map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(Self { connector: Connector::new(access), clients: Mutex::default(), peers })
    }

    /// For members' peer ports.
    pub fn peers(&self) -> &PeerClient {
        &self.peers
    }

    /// A member's client port.
    pub fn client(&self, url: &ClientUrl) -> Result<Arc<Client>, EtcdError> {
        let mut clients = self.clients.lock().expect("nobody panics while it looks up a client");
        if let Some(client) = clients.get(url) {
            return Ok(client.clone());
        }
        let client = Arc::new(self.connector.client(url)?);
        clients.insert(url.clone(), client.clone());
        Ok(client)
    }

    /// etcd's list, read through the quorum at the first of these that shows it, with whoever has shown it; or why
    /// nobody did.
    pub async fn list(
        &self,
        urls: &BTreeSet<ClientUrl>,
        within: Duration,
    ) -> Result<(Arc<Client>, MemberList), Failures> {
        let mut failures = Failures::default();
        let clients: Vec<_> = urls.iter().filter_map(|url| failures.or(self.client(url))).collect();
        let mut answers: FuturesUnordered<_> = clients
            .into_iter()
            .map(|client| async move {
                let list = client.members(within).await;
                (client, list)
            })
            .collect();
        while let Some((client, answer)) = answers.next().await {
            if let Some(list) = failures.or(answer) {
                return Ok((client, list));
            }
        }
        Err(failures)
    }

    /// Asks a member for its status, at all its client URLs.
    pub async fn probe(&self, member: &ListedMember, within: Duration) -> Probe {
        let urls = member.client_urls.iter();
        let mut answers: FuturesUnordered<_> = urls
            .filter_map(|url| self.client(url).ok())
            .map(|client| async move { client.status(within).await })
            .collect();
        let mut probe = Probe::Silent;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(status) if status.member == member.id => return Probe::Up(status),
                Err(error) if is_answer(&error) => probe = Probe::Answers,
                _ => {}
            }
        }
        probe
    }

    /// The member that leads, if it tells so itself.
    pub async fn leader(&self, list: &MemberList, within: Duration) -> Option<Arc<Client>> {
        let mut asked: FuturesUnordered<_> = list
            .members
            .iter()
            .filter(|member| !member.learner)
            .flat_map(|member| member.client_urls.iter().map(move |url| (member.id, url)))
            .filter_map(|(id, url)| Some((id, self.client(url).ok()?)))
            .map(|(id, client)| async move { (id, client.status(within).await, client) })
            .collect();
        while let Some((id, answer, client)) = asked.next().await {
            if answer.is_ok_and(|status| status.member == id && status.leader == Some(id)) {
                return Some(client);
            }
        }
        None
    }

    /// A member's own status, if it tells.
    pub async fn status_of(&self, member: &ListedMember, within: Duration) -> Option<Status> {
        match self.probe(member, within).await {
            Probe::Up(status) => Some(status),
            Probe::Answers | Probe::Silent => None,
        }
    }
}

/// Why nobody did what all were asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures(Vec<EtcdError>);

impl Failures {
    /// Notes a failure.
    fn or<T>(&mut self, result: Result<T, EtcdError>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut failures: Vec<String> = self.0.iter().map(EtcdError::to_string).collect();
        // They come in the order in which they happened, which says nothing and differs from time to time.
        failures.sort_unstable();
        if failures.is_empty() {
            f.write_str("no client URL of any member is known")
        } else {
            f.write_str(&failures.join("; "))
        }
    }
}

/// Whether an etcd has said something, if only that it does not like us, or that we can't agree on TLS: whoever says
/// so is not dead.
pub fn is_answer(error: &EtcdError) -> bool {
    !matches!(
        error,
        EtcdError::Unreachable { .. }
            | EtcdError::ConnectionLost { .. }
            | EtcdError::TimedOut { .. }
            | EtcdError::BadAnswer { .. }
            | EtcdError::UnusableTls { .. }
    )
}
