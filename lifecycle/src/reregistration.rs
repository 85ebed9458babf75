use std::{sync::Arc, time::Duration};

use crate::{Cluster, Member, MemberKey, MemberName, PeerUrl, RegisterRefusal, Registration, UnixMillis};

/// What is refused to v3 clients, which write their key anew whenever they are in doubt, and so don't tell whether
/// they were ever there (`server/etcdserver/api/v3discovery/discovery.go:registerSelf`).
impl Cluster {
    /// A client with data does not register. One without may have missed the answer to its registration; but once
    /// the others have had time to bootstrap, its etcd would vote anew on what it has forgotten. And whoever came
    /// when all places were taken has none, even if places have become free since.
    pub(crate) fn check_return(
        &self,
        member: &Member,
        name: &MemberName,
        at: UnixMillis,
    ) -> Result<(), RegisterRefusal> {
        if self.bootstrapped.is_some() {
            return Err(RegisterRefusal::HasLostItsData);
        }
        if self.formed.is_none() {
            // Those who have seen a key pass over what is written to it later, and go on to hold its name for taken.
            let is_alone = self.record.len() == 1;
            let former = &member.registration.name;
            let keeps_name = is_alone || former == name;
            return if keeps_name { Ok(()) } else { Err(RegisterRefusal::CountedAs { name: former.clone() }) };
        }
        let place = self.record.iter().position(|other| other.key == member.key);
        if place.is_none_or(|place| place >= self.size.get() as usize) {
            return Err(RegisterRefusal::Formed);
        }
        match self.formed_at.is_some_and(|formed| formed.age(at) <= MAY_RETURN_FOR) {
            true => Ok(()),
            false => Err(RegisterRefusal::HasLostItsData),
        }
    }

    /// Those who wait count each member that they see, and do not forget one that is removed
    /// (`discovery.go:waitPeers`). With its name or URLs under another key they would count it twice.
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

/// For how long after its cluster has formed a v3 client may write its key again: as long as etcd's longest pause between
/// two tries takes (256 s), several times over.
const MAY_RETURN_FOR: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, ClusterSize, Discovery};

    const NOW: UnixMillis = UnixMillis(1_000);

    fn cluster(size: u32) -> Cluster {
        let created = Cluster::create("one".parse().unwrap(), ClusterSize::new(size).unwrap(), Action::Set, NOW);
        created.after.unwrap()
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

    #[test]
    fn a_v3_node_keeps_its_name_once_others_may_have_read_it() {
        let renamed = |cluster: &Cluster| {
            let registration = Registration::parse("other=http://10.0.0.1:2380").unwrap();
            cluster.register(key(1), registration, Discovery::V3, Action::Update, NOW).map(|_| ())
        };
        let alone = put(&cluster(3), 1).unwrap();
        assert_eq!(renamed(&alone), Ok(()));
        let name = "infra1".parse().unwrap();
        assert_eq!(renamed(&put(&alone, 2).unwrap()), Err(RegisterRefusal::CountedAs { name }));
    }

    #[test]
    fn a_v3_node_may_register_again_until_its_cluster_exists_or_has_had_the_time_to() {
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
    fn whoever_came_to_a_full_v3_cluster_has_no_place_even_if_one_becomes_free() {
        let surplus = put(&put(&cluster(1), 1).unwrap(), 2).unwrap();
        assert_eq!(put(&surplus, 2), Err(RegisterRefusal::Formed));
        assert_eq!(put(&delete(&surplus, 1), 2), Err(RegisterRefusal::Formed));
        assert!(put(&surplus, 1).is_ok());
    }

    #[test]
    fn what_v3_clients_have_counted_does_not_come_back_under_another_key() {
        let without = delete(&put(&put(&cluster(3), 1).unwrap(), 2).unwrap(), 1);
        for text in ["infra1=http://10.0.0.9:2380", "infra9=http://10.0.0.1:2380"] {
            let registration = Registration::parse(text).unwrap();
            let refused = without.register(key(9), registration, Discovery::V3, Action::Create, NOW).unwrap_err();
            assert_eq!(refused, RegisterRefusal::WasCounted { holder: key(1) });
        }
        assert_eq!(order(&put(&without, 1).unwrap()), ["2", "1"]);
    }
}
