//! What the keys of a cluster hold, and what an event says of them.

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

/// What a change looks like to those who watch the keys: nothing, one event, or as many as the cluster had keys.
pub fn watch_events(event: &Event) -> Vec<wire::Event> {
    if event.subject == Subject::Cluster {
        let mut gone: Vec<wire::Event> = event
            .held
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
