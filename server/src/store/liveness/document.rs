use std::{collections::BTreeMap, sync::Arc};

use convene_lifecycle::{
    ClusterId, DiskId, Dissent, Identity, LastCheckIn, ListDigest, Liveness, MemberId, MemberKey, MemberLiveness,
    MemberName, NodeStatus, PeerUrl, ReceivedBytes, ReportedState, RunId, Starts, UnixMillis,
};
use serde::{Deserialize, Serialize};

use super::LivenessRecord;

/// The JSON in the column `liveness.document`. Times are milliseconds since 1970.
///
/// Databases keep what earlier versions have written: new fields need a default, and a renamed field keeps its alias.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LivenessDocument {
    /// Silence before this time means nothing. Null: only the times of the members are known.
    since: Option<UnixMillis>,
    /// The last check-in of each node.
    nodes: BTreeMap<MemberName, NodeDocument>,
    /// What is known of each present member.
    members: BTreeMap<MemberKey, MemberDocument>,
    /// When each removed member was last seen.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    removed: BTreeMap<MemberKey, UnixMillis>,
}

#[derive(Debug, Serialize, Deserialize)]
struct NodeDocument {
    at: UnixMillis,
    /// The client's run, and the number of the check-in in it.
    run: RunId,
    sequence: u64,
    peer_urls: Vec<PeerUrl>,
    #[serde(alias = "had")]
    state: StateDocument,
    /// Whether the data has never had a leader.
    #[serde(default, skip_serializing_if = "is_false")]
    never_led: bool,
    /// Whether the data has no entries.
    #[serde(default, skip_serializing_if = "is_false")]
    without_entries: bool,
    /// Whether there is a database without a WAL.
    #[serde(default, skip_serializing_if = "is_false")]
    leftover: bool,
    /// The disk that the node reported. Missing: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disk: Option<DiskId>,
    /// The member of which the node had data last, and the disk that the data was on. Missing: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data_disk: Option<(MemberId, DiskId)>,
    /// Whether the run was instructed to start etcd.
    #[serde(default, skip_serializing_if = "is_false")]
    starts: bool,
    /// Whether its last instruction was to start etcd, or to take over the address first.
    #[serde(default, skip_serializing_if = "is_false")]
    may_start: bool,
    /// Since when each check-in was without data. Missing: the last one was with data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    empty_since: Option<UnixMillis>,
    /// When the check-in before it was. Missing: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<UnixMillis>,
    /// The list that the node saw last, if it is not the record's. Missing: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dissent: Option<DissentDocument>,
    /// What the node reported for people. Missing: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<NodeStatus>,
}

#[derive(Debug, Serialize, Deserialize)]
struct DissentDocument {
    /// The digest of the list.
    list: u64,
    at: UnixMillis,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StateDocument {
    /// No data.
    Nothing,
    /// Data that can't be read.
    Unreadable,
    /// Data of a member whose etcd does not run.
    Data(IdentityDocument),
    /// An etcd that loads its data.
    Loading(IdentityDocument),
    /// A running etcd.
    Etcd(IdentityDocument),
}

#[derive(Debug, Serialize, Deserialize)]
struct IdentityDocument {
    cluster: ClusterId,
    member: MemberId,
}

#[derive(Debug, Serialize, Deserialize)]
struct MemberDocument {
    /// Null: the member's node has never checked in.
    checked_in: Option<UnixMillis>,
    /// Null: the member's etcd has never answered a probe.
    answered: Option<UnixMillis>,
    /// The first and the last of the failed probes since the last answer. Null: there is none.
    failing: Option<(UnixMillis, UnixMillis)>,
    /// The highest index that the member's etcd has applied. Null: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    applied: Option<u64>,
    /// The highest index that the node of one other voter alone has shown, and that voter. Missing: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shown_applied: Option<(MemberId, u64)>,
    /// How often its etcd was started in vain.
    #[serde(default, skip_serializing_if = "is_zero")]
    failed_starts: u32,
    /// Missing: its etcd has stayed up since its last start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    starts: Option<StartsDocument>,
    /// Missing: the voters' side has never shown that the member is alive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    heard: Option<UnixMillis>,
    /// Missing: the leader's counter was never read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    received: Option<ReceivedBytesDocument>,
    /// The first and the last of the failed probes by running voters. Missing: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unreached_by_voters: Option<(UnixMillis, UnixMillis)>,
}

/// The starts of a member's etcd since it last stayed up.
#[derive(Debug, Serialize, Deserialize)]
struct StartsDocument {
    first: UnixMillis,
    last: UnixMillis,
    /// How many did not last.
    short: u32,
}

/// The leader's counter of the bytes that it has received from a member.
#[derive(Debug, Serialize, Deserialize)]
struct ReceivedBytesDocument {
    leader: MemberId,
    /// Null: the term is not known.
    term: Option<u64>,
    bytes: u64,
    /// The first and the last reading with this number.
    since: UnixMillis,
    last: UnixMillis,
    heard: bool,
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

impl LivenessDocument {
    pub fn of_last_seen(last_seen: &BTreeMap<MemberKey, UnixMillis>) -> Self {
        let member = |at: &UnixMillis| {
            MemberDocument::from(&MemberLiveness { checked_in: Some(*at), ..MemberLiveness::default() })
        };
        Self {
            since: None,
            nodes: BTreeMap::new(),
            members: last_seen.iter().map(|(key, at)| (key.clone(), member(at))).collect(),
            removed: BTreeMap::new(),
        }
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("all keys are texts")
    }

    pub fn into_record(self, now: UnixMillis) -> LivenessRecord {
        let detector = Liveness {
            since: self.since.unwrap_or(now),
            nodes: self.nodes.into_iter().map(|(name, node)| (name, node.into())).collect(),
            members: self.members.into_iter().map(|(key, member)| (key, member.into())).collect(),
        };
        LivenessRecord { detector, removed: self.removed }
    }
}

impl From<&LivenessRecord> for LivenessDocument {
    fn from(record: &LivenessRecord) -> Self {
        let LivenessRecord { detector: Liveness { since, nodes, members }, removed } = record;
        Self {
            since: Some(*since),
            nodes: nodes.iter().map(|(name, node)| (name.clone(), node.into())).collect(),
            members: members.iter().map(|(key, member)| (key.clone(), member.into())).collect(),
            removed: removed.clone(),
        }
    }
}

impl From<&LastCheckIn> for NodeDocument {
    fn from(check_in: &LastCheckIn) -> Self {
        let LastCheckIn {
            at,
            run,
            sequence,
            peer_urls,
            state,
            never_led,
            without_entries,
            leftover,
            disk,
            data_disk,
            starts,
            may_start,
            empty_since,
            before,
            dissent,
            status,
        } = check_in;
        let state = match state {
            ReportedState::Nothing => StateDocument::Nothing,
            ReportedState::Unreadable => StateDocument::Unreadable,
            ReportedState::Data(identity) => StateDocument::Data(identity.into()),
            ReportedState::Loading(identity) => StateDocument::Loading(identity.into()),
            ReportedState::Etcd(identity) => StateDocument::Etcd(identity.into()),
        };
        Self {
            at: *at,
            run: run.clone(),
            sequence: *sequence,
            peer_urls: peer_urls.clone(),
            state,
            never_led: *never_led,
            without_entries: *without_entries,
            leftover: *leftover,
            disk: disk.clone(),
            data_disk: data_disk.clone(),
            starts: *starts,
            may_start: *may_start,
            empty_since: *empty_since,
            before: *before,
            dissent: dissent.map(|Dissent { list, at }| DissentDocument { list: list.number(), at }),
            status: status.as_deref().cloned(),
        }
    }
}

impl From<NodeDocument> for LastCheckIn {
    fn from(node: NodeDocument) -> Self {
        let NodeDocument {
            at,
            run,
            sequence,
            peer_urls,
            state,
            never_led,
            without_entries,
            leftover,
            disk,
            data_disk,
            starts,
            may_start,
            empty_since,
            before,
            dissent,
            status,
        } = node;
        let state = match state {
            StateDocument::Nothing => ReportedState::Nothing,
            StateDocument::Unreadable => ReportedState::Unreadable,
            StateDocument::Data(identity) => ReportedState::Data(identity.into()),
            StateDocument::Loading(identity) => ReportedState::Loading(identity.into()),
            StateDocument::Etcd(identity) => ReportedState::Etcd(identity.into()),
        };
        Self {
            at,
            run,
            sequence,
            peer_urls,
            state,
            never_led,
            without_entries,
            leftover,
            disk,
            data_disk,
            starts,
            may_start,
            empty_since,
            before,
            dissent: dissent.map(|DissentDocument { list, at }| Dissent { list: ListDigest::of_number(list), at }),
            status: status.map(Arc::new),
        }
    }
}

impl From<&Identity> for IdentityDocument {
    fn from(identity: &Identity) -> Self {
        Self { cluster: identity.cluster, member: identity.member }
    }
}

impl From<IdentityDocument> for Identity {
    fn from(identity: IdentityDocument) -> Self {
        Self { cluster: identity.cluster, member: identity.member }
    }
}

impl From<&MemberLiveness> for MemberDocument {
    fn from(member: &MemberLiveness) -> Self {
        let MemberLiveness {
            checked_in,
            answered,
            failing,
            applied,
            shown_applied,
            failed_starts,
            starts,
            heard,
            received,
            unreached_by_voters,
        } = *member;
        Self {
            checked_in,
            answered,
            failing,
            applied,
            shown_applied,
            failed_starts,
            starts: starts.map(Into::into),
            heard,
            received: received.map(Into::into),
            unreached_by_voters,
        }
    }
}

impl From<MemberDocument> for MemberLiveness {
    fn from(member: MemberDocument) -> Self {
        let MemberDocument {
            checked_in,
            answered,
            failing,
            applied,
            shown_applied,
            failed_starts,
            starts,
            heard,
            received,
            unreached_by_voters,
        } = member;
        Self {
            checked_in,
            answered,
            failing,
            applied,
            shown_applied,
            failed_starts,
            starts: starts.map(Into::into),
            heard,
            received: received.map(Into::into),
            unreached_by_voters,
        }
    }
}

impl From<Starts> for StartsDocument {
    fn from(Starts { first, last, short }: Starts) -> Self {
        Self { first, last, short }
    }
}

impl From<StartsDocument> for Starts {
    fn from(StartsDocument { first, last, short }: StartsDocument) -> Self {
        Self { first, last, short }
    }
}

impl From<ReceivedBytes> for ReceivedBytesDocument {
    fn from(received: ReceivedBytes) -> Self {
        let ReceivedBytes { leader, term, bytes, since, last, heard } = received;
        Self { leader, term, bytes, since, last, heard }
    }
}

impl From<ReceivedBytesDocument> for ReceivedBytes {
    fn from(document: ReceivedBytesDocument) -> Self {
        let ReceivedBytesDocument { leader, term, bytes, since, last, heard } = document;
        Self { leader, term, bytes, since, last, heard }
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Databases hold documents like this one, so it must not change.
    const DOCUMENT: &str = concat!(
        r#"{"since":1,"nodes":{"#,
        r#""infra0":{"at":2,"run":"run-1","sequence":3,"peer_urls":["http://10.0.0.1:2380"],"#,
        r#""state":{"etcd":{"cluster":"cdf818194e3a8c32","member":"8e9e05c52164694d"}}},"#,
        r#""infra1":{"at":4,"run":"run-2","sequence":5,"peer_urls":[],"state":"nothing","leftover":true,"disk":"d1","data_disk":["1f","d2"],"empty_since":3,"before":2,"#,
        r#""status":{"etcd":{"version":"3.6.5","leader":"1f","raft_applied_index":7,"database_bytes":3,"database_bytes_in_use":2,"#,
        r#""quota_bytes":4,"errors":["NOSPACE"],"restarts":1,"state":null,"reason":"r"},"#,
        r#""reachability":[{"member":"1f","peer":true,"client":null}]}},"#,
        r#""infra2":{"at":4,"run":"run-3","sequence":5,"peer_urls":[],"#,
        r#""state":{"data":{"cluster":"cdf818194e3a8c32","member":"1f"}},"never_led":true,"without_entries":true,"may_start":true}},"#,
        r#""members":{"8e9e05c52164694d":{"checked_in":6,"answered":null,"failing":[7,8],"applied":10,"failed_starts":3,"#,
        r#""starts":{"first":1,"last":2,"short":3},"heard":6,"#,
        r#""received":{"leader":"b1","term":3,"bytes":4,"since":5,"last":6,"heard":true},"#,
        r#""unreached_by_voters":[7,8]},"b1":{"checked_in":null,"answered":null,"failing":null}},"#,
        r#""removed":{"b":9}}"#
    );

    #[test]
    fn a_document_is_read_and_written_without_a_change() {
        let document: LivenessDocument = serde_json::from_str(DOCUMENT).unwrap();
        let record = document.into_record(UnixMillis(99));
        assert_eq!(record.detector.nodes.len(), 3);
        assert_eq!(record.last_seen().into_values().map(|at| at.0).collect::<Vec<_>>(), [6, 9]);
        assert_eq!(LivenessDocument::from(&record).to_json(), DOCUMENT);
    }

    #[test]
    fn a_document_of_the_version_before_is_read() {
        let old = DOCUMENT.replace(r#""state":"#, r#""had":"#).replace(r#","removed":{"b":9}"#, "");
        let read = |text: &str| serde_json::from_str::<LivenessDocument>(text).unwrap().into_record(UnixMillis(99));
        let (heard, end) = (DOCUMENT.find(r#","starts":"#).unwrap(), DOCUMENT.find(r#"},"b1""#).unwrap());
        let old = old.replace(&DOCUMENT[heard..end], "");
        let mut expected = read(DOCUMENT).detector;
        for member in expected.members.values_mut() {
            (member.starts, member.heard, member.received, member.unreached_by_voters) = (None, None, None, None);
        }
        assert_eq!(read(&old).detector, expected);
    }
}
