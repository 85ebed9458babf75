use std::sync::Arc;

use crate::{
    ClientUrl, Cluster, ClusterId, ClusterSize, EventKind, Member, MemberId, MemberKey, MemberName, ObservedMember,
    PeerUrl, Protocol, Registration, Revision, Role, Transition, UnixMillis, View, cluster_draft::ClusterDraft,
};

/// The member list of a running etcd cluster, read through its quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberList {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its members. There is at least one voter.
    pub members: Vec<ListedMember>,
}

/// A member in etcd's own list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedMember {
    /// Its ID.
    pub id: MemberId,
    /// Its name. `None` if it has never started.
    pub name: Option<MemberName>,
    /// Its peer URLs.
    pub peer_urls: Vec<PeerUrl>,
    /// Its client URLs. Empty if it has never started.
    pub client_urls: Vec<ClientUrl>,
    /// Whether it is a learner.
    pub learner: bool,
}

impl Cluster {
    /// Takes over a running etcd cluster whose member list an administrator has read. The list replaces the record. If the
    /// record is of another etcd cluster, a new epoch begins, so that data of that cluster counts as earlier. `None` if
    /// nothing changes.
    pub fn adopt(&self, list: &MemberList, at: UnixMillis) -> Option<Transition> {
        let mut draft = ClusterDraft::new(self, at);
        let is_on_record = |listed: &ListedMember| self.member(&listed.id.into()).is_some();
        let is_other = match self.cluster_id {
            Some(own) => own != list.cluster,
            None => self.formed.is_some() && !list.members.iter().any(is_on_record),
        };
        if is_other {
            draft.begin_epoch("an administrator adopts another etcd cluster");
        }
        draft.adopt(list, "by an administrator");
        draft.release_hold("an administrator has adopted the cluster");
        draft.finish()
    }
}

impl ClusterDraft<'_> {
    /// Takes over a running etcd cluster. The cluster's size becomes at least the number of voters, so that no member is
    /// removed because the cluster was adopted.
    pub fn adopt(&mut self, list: &MemberList, by: &str) {
        let is_listed = |member: &Member| list.members.iter().any(|listed| MemberKey::from(listed.id) == member.key);
        let unlisted: Vec<Arc<Member>> = self.members().filter(|member| !is_listed(member)).cloned().collect();
        for member in unlisted {
            let message = format!("{} removed: it is not a member of the adopted cluster", member.name());
            self.give_up(&member.key, message);
        }
        let cluster_id = list.cluster;
        if self.formed.is_none() || self.cluster_id != Some(cluster_id) {
            self.change(EventKind::Formed, format!("running etcd cluster {cluster_id} adopted {by}"), |cluster| {
                cluster.cluster_id = Some(cluster_id);
                cluster.earlier_cluster_ids.retain(|earlier| *earlier != cluster_id);
                cluster.formed = cluster.formed.or(Some(cluster.revision));
                cluster.protocol = cluster.protocol.or(Some(Protocol::CheckIn));
            });
        }
        if self.bootstrapped.is_none() {
            self.change(EventKind::Bootstrapped, "etcd cluster exists: it was adopted", |cluster| {
                cluster.bootstrapped = Some(cluster.revision);
            });
        }
        self.fit_size_to(list);
        for listed in &list.members {
            self.take_over_member(listed);
        }
    }

    fn fit_size_to(&mut self, list: &MemberList) {
        let voters = list.members.iter().filter(|listed| !listed.learner).count();
        let voters = u32::try_from(voters).ok().and_then(ClusterSize::new);
        if let Some(voters) = voters.filter(|voters| *voters > self.size) {
            self.resize(
                voters,
                format!("size changed from {} to {voters}: the adopted cluster has as many voters", self.size),
            );
        }
    }

    fn take_over_member(&mut self, listed: &ListedMember) {
        let key = MemberKey::from(listed.id);
        let unnamed = || listed.id.to_string().parse().expect("hexadecimal digits make a name");
        let name = listed.name.clone().unwrap_or_else(unnamed);
        let role = if listed.learner { Role::Learner } else { Role::Voter };
        let registration = Registration { name, peer_urls: listed.peer_urls.clone() };
        let fresh = Member {
            client_urls: listed.client_urls.clone(),
            role,
            started: listed.name.is_some(),
            ..Member::registered(key.clone(), registration, Revision::FIRST)
        };
        let Some(present) = self.member(&key).cloned() else {
            let message = format!("{} added as {role}", fresh.name());
            return self.add(fresh, EventKind::MemberAdded, message);
        };
        let after = Member {
            registration: fresh.registration,
            client_urls: fresh.client_urls,
            role,
            started: present.started || fresh.started,
            // The cluster exists already, so a founder that was never instructed to bootstrap it must not be instructed now.
            founder: present.founder.clone().filter(|founder| present.started || founder.issued.is_some()),
            ..Member::clone(&present)
        };
        if after != *present {
            let message = format!("{} is in the adopted list as {role}", after.name());
            self.update(&key, EventKind::MemberUpdated, message, |member| *member = after);
        }
    }
}

impl MemberList {
    /// The list in a view. `None` if no member answered.
    pub(crate) fn of_view(view: &View) -> Option<Self> {
        let members = view.members.iter().map(ListedMember::from).collect();
        Some(Self { cluster: view.cluster?, members })
    }
}

impl From<&ObservedMember> for ListedMember {
    fn from(observed: &ObservedMember) -> Self {
        Self {
            id: observed.id,
            name: observed.name.clone(),
            peer_urls: observed.peer_urls.clone(),
            client_urls: observed.client_urls.clone(),
            learner: observed.learner,
        }
    }
}
