use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use convene_lifecycle::{
    Cluster, ClusterSize, Discovery, Event, MemberKey, RegisterRefusal, Registration, ReservedToken, Revision,
};

use super::{
    answer::{Answer, AnswerNode},
    condition::{Conditions, CurrentValue},
    error::{Code, V2Error},
    path::{KeyPath, Node},
    request::KeyRequest,
    spelling::LikelyUrls,
};
use crate::{
    access::Caller,
    app::App,
    connection::ClientAddress,
    registry::{Committed, Registry},
    waiting::StillWaits,
};

/// Answers `PUT`: registers a member, or sets a cluster's size, which creates the cluster if it is missing.
pub async fn put(
    State(app): State<Arc<App>>,
    client: ClientAddress,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    path: KeyPath,
    request: KeyRequest,
) -> Result<Response, V2Error> {
    refuse_unsupported(&request)?;
    let folder = path.folder.clone();
    let no_value = request.no_value_on_success;
    let (answer, revision) = match path.node.clone() {
        Node::Member(key) => {
            let registration = Registration::parse(value(&request)?).map_err(V2Error::invalid_field)?;
            let (token, member, name) = (path.token.clone(), key.clone(), registration.name.clone());
            let likely = LikelyUrls::of(&app, &uri, &headers);
            let answer = create_or_change(&app, &caller, path, key, registration, request.conditions, likely).await;
            let answer = answer.map_err(|error| error.of_node(name))?;
            app.waiting.registered(&token, &member, client.connection());
            answer
        }
        Node::Size => {
            let size = ClusterSize::parse(value(&request)?, app.max_cluster_size).map_err(V2Error::invalid_field)?;
            let event = set_size(&app, &caller, path, size, request.conditions).await?;
            (Answer::event(&event, &folder), event.revision)
        }
        // `v2store/store.go:internalCreate` first checks whether it may replace an existing key.
        Node::Cluster | Node::Config => {
            let code = if request.conditions.creates() { Code::KeyExists } else { Code::NotAFile };
            return Err(directory_error(&app.registry, &path, code).await?);
        }
    };
    Ok(if no_value { answer.without_nodes() } else { answer }.into_response(revision))
}

async fn create_or_change(
    app: &App,
    caller: &Caller,
    path: KeyPath,
    key: MemberKey,
    registration: Registration,
    conditions: Conditions,
    likely: LikelyUrls,
) -> Result<(Answer, Revision), V2Error> {
    if conditions.creates()
        && let Some(answer) = register_again(app, &path, &key, &registration).await?
    {
        return Ok(answer);
    }
    let folder = path.folder.clone();
    let event = register(&app.registry, caller, path, key, registration, conditions, likely).await?;
    Ok((Answer::event(&event, &folder), event.revision))
}

/// Answers `DELETE`: removes a member, or deletes a cluster with all that is in it.
pub async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: KeyPath,
    request: KeyRequest,
) -> Result<Response, V2Error> {
    let folder = path.folder.clone();
    if matches!(path.node, Node::Cluster | Node::Config)
        && let Some(code) = refused_for_directory(&request)
    {
        return Err(directory_error(&app.registry, &path, code).await?);
    }
    let event = match path.node.clone() {
        Node::Member(key) => remove(&app.registry, &caller, path, key, request.conditions).await?,
        Node::Cluster => delete_cluster(&app.registry, &caller, path).await?,
        Node::Config | Node::Size => {
            return Err(V2Error::invalid_field(
                "path: the size of a cluster can't be deleted; to delete the whole cluster, send \
                 DELETE /v2/keys/_etcd/registry/TOKEN?recursive=true",
            ));
        }
    };
    Ok(Answer::event(&event, &folder).into_response(event.revision))
}

/// Answers a node that registers again as it has registered before, while its cluster forms: it has lost its data or the
/// answer. Nothing changes. `None` if this is not so.
async fn register_again(
    app: &App,
    path: &KeyPath,
    key: &MemberKey,
    registration: &Registration,
) -> Result<Option<(Answer, Revision)>, V2Error> {
    let Some(snapshot) = app.registry.cluster(&path.token).await? else { return Ok(None) };
    let cluster = &snapshot.cluster;
    let member = cluster.registers_again(key, registration).map_err(|refusal| refused(refusal, cluster.revision))?;
    let Some(member) = member else { return Ok(None) };
    if app.waiting.is_open(&path.token, key) {
        return Err(refused(StillWaits, cluster.revision));
    }
    tracing::info!(cluster = %path.token, member = %member.name(), revision = %member.created, "registered again");
    Ok(Some((Answer::created(AnswerNode::member(&path.folder, &path.token, member)), cluster.revision)))
}

async fn register(
    registry: &Registry,
    caller: &Caller,
    path: KeyPath,
    key: MemberKey,
    registration: Registration,
    conditions: Conditions,
    likely: LikelyUrls,
) -> Result<Arc<Event>, V2Error> {
    let token = path.token.clone();
    let name = registration.name.clone();
    let own_url = likely.given(&key, &registration);
    let decide = move |cluster: Option<&Cluster>, at| {
        let cluster = cluster.ok_or_else(|| path.no_such_cluster())?;
        let present = cluster.member(&key).map(|member| CurrentValue::from(&**member));
        let action = conditions.put(&path.key(), present.as_ref()).map_err(|error| error.at(cluster.revision))?;
        let refused = |refusal: RegisterRefusal| refused(refusal, cluster.revision);
        let discovery_url = cluster.discovery_url_with(&key, &registration, own_url.as_ref(), || likely.all());
        let discovery_url = discovery_url.map_err(refused)?;
        let cluster = Cluster { discovery_url, ..cluster.clone() };
        cluster.register(key.clone(), registration.clone(), Discovery::V2, action, at).map_err(refused)
    };
    let event = single(registry.update(&token, &caller.actor, decide).await??);
    let (revision, action) = (event.revision, event.action.as_str());
    tracing::info!(cluster = %token, member = %name, %revision, action, "registered");
    Ok(event)
}

async fn set_size(
    app: &App,
    caller: &Caller,
    path: KeyPath,
    size: ClusterSize,
    conditions: Conditions,
) -> Result<Arc<Event>, V2Error> {
    let token = path.token.clone();
    let new = app.new_clusters(caller);
    let decide = move |cluster: Option<&Cluster>, at| match cluster {
        Some(cluster) => {
            let present = CurrentValue::size(cluster);
            let action = conditions.put(&path.key(), Some(&present)).map_err(|error| error.at(cluster.revision))?;
            let changed = cluster.set_size(size, action, at).map_err(|refusal| refused(refusal, cluster.revision))?;
            check_writable(cluster)?;
            Ok::<_, V2Error>(changed)
        }
        None => {
            let action = conditions.put(&path.key(), None).map_err(|_| path.no_such_cluster())?;
            let settings = new.admit(&path.token, size)?;
            let token = path.token.clone().try_into();
            let token = token.map_err(|reserved: ReservedToken| V2Error::invalid_field(reserved))?;
            Ok(Cluster::create_with(token, &settings, action, at))
        }
    };
    let event = single(app.registry.update(&token, &caller.actor, decide).await??);
    tracing::info!(cluster = %token, %size, revision = %event.revision, "size set");
    Ok(event)
}

async fn remove(
    registry: &Registry,
    caller: &Caller,
    path: KeyPath,
    key: MemberKey,
    conditions: Conditions,
) -> Result<Arc<Event>, V2Error> {
    let token = path.token.clone();
    let removed = key.clone();
    let decide = move |cluster: Option<&Cluster>, at| {
        let cluster = cluster.ok_or_else(|| path.no_such_cluster())?;
        let not_found = || V2Error::new(Code::KeyNotFound, path.key());
        let member = cluster.member(&key).ok_or_else(|| not_found().at(cluster.revision))?;
        let present = CurrentValue::from(&**member);
        let action = conditions.delete(&path.key(), &present).map_err(|error| error.at(cluster.revision))?;
        if cluster.is_forming_by_check_in() {
            return Err(refused(RegisterRefusal::FormsByCheckIn, cluster.revision));
        }
        check_writable(cluster)?;
        cluster.remove(&key, Discovery::V2, action, at).ok_or_else(|| not_found().at(cluster.revision))
    };
    let event = single(registry.update(&token, &caller.actor, decide).await??);
    tracing::info!(cluster = %token, member = %removed, revision = %event.revision, "removed");
    Ok(event)
}

async fn delete_cluster(registry: &Registry, caller: &Caller, path: KeyPath) -> Result<Arc<Event>, V2Error> {
    let token = path.token.clone();
    let decide = move |cluster: Option<&Cluster>, at| {
        let cluster = cluster.ok_or_else(|| path.no_such_cluster())?;
        check_writable(cluster)?;
        Ok::<_, V2Error>(cluster.delete(at))
    };
    let event = single(registry.update(&token, &caller.actor, decide).await??);
    tracing::info!(cluster = %token, revision = %event.revision, "cluster deleted");
    Ok(event)
}

/// Why a directory can't be deleted (`v2store/node.go:Remove`): only a recursive delete takes a directory that is not empty,
/// and both directories of a cluster hold at least the size.
fn refused_for_directory(request: &KeyRequest) -> Option<Code> {
    if request.conditions.compares() || !(request.recursive || request.dir) {
        return Some(Code::NotAFile);
    }
    (!request.recursive).then_some(Code::DirectoryNotEmpty)
}

async fn directory_error(registry: &Registry, path: &KeyPath, code: Code) -> Result<V2Error, V2Error> {
    let snapshot = registry.cluster(&path.token).await?.ok_or_else(|| path.no_such_cluster())?;
    Ok(V2Error::new(code, path.key()).at(snapshot.cluster.revision))
}

fn value(request: &KeyRequest) -> Result<&str, V2Error> {
    request.value.as_deref().ok_or_else(|| {
        V2Error::invalid_field("value: missing; send it as a form field, for example with curl -d value=…")
    })
}

/// Refuses fields that would be ignored otherwise: registrations never expire, and nobody can create directories.
fn refuse_unsupported(request: &KeyRequest) -> Result<(), V2Error> {
    if request.expires {
        return Err(V2Error::invalid_field("ttl: registrations never expire; leave out ttl and refresh"));
    }
    if request.dir {
        return Err(V2Error::invalid_field("dir: directories can't be created or changed; leave out dir"));
    }
    Ok(())
}

fn refused(refusal: impl Into<V2Error>, index: Revision) -> V2Error {
    refusal.into().at(index)
}

/// Fails if stock clients may not change the cluster.
fn check_writable(cluster: &Cluster) -> Result<(), V2Error> {
    cluster.check_stock_write().map_err(|refusal| refused(refusal, cluster.revision))
}

/// The event of a v2 write, which makes one change.
fn single(mut committed: Committed) -> Arc<Event> {
    committed.events.swap_remove(0)
}
