//! What an administrator does, through the API and with etcdctl.

use std::time::Duration;

use convene_lifecycle::{Announcer, ClusterSize, Downtime, MemberRequest, PolicyChange, Settings, Strategy};

use super::World;

impl World {
    /// An administrator changes settings.
    pub fn settings(&mut self, settings: Settings) -> &mut Self {
        let transition = self.cluster.set(&settings, self.now).unwrap();
        self.apply(transition)
    }

    fn policy(&mut self, policy: PolicyChange) -> &mut Self {
        self.settings(Settings { policy, ..Settings::default() })
    }

    pub fn size(&mut self, size: u32) -> &mut Self {
        self.settings(Settings { size: ClusterSize::new(size), ..Settings::default() })
    }

    pub fn strategy(&mut self, strategy: Strategy) -> &mut Self {
        self.policy(PolicyChange { strategy: Some(strategy), ..PolicyChange::default() })
    }

    /// From now on, nodes join as voters if that is safe.
    pub fn join_as_voters(&mut self) -> &mut Self {
        self.policy(PolicyChange { learner: Some(false), ..PolicyChange::default() })
    }

    pub fn max_failed_starts(&mut self, starts: u32) -> &mut Self {
        self.policy(PolicyChange { max_failed_starts: Some(starts), ..PolicyChange::default() })
    }

    pub fn dead_after(&mut self, seconds: u64) -> &mut Self {
        self.policy(PolicyChange { dead_after: Some(Duration::from_secs(seconds)), ..PolicyChange::default() })
    }

    /// So many witnesses suffice for a dead voter.
    pub fn witnesses(&mut self, witnesses: u32) -> &mut Self {
        self.policy(PolicyChange { witnesses: Some(witnesses), ..PolicyChange::default() })
    }

    pub fn pause(&mut self) -> &mut Self {
        self.policy(PolicyChange { paused: Some(true), ..PolicyChange::default() })
    }

    pub fn resume(&mut self) -> &mut Self {
        self.policy(PolicyChange { paused: Some(false), ..PolicyChange::default() })
    }

    pub fn evict(&mut self, name: &str) -> &mut Self {
        self.apply_request(name, MemberRequest::Evict)
    }

    pub fn withdraw_eviction(&mut self, name: &str) -> &mut Self {
        self.apply_request(name, MemberRequest::WithdrawEviction)
    }

    /// An administrator announces a downtime.
    pub fn downtime(&mut self, name: &str, seconds: u64) -> &mut Self {
        self.announce(name, seconds, Announcer::Administrator)
    }

    /// A node announces its own downtime.
    pub fn own_downtime(&mut self, name: &str, seconds: u64) -> &mut Self {
        self.announce(name, seconds, Announcer::Node)
    }

    fn announce(&mut self, name: &str, seconds: u64, by: Announcer) -> &mut Self {
        let until = self.now.after(Duration::from_secs(seconds));
        self.apply_request(name, MemberRequest::AnnounceDowntime(Downtime { until, by }))
    }

    /// An administrator ends a downtime.
    pub fn end_downtime(&mut self, name: &str) -> &mut Self {
        self.apply_request(name, MemberRequest::EndDowntime(Announcer::Administrator))
    }

    /// A node ends its own downtime.
    pub fn end_own_downtime(&mut self, name: &str) -> &mut Self {
        self.apply_request(name, MemberRequest::EndDowntime(Announcer::Node))
    }

    /// The seconds that are left of a member's downtime, and who announced it.
    pub fn downtime_of(&self, name: &str) -> Option<(u64, Announcer)> {
        let member = self.cluster.member(&self.words.key(name)).unwrap();
        member.downtime.map(|downtime| (self.now.age(downtime.until).as_secs(), downtime.by))
    }

    fn apply_request(&mut self, name: &str, request: MemberRequest) -> &mut Self {
        let transition = self.cluster.apply_request(&self.words.key(name), request, self.now).unwrap();
        self.apply(transition)
    }

    /// An administrator resets the cluster.
    pub fn reset(&mut self) -> &mut Self {
        let transition = self.cluster.reset(self.now);
        self.apply(transition)
    }

    /// An administrator adopts the running etcd cluster, from its own member list.
    pub fn adopt(&mut self) -> &mut Self {
        let etcd = self.etcd.as_ref().unwrap();
        let transition = self.cluster.adopt(&etcd.list(), self.now);
        self.apply(transition)
    }

    /// An administrator adds a node as learner with etcdctl.
    pub fn etcdctl_adds(&mut self, name: &str) -> &mut Self {
        self.node(name);
        self.etcd.as_mut().unwrap().add(&self.nodes[name], true);
        self
    }

    /// An administrator adds a node as voter with etcdctl, and starts its etcd.
    pub fn etcdctl_adds_voter(&mut self, name: &str) -> &mut Self {
        self.node(name);
        let etcd = self.etcd.as_mut().unwrap();
        etcd.add(&self.nodes[name], false);
        etcd.start(self.nodes.get_mut(name).unwrap());
        self
    }

    /// An administrator promotes a node's member with etcdctl.
    pub fn etcdctl_promotes(&mut self, name: &str) -> &mut Self {
        self.etcd.as_mut().unwrap().seat_of(name).learner = false;
        self
    }

    /// An administrator removes a node's member with etcdctl.
    pub fn etcdctl_removes(&mut self, name: &str) -> &mut Self {
        self.etcd.as_mut().unwrap().seats.retain(|seat| seat.node != name);
        self
    }
}
