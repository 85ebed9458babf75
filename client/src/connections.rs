use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use convene_etcd::{
    Access, ClearText, Client, Connector, EtcdError, ListedMember, MemberList, MetricsClient, PeerClient, PeerMetrics,
    Status, Tls,
};
use convene_lifecycle::{ClientUrl, ClusterId, Identity};
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::command_error::CommandError;

/// Connections to members. They are kept for as long as the command runs.
pub struct Connections {
    connector: Connector,
    clients: Mutex<BTreeMap<ClientUrl, Arc<Client>>>,
    peers: PeerClient,
    metrics: MetricsClient,
    /// For the URLs that follow from `--listen-metrics-urls`: etcd may serve metrics in clear text although its client port has TLS.
    metrics_ports: MetricsClient,
    /// `--listen-metrics-urls`.
    metrics_urls: Vec<ClientUrl>,
}

impl Connections {
    /// Creates the clients. They connect when they are first used.
    pub fn new(access: Access, peer_tls: &Tls, metrics_urls: &[ClientUrl]) -> Result<Self, CommandError> {
        let unusable = |error: EtcdError| CommandError::Usage(error.to_string());
        let peers = PeerClient::new(peer_tls).map_err(unusable)?;
        let metrics = MetricsClient::new(&access.tls).map_err(unusable)?;
        let as_configured = Tls { clear_text: ClearText::Allowed, ..access.tls.clone() };
        let metrics_ports = MetricsClient::new(&as_configured).map_err(unusable)?;
        let connector = Connector::new(access);
        let metrics_urls = metrics_urls.to_vec();
        Ok(Self { connector, clients: Mutex::default(), peers, metrics, metrics_ports, metrics_urls })
    }

    /// The client for peer ports.
    pub fn peers(&self) -> &PeerClient {
        &self.peers
    }

    /// The client for a member's client port.
    pub fn client(&self, url: &ClientUrl) -> Result<Arc<Client>, EtcdError> {
        let mut clients = self.clients.lock().expect("no thread panics while it holds the lock");
        if let Some(client) = clients.get(url) {
            return Ok(client.clone());
        }
        let client = Arc::new(self.connector.client(url)?);
        clients.insert(url.clone(), client.clone());
        Ok(client)
    }

    /// The member list, read through the quorum, from the first of these URLs that returns it, with the client that
    /// returned it. Or else the errors of all URLs. The list of the expected cluster has precedence over that of another
    /// one, which may answer at the former address of a member.
    pub async fn list(
        &self,
        urls: &BTreeSet<ClientUrl>,
        expected: Option<ClusterId>,
        within: Duration,
    ) -> Result<(Arc<Client>, MemberList), Failures> {
        let mut of_another_cluster = None;
        let mut failures = Failures::default();
        let clients: Vec<_> = urls.iter().filter_map(|url| failures.record(self.client(url))).collect();
        let mut answers: FuturesUnordered<_> = clients
            .into_iter()
            .map(|client| async move {
                let list = client.members(within).await;
                (client, list)
            })
            .collect();
        while let Some((client, answer)) = answers.next().await {
            if let Some(list) = failures.record(answer) {
                if expected.is_none_or(|expected| expected == list.cluster) {
                    return Ok((client, list));
                }
                of_another_cluster.get_or_insert((client, list));
            }
        }
        of_another_cluster.ok_or(failures)
    }

    /// Probes a member: requests its status at all its client URLs.
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
                Err(error) if proves_alive(&error) => probe = Probe::Answers,
                Ok(Status { member, cluster, .. }) if probe == Probe::Silent => {
                    probe = Probe::Other(Identity { member, cluster });
                }
                _ => {}
            }
        }
        probe
    }

    /// The client of the member that reports itself as the leader.
    pub async fn leader(&self, list: &MemberList, within: Duration) -> Option<Arc<Client>> {
        let mut statuses: FuturesUnordered<_> = list
            .members
            .iter()
            .filter(|member| !member.learner)
            .flat_map(|member| member.client_urls.iter().map(move |url| (member.id, url)))
            .filter_map(|(id, url)| Some((id, self.client(url).ok()?)))
            .map(|(id, client)| async move { (id, client.status(within).await, client) })
            .collect();
        while let Some((id, answer, client)) = statuses.next().await {
            if answer.is_ok_and(|status| status.member == id && status.leader == Some(id)) {
                return Some(client);
            }
        }
        None
    }

    /// The metrics of the etcd at a client URL.
    pub async fn metrics(&self, url: &ClientUrl, within: Duration) -> Option<PeerMetrics> {
        self.metrics.peers(url, within).await.ok()
    }

    /// What the leader has heard from its peers, from the first of its client and metrics URLs that returns it.
    pub async fn leader_metrics(&self, leader: &ListedMember, within: Duration) -> Option<PeerMetrics> {
        let urls: BTreeSet<ClientUrl> = leader.client_urls.iter().cloned().collect();
        let mut ports = BTreeSet::new();
        for own in &self.metrics_urls {
            ports.extend(leader.client_urls.iter().filter_map(|leader| own.on_host_of(leader)));
        }
        let at_client_urls = urls.difference(&ports).map(|url| self.metrics.peers(url, within));
        let at_ports = ports.iter().map(|url| self.metrics_ports.peers(url, within));
        let mut answers: FuturesUnordered<_> = at_client_urls.chain(at_ports).collect();
        while let Some(answer) = answers.next().await {
            // Several members may advertise localhost, and a host may run etcds of several clusters.
            if let Ok(metrics) = answer
                && metrics.is_leader
                && metrics.member == Some(leader.id)
            {
                return Some(metrics);
            }
        }
        None
    }

    /// A member's own status, if it returns it.
    pub async fn member_status(&self, member: &ListedMember, within: Duration) -> Option<Status> {
        match self.probe(member, within).await {
            Probe::Up(status) => Some(status),
            Probe::Answers | Probe::Other(_) | Probe::Silent => None,
        }
    }
}

/// The result of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The member returned its status.
    Up(Status),
    /// An etcd answers at the member's URL, but does not return its status.
    Answers,
    /// Another member answers there: it has the address now, or several members advertise localhost.
    Other(Identity),
    /// Nothing answers.
    Silent,
}

/// Why a request failed at all members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures(Vec<EtcdError>);

impl Failures {
    /// Returns the value, or records the error.
    fn record<T>(&mut self, result: Result<T, EtcdError>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut failures: Vec<String> = self.0.iter().map(EtcdError::to_string).collect();
        // The order in which they happened means nothing, and would make a different line each time.
        failures.sort_unstable();
        if failures.is_empty() {
            f.write_str("no client URL of any member is known")
        } else {
            f.write_str(&failures.join("; "))
        }
    }
}

/// Whether the error proves that an etcd is alive. An etcd that rejects the request, or with which TLS fails, is not dead.
pub fn proves_alive(error: &EtcdError) -> bool {
    !matches!(
        error,
        EtcdError::Unreachable { .. }
            | EtcdError::ConnectionLost { .. }
            | EtcdError::TimedOut { .. }
            | EtcdError::BadAnswer { .. }
            | EtcdError::UnusableTls { .. }
    )
}
