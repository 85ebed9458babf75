use std::sync::Arc;

use super::{
    Admission, Admittance, DenialCode, JoinToken, NodeCredential, NodeDenial, Presented, SecretHash, TurnedAway,
};
use crate::{
    Cluster, EventKind, Identity, JoinPolicy, Liveness, MemberName, Protocol, Revision, StockWrites, UnixMillis,
    cluster_draft::ClusterDraft,
};

/// How a check-in may speak for its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Known,
    /// Its credential is bound to the name, by this join token if there is one.
    Bind {
        credential: SecretHash,
        join_token: Option<SecretHash>,
    },
    /// The node has announced the secret that comes next.
    Announce {
        next: SecretHash,
    },
    /// The node has used the secret that it had announced.
    Renew {
        next: SecretHash,
    },
}

impl Cluster {
    /// Decides whether a check-in may speak for a node, and with the data that it reports. `liveness` is the failure detector as the
    /// check-in finds it.
    pub fn admit(
        &self,
        node: &MemberName,
        data: Option<Identity>,
        presented: &Presented,
        liveness: &Liveness,
        now: UnixMillis,
    ) -> Admittance {
        let verdict = self.verdict(node, presented, liveness, now);
        match verdict.and_then(|verdict| self.check_data(node, data, liveness).map(|()| verdict)) {
            Ok(Verdict::Known) => Admittance::Known,
            Ok(verdict) => {
                let mut draft = ClusterDraft::new(self, now);
                match draft.carry_out(node, presented, verdict, liveness) {
                    Ok(()) => draft.finish().map_or(Admittance::Known, Admittance::Bound),
                    Err(denial) => self.deny(node, presented, denial, now),
                }
            }
            Err(denial) => self.deny(node, presented, denial, now),
        }
    }

    fn verdict(
        &self,
        node: &MemberName,
        presented: &Presented,
        liveness: &Liveness,
        now: UnixMillis,
    ) -> Result<Verdict, NodeDenial> {
        match self.policy.join {
            JoinPolicy::Certificate => self.by_certificate(node, presented),
            JoinPolicy::Open | JoinPolicy::Token => self.by_credential(node, presented, liveness, now),
        }
    }

    /// Fails if the data is of a member that another node speaks for, or that nobody speaks for yet. Else the node would pass for
    /// a copy of that member, and keep it from starting.
    fn check_data(&self, node: &MemberName, data: Option<Identity>, liveness: &Liveness) -> Result<(), NodeDenial> {
        match liveness.member_of_another_node(self, node, data) {
            Some(member) => Err(NodeDenial::DataOfOther { node: node.clone(), holder: member.name().clone() }),
            None => Ok(()),
        }
    }

    fn by_certificate(&self, node: &MemberName, presented: &Presented) -> Result<Verdict, NodeDenial> {
        match presented.certificate_names.as_slice() {
            [] => Err(NodeDenial::CertificateRequired(node.clone())),
            names if names.iter().any(|name| name == node.as_str()) => Ok(Verdict::Known),
            _ => Err(NodeDenial::CertificateOfOther(node.clone())),
        }
    }

    fn by_credential(
        &self,
        node: &MemberName,
        presented: &Presented,
        liveness: &Liveness,
        now: UnixMillis,
    ) -> Result<Verdict, NodeDenial> {
        let is_open = self.policy.join == JoinPolicy::Open;
        let own = self.admission.credentials.get(node);
        let is_of_stock_etcds = is_open && own.is_none() && self.is_of_stock_etcds();
        let needs_claim = is_of_stock_etcds && self.is_member_for_good(node);
        let Some(credential) = presented.credential else {
            if needs_claim && presented.join_token.is_none() {
                return Err(NodeDenial::StockMember(node.clone()));
            }
            // A client of an earlier version has none. It may speak for a name that nobody has claimed.
            let is_free = is_open && own.is_none() && !is_of_stock_etcds;
            return if is_free { Ok(Verdict::Known) } else { Err(NodeDenial::CredentialRequired(node.clone())) };
        };
        if let Some(own) = own.filter(|own| own.has(credential)) {
            return by_own_credential(node, own, credential, presented.next);
        }
        if let Some((holder, _)) = self.admission.credential(credential) {
            return Err(NodeDenial::CredentialOfOther { node: node.clone(), holder: holder.clone() });
        }
        let is_bound = self.admission.holder(node).is_some();
        let is_revoked = own.is_some_and(|own| own.revoked_at.is_some());
        if is_revoked && !presented.join_token.is_some_and(|hash| self.is_join_token_for(node, hash)) {
            // With a credential that it has just made, the node that was revoked would be back at once. And its member may still run.
            return Err(NodeDenial::CredentialRevoked(node.clone()));
        }
        let join_token = match presented.join_token {
            // In an open cluster, a join token matters only where the name needs one.
            Some(hash) if !is_open || own.is_some() || is_of_stock_etcds => {
                match self.valid_join_token(node, hash, presented, now) {
                    Err(denial) if !is_open || is_revoked || self.is_member_for_good(node) => return Err(denial),
                    found => found.ok(),
                }
            }
            _ => None,
        };
        let is_for_this_node = join_token.is_some_and(|token| token.node.is_some());
        if is_bound && !is_for_this_node {
            let waits = (is_open || join_token.is_some()) && !self.is_member_for_good(node);
            if !waits || !self.is_silent(node, presented, liveness, now) {
                return Err(NodeDenial::NameBound { node: node.clone(), waits });
            }
        } else if !is_open && join_token.is_none() {
            return Err(NodeDenial::JoinTokenRequired(node.clone()));
        } else if needs_claim && join_token.is_none() {
            return Err(NodeDenial::StockMember(node.clone()));
        }
        Ok(Verdict::Bind { credential, join_token: join_token.map(|token| token.hash) })
    }

    /// Whether a name is that of a member which may have started. However silent its node is, only a person can say that the
    /// credential is lost: the node of a running member may never check in again, and anyone who may check in could report it as dead.
    fn is_member_for_good(&self, node: &MemberName) -> bool {
        self.formed.is_some() && self.members().any(|member| member.name() == node)
    }

    /// Whether stock etcds have formed the cluster and can't change it any more. No client has checked in for a member while the cluster
    /// formed, so whoever is the first to do so may be anybody who knows the discovery token. And a node has a say about the cluster only
    /// if a join token has admitted it ([`Liveness::is_unvouched`]), so each has a credential.
    pub(crate) fn is_of_stock_etcds(&self) -> bool {
        matches!(self.protocol, Some(Protocol::Discovery(_)))
            && self.policy.stock_writes == StockWrites::Refuse
            && self.formed.is_some()
    }

    /// What remains of the admission when stock etcds complete the founders. In an open cluster anybody who knows the discovery token
    /// can have claimed the name of a founder by a check-in before.
    pub(crate) fn admission_of_stock_cluster(&self, revision: Revision) -> Arc<Admission> {
        let is_claimed = self.admission.credentials.values().any(|own| own.revoked_at.is_none());
        if self.policy.join != JoinPolicy::Open || !is_claimed {
            return self.admission.clone();
        }
        let mut admission = Admission::clone(&self.admission);
        admission.credentials.retain(|_, own| own.revoked_at.is_some());
        admission.modified = Some(revision);
        admission.dropped = Some(revision);
        Arc::new(admission)
    }

    /// Whether a join token was made for this very node.
    fn is_join_token_for(&self, node: &MemberName, hash: SecretHash) -> bool {
        self.admission.join_tokens.iter().any(|token| token.hash == hash && token.node.as_ref() == Some(node))
    }

    fn valid_join_token(
        &self,
        node: &MemberName,
        hash: SecretHash,
        presented: &Presented,
        now: UnixMillis,
    ) -> Result<&JoinToken, NodeDenial> {
        let found = self.admission.join_tokens.iter().find(|token| token.hash == hash);
        let token = found.ok_or(NodeDenial::JoinTokenUnknown)?;
        let id = token.id();
        if token.revoked_at.is_some() {
            return Err(NodeDenial::JoinTokenRevoked(id));
        }
        if token.expires_at <= now {
            return Err(NodeDenial::expired(id, token.expires_at, now));
        }
        if let Some(other) = token.node.as_ref().filter(|other| *other != node) {
            return Err(NodeDenial::JoinTokenOfOther { id, node: other.clone() });
        }
        if let Some(cidr) = token.cidr.filter(|cidr| !presented.from.is_some_and(|from| cidr.contains(from))) {
            return Err(NodeDenial::JoinTokenElsewhere { id, cidr });
        }
        if token.used_by.contains(node) {
            return Err(NodeDenial::JoinTokenUsed { id, node: node.clone() });
        }
        if token.used_by.len() >= token.uses as usize {
            return Err(NodeDenial::JoinTokenUsedUp { id, uses: token.uses });
        }
        Ok(token)
    }

    /// Whether nothing was heard of a name's holder for `dead_after`: of the node, and of the members with its name.
    ///
    /// If no node at all has checked in, silence proves nothing. Then it counts from the first time that this sender was refused.
    fn is_silent(&self, node: &MemberName, presented: &Presented, liveness: &Liveness, now: UnixMillis) -> bool {
        let of_members = self.members().filter(|member| member.name() == node);
        let of_members = of_members.filter_map(|member| liveness.members.get(&member.key));
        let of_members = of_members.filter_map(|known| known.checked_in.max(known.answered).max(known.heard)).max();
        let bound = self.admission.holder(node).map(|holder| holder.created_at);
        let heard = liveness.nodes.get(node).map(|node| node.at).max(of_members).max(bound);
        let lasts = |since: UnixMillis| since.age(now) >= self.policy.dead_after;
        let refused = TurnedAway::new(node, DenialCode::NodeBound, presented, now);
        let refused = self.admission.turned_away.iter().find(|known| known.is_same(&refused));
        heard.is_none_or(lasts)
            && (lasts(liveness.since)
                || refused.is_some_and(|refused| lasts(refused.at) && heard.is_none_or(|heard| heard <= refused.at)))
    }

    fn deny(&self, node: &MemberName, presented: &Presented, denial: NodeDenial, now: UnixMillis) -> Admittance {
        let turned_away = TurnedAway::new(node, denial.code(), presented, now);
        let kept_for = TurnedAway::REPEATED_AFTER.max(2 * self.policy.dead_after);
        let is_recent = |known: &&TurnedAway| known.at.age(now) < kept_for;
        let recent: Vec<&TurnedAway> = self.admission.turned_away.iter().filter(is_recent).collect();
        if recent.iter().any(|known| known.is_same(&turned_away)) || recent.len() >= TurnedAway::MOST {
            return Admittance::Denied { denial, record: None };
        }
        let from = presented.from.map(|from| format!(" from {from}")).unwrap_or_default();
        let mut draft = ClusterDraft::new(self, now);
        let mut kept: Vec<TurnedAway> = recent.into_iter().cloned().collect();
        kept.push(turned_away);
        let message = format!("check-in for {node}{from} refused: {denial}");
        draft.change(EventKind::NodeTurnedAway, message, |cluster| {
            Arc::make_mut(&mut cluster.admission).turned_away = kept;
        });
        Admittance::Denied { denial, record: draft.finish() }
    }
}

fn by_own_credential(
    node: &MemberName,
    own: &NodeCredential,
    credential: SecretHash,
    next: Option<SecretHash>,
) -> Result<Verdict, NodeDenial> {
    if own.revoked_at.is_some() {
        return Err(NodeDenial::CredentialRevoked(node.clone()));
    }
    if own.next == Some(credential) {
        return Ok(Verdict::Renew { next: credential });
    }
    match next.filter(|next| own.next != Some(*next) && *next != own.hash) {
        Some(next) => Ok(Verdict::Announce { next }),
        None => Ok(Verdict::Known),
    }
}

impl TurnedAway {
    fn new(node: &MemberName, code: DenialCode, presented: &Presented, at: UnixMillis) -> Self {
        Self { node: node.clone(), code: code.as_str().to_owned(), from: presented.from, at }
    }

    /// Whether it is the same refusal of the same sender, at any time.
    fn is_same(&self, other: &Self) -> bool {
        self.node == other.node && self.code == other.code && self.from == other.from
    }
}

impl ClusterDraft<'_> {
    fn carry_out(
        &mut self,
        node: &MemberName,
        presented: &Presented,
        verdict: Verdict,
        liveness: &Liveness,
    ) -> Result<(), NodeDenial> {
        match verdict {
            Verdict::Known => {}
            Verdict::Bind { credential, join_token } => {
                self.make_room_for(node, liveness)?;
                self.bind(node, presented, credential, join_token);
            }
            Verdict::Announce { next } => {
                // Invisible until the node uses it, so that a lost answer leaves no second event of a renewal.
                self.change_credential(node, EventKind::CredentialRenewed, "announced a new credential", |own, _| {
                    own.next = Some(next);
                });
            }
            Verdict::Renew { next } => {
                self.change_credential(node, EventKind::CredentialRenewed, "uses its new credential", |own, now| {
                    own.hash = next;
                    own.next = None;
                    own.renewed_at = Some(now);
                });
            }
        }
        Ok(())
    }

    /// Drops the credential of a node that is gone, if there are as many as there may be.
    fn make_room_for(&mut self, node: &MemberName, liveness: &Liveness) -> Result<(), NodeDenial> {
        let credentials = &self.admission.credentials;
        if credentials.contains_key(node) || credentials.len() < Admission::MAX_CREDENTIALS {
            return Ok(());
        }
        let is_member = |name: &MemberName| self.members().any(|member| member.name() == name);
        let is_gone =
            |(name, _): &(&MemberName, &NodeCredential)| !liveness.nodes.contains_key(*name) && !is_member(name);
        let gone = credentials.iter().filter(is_gone).min_by_key(|(_, credential)| credential.created_at);
        let gone = gone.map(|(name, _)| name.clone()).ok_or(NodeDenial::TooManyNodes)?;
        let message = format!(
            "credential of {gone} deleted: the node is gone, and the cluster has the maximum number of credentials"
        );
        self.change_admission(EventKind::CredentialRevoked, message, |admission, revision, _| {
            admission.credentials.remove(&gone);
            admission.dropped = Some(revision);
        });
        Ok(())
    }

    fn bind(
        &mut self,
        node: &MemberName,
        presented: &Presented,
        credential: SecretHash,
        join_token: Option<SecretHash>,
    ) {
        let from = presented.from.map(|from| format!(" at {from}")).unwrap_or_default();
        let by = match join_token.and_then(|hash| self.admission.join_tokens.iter().find(|token| token.hash == hash)) {
            Some(token) => format!("with join token {}", token.id()),
            None if self.admission.holder(node).is_some() => {
                format!(
                    "on its first use, because the holder of the name was silent for {}",
                    humantime::format_duration(self.policy.dead_after)
                )
            }
            None => "on its first use".to_owned(),
        };
        let bound = NodeCredential::new(credential, self.now(), self.revision.next());
        let message = format!("{node}{from} admitted {by}; its credential is {}", bound.id);
        self.change_admission(EventKind::NodeAdmitted, message, |admission, revision, _| {
            if let Some(token) = admission.join_tokens.iter_mut().find(|token| Some(token.hash) == join_token) {
                token.used_by.insert(node.clone());
                token.modified = revision;
            }
            admission.credentials.insert(node.clone(), bound);
            // The time from which the former holder's silence counted.
            admission
                .turned_away
                .retain(|refused| refused.node != *node || refused.code != DenialCode::NodeBound.as_str());
        });
    }

    fn change_credential(
        &mut self,
        node: &MemberName,
        kind: EventKind,
        what: &str,
        edit: impl FnOnce(&mut NodeCredential, UnixMillis),
    ) {
        self.change_admission(kind, format!("{node} {what}"), |admission, revision, now| {
            if let Some(own) = admission.credentials.get_mut(node) {
                edit(own, now);
                own.modified = revision;
            }
        });
    }
}
