use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::{BufMut, Bytes, BytesMut};
use convene_lifecycle::{Action, Cluster, Event, Member, Revision, Subject, Token};
use serde::Serialize;

use super::{folder::Folder, path::Node};

pub const ETCD_INDEX: HeaderName = HeaderName::from_static("x-etcd-index");
const RAFT_INDEX: HeaderName = HeaderName::from_static("x-raft-index");
const RAFT_TERM: HeaderName = HeaderName::from_static("x-raft-term");

/// What etcd's v2 API answers (`etcdserver/api/v2store/event.go`).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<AnswerNode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_node: Option<AnswerNode>,
    #[serde(skip)]
    status: StatusCode,
}

/// A key or directory (`etcdserver/api/v2store/node_extern.go`).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AnswerNode {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dir: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<Self>,
    modified_index: u64,
    created_index: u64,
}

impl Answer {
    /// The answer to a read.
    pub fn get(node: AnswerNode) -> Self {
        Self { action: "get", node: Some(node), prev_node: None, status: StatusCode::OK }
    }

    /// The answer to the creation of a node that exists already as it should be.
    pub fn created(node: AnswerNode) -> Self {
        Self { action: Action::Create.as_str(), node: Some(node), prev_node: None, status: StatusCode::CREATED }
    }

    /// The answer to a write, and to a wait that this event ends, in the folder that the request has named.
    pub fn event(event: &Event, folder: &Folder) -> Self {
        let key = subject_key(folder, &event.token, &event.subject);
        let dir = event.subject == Subject::Cluster;
        let created = event.action == Action::Create || (event.action == Action::Set && event.previous.is_none());
        let node = AnswerNode {
            key: key.clone(),
            value: event.value.clone(),
            dir,
            nodes: Vec::new(),
            modified_index: event.revision.0,
            created_index: event.created.0,
        };
        let prev_node = event.previous.as_ref().map(|previous| AnswerNode {
            key,
            value: previous.value.clone(),
            dir,
            nodes: Vec::new(),
            modified_index: previous.modified.0,
            created_index: previous.created.0,
        });
        let status = if created { StatusCode::CREATED } else { StatusCode::OK };
        Self { action: event.action.as_str(), node: Some(node), prev_node, status }
    }

    /// Without the nodes, as `noValueOnSuccess` asks.
    pub fn without_nodes(self) -> Self {
        Self { node: None, prev_node: None, ..self }
    }

    /// The body, which ends with a new line as etcd's does.
    pub fn to_body(&self) -> Bytes {
        to_json_line(self)
    }

    /// The whole response.
    pub fn into_response(self, index: Revision) -> Response {
        let mut response = json_response(self.status, &self);
        add_index(response.headers_mut(), index);
        response
    }
}

impl AnswerNode {
    /// A cluster: a directory of its members.
    pub fn cluster<'a>(folder: &Folder, cluster: &Cluster, members: impl Iterator<Item = &'a Arc<Member>>) -> Self {
        let nodes = members.map(|member| Self::member(folder, &cluster.token, member)).collect();
        Self::directory(Node::Cluster.key(folder, &cluster.token), nodes)
    }

    /// A cluster's hidden directory, which holds its size.
    pub fn config(folder: &Folder, cluster: &Cluster) -> Self {
        Self::directory(Node::Config.key(folder, &cluster.token), vec![Self::size(folder, cluster)])
    }

    /// A cluster's size.
    pub fn size(folder: &Folder, cluster: &Cluster) -> Self {
        Self {
            key: Node::Size.key(folder, &cluster.token),
            value: Some(cluster.size.to_string()),
            dir: false,
            nodes: Vec::new(),
            modified_index: cluster.size_modified.0,
            created_index: cluster.size_created.0,
        }
    }

    /// A member.
    pub fn member(folder: &Folder, token: &Token, member: &Member) -> Self {
        Self {
            key: Node::Member(member.key.clone()).key(folder, token),
            value: Some(member.registration.to_string()),
            dir: false,
            nodes: Vec::new(),
            modified_index: member.registered.0,
            created_index: member.created.0,
        }
    }

    /// A directory keeps the indexes of the change that made it, whatever happens in it.
    fn directory(key: String, nodes: Vec<Self>) -> Self {
        let index = Revision::FIRST.0;
        Self { key, value: None, dir: true, nodes, modified_index: index, created_index: index }
    }
}

/// A successful answer whose body is known already.
pub fn body_response(body: impl Into<Body>, index: Revision) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    add_index(response.headers_mut(), index);
    response
}

/// An answer with JSON in it.
pub fn json_response(status: StatusCode, body: &impl Serialize) -> Response {
    let mut response = Response::new(Body::from(to_json_line(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// There is no Raft here: its index counts what the cluster's revision does, and its term stays 1.
fn add_index(headers: &mut HeaderMap, index: Revision) {
    headers.insert(ETCD_INDEX, HeaderValue::from(index.0));
    headers.insert(RAFT_INDEX, HeaderValue::from(index.0));
    headers.insert(RAFT_TERM, HeaderValue::from_static("1"));
}

fn to_json_line(body: &impl Serialize) -> Bytes {
    let mut line = BytesMut::with_capacity(512).writer();
    serde_json::to_writer(&mut line, body).expect("answers have text for keys, and memory takes every write");
    let mut line = line.into_inner();
    line.put_u8(b'\n');
    line.freeze()
}

fn subject_key(folder: &Folder, token: &Token, subject: &Subject) -> String {
    match subject {
        // Waits pass over what has no key here, so the cluster's is never shown for it.
        Subject::Cluster | Subject::Lifecycle(_) => Node::Cluster.key(folder, token),
        Subject::Size => Node::Size.key(folder, token),
        Subject::Member(key) => Node::Member(key.clone()).key(folder, token),
    }
}
