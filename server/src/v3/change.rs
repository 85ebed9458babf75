use convene_etcd::wire::{DeleteRangeRequest, DeleteRangeResponse, KeyValue, PutRequest, PutResponse, ResponseHeader};
use convene_lifecycle::{
    Action, Cluster, ClusterSize, Discovery, MemberKey, RegisterRefusal, Registration, ReservedToken, Transition,
    UnixMillis,
};

use super::{
    error::V3Error,
    key::{Key, KeyRange, Node},
    view,
};
use crate::new_clusters::NewClusters;

/// A put of one key.
#[derive(Clone, Debug)]
pub struct Put {
    /// Which.
    pub key: Key,
    /// The new value; `None` keeps the present one.
    value: Option<Value>,
    /// Whether the key must exist.
    needs_previous: bool,
    wants_previous: bool,
    /// On which terms the put may create the cluster.
    new: NewClusters,
}

#[derive(Clone, Debug)]
enum Value {
    Size(ClusterSize),
    Registration(Registration),
}

impl Put {
    /// Reads a request, in the order in which etcd checks it (`server/etcdserver/api/v3rpc/key.go:checkPutRequest`).
    pub fn parse(request: PutRequest, new: NewClusters) -> Result<Self, V3Error> {
        if request.key.is_empty() {
            return Err(V3Error::EmptyKey);
        }
        if request.ignore_value && !request.value.is_empty() {
            return Err(V3Error::ValueProvided);
        }
        if request.ignore_lease && request.lease != 0 {
            return Err(V3Error::LeaseProvided);
        }
        let key = Key::parse(&request.key)?;
        if request.lease != 0 {
            return Err(V3Error::LeaseNotFound);
        }
        let value = match request.ignore_value {
            true => None,
            false => Some(Value::parse(&key.node, request.value, new.max_size)?),
        };
        let needs_previous = request.ignore_value || request.ignore_lease;
        Ok(Self { key, value, needs_previous, wants_previous: request.prev_kv, new })
    }

    /// The cluster after the put. As in etcd, a put of the present value is a change.
    pub fn apply(&self, cluster: Option<&Cluster>, at: UnixMillis) -> Result<Transition, V3Error> {
        match &self.key.node {
            Node::Size => self.apply_size(cluster, at),
            Node::Member(member) => self.apply_member(cluster, member, at),
        }
    }

    /// The answer, given what there was before.
    pub fn answer(&self, before: &[KeyValue], header: Option<ResponseHeader>) -> PutResponse {
        let key = self.wants_previous.then(|| self.key.to_bytes());
        let prev_kv = key.and_then(|key| before.iter().find(|one| one.key == key)).cloned();
        PutResponse { header, prev_kv }
    }

    fn apply_size(&self, cluster: Option<&Cluster>, at: UnixMillis) -> Result<Transition, V3Error> {
        let Some(cluster) = cluster else {
            let size = self.size().filter(|_| !self.needs_previous).ok_or(V3Error::KeyNotFound)?;
            let token = self.key.token.clone().try_into();
            let token = token.map_err(|reserved: ReservedToken| V3Error::Invalid(reserved.to_string()))?;
            return Ok(Cluster::create_with(token, &self.new.admit(&self.key.token, size)?, Action::Set, at));
        };
        let changed = cluster.set_size(self.size().unwrap_or(cluster.size), Action::Update, at)?;
        cluster.check_stock_write()?;
        Ok(changed)
    }

    fn apply_member(&self, cluster: Option<&Cluster>, key: &MemberKey, at: UnixMillis) -> Result<Transition, V3Error> {
        let present = cluster.and_then(|cluster| cluster.member(key));
        if self.needs_previous && present.is_none() {
            return Err(V3Error::KeyNotFound);
        }
        let cluster = cluster.ok_or(V3Error::NoSuchCluster)?;
        let kept = present.map(|member| &member.registration);
        let registration = self.registration().or(kept).ok_or(V3Error::KeyNotFound)?.clone();
        let action = if present.is_some() { Action::Update } else { Action::Create };
        Ok(cluster.register(key.clone(), registration, Discovery::V3, action, at)?)
    }

    fn size(&self) -> Option<ClusterSize> {
        match self.value {
            Some(Value::Size(size)) => Some(size),
            _ => None,
        }
    }

    /// The registration that is put, if the key is a member's.
    pub fn registration(&self) -> Option<&Registration> {
        match &self.value {
            Some(Value::Registration(registration)) => Some(registration),
            _ => None,
        }
    }
}

impl Value {
    fn parse(node: &Node, value: Vec<u8>, largest: ClusterSize) -> Result<Self, V3Error> {
        let value = String::from_utf8(value).map_err(|_| V3Error::Invalid("value: must be UTF-8".to_owned()))?;
        match node {
            Node::Size => {
                ClusterSize::parse(&value, largest).map(Self::Size).map_err(|error| V3Error::Invalid(error.to_string()))
            }
            Node::Member(_) => Ok(Self::Registration(Registration::parse(&value)?)),
        }
    }
}

/// A deletion of keys.
#[derive(Clone, Debug)]
pub struct Delete {
    /// Which.
    pub range: KeyRange,
    wants_previous: bool,
}

impl Delete {
    /// Reads a request.
    pub fn parse(request: DeleteRangeRequest) -> Result<Self, V3Error> {
        let range = KeyRange::parse(request.key, request.range_end)?;
        Ok(Self { range, wants_previous: request.prev_kv })
    }

    /// The cluster after the deletion; `None` if none of the keys exists. Deleting every key of a cluster deletes the
    /// cluster. Otherwise members are removed one after another, each with its own revision.
    pub fn apply(&self, cluster: &Cluster, at: UnixMillis) -> Result<Option<Transition>, V3Error> {
        let (gone, kept): (Vec<KeyValue>, Vec<KeyValue>) =
            view::key_values(cluster).into_iter().partition(|one| self.range.contains(&one.key));
        if gone.is_empty() {
            return Ok(None);
        }
        if kept.is_empty() {
            cluster.check_stock_write()?;
            return Ok(Some(cluster.delete(at)));
        }
        if self.range.contains(&Node::Size.key(&cluster.token)) {
            return Err(V3Error::SizeInUse);
        }
        if cluster.is_forming_by_check_in() {
            return Err(RegisterRefusal::FormsByCheckIn.into());
        }
        cluster.check_stock_write()?;
        let members: Vec<&MemberKey> = cluster.members().map(|member| &member.key).collect();
        let in_range =
            |member: &&MemberKey| self.range.contains(&Node::Member(MemberKey::clone(member)).key(&cluster.token));
        let mut transition: Option<Transition> = None;
        for member in members.into_iter().filter(in_range) {
            let so_far = transition.as_ref().and_then(|transition| transition.after.as_ref()).unwrap_or(cluster);
            let Some(next) = so_far.remove(member, Discovery::V3, Action::Delete, at) else { continue };
            let mut events = transition.take().map_or_else(Vec::new, |transition| transition.events);
            events.extend(next.events);
            transition = Some(Transition { events, ..next });
        }
        Ok(transition)
    }

    /// The answer, given what there was before.
    pub fn answer(&self, before: &[KeyValue], header: Option<ResponseHeader>) -> DeleteRangeResponse {
        let gone = || before.iter().filter(|one| self.range.contains(&one.key));
        let prev_kvs = if self.wants_previous { gone().cloned().collect() } else { Vec::new() };
        DeleteRangeResponse { header, deleted: gone().count() as i64, prev_kvs }
    }
}
