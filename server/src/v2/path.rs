use axum::{extract::FromRequestParts, http::Uri, http::request::Parts};
use convene_lifecycle::{MemberKey, Token};
use percent_encoding::percent_decode_str;

use super::{
    KEYS_REGISTRY, REGISTRY,
    error::{Code, V2Error},
};

/// What a request is about: a cluster's token and a node in its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPath {
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
        self.node.key(&self.token)
    }

    /// The error for a token without a cluster. etcd names the first directory that is missing, not the key.
    pub fn no_such_cluster(&self) -> V2Error {
        V2Error::new(Code::KeyNotFound, Node::Cluster.key(&self.token))
    }

    /// Reads the path of a request; segments that are empty don't count, as in etcd.
    fn parse(uri: &Uri) -> Result<Self, V2Error> {
        let path = uri.path();
        let in_registry = path.strip_prefix(KEYS_REGISTRY).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let in_keys = path.strip_prefix("/v2/keys");
        let in_registry = match (in_registry, in_keys) {
            (Some(rest), _) => rest,
            (None, Some(key)) => return Err(V2Error::new(Code::KeyNotFound, key)),
            (None, None) => path,
        };
        let segments = in_registry.split('/').filter(|segment| !segment.is_empty());
        let segments = segments.map(decode).collect::<Result<Vec<_>, _>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();

        let [token, below @ ..] = segments.as_slice() else { return Err(V2Error::new(Code::KeyNotFound, REGISTRY)) };
        let token: Token = token.parse().map_err(V2Error::invalid_field)?;
        let node = match below {
            [] => Node::Cluster,
            ["_config"] => Node::Config,
            ["_config", "size"] => Node::Size,
            [member] if !member.starts_with('_') => Node::Member(member.parse().map_err(V2Error::invalid_field)?),
            _ => {
                let key = format!("{}/{}", Node::Cluster.key(&token), below.join("/"));
                return Err(V2Error::new(Code::KeyNotFound, key));
            }
        };
        Ok(Self { token, node })
    }
}

impl Node {
    /// The key as etcd's v2 API writes it.
    pub fn key(&self, token: &Token) -> String {
        let token = token.as_str();
        match self {
            Self::Cluster => format!("{REGISTRY}/{token}"),
            Self::Config => format!("{REGISTRY}/{token}/_config"),
            Self::Size => format!("{REGISTRY}/{token}/_config/size"),
            Self::Member(key) => format!("{REGISTRY}/{token}/{key}"),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for KeyPath {
    type Rejection = V2Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, V2Error> {
        Self::parse(&parts.uri)
    }
}

/// Answers for keys outside the registry: this is no general key-value store.
pub async fn not_a_registry_key() -> V2Error {
    V2Error::new(Code::KeyNotFound, "/")
}

fn decode(segment: &str) -> Result<String, V2Error> {
    let decoded = percent_decode_str(segment).decode_utf8();
    decoded.map(Into::into).map_err(|_| V2Error::invalid_field("path: not UTF-8 after percent-decoding"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &str) -> Result<KeyPath, V2Error> {
        KeyPath::parse(&path.parse().unwrap())
    }

    #[test]
    fn both_forms_of_url_name_the_same_nodes() {
        let member = Node::Member("5e3c1".parse().unwrap());
        for (path, node) in [
            ("", Node::Cluster),
            ("/", Node::Cluster),
            ("/_config", Node::Config),
            ("/_config/size", Node::Size),
            ("/5e3c1", member.clone()),
            ("//5e3c1/", member),
        ] {
            for prefix in ["", "/v2/keys/_etcd/registry"] {
                let parsed = parse(&format!("{prefix}/prod{path}")).unwrap();
                assert_eq!(parsed, KeyPath { token: "prod".parse().unwrap(), node: node.clone() });
            }
        }
    }

    #[test]
    fn a_path_that_is_not_a_key_of_a_cluster_is_not_found() {
        for (path, key) in [
            ("/prod/_config/other", "/_etcd/registry/prod/_config/other"),
            ("/prod/_hidden", "/_etcd/registry/prod/_hidden"),
            ("/prod/a/b", "/_etcd/registry/prod/a/b"),
            ("/v2/keys/_etcd/registry", "/_etcd/registry"),
            ("/v2/keys/_etcd/registry/", "/_etcd/registry"),
            ("/v2/keys/_etcd/registrypath/prod", "/_etcd/registrypath/prod"),
            ("/v2/keys/foo", "/foo"),
        ] {
            assert_eq!(parse(path), Err(V2Error::new(Code::KeyNotFound, key)), "{path}");
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
