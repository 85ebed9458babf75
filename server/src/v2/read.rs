use std::sync::Arc;

use axum::{
    extract::State,
    http::Method,
    response::{IntoResponse, Response},
};

use super::{
    answer::{Answer, AnswerNode, body_response},
    error::{Code, V2Error},
    form::Form,
    path::{KeyPath, Node},
    wait::{self, Wait},
};
use crate::{app::App, registry::Snapshot};

/// Answers `GET`: what a node holds, or what happens to it next.
pub async fn read(State(app): State<Arc<App>>, method: Method, path: KeyPath, form: Form) -> Result<Response, V2Error> {
    let (recursive, sorted) = (form.flag("recursive")?.unwrap_or(false), form.flag("sorted")?.unwrap_or(false));
    // One server, or one database, answers all: every read is a quorum read.
    form.flag("quorum")?;
    let wait_index = form.index("waitIndex")?;
    if !form.flag("wait")?.unwrap_or(false) {
        let snapshot = app.registry.cluster(&path.token).await?.ok_or_else(|| path.no_such_cluster())?;
        return get(&path, &snapshot, sorted);
    }
    if method != Method::GET {
        return Err(V2Error::invalid_field("\"wait\" can only be used with GET requests"));
    }
    if form.flag("stream")?.unwrap_or(false) {
        return Err(V2Error::invalid_field(
            "\"stream\" is not supported: wait again with waitIndex, one after the modifiedIndex of the last answer",
        ));
    }
    wait::answer(app, Wait::new(path, recursive), wait_index).await
}

fn get(path: &KeyPath, snapshot: &Snapshot, sorted: bool) -> Result<Response, V2Error> {
    let cluster = &snapshot.cluster;
    let index = cluster.revision;
    let node = match &path.node {
        Node::Cluster if !sorted => {
            let render = || Answer::get(AnswerNode::cluster(cluster, cluster.members())).to_body();
            return Ok(body_response(snapshot.v2_directory.get_or_init(render).clone(), index));
        }
        Node::Cluster => {
            let mut members: Vec<_> = cluster.members().collect();
            members.sort_by(|one, other| one.key.cmp(&other.key));
            AnswerNode::cluster(cluster, members.into_iter())
        }
        Node::Config => AnswerNode::config(cluster),
        Node::Size => AnswerNode::size(cluster),
        Node::Member(key) => {
            let member = cluster.member(key);
            let member = member.ok_or_else(|| V2Error::new(Code::KeyNotFound, path.key()).at(index))?;
            AnswerNode::member(&cluster.token, member)
        }
    };
    Ok(Answer::get(node).into_response(index).into_response())
}
