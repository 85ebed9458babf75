//! Before data is archived.

use convene_etcd::{ListedMember, MemberList};
use convene_lifecycle::{Identity, MemberId, PeerUrl};

use super::peer_lists;
use crate::{
    data_dir::KnownMember,
    observe::{Addresses, LIST_TIMEOUT},
    registry::{Instruction, State},
    session::Session,
};

/// The reason of the instruction to archive data from before a reset.
const EARLIER_EPOCH: &str = "earlier_epoch";

/// Why data is not archived.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// What this node saw, for people.
    pub found: String,
    /// Whether etcd may start on the data: it checks its membership itself.
    pub may_start: bool,
}

/// Checks that no cluster needs this node's data. `accepts_reset`: an administrator has consented on this node that data
/// from before the present epoch is archived.
pub async fn verify(
    session: &Session,
    state: &State,
    instruction: &Instruction,
    accepts_reset: bool,
) -> Result<(), Refused> {
    if let State::Empty { .. } = state {
        return Ok(());
    }
    let Addresses { cluster_id, client_urls, .. } = session.addresses();
    let list = match (state, session.connections.list(&client_urls, cluster_id, LIST_TIMEOUT).await) {
        (_, Ok((_, list))) => list,
        (State::Stopped { never_led, .. }, Err(_))
            if instruction.reason == EARLIER_EPOCH && (accepts_reset || *never_led) =>
        {
            return Ok(());
        }
        (_, Err(failures)) => {
            let may_start = matches!(state, State::Stopped { .. }) && instruction.reason != EARLIER_EPOCH;
            let found = format!("this node cannot read the cluster's member list through a quorum: {failures}");
            return Err(Refused { found, may_start });
        }
    };
    let State::Stopped { member_id, cluster_id, .. } = state else {
        return check_unused(session, &list).await.map_err(|found| Refused { found, may_start: false });
    };
    let own = Identity { member: *member_id, cluster: *cluster_id };
    let known = session.node.data.members();
    let peer_urls = known.iter().filter(|member| member.id != own.member).flat_map(|member| member.peer_urls.clone());
    // What is not asked can't object.
    let has_consent = instruction.reason == EARLIER_EPOCH && accepts_reset;
    if let Some(url) = peer_urls.clone().find(|url| !has_consent && !session.connections.peers().calls(url)) {
        let found = format!(
            "{url}, a peer URL in this node's data, is http://, and with --peer-trusted-ca-file only https:// is called"
        );
        return Err(Refused { found, may_start: instruction.reason != EARLIER_EPOCH });
    }
    let found = if list.cluster == own.cluster {
        let listed_urls = list.members.iter().flat_map(|member| member.peer_urls.clone());
        let urls = peer_urls.chain(listed_urls).chain(session.addresses().peer_urls);
        check_removed(own, &list, &known, &peer_lists(session, urls).await)
    } else if has_consent {
        Ok(())
    } else {
        check_unlisted(own, &peer_lists(session, peer_urls).await)
    };
    found.map_err(|found| Refused { found, may_start: instruction.reason != EARLIER_EPOCH })
}

/// Checks, for data whose member is not known, that no member answers which may be using it: one with this node's name or peer
/// URLs.
async fn check_unused(session: &Session, list: &MemberList) -> Result<(), String> {
    let may_use_it = |listed: &&ListedMember| session.node.shares_name_or_peer_url(listed);
    let users = list.members.iter().filter(may_use_it).flat_map(|listed| listed.peer_urls.clone());
    match peer_lists(session, users).await.first() {
        Some((url, _)) => {
            Err(format!("an etcd answers at {url}, and the member list has this node's name or peer URL for it"))
        }
        None => Ok(()),
    }
}

/// Checks that the member was removed from the cluster of its data, and that the list which shows it is of that cluster and
/// not of a copy of one of its members.
///
/// A copy that was started with `--force-new-cluster` has the IDs of the original, and lists no other members. But it does
/// not answer where the data knows its peers to be.
fn check_removed(
    own: Identity,
    list: &MemberList,
    known: &[KnownMember],
    answers: &[(PeerUrl, MemberList)],
) -> Result<(), String> {
    let Identity { member, cluster } = own;
    if lists(list, member) {
        return Err(format!("member {member} is in the current member list of its cluster {cluster}"));
    }
    check_unlisted(own, answers)?;
    let answers_at = |url: &PeerUrl| answers.iter().any(|(at, theirs)| at == url && theirs.cluster == cluster);
    let confirms = |voter: &&ListedMember| voter.peer_urls.iter().any(answers_at);
    let voters = list.members.iter().filter(|listed| !listed.learner);
    let (all, confirming) = (voters.clone().count(), voters.filter(confirms).count());
    if confirming * 2 <= all {
        return Err(format!(
            "only {confirming} of {all} voters answer at their peer URLs to confirm that member {member} was removed"
        ));
    }
    let is_known = |listed: &ListedMember| {
        let known = known.iter().find(|known| known.id == listed.id && known.id != member);
        known.is_some_and(|known| known.peer_urls.iter().any(|url| listed.peer_urls.contains(url) && answers_at(url)))
    };
    if !list.members.iter().any(is_known) {
        return Err(format!(
            "the list without member {member} is not confirmed by any etcd at a peer URL in this node's data; the \
             list may come from a copy of another member"
        ));
    }
    Ok(())
}

/// Checks that none of these etcds lists the member. One of its cluster that lists nobody is loading its log, and may list the
/// member once it has.
fn check_unlisted(own: Identity, answers: &[(PeerUrl, MemberList)]) -> Result<(), String> {
    let Identity { member, cluster } = own;
    for (url, list) in answers.iter().filter(|(_, list)| list.cluster == cluster) {
        if lists(list, member) {
            return Err(format!("the etcd at {url} lists member {member} of cluster {cluster}"));
        }
        if list.members.is_empty() {
            return Err(format!("the etcd at {url} of cluster {cluster} lists no members yet; it is loading its log"));
        }
    }
    Ok(())
}

fn lists(list: &MemberList, member: MemberId) -> bool {
    list.members.iter().any(|listed| listed.id == member)
}

#[cfg(test)]
mod tests {
    use convene_lifecycle::ClusterId;

    use super::*;

    const OWN: Identity = Identity { member: MemberId(0xa), cluster: ClusterId(1) };

    fn url(host: &str) -> PeerUrl {
        format!("http://{host}:2380").parse().unwrap()
    }

    /// A list of voters, each at its own host: `a`, `b` …
    fn list(members: &str) -> MemberList {
        let member = |name: &str| ListedMember {
            id: id(name),
            name: name.to_owned(),
            peer_urls: vec![url(name)],
            client_urls: Vec::new(),
            learner: false,
        };
        MemberList { cluster: OWN.cluster, members: members.split_whitespace().map(member).collect() }
    }

    fn id(name: &str) -> MemberId {
        MemberId(u64::from_str_radix(name, 16).unwrap())
    }

    fn known(members: &str) -> Vec<KnownMember> {
        let member = |name: &str| KnownMember {
            id: id(name),
            peer_urls: vec![url(name)],
            client_urls: Vec::new(),
            learner: false,
        };
        members.split_whitespace().map(member).collect()
    }

    /// Etcds that answer at these hosts with this list.
    fn answers(hosts: &str, list: &MemberList) -> Vec<(PeerUrl, MemberList)> {
        hosts.split_whitespace().map(|host| (url(host), list.clone())).collect()
    }

    #[test]
    fn a_removal_that_a_majority_confirms_is_believed() {
        let (list, known) = (list("b c d"), known("a b c"));
        for hosts in ["b c", "b d", "b c d"] {
            assert_eq!(check_removed(OWN, &list, &known, &answers(hosts, &list)), Ok(()), "{hosts}");
        }
        for hosts in ["", "b", "d"] {
            let refused = check_removed(OWN, &list, &known, &answers(hosts, &list)).unwrap_err();
            assert!(refused.contains("of 3 voters answer"), "{refused}");
        }
    }

    #[test]
    fn nobody_may_list_the_member() {
        let (without, with) = (list("b c"), list("a b c"));
        let mut answers = answers("b c", &without);
        answers.push((url("d"), with.clone()));
        let refused = check_removed(OWN, &without, &known("a b c"), &answers).unwrap_err();
        assert_eq!(refused, "the etcd at http://d:2380 lists member a of cluster 1");
        assert!(check_removed(OWN, &with, &known("a b c"), &answers).unwrap_err().contains("current member list"));
        // The list of another cluster does not count.
        answers[2].1.cluster = ClusterId(2);
        assert_eq!(check_removed(OWN, &without, &known("a b c"), &answers), Ok(()));
    }

    #[test]
    fn an_etcd_that_loads_its_log_may_list_the_member() {
        let list = list("b c d");
        let mut answers = answers("b c", &list);
        answers.push((url("d"), MemberList { cluster: OWN.cluster, members: Vec::new() }));
        let refused = check_removed(OWN, &list, &known("a b c"), &answers).unwrap_err();
        assert_eq!(refused, "the etcd at http://d:2380 of cluster 1 lists no members yet; it is loading its log");
    }

    #[test]
    fn a_copy_elsewhere_with_the_same_ids_does_not_confirm_a_removal() {
        // `--force-new-cluster` on a copy of b, at another address.
        let mut drill = list("b");
        drill.members[0].peer_urls = vec![url("copy")];
        let refused = check_removed(OWN, &drill, &known("a b c"), &answers("copy", &drill)).unwrap_err();
        assert!(refused.contains("not confirmed by any etcd at a peer URL in this node's data"), "{refused}");
        // It also lists the address that it was copied with, but does not answer there.
        let copied = list("b");
        let refused = check_removed(OWN, &copied, &known("a b c"), &[]).unwrap_err();
        assert!(refused.contains("only 0 of 1 voters"), "{refused}");
    }

    #[test]
    fn data_without_known_members_confirms_nothing() {
        let list = list("b c");
        assert!(check_removed(OWN, &list, &[], &answers("b c", &list)).is_err());
    }
}
