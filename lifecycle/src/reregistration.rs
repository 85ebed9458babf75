use std::{sync::Arc, time::Duration};

use crate::{
    Cluster, Discovery, Epoch, Member, MemberId, MemberKey, PeerUrl, Protocol, RegisterRefusal, Registration,
    UnixMillis,
};

/// How long after its cluster has formed a v3 client may write its key again. It is several times etcd's longest pause between
/// two attempts (256 s).
const REREGISTRATION_WINDOW: Duration = Duration::from_secs(15 * 60);

/// How long after its cluster has formed an etcd may be late. etcd writes its key as soon as it has read the list.
const LATE_WINDOW: Duration = Duration::from_secs(60);

/// The most etcds that may be late.
const MAX_LATE: usize = 32;

impl Member {
    /// Fails if this member has one of the peer URLs.
    pub(crate) fn check_peer_urls(&self, registration: &Registration) -> Result<(), RegisterRefusal> {
        let taken = |url: &&PeerUrl| self.registration.peer_urls.contains(url);
        let Some(url) = registration.peer_urls.iter().find(taken) else { return Ok(()) };
        let (holder, name) = (self.key.clone(), self.registration.name.clone());
        Err(RegisterRefusal::PeerUrlTaken { url: url.clone(), holder, name })
    }

    /// Fails if a v3 client has this member's key and one of its peer URLs, but another name: it is another node.
    fn check_not_shared(&self, registration: &Registration) -> Result<(), RegisterRefusal> {
        if self.registration.name == registration.name {
            return Ok(());
        }
        self.check_peer_urls(registration).map_err(|refusal| match refusal {
            RegisterRefusal::PeerUrlTaken { url, holder, name } => RegisterRefusal::SharesPeerUrl { url, holder, name },
            other => other,
        })
    }
}

/// Checks of v2 clients that register again. An etcd computes its key from its peer URLs, so the key of another node with
/// the same peer URLs is the same, and a node that comes back without data has its former key.
impl Cluster {
    /// The member, if a v2 client creates it a second time with the same registration while its cluster forms. The others
    /// have counted it once and may go on to wait for the rest. `None` if it is not there, or no longer the same.
    ///
    /// # Errors
    ///
    /// If another node has the member's peer URLs. Its etcd would log "duplicate id" for the key that exists.
    pub fn registers_again(
        &self,
        key: &MemberKey,
        registration: &Registration,
    ) -> Result<Option<&Arc<Member>>, RegisterRefusal> {
        let Some(member) = self.members().find(|member| member.key == *key) else { return Ok(None) };
        if member.registration.name != registration.name {
            member.check_peer_urls(registration)?;
        }
        let forms =
            self.formed.is_none() && self.held.is_none() && self.protocol == Some(Protocol::Discovery(Discovery::V2));
        Ok(Some(member).filter(|member| forms && member.registration == *registration && self.epoch == Epoch::FIRST))
    }
}

/// Checks of v3 clients that register again. A v3 client writes its key whenever it is in doubt, so the write does not
/// show whether it registered before (`server/etcdserver/api/v3discovery/discovery.go:registerSelf`).
impl Cluster {
    /// Fails if a v3 client may not register its member again.
    ///
    /// A client with data does not register. A client without data may have missed the answer to its registration. But
    /// once the others have had time to bootstrap, its etcd would vote again on entries that it has forgotten. A client
    /// that registered after the last place was taken has no place, even if one became free since.
    pub(crate) fn check_reregistration(
        &self,
        member: &Member,
        registration: &Registration,
        at: UnixMillis,
    ) -> Result<(), RegisterRefusal> {
        if self.bootstrapped.is_some() {
            return Err(RegisterRefusal::HasLostItsData);
        }
        if self.formed.is_none() {
            member.check_not_shared(registration)?;
            // A client that has read a key ignores later writes to it, and treats its first name as taken.
            let is_alone = self.record.len() == 1;
            let former = &member.registration.name;
            return if is_alone || *former == registration.name {
                Ok(())
            } else {
                Err(RegisterRefusal::CountedAs { name: former.clone() })
            };
        }
        let place = self.record.iter().position(|other| other.key == member.key);
        if place.is_none_or(|place| place >= self.size.get() as usize) {
            return Err(RegisterRefusal::Formed);
        }
        member.check_not_shared(registration)?;
        if self.has_formed_within(REREGISTRATION_WINDOW, at) { Ok(()) } else { Err(RegisterRefusal::HasLostItsData) }
    }

    /// Whether an etcd may still create its member, although others have taken the last place since it read the list. It reads the
    /// list again then, sees that it has no place, and logs that the cluster is full (`v2discovery/discovery.go:joinCluster`,
    /// `v3discovery/discovery.go:joinCluster`). After an error a v3 etcd would try again for ever.
    ///
    /// Only etcd chooses the key that it computes from its peer URLs. The member is the last in line, so no etcd that waits counts it.
    pub(crate) fn may_be_late(
        &self,
        key: &MemberKey,
        registration: &Registration,
        by: Discovery,
        at: UnixMillis,
    ) -> bool {
        let is_of_etcd = match by {
            Discovery::V2 => self.discovery_url.as_ref().is_some_and(|url| url.was_given(key, registration)),
            Discovery::V3 => {
                MemberId::of_founder(&registration.peer_urls, self.token.as_str()).to_string() == key.as_str()
            }
        };
        let most = self.size.get() as usize + MAX_LATE;
        is_of_etcd && self.bootstrapped.is_none() && self.has_formed_within(LATE_WINDOW, at) && self.record.len() < most
    }

    fn has_formed_within(&self, window: Duration, at: UnixMillis) -> bool {
        // A time in the future is of a clock that was set back since.
        self.formed_at.is_some_and(|formed| formed <= at && formed.age(at) <= window)
    }

    /// Fails if waiting v3 clients have counted the name or a peer URL for a member that was removed since. They count
    /// each member that they read and never forget one (`discovery.go:waitPeers`), so they would count it twice.
    pub(crate) fn check_not_counted(
        &self,
        key: &MemberKey,
        registration: &Registration,
    ) -> Result<(), RegisterRefusal> {
        let clashes = |member: &&Arc<Member>| {
            let counted = &member.registration;
            let is_same = |url: &PeerUrl| counted.peer_urls.contains(url);
            counted.name == registration.name || registration.peer_urls.iter().any(is_same)
        };
        let mut removed = self.record.iter().filter(|member| member.removed.is_some() && member.key != *key);
        match removed.find(clashes) {
            Some(counted) => Err(RegisterRefusal::WasCounted { holder: counted.key.clone() }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, ClusterSize, Discovery, StockWrites};

    const NOW: UnixMillis = UnixMillis(1_000);

    fn cluster(size: u32) -> Cluster {
        let created = Cluster::create("one".parse().unwrap(), ClusterSize::new(size).unwrap(), Action::Set, NOW);
        let mut cluster = created.after.unwrap();
        cluster.policy.stock_writes = StockWrites::Allow;
        cluster
    }

    fn key(n: u32) -> MemberKey {
        n.to_string().parse().unwrap()
    }

    fn put_at(cluster: &Cluster, n: u32, at: UnixMillis) -> Result<Cluster, RegisterRefusal> {
        let registration = Registration::parse(&format!("infra{n}=http://10.0.0.{n}:2380")).unwrap();
        let action = if cluster.member(&key(n)).is_some() { Action::Update } else { Action::Create };
        let registered = cluster.register(key(n), registration, Discovery::V3, action, at);
        registered.map(|transition| transition.after.unwrap())
    }

    fn put(cluster: &Cluster, n: u32) -> Result<Cluster, RegisterRefusal> {
        put_at(cluster, n, NOW)
    }

    fn delete(cluster: &Cluster, n: u32) -> Cluster {
        cluster.remove(&key(n), Discovery::V3, Action::Delete, NOW).unwrap().after.unwrap()
    }

    fn order(cluster: &Cluster) -> Vec<&str> {
        cluster.members().map(|member| member.key.as_str()).collect()
    }

    fn create_v2(cluster: &Cluster, n: u32) -> Cluster {
        let registration = Registration::parse(&format!("infra{n}=http://10.0.0.{n}:2380")).unwrap();
        let registered = cluster.register(key(n), registration, Discovery::V2, Action::Create, NOW);
        registered.unwrap().after.unwrap()
    }

    #[test]
    fn a_v2_node_may_register_again_with_the_same_value_until_its_cluster_has_formed() {
        let again = |cluster: &Cluster, text: &str| {
            let registration = Registration::parse(text).unwrap();
            cluster.registers_again(&key(1), &registration).map(|member| member.is_some())
        };
        let same = "infra1=http://10.0.0.1:2380";
        let forming = create_v2(&cluster(2), 1);
        assert_eq!(again(&forming, same), Ok(true));
        assert_eq!(again(&forming, "infra1=http://10.0.0.1:7001"), Ok(false));
        assert_eq!(again(&cluster(2), same), Ok(false));
        assert_eq!(again(&create_v2(&forming, 2), same), Ok(false), "the others may have bootstrapped");
        assert_eq!(again(&put(&cluster(2), 1).unwrap(), same), Ok(false), "the cluster forms by v3");
        let refused = again(&forming, "infra7=http://10.0.0.1:2380").unwrap_err().to_string();
        assert_eq!(refused, "peer URL http://10.0.0.1:2380 is already taken by member 1 (infra1)");
    }

    #[test]
    fn a_cluster_that_formed_while_the_clock_was_ahead_takes_no_second_registration() {
        let formed = put_at(&cluster(1), 1, UnixMillis(NOW.0 + 3_600_000)).unwrap();
        assert!(formed.formed_at.is_some());
        assert_eq!(put(&formed, 1), Err(RegisterRefusal::HasLostItsData));
    }

    #[test]
    fn a_v3_node_keeps_its_name_once_others_may_have_read_it() {
        // Other clients than etcd choose their keys, so the same key may come with other peer URLs.
        let renamed = |cluster: &Cluster| {
            let registration = Registration::parse("other=http://10.0.0.9:2380").unwrap();
            cluster.register(key(1), registration, Discovery::V3, Action::Update, NOW).map(|_| ())
        };
        let alone = put(&cluster(3), 1).unwrap();
        assert_eq!(renamed(&alone), Ok(()));
        let name = "infra1".parse().unwrap();
        assert_eq!(renamed(&put(&alone, 2).unwrap()), Err(RegisterRefusal::CountedAs { name }));
    }

    #[test]
    fn v3_nodes_that_share_a_peer_url_are_refused_with_the_name_of_the_first() {
        let other = |cluster: &Cluster| {
            let registration = Registration::parse("other=http://10.0.0.1:2380").unwrap();
            cluster.register(key(1), registration, Discovery::V3, Action::Update, NOW).map(|_| ())
        };
        let (alone, formed) = (put(&cluster(3), 1).unwrap(), put(&cluster(1), 1).unwrap());
        for cluster in [&alone, &put(&alone, 2).unwrap(), &formed] {
            let refused = other(cluster).unwrap_err().to_string();
            assert!(
                refused.starts_with("peer URL http://10.0.0.1:2380 is already taken by member 1 (infra1)"),
                "{refused}"
            );
            assert!(refused.ends_with("start it with --name infra1"), "{refused}");
            assert!(put(cluster, 1).is_ok(), "a node that comes back writes the same");
        }
        // With the key gone, it is free for another name.
        assert_eq!(other(&delete(&alone, 1)), Ok(()));
    }

    #[test]
    fn a_v3_node_may_register_again_until_its_cluster_exists_or_may_exist() {
        let forming = put(&cluster(2), 1).unwrap();
        let later = |minutes: u64| NOW.after(Duration::from_secs(60 * minutes));
        assert!(put_at(&forming, 1, later(10_000)).is_ok(), "the others are not there yet");

        let formed = put(&forming, 2).unwrap();
        assert_eq!(order(&put_at(&formed, 1, later(15)).unwrap()), ["1", "2"]);
        assert_eq!(put_at(&formed, 1, later(16)), Err(RegisterRefusal::HasLostItsData));
        let exists = Cluster { bootstrapped: Some(formed.revision), ..formed.clone() };
        assert_eq!(put(&exists, 1), Err(RegisterRefusal::HasLostItsData));
        let of_old = Cluster { formed_at: None, ..formed };
        assert_eq!(put(&of_old, 1), Err(RegisterRefusal::HasLostItsData));
    }

    #[test]
    fn a_v3_node_that_found_a_full_cluster_gets_no_place_that_becomes_free() {
        let surplus = put(&put(&cluster(1), 1).unwrap(), 2).unwrap();
        assert_eq!(put(&surplus, 2), Err(RegisterRefusal::Formed));
        assert_eq!(put(&delete(&surplus, 1), 2), Err(RegisterRefusal::Formed));
        assert!(put(&surplus, 1).is_ok());
    }

    #[test]
    fn a_name_or_url_that_v3_clients_have_counted_is_refused_under_another_key() {
        let without = delete(&put(&put(&cluster(3), 1).unwrap(), 2).unwrap(), 1);
        for text in ["infra1=http://10.0.0.9:2380", "infra9=http://10.0.0.1:2380"] {
            let registration = Registration::parse(text).unwrap();
            let refused = without.register(key(9), registration, Discovery::V3, Action::Create, NOW).unwrap_err();
            assert_eq!(refused, RegisterRefusal::WasCounted { holder: key(1) });
        }
        assert_eq!(order(&put(&without, 1).unwrap()), ["2", "1"]);
    }
}
