//! What happens to machines, to their networks and to the etcds on them.

use convene_lifecycle::{ClusterSize, Epoch, NodeRefusal, Revision, Strategy};

use super::{Data, Node, World, peer_urls};

impl World {
    /// A node's etcd and client die.
    pub fn dies(&mut self, names: &str) -> &mut Self {
        for name in names.split(' ') {
            self.node(name).running = false;
        }
        self
    }

    /// Nodes die, and the watchers see them down until they count as dead.
    pub fn are_dead_to(&mut self, names: &str, watchers: &str) -> &mut Self {
        self.dies(names).watch(60, watchers).pass(5)
    }

    /// A node's client starts again. etcd does not run yet.
    pub fn returns(&mut self, name: &str) -> &mut Self {
        let node = self.node(name);
        node.running = false;
        node.run += 1;
        self
    }

    /// The etcds of these nodes load their data from now on, and do not answer.
    pub fn loads(&mut self, names: &str) -> &mut Self {
        self.set(names, |node| (node.running, node.loading) = (false, true))
    }

    /// The etcds of these nodes do not run any more.
    pub fn stops_loading(&mut self, names: &str) -> &mut Self {
        self.set(names, |node| node.loading = false)
    }

    /// A node returns without its data.
    pub fn returns_empty(&mut self, name: &str) -> &mut Self {
        self.node(name).data = Data::Nothing;
        self.returns(name)
    }

    /// A node has observed the cluster when the registry had this revision.
    pub fn has_seen_revision(&mut self, name: &str, revision: u64) -> &mut Self {
        self.take_view(name).node(name).view.as_mut().unwrap().since = Revision(revision);
        self
    }

    /// The nodes report these disks from now on, in order.
    pub fn on_disks(&mut self, names: &str, disks: &str) -> &mut Self {
        for (name, disk) in names.split(' ').zip(disks.split(' ')) {
            self.node(name).disk = Some(disk.parse().expect("a disk ID"));
        }
        self
    }

    /// A node returns with other data.
    pub fn returns_with(&mut self, name: &str, data: Data) -> &mut Self {
        self.node(name).data = data;
        self.returns(name)
    }

    /// A node has other data now. Its client continues.
    pub fn has(&mut self, name: &str, data: Data) -> &mut Self {
        self.node(name).data = data;
        self
    }

    /// The WALs of these nodes have no entry of a leader.
    pub fn have_never_led_data(&mut self, names: &str) -> &mut Self {
        self.set(names, |node| node.evidence.never_led = true)
    }

    /// A node's WAL ends at this index.
    pub fn wal_ends_at(&mut self, name: &str, index: u64) -> &mut Self {
        self.set(name, |node| node.evidence.last_index = Some(index))
    }

    /// A node has another peer URL from now on.
    pub fn moves(&mut self, name: &str, host: &str) -> &mut Self {
        self.node(name).peer_urls = peer_urls(host);
        self
    }

    /// A node reports that its etcd serves clients at this host.
    pub fn serves_clients_at(&mut self, name: &str, host: &str) -> &mut Self {
        self.node(name).client_urls = vec![format!("http://{host}:2379").parse().unwrap()];
        self
    }

    /// The etcds of these nodes run now.
    pub fn runs(&mut self, names: &str) -> &mut Self {
        for name in names.split(' ') {
            self.node(name).running = true;
        }
        self
    }

    /// Others can't reach these nodes any more.
    pub fn hide(&mut self, names: &str) -> &mut Self {
        self.set(names, |node| node.hidden = true)
    }

    /// These nodes can't reach others, and others can't reach them.
    pub fn partition(&mut self, names: &str) -> &mut Self {
        self.set(names, |node| (node.hidden, node.blind) = (true, true))
    }

    /// These nodes can't reach another one, which reaches them.
    pub fn cut(&mut self, names: &str, other: &str) -> &mut Self {
        self.set(names, |node| node.cut_from.extend([other.to_owned()]))
    }

    /// Nobody reaches the peer URLs of these nodes.
    pub fn hide_peer_urls(&mut self, names: &str) -> &mut Self {
        self.set(names, |node| node.behind_nat = true)
    }

    /// The peer URLs of these nodes can be reached.
    pub fn show_peer_urls(&mut self, names: &str) -> &mut Self {
        self.set(names, |node| node.behind_nat = false)
    }

    /// The leader has not probed the peer URLs of these nodes yet.
    pub fn are_unprobed(&mut self, names: &str) -> &mut Self {
        self.set(names, |node| node.unprobed = true)
    }

    /// Other members answer at the peer URLs of these nodes.
    pub fn misleads(&mut self, names: &str) -> &mut Self {
        self.set(names, |node| node.misleads = true)
    }

    /// The agents of these nodes tell whom they reach.
    pub fn have_agents(&mut self, names: &str) -> &mut Self {
        self.set(names, |node| node.has_agent = true)
    }

    /// Nobody can read the metrics of any etcd.
    pub fn hide_metrics(&mut self) -> &mut Self {
        self.etcd.as_mut().unwrap().hides_metrics = true;
        self
    }

    /// These nodes have this version of etcd.
    pub fn have_etcd(&mut self, names: &str, version: &str) -> &mut Self {
        self.set(names, |node| node.etcd_version = version.parse().ok())
    }

    /// These nodes and the others reach each other again.
    pub fn heal(&mut self, names: &str) -> &mut Self {
        self.set(names, |node| {
            (node.hidden, node.blind) = (false, false);
            node.cut_from.clear();
        })
    }

    /// A node is leaving from now on.
    pub fn starts_to_leave(&mut self, name: &str) -> &mut Self {
        self.set(name, |node| node.leaving = true)
    }

    /// A node reports that it has refused a task, and what it saw.
    pub fn refuses(&mut self, name: &str, task: &str, found: &str) -> &mut Self {
        let refusal = NodeRefusal { task: task.to_owned(), found: found.to_owned() };
        self.set(name, |node| node.refusal = Some(refusal.clone()))
    }

    /// A node is not leaving any more.
    pub fn stops_leaving(&mut self, name: &str) -> &mut Self {
        self.set(name, |node| node.leaving = false)
    }

    /// An administrator consents on a node to archive data of an earlier epoch, for the sake of this one.
    pub fn accepts_reset(&mut self, name: &str, epoch: u32) -> &mut Self {
        self.set(name, |node| node.accept_reset = Some(Epoch(epoch)))
    }

    /// A node is refused instead of waiting as a spare.
    pub fn once(&mut self, name: &str) -> &mut Self {
        self.set(name, |node| node.once = true)
    }

    /// These nodes join with this strategy of their own.
    pub fn joins_by(&mut self, names: &str, strategy: Strategy) -> &mut Self {
        self.set(names, |node| node.own_strategy = Some(strategy))
    }

    /// These nodes join with this size of their own.
    pub fn joins_for(&mut self, names: &str, size: u32) -> &mut Self {
        self.set(names, |node| node.own_size = ClusterSize::new(size))
    }

    fn set(&mut self, names: &str, edit: impl Fn(&mut Node)) -> &mut Self {
        for name in names.split(' ') {
            edit(self.node(name));
        }
        self
    }

    /// A member has applied the log this far.
    pub fn applied(&mut self, name: &str, index: Option<u64>) -> &mut Self {
        self.etcd.as_mut().unwrap().seat_of(name).applied = index;
        self
    }

    /// A member has confirmed to the leader that it has the log this far.
    pub fn matched(&mut self, name: &str, index: u64) -> &mut Self {
        self.etcd.as_mut().unwrap().seat_of(name).matched = Some(index);
        self
    }

    /// A member becomes the leader.
    pub fn leads(&mut self, name: &str) -> &mut Self {
        let etcd = self.etcd.as_mut().unwrap();
        let leader = etcd.seat_of(name).id;
        etcd.elect(leader);
        self
    }
}
