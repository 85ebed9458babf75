use thiserror::Error;

use crate::{Cluster, LastCheckIn, Liveness, Member, MemberKey, MemberName};

/// Why the credential of a node may not make a request for a member.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotOwnMember {
    /// The member has another name.
    #[error("it has another name")]
    OtherName,
    /// Another member has that name as well.
    #[error("several members have that name")]
    SharedName,
    /// The last check-in of the node did not show data of the member.
    #[error(
        "the last check-in of {0} does not show data of that member; run `convene promote` on the node, or let an operator do it"
    )]
    NotShown(MemberName),
    /// Another node has checked in with data of the member.
    #[error("{0} checks in with data of that member as well")]
    ShownByOther(MemberName),
}

impl Cluster {
    /// Checks that a member is that of a node, for a request by the node's credential. The name alone does not prove it: a node may
    /// report any list of members, and so any name for a member.
    ///
    /// # Errors
    ///
    /// If the name is not that of this one member, or if the node's last check-in, and no other node's, does not show data of it.
    pub fn check_own_member(
        &self,
        node: &MemberName,
        member: &Member,
        liveness: &Liveness,
    ) -> Result<(), NotOwnMember> {
        if member.name() != node {
            return Err(NotOwnMember::OtherName);
        }
        if self.members().any(|other| other.key != member.key && other.name() == node) {
            return Err(NotOwnMember::SharedName);
        }
        let shows_it = |(_, check_in): &(&MemberName, &LastCheckIn)| shown_by(check_in).as_ref() == Some(&member.key);
        let mut shown_by_others = liveness.nodes.iter().filter(shows_it).filter(|(name, _)| *name != node);
        if let Some((other, _)) = shown_by_others.next() {
            return Err(NotOwnMember::ShownByOther(other.clone()));
        }
        match liveness.nodes.get(node).and_then(shown_by) {
            Some(key) if key == member.key => Ok(()),
            _ => Err(NotOwnMember::NotShown(node.clone())),
        }
    }
}

/// The member whose data a node has shown.
fn shown_by(check_in: &LastCheckIn) -> Option<MemberKey> {
    check_in.state.identity().map(|identity| identity.member.into())
}
