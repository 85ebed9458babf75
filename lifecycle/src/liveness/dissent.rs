//! Which nodes have a say about the members, and which of them have shown a list that is not the record's.
//!
//! A node speaks for its own member. What its view shows of other members may be false, so the registry takes it over only if a
//! second member's node shows the same list.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use super::Liveness;
use crate::{Cluster, Identity, JoinPolicy, Member, MemberKey, MemberName, Report, StockWrites, UnixMillis, View};

/// A list of members that a node has seen and that is not the record's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dissent {
    /// The list.
    pub list: ListDigest,
    /// When the node showed it.
    pub at: UnixMillis,
}

/// Stands for a list of members: their cluster, IDs, roles and peer URLs. Another build of the server may compute another one, so
/// nodes that have shown a list may have to show it again after an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListDigest(u64);

impl Liveness {
    /// Whether a member's node has proven its name, so that nobody else speaks for the member: it has a credential or, if the policy
    /// asks for certificates, it has checked in.
    pub fn has_credential(&self, cluster: &Cluster, member: &Member) -> bool {
        let has_checked_in = || self.members.get(&member.key).is_some_and(|known| known.checked_in.is_some());
        cluster.admission.holder(member.name()).is_some()
            || (cluster.policy.join == JoinPolicy::Certificate && has_checked_in())
    }

    /// Whether a member's node also has a say about the other members. It has proven its name, and that name is not one that whoever
    /// knows the discovery token of an open cluster can make up: it is a founder's, or a join token has admitted it.
    pub fn has_voice(&self, cluster: &Cluster, member: &Member) -> bool {
        let is_founder = cluster.formed.is_some_and(|formed| member.created <= formed);
        self.has_credential(cluster, member) && (is_founder || is_vouched_for(cluster, member.name()))
    }

    /// The member of a report's data, if the node has another name and may not speak for it: another node does, or nobody vouches for
    /// this one.
    ///
    /// Where stock clients may write, they may rename members, and no node must be kept from starting by that.
    pub fn member_of_another_node<'a>(
        &self,
        cluster: &'a Cluster,
        node: &MemberName,
        data: Option<Identity>,
    ) -> Option<&'a Member> {
        if cluster.policy.stock_writes == StockWrites::Allow {
            return None;
        }
        let member = cluster.member(&data?.member.into()).filter(|member| member.name() != node)?;
        let is_claimed = member.is_unnamed() || cluster.admission.credentials.contains_key(member.name());
        let is_unvouched = || !is_claimed && self.is_unvouched(cluster, node, data);
        (self.has_credential(cluster, member) || is_unvouched()).then_some(member)
    }

    /// Whether nobody but the node itself says who it is, in a cluster that stock etcds have formed: whoever knows the discovery
    /// token can check in under a new name. So neither an administrator nor a member's node stands behind what it shows.
    pub fn is_unvouched(&self, cluster: &Cluster, node: &MemberName, data: Option<Identity>) -> bool {
        cluster.is_of_stock_etcds()
            && cluster.admission.credentials.contains_key(node)
            && !is_vouched_for(cluster, node)
            && !data.is_some_and(|own| self.is_voice_of(cluster, node, &own.member.into()))
    }

    /// Whether a report is of the node that speaks for a voter on record, and that has its data.
    pub fn is_voice(&self, cluster: &Cluster, report: &Report) -> bool {
        report.identity().is_some_and(|own| self.is_voice_of(cluster, &report.name, &own.member.into()))
    }

    /// How many voters on record have a node that has proven its name. Removed ones count, too, so that nobody becomes the only one by
    /// a removal. Those that an administrator has given up do not.
    pub fn credentials(&self, cluster: &Cluster) -> usize {
        let counts =
            |member: &&Arc<Member>| member.is_voter() && !member.removed.is_some_and(|removal| removal.given_up);
        cluster.record.iter().filter(counts).filter(|voter| self.has_credential(cluster, voter)).count()
    }

    /// The nodes of other voters that have shown this list within `dead_after`.
    pub fn seconds<'a>(
        &'a self,
        cluster: &'a Cluster,
        node: &'a MemberName,
        view: &View,
        now: UnixMillis,
    ) -> impl Iterator<Item = &'a MemberName> {
        let list = ListDigest::of_view(view);
        self.dissenters(cluster, node, now).filter(move |(_, dissent)| dissent.list == list).map(|(name, _)| name)
    }

    /// Whether the node of another voter has shown a list within `dead_after` that is not the record's.
    pub fn is_disputed_by_others(&self, cluster: &Cluster, node: &MemberName, now: UnixMillis) -> bool {
        self.dissenters(cluster, node, now).next().is_some()
    }

    fn dissenters<'a>(
        &'a self,
        cluster: &'a Cluster,
        node: &'a MemberName,
        now: UnixMillis,
    ) -> impl Iterator<Item = (&'a MemberName, Dissent)> {
        let others = self.nodes.iter().filter(move |(name, _)| *name != node);
        others.filter_map(move |(name, check_in)| {
            let dissent = check_in.dissent.filter(|dissent| dissent.at.age(now) < cluster.policy.dead_after)?;
            let own = check_in.state.identity()?;
            self.is_voice_of(cluster, name, &own.member.into()).then_some((name, dissent))
        })
    }

    /// What a check-in shows against the record. One without a view shows nothing new.
    pub(super) fn dissent_of(&self, cluster: &Cluster, report: &Report, now: UnixMillis) -> Option<Dissent> {
        if !self.is_voice(cluster, report) {
            return None;
        }
        match report.view.as_ref().filter(|view| view.linearizable && view.cluster.is_some()) {
            Some(view) => {
                let list = ListDigest::of_view(view);
                (list != ListDigest::of_record(cluster)).then_some(Dissent { list, at: now })
            }
            None => self.nodes.get(&report.name)?.dissent,
        }
    }

    fn is_voice_of(&self, cluster: &Cluster, node: &MemberName, key: &MemberKey) -> bool {
        let member = cluster.member(key).filter(|member| member.name() == node && member.is_voter());
        member.is_some_and(|member| self.has_voice(cluster, member))
    }
}

/// Whether an administrator or a CA stands behind a node's name.
pub fn is_vouched_for(cluster: &Cluster, node: &MemberName) -> bool {
    cluster.policy.join != JoinPolicy::Open
        || cluster.admission.join_tokens.iter().any(|token| token.used_by.contains(node))
}

impl ListDigest {
    /// The digest as a number, for storage.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The digest that was stored as a number.
    pub fn of_number(number: u64) -> Self {
        Self(number)
    }

    /// The digest of a list that a node has seen.
    fn of_view(view: &View) -> Self {
        let members = view.members.iter().map(|seen| {
            let mut urls: Vec<&str> = seen.peer_urls.iter().map(|url| url.as_str()).collect();
            urls.sort_unstable();
            (MemberKey::from(seen.id), seen.learner, urls)
        });
        Self::of(view.cluster.map(|id| id.to_string()), members.collect())
    }

    /// The digest of the members on record.
    fn of_record(cluster: &Cluster) -> Self {
        let members = cluster.members().map(|member| {
            let mut urls: Vec<&str> = member.registration.peer_urls.iter().map(|url| url.as_str()).collect();
            urls.sort_unstable();
            (member.key.clone(), !member.is_voter(), urls)
        });
        Self::of(cluster.cluster_id.map(|id| id.to_string()), members.collect())
    }

    fn of(cluster: Option<String>, mut members: Vec<(MemberKey, bool, Vec<&str>)>) -> Self {
        members.sort_unstable();
        let mut hasher = DefaultHasher::new();
        (cluster, members).hash(&mut hasher);
        Self(hasher.finish())
    }
}
