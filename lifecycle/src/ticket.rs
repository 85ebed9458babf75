use std::time::Duration;

use crate::{Cluster, Member, MemberKey, MemberName, PeerUrl, UnixMillis};

/// The lease for the one membership change that a cluster may have under way.
///
/// Its holder keeps it while the change progresses in etcd's list. [`Ticket::LEASE`] after the last progress, any node with a
/// quorum view takes it away.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// A fencing token: each ticket of a cluster has a higher number than the one before.
    pub number: u64,
    /// The node that makes the change.
    pub holder: MemberName,
    /// The change.
    pub purpose: Purpose,
    /// When it was granted.
    pub granted_at: UnixMillis,
    /// When its change last progressed in etcd's list: when it was granted, or when its last step was done.
    pub progress_at: UnixMillis,
}

/// The change that a [`Ticket`] is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Make the holder a voter. A dead member or the holder's own former member is removed first, then the holder is
    /// added, started and promoted.
    Join {
        /// The holder's peer URLs.
        peer_urls: Vec<PeerUrl>,
        /// The member that makes room.
        replaces: Option<MemberKey>,
    },
    /// Remove a member.
    Remove {
        /// The member.
        member: MemberKey,
    },
    /// Change a member's peer URLs.
    Update {
        /// The member.
        member: MemberKey,
        /// Its new peer URLs.
        peer_urls: Vec<PeerUrl>,
    },
    /// Make a learner a voter.
    Promote {
        /// The learner.
        member: MemberKey,
    },
}

/// What the holder of a [`Ticket`] does next, as etcd's list shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Remove a member.
    Remove,
    /// Add the holder as a member.
    Add,
    /// Start etcd as the member that was added.
    Start,
    /// Promote a learner.
    Promote,
    /// Change a member's peer URLs.
    Update,
    /// Nothing: the change is done.
    Done,
}

impl Ticket {
    /// The lease: how long a step may take, counted from the last progress, before the ticket is taken away.
    pub const LEASE: Duration = Duration::from_secs(15);

    /// How long after the last progress the holder may begin a change. The rest of [`Ticket::LEASE`] is for etcd to apply or
    /// drop the request (`server/config/config.go:ReqTimeout` is 7 s with the default election timeout). So no change of this
    /// ticket happens after another one may have been granted.
    pub const ACT_WITHIN: Duration = Duration::from_secs(8);

    /// How long the first start of the holder's etcd may take while it shows that it is starting.
    pub const LONGEST_START: Duration = Duration::from_secs(600);
}

impl Purpose {
    /// The member that the change removes.
    pub fn removes(&self) -> Option<&MemberKey> {
        match self {
            Self::Join { replaces, .. } => replaces.as_ref(),
            Self::Remove { member } => Some(member),
            Self::Update { .. } | Self::Promote { .. } => None,
        }
    }

    /// Its name in the API.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Join { .. } => "join",
            Self::Remove { .. } => "remove",
            Self::Update { .. } => "update",
            Self::Promote { .. } => "promote",
        }
    }

    /// The next step, from the members on record.
    pub(crate) fn step(&self, cluster: &Cluster) -> Step {
        match self {
            Self::Join { replaces, .. } => match self.joiner(cluster) {
                Some(joiner) if !joiner.started => Step::Start,
                Some(joiner) if !joiner.is_voter() => Step::Promote,
                Some(_) => Step::Done,
                None if replaces.as_ref().is_some_and(|member| cluster.member(member).is_some()) => Step::Remove,
                None => Step::Add,
            },
            Self::Remove { member } if cluster.member(member).is_some() => Step::Remove,
            Self::Update { member, peer_urls } => match cluster.member(member) {
                Some(member) if !member.has_peer_urls(peer_urls) => Step::Update,
                _ => Step::Done,
            },
            Self::Promote { member } => match cluster.member(member) {
                Some(member) if !member.is_voter() => Step::Promote,
                _ => Step::Done,
            },
            Self::Remove { .. } => Step::Done,
        }
    }

    /// The member that was added for the holder.
    pub(crate) fn joiner<'a>(&self, cluster: &'a Cluster) -> Option<&'a Member> {
        let Self::Join { peer_urls, replaces } = self else { return None };
        let is_joiner = |member: &&Member| member.has_peer_urls(peer_urls) && Some(&member.key) != replaces.as_ref();
        cluster.members().map(|member| &**member).find(is_joiner)
    }
}

impl Step {
    /// What the holder has to do, for messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Remove => "remove the member",
            Self::Add => "add itself to etcd's list",
            Self::Start => "start etcd",
            Self::Promote => "promote the learner",
            Self::Update => "update the peer URLs",
            Self::Done => "nothing",
        }
    }
}

/// A node that lost its ticket because its change did not progress. It goes last in line for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Setback {
    /// How many tickets in a row the node has lost like that.
    pub count: u32,
    /// When it lost the last one.
    pub at: UnixMillis,
}

impl Setback {
    /// How long a node waits after its first setback, if no other node waits for the ticket.
    const FIRST_WAIT: Duration = Duration::from_secs(10);

    /// How long a node waits at most: after many setbacks, or while another node waits for the ticket.
    pub const LONGEST_WAIT: Duration = Duration::from_secs(300);

    /// How long a setback counts.
    const LIFETIME: Duration = Duration::from_secs(600);

    /// How long the node waits if no other node waits for the ticket: twice as long with each setback.
    pub fn wait(self) -> Duration {
        let doublings = self.count.saturating_sub(1).min(16);
        (Self::FIRST_WAIT * 2_u32.pow(doublings)).min(Self::LONGEST_WAIT)
    }

    /// Whether it was so long ago that it counts no more. One in the future is of a clock that was set back since.
    pub fn is_over(self, now: UnixMillis) -> bool {
        self.at > now || self.at.age(now) >= Self::LIFETIME
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setback_doubles_the_wait_up_to_five_minutes() {
        let waits = [1, 2, 3, 5, 6, u32::MAX].map(|count| Setback { count, at: UnixMillis(0) }.wait().as_secs());
        assert_eq!(waits, [10, 20, 40, 160, 300, 300]);
    }
}
