use thiserror::Error;

use crate::{
    Action, Cluster, ClusterSize, Discovery, Epoch, EventKind, MAX_MEMBERS, Member, MemberKey, MemberName, PeerUrl,
    Protocol, Registration, Removal, Subject, Transition, UnixMillis,
    cluster::{NewValue, previous_member},
};

/// What stock etcds and those who stand in for them do to a cluster.
impl Cluster {
    /// Sets the size. Setting it to what it is stays possible for ever, so that scripts can run again.
    pub fn set_size(&self, size: ClusterSize, action: Action, at: UnixMillis) -> Result<Transition, SizeIsFixed> {
        if size != self.size && self.first_registered_at.is_some() {
            return Err(SizeIsFixed(self.size));
        }
        let revision = self.revision.next();
        let (created, version) = match keeps_creation(action) {
            true => (self.size_created, self.size_version + 1),
            false => (revision, 1),
        };
        let previous = self.previous_size();
        let after = Self {
            size,
            size_created: created,
            size_modified: revision,
            size_version: version,
            revision,
            ..self.clone()
        };
        let written = NewValue { value: Some(size.to_string()), created, version };
        let kind_and_message = (EventKind::SizeSet, format!("the size is {size}").into());
        let event = self.event(at, action, Subject::Size, written, Some(previous), kind_and_message);
        Ok(Transition { after: Some(after), events: vec![event] })
    }

    /// Registers a member, anew or over its present registration.
    ///
    /// A plain set gives a present member a new place at the end of the line, as in etcd, but only while
    /// the cluster forms: once etcds may have bootstrapped, a moved place could let a newcomer into
    /// a roster that others have already read.
    pub fn register(
        &self,
        key: MemberKey,
        registration: Registration,
        by: Discovery,
        action: Action,
        at: UnixMillis,
    ) -> Result<Transition, RegisterRefusal> {
        let present = self.member(&key);
        self.check_registration(&key, &registration, by, action)?;
        if let Some(member) = present.filter(|_| by == Discovery::V3) {
            self.check_return(member, &registration.name, at)?;
        }

        let revision = self.revision.next();
        let fresh = Member::registered(key.clone(), registration, revision);
        let member = match present {
            Some(member) => {
                let keeps_place = keeps_creation(action) || self.formed.is_some();
                let (created, version) = if keeps_place { (member.created, member.version + 1) } else { (revision, 1) };
                let Member { registration, modified, registered, .. } = fresh;
                Member { registration, created, modified, registered, version, ..Member::clone(member) }
            }
            None => fresh,
        };
        let kind_and_message = (EventKind::MemberRegistered, format!("registered through {by}").into());
        let previous = present.map(|member| previous_member(member));
        let event = self.event(at, action, Subject::Member(key), NewValue::member(&member), previous, kind_and_message);
        let record = self.record_with(member);
        let enough = record.len() >= self.size.get() as usize && self.protocol != Some(Protocol::CheckIn);
        let forms = enough && self.formed.is_none();
        let after = Self {
            revision,
            first_registered_at: self.first_registered_at.or(Some(at)),
            formed: self.formed.or(forms.then_some(revision)),
            formed_at: self.formed_at.or(forms.then_some(at)),
            protocol: self.protocol.or(Some(Protocol::Discovery(by))),
            record,
            ..self.without_record()
        };
        Ok(Transition { after: Some(after), events: vec![event] })
    }

    /// Removes a present member; `None` if there is none with this key.
    pub fn remove(&self, key: &MemberKey, by: Discovery, action: Action, at: UnixMillis) -> Option<Transition> {
        let member = self.member(key)?;
        let revision = self.revision.next();
        let subject = Subject::Member(key.clone());
        let kind_and_message = (EventKind::MemberRemoved, format!("removed through {by}").into());
        let gone = NewValue::gone(member.created);
        let event = self.event(at, action, subject, gone, Some(previous_member(member)), kind_and_message);
        let removal = Removal { at: revision, confirmed: false };
        let removed = Member { modified: revision, removed: Some(removal), ..Member::clone(member) };
        let after = Self { revision, record: self.record_with(removed), ..self.without_record() };
        Some(Transition { after: Some(after), events: vec![event] })
    }

    fn check_registration(
        &self,
        key: &MemberKey,
        registration: &Registration,
        by: Discovery,
        action: Action,
    ) -> Result<(), RegisterRefusal> {
        if by == Discovery::V3 && self.formed.is_none() {
            self.check_not_counted(key, registration)?;
        }
        let mut present = false;
        let mut members = 0;
        for member in self.members() {
            members += 1;
            if member.key == *key {
                present = true;
                continue;
            }
            let holder = || member.key.clone();
            if member.registration.name == registration.name {
                return Err(RegisterRefusal::NameTaken { name: registration.name.clone(), holder: holder() });
            }
            let taken = |url: &&PeerUrl| member.registration.peer_urls.contains(url);
            if let Some(url) = registration.peer_urls.iter().find(taken) {
                return Err(RegisterRefusal::PeerUrlTaken { url: url.clone(), holder: holder() });
            }
        }
        if self.epoch != Epoch::FIRST && (action == Action::Create || self.formed.is_none()) {
            return Err(RegisterRefusal::WasReset);
        }
        let creates = action == Action::Create && !present;
        if self.is_forming_by_check_in() || (creates && self.protocol == Some(Protocol::CheckIn)) {
            return Err(RegisterRefusal::FormsByCheckIn);
        }
        let other = self.protocol.and_then(Protocol::discovery).filter(|other| *other != by);
        if let Some(other) = other.filter(|_| creates || self.formed.is_none()) {
            return Err(RegisterRefusal::FormsByOther(other));
        }
        // Only etcd's own discovery client creates. Others, such as elastic-etcd, set, and report
        // with it what they have already done to the running cluster.
        if !present && action == Action::Create && self.formed.is_some() && members < self.size.get() as usize {
            return Err(RegisterRefusal::Formed);
        }
        if self.record.len() >= MAX_MEMBERS && !self.record.iter().any(|member| member.key == *key) {
            return Err(RegisterRefusal::TooManyMembers);
        }
        Ok(())
    }
}

/// Why a member can't be registered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RegisterRefusal {
    /// Another member has the name; etcd would fail with "duplicate name".
    #[error("name {name} is already taken by member {holder}")]
    NameTaken {
        /// The name.
        name: MemberName,
        /// Who has it.
        holder: MemberKey,
    },
    /// Another member has the peer URL.
    #[error("peer URL {url} is already taken by member {holder}")]
    PeerUrlTaken {
        /// The URL.
        url: PeerUrl,
        /// Who has it.
        holder: MemberKey,
    },
    /// A member that was removed while the cluster forms had the name or a peer URL.
    #[error(
        "member {holder}, which was removed since, had this name or one of these peer URLs, and those who wait for this \
         cluster have counted it: start that member again as it was, or make a new token for all"
    )]
    WasCounted {
        /// The removed member.
        holder: MemberKey,
    },
    /// Others may have read the member's former name.
    #[error(
        "this member has registered as {name}, and those who wait for this cluster have counted it so: start it with \
         --name {name}, or make a new token for all"
    )]
    CountedAs {
        /// That name.
        name: MemberName,
    },
    /// A newcomer would get a place in a cluster whose members may have bootstrapped without it.
    #[error(
        "as many members as this cluster has places have registered, removed ones included, so that etcds may have \
         bootstrapped with them; if they run, add this member with etcdctl member add, else make a new token"
    )]
    Formed,
    /// The nodes of this cluster check in, and decide nothing by themselves.
    #[error(
        "the nodes of this cluster form it by check-in, and the two can't mix: start this node with the convene client \
         as the others, or make a new token for discovery"
    )]
    FormsByCheckIn,
    /// Those who form this cluster speak the other protocol, and would wait for each other in vain.
    #[error(
        "the nodes of this cluster form it by {0} ({flags}), and the two can't mix, because etcd computes other IDs with \
         each: start this node with {flags} as the others, or make a new token for it",
        flags = flags(*.0)
    )]
    FormsByOther(Discovery),
    /// Its etcd would bootstrap under the ID of a member that the others know, and vote once more on what it has
    /// forgotten.
    #[error(
        "this etcd cluster exists already and has this node as a member: if its etcd runs, leave it as it is; if the node \
         has lost its data, remove it from the cluster and add it again (etcdctl member remove, etcdctl member add), or \
         start it with the convene client, which does that"
    )]
    HasLostItsData,
    /// Discovery has no way to tell one attempt from another.
    #[error(
        "this cluster was reset, and discovery can't tell its attempts to form apart: start this node with the \
         convene client, or make a new token"
    )]
    WasReset,
    /// The record is full.
    #[error("{MAX_MEMBERS} members have registered under this token, more than any cluster has; make a new token")]
    TooManyMembers,
}

/// What etcd is started with for a protocol.
fn flags(discovery: Discovery) -> &'static str {
    match discovery {
        Discovery::V2 => "etcd --discovery",
        Discovery::V3 => "etcd --discovery-endpoints --discovery-token",
    }
}

/// The size can't change any more: members have read it, and would form different clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the size is fixed at {0} since the first member registered; make a new token for another size")]
pub struct SizeIsFixed(pub ClusterSize);

/// Whether etcd keeps a node's creation index over this action (`v2store/store.go:Update`).
fn keeps_creation(action: Action) -> bool {
    matches!(action, Action::Update | Action::CompareAndSwap)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Event, Previous, Revision};

    const NOW: UnixMillis = UnixMillis(1_000);

    fn cluster(size: u32) -> Cluster {
        let token = "6c007a14875d53d9bf0ef5a6fc0257c8".parse().unwrap();
        Cluster::create(token, ClusterSize::new(size).unwrap(), Action::Create, NOW).after.unwrap()
    }

    fn key(n: u32) -> MemberKey {
        n.to_string().parse().unwrap()
    }

    fn registration(n: u32) -> Registration {
        Registration::parse(&format!("infra{n}=http://10.0.0.{n}:2380")).unwrap()
    }

    fn put(cluster: &Cluster, n: u32, action: Action) -> Result<Cluster, RegisterRefusal> {
        cluster
            .register(key(n), registration(n), Discovery::V2, action, NOW)
            .map(|transition| transition.after.unwrap())
    }

    fn with_members(size: u32, members: u32) -> Cluster {
        (1..=members).fold(cluster(size), |cluster, n| put(&cluster, n, Action::Create).unwrap())
    }

    fn order(cluster: &Cluster) -> Vec<&str> {
        cluster.members().map(|member| member.key.as_str()).collect()
    }

    fn without(cluster: &Cluster, n: u32) -> Cluster {
        cluster.remove(&key(n), Discovery::V2, Action::Delete, NOW).unwrap().after.unwrap()
    }

    #[test]
    fn a_cluster_has_formed_when_size_members_have_registered() {
        assert_eq!(with_members(3, 2).formed, None);
        assert_eq!(with_members(3, 3).formed, Some(Revision(4)));
        assert_eq!(with_members(3, 4).formed, Some(Revision(4)));
    }

    #[test]
    fn a_member_that_was_removed_while_forming_still_counts_because_others_may_have_counted_it() {
        let cluster = without(&with_members(3, 2), 1);
        assert_eq!(put(&cluster, 3, Action::Create).unwrap().formed, Some(Revision(5)));
    }

    #[test]
    fn a_member_that_registers_again_counts_once() {
        let cluster = put(&without(&with_members(3, 1), 1), 1, Action::Create).unwrap();
        assert_eq!(put(&cluster, 2, Action::Create).unwrap().formed, None);
    }

    #[test]
    fn members_beyond_the_size_are_kept_behind_the_others() {
        assert_eq!(order(&with_members(1, 3)), ["1", "2", "3"]);
    }

    #[test]
    fn a_set_moves_a_member_to_the_end_of_the_line_only_while_forming() {
        let forming = put(&with_members(3, 2), 1, Action::Set).unwrap();
        assert_eq!(order(&forming), ["2", "1"]);
        let formed = put(&with_members(2, 3), 1, Action::Set).unwrap();
        assert_eq!(order(&formed), ["1", "2", "3"]);
        assert_eq!(formed.member(&key(1)).unwrap().modified, formed.revision);
    }

    #[test]
    fn an_update_keeps_the_place_in_line() {
        for action in [Action::Update, Action::CompareAndSwap] {
            assert_eq!(order(&put(&with_members(3, 2), 1, action).unwrap()), ["1", "2"]);
        }
    }

    #[test]
    fn a_name_or_peer_url_of_another_member_is_refused_and_the_holder_named() {
        let cluster = with_members(3, 1);
        let register = |text: &str| {
            cluster
                .register(key(2), Registration::parse(text).unwrap(), Discovery::V2, Action::Create, NOW)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(register("infra1=http://10.0.0.2:2380"), "name infra1 is already taken by member 1");
        assert_eq!(
            register("infra2=http://10.0.0.2:2380,infra2=http://10.0.0.1:2380"),
            "peer URL http://10.0.0.1:2380 is already taken by member 1"
        );
    }

    #[test]
    fn the_name_of_a_removed_member_is_free() {
        let cluster = without(&with_members(3, 1), 1);
        assert!(cluster.register(key(2), registration(1), Discovery::V2, Action::Create, NOW).is_ok());
    }

    #[test]
    fn nobody_is_created_into_a_free_place_of_a_formed_cluster() {
        let cluster = without(&with_members(3, 3), 2);
        assert_eq!(put(&cluster, 4, Action::Create), Err(RegisterRefusal::Formed));
        assert_eq!(put(&cluster, 2, Action::Create), Err(RegisterRefusal::Formed));
        assert_eq!(order(&put(&cluster, 4, Action::Set).unwrap()), ["1", "3", "4"]);
    }

    #[test]
    fn the_size_is_fixed_once_anyone_has_registered() {
        let size = |n| ClusterSize::new(n).unwrap();
        assert!(cluster(3).set_size(size(5), Action::Set, NOW).is_ok());
        let left = without(&with_members(3, 1), 1);
        assert_eq!(left.set_size(size(5), Action::Set, NOW).unwrap_err(), SizeIsFixed(size(3)));
        assert!(left.set_size(size(3), Action::Set, NOW).is_ok());
    }

    #[test]
    fn every_change_takes_the_next_revision_and_tells_of_it() {
        let cluster = with_members(3, 1);
        let transition = cluster.register(key(1), registration(9), Discovery::V2, Action::Set, NOW).unwrap();
        assert_eq!(transition.after.unwrap().revision, Revision(3));
        assert_eq!(
            transition.events,
            [Event {
                token: cluster.token.clone(),
                revision: Revision(3),
                at: NOW,
                action: Action::Set,
                subject: Subject::Member(key(1)),
                value: Some("infra9=http://10.0.0.9:2380".into()),
                created: Revision(3),
                version: 1,
                previous: Some(Previous {
                    value: Some("infra1=http://10.0.0.1:2380".into()),
                    created: Revision(2),
                    modified: Revision(2),
                    version: 1,
                }),
                also_deleted: Vec::new(),
                while_forming: true,
                kind: EventKind::MemberRegistered,
                message: "registered through v2 discovery".into(),
            }]
        );
    }

    fn put_by(cluster: &Cluster, by: Discovery, n: u32, action: Action) -> Result<Cluster, RegisterRefusal> {
        cluster.register(key(n), registration(n), by, action, NOW).map(|transition| transition.after.unwrap())
    }

    #[test]
    fn who_forms_a_cluster_by_one_kind_of_discovery_is_not_joined_by_the_other() {
        for (first, second, flags) in [
            (Discovery::V2, Discovery::V3, "by v2 discovery (etcd --discovery)"),
            (Discovery::V3, Discovery::V2, "by v3 discovery (etcd --discovery-endpoints --discovery-token)"),
        ] {
            let forming = put_by(&cluster(2), first, 1, Action::Create).unwrap();
            assert_eq!(forming.protocol, Some(Protocol::Discovery(first)));
            for action in [Action::Create, Action::Set] {
                assert_eq!(put_by(&forming, second, 2, action), Err(RegisterRefusal::FormsByOther(first)));
            }
            let said = put_by(&forming, second, 2, Action::Create).unwrap_err().to_string();
            assert!(said.contains(flags) && said.contains("start this node with"), "{said}");

            let formed = put_by(&forming, first, 2, Action::Create).unwrap();
            assert_eq!(put_by(&formed, second, 3, Action::Create), Err(RegisterRefusal::FormsByOther(first)));
            // Those who report what they did to the running cluster may speak either.
            assert_eq!(order(&put_by(&formed, second, 3, Action::Set).unwrap()), ["1", "2", "3"]);
        }
    }

    #[test]
    fn versions_count_what_is_written_to_a_key_since_it_came_to_be() {
        let version = |cluster: &Cluster| {
            let member = cluster.member(&key(1)).unwrap();
            (member.version, member.created, member.registered)
        };
        let once = put(&cluster(3), 1, Action::Create).unwrap();
        assert_eq!(version(&once), (1, Revision(2), Revision(2)));
        let twice = put(&once, 1, Action::Update).unwrap();
        assert_eq!(version(&twice), (2, Revision(2), Revision(3)));
        assert_eq!(
            version(&put(&twice, 1, Action::Set).unwrap()),
            (1, Revision(4), Revision(4)),
            "a new place in line"
        );
        let anew = put(&without(&twice, 1), 1, Action::Create).unwrap();
        assert_eq!(version(&anew), (1, Revision(5), Revision(5)));

        let size = ClusterSize::new(5).unwrap();
        let sized = cluster(3).set_size(size, Action::Update, NOW).unwrap();
        assert_eq!((sized.events[0].version, sized.events[0].previous.as_ref().unwrap().version), (2, 1));
        assert_eq!(sized.after.unwrap().size_version, 2);
    }

    #[test]
    fn what_happens_to_a_member_beside_its_registration_is_nothing_that_stock_etcds_see() {
        let formed = with_members(1, 1);
        let evicted = formed.apply_request(&key(1), crate::MemberRequest::Evict, NOW).unwrap().unwrap().after.unwrap();
        let member = evicted.member(&key(1)).unwrap();
        assert_eq!((member.modified, member.registered, member.version), (evicted.revision, Revision(2), 1));
    }

    #[test]
    fn a_deletion_tells_of_all_that_goes_with_the_cluster() {
        let event = &without(&with_members(3, 2), 1).delete(NOW).events[0];
        let held: Vec<_> =
            event.also_deleted.iter().map(|(subject, previous)| (subject, previous.value.as_deref())).collect();
        let (size, member) = (Subject::Size, Subject::Member(key(2)));
        assert_eq!(held, [(&size, Some("3")), (&member, Some("infra2=http://10.0.0.2:2380"))]);
    }

    #[test]
    fn the_record_of_a_cluster_has_an_end() {
        let mut full = cluster(1);
        full.record = (300..300 + MAX_MEMBERS as u32).map(|n| Arc::new(member(n))).collect();
        assert_eq!(put(&full, 1, Action::Set), Err(RegisterRefusal::TooManyMembers));
        full.record.pop();
        assert!(put(&full, 1, Action::Set).is_ok());
    }

    fn member(n: u32) -> Member {
        let registration = Registration::parse(&format!("m{n}=http://host{n}:2380")).unwrap();
        let created = Revision(u64::from(n) + 2);
        Member::registered(key(n), registration, created)
    }
}
