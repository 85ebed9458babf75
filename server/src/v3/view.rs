//! The keys of a cluster, and the watch events of a change.

use std::{collections::BTreeMap, sync::Arc};

use convene_etcd::wire::{self, KeyValue, event::EventType};
use convene_lifecycle::{Cluster, Event, Previous, Revision, Subject, Token};

use super::{headers::signed, key::Node};

/// Everything that there is of a cluster, in the order of the keys.
pub fn key_values(cluster: &Cluster) -> Vec<KeyValue> {
    let mut all = Vec::with_capacity(cluster.record.len() + 1);
    all.push(KeyValue {
        key: Node::Size.key(&cluster.token),
        create_revision: signed(cluster.size_created),
        mod_revision: signed(cluster.size_modified),
        version: cluster.size_version as i64,
        value: cluster.size.to_string().into_bytes(),
        lease: 0,
    });
    all.extend(cluster.members().map(|member| KeyValue {
        key: Node::Member(member.key.clone()).key(&cluster.token),
        create_revision: signed(member.created),
        mod_revision: signed(member.registered),
        version: member.version as i64,
        value: member.registration.to_string().into_bytes(),
        lease: 0,
    }));
    all.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    all
}

/// Everything that there was of a cluster before these events, which lead up to what there is of it now.
pub fn key_values_before(cluster: &Cluster, events: &[Arc<Event>]) -> Vec<KeyValue> {
    let present = key_values(cluster).into_iter().map(|key_value| (key_value.key.clone(), key_value));
    let mut all: BTreeMap<Vec<u8>, KeyValue> = present.collect();
    for event in events.iter().rev() {
        let Some(node) = Node::of(&event.subject) else { continue };
        let key = node.key(&cluster.token);
        match &event.previous {
            Some(previous) => all.insert(key.clone(), before(key, previous)),
            None => all.remove(&key),
        };
    }
    all.into_values().collect()
}

/// The watch events of a change: none, one, or as many as the cluster had keys.
pub fn watch_events(event: &Event) -> Vec<wire::Event> {
    if event.subject == Subject::Cluster {
        let mut gone: Vec<wire::Event> = event
            .also_deleted
            .iter()
            .filter_map(|(subject, previous)| {
                Some(deleted(&event.token, event.revision, &Node::of(subject)?, previous))
            })
            .collect();
        gone.sort_unstable_by(|one, other| key(one).cmp(key(other)));
        return gone;
    }
    let Some(node) = Node::of(&event.subject) else { return Vec::new() };
    let Some(value) = &event.value else {
        return event.previous.iter().map(|previous| deleted(&event.token, event.revision, &node, previous)).collect();
    };
    let key = node.key(&event.token);
    let prev_kv = event.previous.as_ref().map(|previous| before(key.clone(), previous));
    let kv = KeyValue {
        key,
        create_revision: signed(event.created),
        mod_revision: signed(event.revision),
        version: event.version as i64,
        value: value.clone().into_bytes(),
        lease: 0,
    };
    vec![wire::Event { r#type: EventType::Put.into(), kv: Some(kv), prev_kv }]
}

/// The key that an event is about.
pub fn key(event: &wire::Event) -> &[u8] {
    event.kv.as_ref().map_or(&[], |key_value| &key_value.key)
}

fn deleted(token: &Token, revision: Revision, node: &Node, previous: &Previous) -> wire::Event {
    let key = node.key(token);
    let prev_kv = Some(before(key.clone(), previous));
    let kv = Some(KeyValue { key, mod_revision: signed(revision), ..KeyValue::default() });
    wire::Event { r#type: EventType::Delete.into(), kv, prev_kv }
}

fn before(key: Vec<u8>, previous: &Previous) -> KeyValue {
    KeyValue {
        key,
        create_revision: signed(previous.created),
        mod_revision: signed(previous.modified),
        version: previous.version as i64,
        value: previous.value.clone().unwrap_or_default().into_bytes(),
        lease: 0,
    }
}

#[cfg(test)]
mod tests {
    use convene_lifecycle::{Action, ClusterSize, Discovery, Registration, Transition, UnixMillis};

    use super::*;

    const NOW: UnixMillis = UnixMillis(0);

    fn register(cluster: &Cluster, key: &str, url: &str, action: Action) -> Transition {
        let registration = Registration::parse(&format!("{key}={url}")).unwrap();
        cluster.register(key.parse().unwrap(), registration, Discovery::V3, action, NOW).unwrap()
    }

    /// A cluster to which something has happened, with what its keys held at each revision and the events between.
    fn history() -> Vec<(Arc<Event>, Cluster)> {
        let created = Cluster::create("one".parse().unwrap(), ClusterSize::DEFAULT, Action::Set, NOW);
        let mut history = vec![(Arc::new(created.events[0].clone()), created.after.unwrap())];
        let changes: [&dyn Fn(&Cluster) -> Transition; 6] = [
            &|cluster| register(cluster, "b", "http://10.0.0.2:1", Action::Create),
            &|cluster| cluster.set_size(ClusterSize::DEFAULT, Action::Update, NOW).unwrap(),
            &|cluster| register(cluster, "a", "http://10.0.0.1:1", Action::Create),
            &|cluster| register(cluster, "b", "http://10.0.0.2:2", Action::Update),
            &|cluster| cluster.remove(&"b".parse().unwrap(), Discovery::V3, Action::Delete, NOW).unwrap(),
            &|cluster| register(cluster, "b", "http://10.0.0.2:3", Action::Create),
        ];
        for change in changes {
            let transition = change(&history.last().unwrap().1);
            history.push((Arc::new(transition.events[0].clone()), transition.after.unwrap()));
        }
        history
    }

    #[test]
    fn keys_are_in_order_and_count_their_own_changes() {
        let (_, cluster) = history().pop().unwrap();
        let shown: Vec<_> = key_values(&cluster)
            .into_iter()
            .map(|one| {
                let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
                (text(one.key), text(one.value), one.create_revision, one.mod_revision, one.version)
            })
            .collect();
        let expected = [
            ("_config/size", "3", 1, 3, 2),
            ("members/a", "a=http://10.0.0.1:1", 4, 4, 1),
            ("members/b", "b=http://10.0.0.2:3", 7, 7, 1),
        ];
        let expected = expected.map(|(key, value, created, modified, version)| {
            (format!("/_etcd/registry/one/{key}"), value.to_owned(), created, modified, version)
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_keys_held_at_each_revision_is_found_again() {
        let history = history();
        let (_, present) = history.last().unwrap();
        for (at, (_, then)) in history.iter().enumerate() {
            let later: Vec<_> = history[at + 1..].iter().map(|(event, _)| event.clone()).collect();
            assert_eq!(key_values_before(present, &later), key_values(then), "at revision {}", at + 1);
        }
    }

    #[test]
    fn watch_events_agree_with_the_keys() {
        for (before, (event, after)) in history().windows(2).map(|pair| (key_values(&pair[0].1), pair[1].clone())) {
            let [watched] = &watch_events(&event)[..] else { panic!("each of these is one change") };
            let at = |all: &[KeyValue]| all.iter().find(|one| one.key == key(watched)).cloned();
            assert_eq!(watched.prev_kv, at(&before));
            match at(&key_values(&after)) {
                Some(now) => assert_eq!((watched.r#type(), watched.kv.as_ref()), (EventType::Put, Some(&now))),
                None => assert_eq!(watched.r#type(), EventType::Delete),
            }
        }
    }

    #[test]
    fn the_deletion_of_a_cluster_is_that_of_all_its_keys() {
        let (_, cluster) = history().pop().unwrap();
        let watched = watch_events(&cluster.delete(NOW).events[0]);
        let before: Vec<_> = watched.iter().map(|event| event.prev_kv.clone().unwrap()).collect();
        assert_eq!(before, key_values(&cluster));
        assert!(watched.iter().all(|event| event.r#type() == EventType::Delete));
        assert!(watched.iter().all(|event| event.kv.as_ref().unwrap().mod_revision == signed(cluster.revision.next())));
    }
}
