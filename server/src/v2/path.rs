use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, State},
    http::{StatusCode, Uri, request::Parts},
};
use convene_lifecycle::{MemberKey, NewClusterToken, Token};
use percent_encoding::percent_decode_str;

use super::{
    error::{Code, V2Error},
    folder::{Folder, Folders},
};
use crate::app::App;

/// What a request is about: a cluster's token and a node in its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPath {
    /// In which folder the request looks for it. Answers use the same.
    pub folder: Folder,
    /// Which cluster.
    pub token: Token,
    /// What of it.
    pub node: Node,
}

/// A node of a cluster's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// The directory itself.
    Cluster,
    /// `_config`, the hidden directory in it.
    Config,
    /// `_config/size`.
    Size,
    /// A member.
    Member(MemberKey),
}

impl KeyPath {
    /// The key as etcd's v2 API writes it.
    pub fn key(&self) -> String {
        self.node.key(&self.folder, &self.token)
    }

    /// The error for a token without a cluster. etcd names the first directory that is missing, not the key.
    pub fn no_such_cluster(&self) -> V2Error {
        V2Error::new(Code::KeyNotFound, Node::Cluster.key(&self.folder, &self.token))
    }

    /// Reads the path of a request; segments that are empty don't count, as in etcd.
    fn parse(uri: &Uri, folders: &Folders) -> Result<Self, V2Error> {
        let path = uri.path();
        let key = path.strip_prefix("/v2/keys").filter(|key| key.is_empty() || key.starts_with('/'));
        let segments = key.unwrap_or(path).split('/').filter(|segment| !segment.is_empty());
        let segments = segments.map(decode).collect::<Result<Vec<_>, _>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (folder, rest) = match key {
            Some(_) => folders.locate(&segments),
            None => (&folders.registry, &segments[..]),
        };

        let [token, below @ ..] = rest else { return Err(outside(&segments, folders)) };
        let is_hidden = key.is_some() && (*token == "_config" || (folder.key().is_empty() && token.starts_with('_')));
        if is_hidden {
            return Err(outside(&segments, folders));
        }
        let node = match below {
            [] => Node::Cluster,
            ["_config"] => Node::Config,
            ["_config", "size"] => Node::Size,
            [member] if !member.starts_with('_') => Node::Member(member.parse().map_err(V2Error::invalid_field)?),
            [hidden, ..] if hidden.starts_with('_') => {
                let key = format!("{}/{token}/{}", folder.key(), below.join("/"));
                return Err(V2Error::new(Code::KeyNotFound, key));
            }
            _ => return Err(outside(&segments, folders)),
        };
        let token = token.parse().map_err(V2Error::invalid_field)?;
        Ok(Self { folder: folder.clone(), token, node })
    }
}

/// The error for a key that is not a cluster's. An etcd whose discovery URL has an unknown folder logs the cause; of a key
/// that does not exist it would log no cause.
fn outside(key: &[&str], folders: &Folders) -> V2Error {
    let shown = key.join("/");
    let problem = match key {
        _ if folders.locate(key).1.first() == Some(&"_config") => "the token is missing",
        // What etcd and its documentation ask for first.
        [folder @ .., _, "_config", "size"] => {
            let folder = folder.join("/");
            let wanted = folder.parse::<Folder>().map_or_else(|_| "FOLDER".to_owned(), |folder| folder.to_string());
            return V2Error::invalid_field(format!(
                "path: this server has no folder {folder}; its folders are {folders}, as in \
                 /v2/keys/_etcd/registry/TOKEN; to add the folder, start convene-server with --v2-folder {wanted}"
            ));
        }
        _ => "this is not a key of a cluster",
    };
    V2Error::invalid_field(format!(
        "path: /{shown}: {problem}; a cluster has the URL /v2/keys/FOLDER/TOKEN, and the folders are {folders}"
    ))
}

impl Node {
    /// The key as etcd's v2 API writes it.
    pub fn key(&self, folder: &Folder, token: &Token) -> String {
        let (folder, token) = (folder.key(), token.as_str());
        match self {
            Self::Cluster => format!("{folder}/{token}"),
            Self::Config => format!("{folder}/{token}/_config"),
            Self::Size => format!("{folder}/{token}/_config/size"),
            Self::Member(key) => format!("{folder}/{token}/{key}"),
        }
    }
}

impl FromRequestParts<Arc<App>> for KeyPath {
    type Rejection = V2Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, V2Error> {
        Self::parse(&parts.uri, &app.v2_folders)
    }
}

/// The cluster and the member that a URL names.
pub fn target(uri: &Uri, folders: &Folders) -> (Option<Token>, Option<MemberKey>) {
    let Ok(KeyPath { token, node, .. }) = KeyPath::parse(uri, folders) else { return (None, None) };
    match node {
        // A path such as `/new`.
        _ if NewClusterToken::try_from(token.clone()).is_err() => (None, None),
        Node::Member(member) => (Some(token), Some(member)),
        _ => (Some(token), None),
    }
}

/// The error for a path that leads nowhere and is a discovery URL with a mistake.
pub fn misplaced(path: &str) -> Option<V2Error> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let clean = segments.join("/");
    if path.contains("//") {
        return Some(V2Error::invalid_field(format!("path: there is a doubled slash; send the request to /{clean}")));
    }
    match segments.as_slice() {
        [_, _, .., "_config", "size"] => Some(V2Error::invalid_field(format!(
            "path: a token in a folder has the URL /v2/keys/FOLDER/TOKEN; send the request to /v2/keys/{clean}"
        ))),
        _ => None,
    }
}

/// Answers for the rest of etcd's v2 API.
pub async fn not_keys() -> V2Error {
    V2Error::invalid_field(
        "path: Convene is a discovery service and not an etcd: of etcd's v2 API it has /v2/keys/FOLDER/TOKEN only; configure \
         the client with the URL of an etcd, without discovery of members",
    )
    .with_status(StatusCode::NOT_FOUND)
}

/// Answers for keys that no cluster has: this is no general key-value store, and it lists no tokens.
pub async fn not_a_cluster(State(app): State<Arc<App>>) -> V2Error {
    outside(&[], &app.v2_folders)
}

fn decode(segment: &str) -> Result<String, V2Error> {
    let decoded = percent_decode_str(segment).decode_utf8();
    decoded.map(Into::into).map_err(|_| V2Error::invalid_field("path: not UTF-8 after percent-decoding"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str) -> Result<KeyPath, V2Error> {
        KeyPath::parse(&path.parse().unwrap(), &Folders::with(&["deis/discovery".parse().unwrap()]))
    }

    #[test]
    fn every_form_of_url_names_the_same_nodes() {
        let member = Node::Member("5e3c1".parse().unwrap());
        for (path, node) in [
            ("", Node::Cluster),
            ("/", Node::Cluster),
            ("/_config", Node::Config),
            ("/_config/size", Node::Size),
            ("/5e3c1", member.clone()),
            ("//5e3c1/", member),
        ] {
            for (prefix, folder) in [
                ("", "/_etcd/registry"),
                ("/v2/keys/_etcd/registry", "/_etcd/registry"),
                ("/v2/keys//_etcd/registry/", "/_etcd/registry"),
                ("/v2/keys/discovery", "/discovery"),
                ("/v2/keys", ""),
                ("/v2/keys/deis/discovery", "/deis/discovery"),
            ] {
                let parsed = parse(&format!("{prefix}/prod{path}")).unwrap();
                assert_eq!((parsed.folder.key(), parsed.token.as_str(), &parsed.node), (folder, "prod", &node));
            }
        }
    }

    #[test]
    fn an_unknown_key_of_a_cluster_is_not_found() {
        for (path, key) in [
            ("/prod/_config/other", "/_etcd/registry/prod/_config/other"),
            ("/prod/_hidden", "/_etcd/registry/prod/_hidden"),
            ("/v2/keys/prod/_hidden", "/prod/_hidden"),
        ] {
            assert_eq!(parse(path), Err(V2Error::new(Code::KeyNotFound, key)), "{path}");
        }
    }

    #[test]
    fn a_key_that_no_cluster_has_is_refused_with_the_way_to_one() {
        for (path, expected) in [
            ("/v2/keys/other/folder/prod/_config/size", "no folder other/folder;"),
            ("/v2/keys/other/folder/prod/_config/size", "with --v2-folder other/folder"),
            ("/v2/keys/other/prod/_config/size", "--v2-folder other"),
            ("/v2/keys/_etcd/registry/mine/prod/_config/size", "--v2-folder _etcd/registry/mine"),
            ("/v2/keys/o%20o/prod/_config/size", "--v2-folder FOLDER"),
            ("/v2/keys/_etcd/registry/_config/size", "/_etcd/registry/_config/size: the token is missing"),
            ("/v2/keys/discovery/_config/size", "the token is missing"),
            ("/v2/keys/_config/size", "the token is missing"),
            ("/v2/keys/_etcd/registry", "/_etcd/registry: this is not a key of a cluster"),
            ("/v2/keys/_etcd/registrypath/prod", "not a key of a cluster"),
            ("/v2/keys/_etcd", "not a key of a cluster"),
            ("/v2/keys/a/b/c", "folders are _etcd/registry, deis/discovery, discovery and the root"),
            ("/v2/keys", "not a key of a cluster"),
            ("/prod/a/b", "not a key of a cluster"),
        ] {
            let error = format!("{:?}", parse(path).unwrap_err());
            assert!(error.contains("InvalidField") && error.contains(expected), "{path}: {error}");
        }
    }

    #[test]
    fn a_bad_token_or_member_is_an_invalid_field() {
        for path in ["/a%20b", "/a%2Fb", "/%ff", "/%zz", "/prod/a%20b", &format!("/{}", "x".repeat(129))] {
            let error = format!("{:?}", parse(path).unwrap_err());
            assert!(error.contains("InvalidField"), "{path}: {error}");
        }
        assert_eq!(parse("/pro%64"), parse("/prod"));
    }
}
