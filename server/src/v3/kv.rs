use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use convene_etcd::wire::{
    DeleteRangeRequest, DeleteRangeResponse, KeyValue, PutRequest, PutResponse, RangeRequest, RangeResponse,
    TxnRequest, TxnResponse, kv_server,
};
use convene_lifecycle::{
    Cluster, Event, EventKind, MemberKey, MemberName, Revision, Subject, Token, Transition, UnixMillis,
};
use tonic::{Request, Response, Status};
use tracing::field::display;

use super::{
    change::{Delete, Put},
    error::V3Error,
    headers::Headers,
    key::{Key, KeyRange, Node},
    range::Query,
    txn::Txn,
    view,
};
use crate::{
    access::Caller,
    app::App,
    connection::ClientAddress,
    current_request::show_cluster,
    registry::{Inputs, KnownCluster, Needs, WriteError},
    stale::{STALE, seconds},
};

/// The key that `etcdctl endpoint health` reads, to see whether anything can be read.
const HEALTH: &[u8] = b"health";

/// Reads and writes keys.
pub struct Kv {
    app: Arc<App>,
    headers: Headers,
}

#[tonic::async_trait]
impl kv_server::Kv for Kv {
    async fn range(&self, request: Request<RangeRequest>) -> Result<Response<RangeResponse>, Status> {
        let request = request.into_inner();
        let target = Target { key: request.key.clone(), value: Vec::new() };
        let (answer, stale) = self.read(request).await.map_err(|error| target.refuse(error))?;
        let mut response = Response::new(answer);
        if let Some(stale) = stale {
            response.metadata_mut().insert(STALE, seconds(stale).into());
        }
        Ok(response)
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        let connection = client(&request).map(|client| client.connection());
        let caller = caller(&request)?;
        let request = request.into_inner();
        let target = Target { key: request.key.clone(), value: request.value.clone() };
        self.write(request, connection, caller).await.map(Response::new).map_err(|error| target.refuse(error))
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let target = Target { key: request.key.clone(), value: Vec::new() };
        self.delete(request, caller).await.map(Response::new).map_err(|error| target.refuse(error))
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let caller = caller(&request)?;
        self.transact(request.into_inner(), caller)
            .await
            .map(Response::new)
            .map_err(|error| Target::default().refuse(error))
    }
}

impl Kv {
    /// The keys of the app's registry.
    pub fn new(app: Arc<App>, headers: Headers) -> Self {
        Self { app, headers }
    }

    /// Answers a range, and reports how old the answer is if the database is down.
    async fn read(&self, request: RangeRequest) -> Result<(RangeResponse, Option<Duration>), V3Error> {
        if request.key == HEALTH && request.range_end.is_empty() {
            self.app.registry.probe().await?;
            return Ok((RangeResponse { header: self.headers.of_none(), ..RangeResponse::default() }, None));
        }
        let query = Query::parse(request)?;
        show_cluster(&query.range.token);
        let known = self.app.registry.read(&query.range.token, query.consistency).await?;
        let Some(KnownCluster { snapshot, stale }) = known else {
            return match query.revision {
                Some(_) => Err(V3Error::FutureRevision),
                None => Ok((query.answer(&[], self.headers.of_none())?, None)),
            };
        };
        let cluster = &snapshot.cluster;
        let all = match query.revision.filter(|asked| *asked != cluster.revision) {
            Some(asked) if asked > cluster.revision => return Err(V3Error::FutureRevision),
            Some(asked) => self.key_values_as_of(asked, cluster).await?,
            None => view::key_values(cluster),
        };
        Ok((query.answer(&all, self.headers.at(cluster.revision))?, stale))
    }

    /// What a cluster's keys held at an earlier revision, as long as its history goes back to there.
    async fn key_values_as_of(&self, revision: Revision, cluster: &Cluster) -> Result<Vec<KeyValue>, V3Error> {
        let mut later: Vec<Arc<Event>> = Vec::new();
        let mut next = revision.next();
        while next <= cluster.revision {
            let page = self.app.registry.history(&cluster.token, next).await?;
            let first = page.first().filter(|first| first.revision == next);
            first.ok_or(V3Error::Compacted)?;
            later.extend(page.into_iter().filter(|event| event.revision <= cluster.revision));
            next = later.last().map_or(next, |last| last.revision.next());
        }
        Ok(view::key_values_before(cluster, &later))
    }

    async fn write(
        &self,
        request: PutRequest,
        connection: Option<SocketAddr>,
        caller: Caller,
    ) -> Result<PutResponse, V3Error> {
        let put = Put::parse(request, self.app.new_clusters(&caller))?;
        let (token, node) = (put.key.token.clone(), put.key.node.clone());
        let member = connection.zip(if let Node::Member(member) = &node { Some(member) } else { None });
        if let Some((connection, member)) = member {
            self.refuse_twin(&put, member, connection).await?;
        }
        let answer = self.commit(&token, &caller, put).await?;
        if let Some((connection, member)) = member {
            self.app.waiting.registered(&token, member, connection);
        }
        Ok(answer)
    }

    /// Refuses a registration that another node has made, which waits for the rest of its forming cluster. The write would
    /// change nothing, and both would wait for ever.
    async fn refuse_twin(&self, put: &Put, member: &MemberKey, connection: SocketAddr) -> Result<(), V3Error> {
        let (waiting, token) = (&self.app.waiting, &put.key.token);
        if !waiting.is_open(token, member) {
            return Ok(());
        }
        let Some(snapshot) = self.app.registry.cluster(token).await? else { return Ok(()) };
        let registered = snapshot.cluster.member(member).map(|member| &member.registration);
        if snapshot.cluster.formed.is_none() && registered.is_some() && registered == put.registration() {
            waiting.refuse_other(token, member, connection, Instant::now())?;
        }
        Ok(())
    }

    async fn commit(&self, token: &Token, caller: &Caller, put: Put) -> Result<PutResponse, V3Error> {
        let headers = self.headers;
        let decide = move |cluster: Option<&Cluster>, at| {
            let transition = put.apply(cluster, at)?;
            let before = cluster.map(view::key_values).unwrap_or_default();
            let answer = put.answer(&before, headers.at(last_revision(&transition)));
            Ok((Some(transition), answer))
        };
        self.change(token, caller, decide).await
    }

    async fn delete(&self, request: DeleteRangeRequest, caller: Caller) -> Result<DeleteRangeResponse, V3Error> {
        let delete = Delete::parse(request)?;
        let token = delete.range.token.clone();
        let headers = self.headers;
        let decide = move |cluster: Option<&Cluster>, at| {
            let Some(cluster) = cluster else { return Ok((None, delete.answer(&[], headers.of_none()))) };
            let transition = delete.apply(cluster, at)?;
            let revision = transition.as_ref().map_or(cluster.revision, last_revision);
            let answer = delete.answer(&view::key_values(cluster), headers.at(revision));
            Ok((transition, answer))
        };
        self.change(&token, &caller, decide).await
    }

    async fn transact(&self, request: TxnRequest, caller: Caller) -> Result<TxnResponse, V3Error> {
        let txn = Txn::parse(request, &self.app.new_clusters(&caller))?;
        let headers = self.headers;
        let Some(token) = txn.token.clone() else {
            return Ok(txn.apply(None, headers, self.app.registry.now())?.1);
        };
        if txn.is_read_only() {
            show_cluster(&token);
            let snapshot = self.app.registry.cluster(&token).await?;
            let cluster = snapshot.as_ref().map(|snapshot| &*snapshot.cluster);
            return Ok(txn.apply(cluster, headers, self.app.registry.now())?.1);
        }
        self.change(&token, &caller, move |cluster, at| txn.apply(cluster, headers, at)).await
    }

    async fn change<T: Send + 'static>(
        &self,
        token: &Token,
        caller: &Caller,
        decide: impl Fn(Option<&Cluster>, UnixMillis) -> Result<(Option<Transition>, T), V3Error> + Send + 'static,
    ) -> Result<T, V3Error> {
        let decide = move |inputs: Inputs<'_>| match decide(inputs.cluster, inputs.now) {
            Ok((transition, answer)) => (transition, Ok(answer)),
            Err(error) => (None, Err(error)),
        };
        show_cluster(token);
        let (committed, answer) = self.app.registry.transact(token, &caller.actor, Needs::Cluster, decide).await?;
        committed.iter().flat_map(|committed| &committed.events).for_each(|event| log(event));
        answer
    }
}

/// Who sends a request.
fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    Caller::of(request.extensions()).ok_or_else(|| Status::internal("the request came past the check of access"))
}

/// The client of a request; `None` for those that came as JSON.
pub fn client<T>(request: &Request<T>) -> Option<ClientAddress> {
    request.extensions().get().copied()
}

/// What a request is about, for the log line of its refusal. It is read only then.
#[derive(Default)]
struct Target {
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Target {
    /// The node logs the refusal; this shows it to the server's operator, too.
    fn refuse(self, error: V3Error) -> Status {
        if !matches!(error, V3Error::Stopped | V3Error::WriteError(WriteError::Unavailable(_))) {
            let (member, node) = self.member_and_node();
            let cluster = KeyRange::parse(self.key, Vec::new()).ok().map(|range| display(range.token));
            tracing::warn!(
                cluster,
                member = member.map(display),
                node = node.map(display),
                reason = error.to_string(),
                "refused"
            );
        }
        error.into()
    }

    /// The member that the key names, and the node that the value of a registration names.
    fn member_and_node(&self) -> (Option<MemberKey>, Option<MemberName>) {
        let Ok(Key { node: Node::Member(member), .. }) = Key::parse(&self.key) else { return (None, None) };
        let value = std::str::from_utf8(&self.value).ok();
        (Some(member), value.and_then(|value| value.split_once('=')?.0.parse().ok()))
    }
}

fn log(event: &Event) {
    let member = match &event.subject {
        Subject::Member(member) => Some(tracing::field::display(member)),
        _ => None,
    };
    tracing::info!(cluster = %event.token, member, revision = %event.revision, "{}", event.message);
    let again = event.kind == EventKind::MemberRegistered && event.previous.is_some();
    if again && !event.while_forming {
        tracing::warn!(
            cluster = %event.token,
            member,
            "a member registered again after its cluster had formed; if its etcd has run before, it has lost its data: remove \
             the member from the etcd cluster and add it again (etcdctl member remove, member add)"
        );
    }
}

fn last_revision(transition: &Transition) -> Revision {
    transition.events.last().map_or(Revision(0), |event| event.revision)
}
