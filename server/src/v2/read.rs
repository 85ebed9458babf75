use std::sync::Arc;

use axum::{extract::State, response::Response};

use super::{
    answer::{Answer, AnswerNode, body_response},
    error::{Code, V2Error},
    path::{KeyPath, Node},
    request::KeyRequest,
    wait::{self, Wait},
};
use crate::{
    access::Standing,
    app::App,
    connection::ClientAddress,
    registry::{Consistency, Snapshot},
    stale::mark_stale,
};

/// Answers `GET`: what a node holds, or what happens to it next.
pub async fn read(
    State(app): State<Arc<App>>,
    client: ClientAddress,
    standing: Standing,
    path: KeyPath,
    request: KeyRequest,
) -> Result<Response, V2Error> {
    // etcd sends a quorum read through its log, which knows no waits (`etcdserver/v2_server.go:Handle`).
    if !request.wait || request.quorum {
        let consistency = if request.quorum { Consistency::Confirmed } else { Consistency::LatestKnown };
        let known = app.registry.read(&path.token, consistency).await?.ok_or_else(|| path.no_such_cluster())?;
        return Ok(mark_stale(get(&app, &path, &known.snapshot, request.sorted)?, &known));
    }
    if request.stream {
        return Err(V2Error::invalid_field(
            "\"stream\" is not supported; repeat the wait with waitIndex, the last modifiedIndex plus 1",
        ));
    }
    let open = match &path.node {
        Node::Cluster => Some(app.waiting.wait(&path.token, client.connection())),
        // An etcd that has registered looks for its own registration before it waits for others.
        Node::Member(member) => {
            app.waiting.registered(&path.token, member, client.connection());
            None
        }
        Node::Config | Node::Size => None,
    };
    let held = (app.limits.wait(Some(client))?, open);
    wait::long_poll(app, standing, Wait::new(path, request.recursive), request.wait_index, held).await
}

fn get(app: &App, path: &KeyPath, snapshot: &Snapshot, sorted: bool) -> Result<Response, V2Error> {
    let (cluster, folder) = (&snapshot.cluster, &path.folder);
    let index = cluster.revision;
    let node = match &path.node {
        Node::Cluster if !sorted && *folder == app.v2_folders.registry => {
            let render = || Answer::get(AnswerNode::cluster(folder, cluster, cluster.members())).to_body();
            return Ok(body_response(snapshot.v2_directory.get_or_init(render).clone(), index));
        }
        Node::Cluster => {
            let mut members: Vec<_> = cluster.members().collect();
            if sorted {
                members.sort_by(|one, other| one.key.cmp(&other.key));
            }
            AnswerNode::cluster(folder, cluster, members.into_iter())
        }
        Node::Config => AnswerNode::config(folder, cluster),
        Node::Size => AnswerNode::size(folder, cluster),
        Node::Member(key) => {
            let member = cluster.member(key);
            let member = member.ok_or_else(|| V2Error::new(Code::KeyNotFound, path.key()).at(index))?;
            AnswerNode::member(folder, &cluster.token, member)
        }
    };
    Ok(Answer::get(node).into_response(index))
}
