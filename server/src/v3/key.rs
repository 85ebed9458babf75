use convene_lifecycle::{MemberKey, Subject, Token};

use super::error::V3Error;

/// What every key begins with.
const REGISTRY: &str = "/_etcd/registry/";

/// What the key of a size is below its token's.
const SIZE: &str = "_config/size";

/// What the keys of members begin with below their token's.
const MEMBERS: &str = "members/";

/// One key that something can be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The token of its cluster.
    pub token: Token,
    /// The node of that cluster.
    pub node: Node,
}

/// What a key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// The cluster's size.
    Size,
    /// A member's registration.
    Member(MemberKey),
}

impl Key {
    /// Reads the key of a write.
    pub fn parse(key: &[u8]) -> Result<Self, V3Error> {
        let (token, rest) = split(key)?;
        let node = match rest.strip_prefix(MEMBERS) {
            None if rest == SIZE => Node::Size,
            Some(member) => Node::Member(member.parse().map_err(|error| V3Error::Invalid(format!("{error}")))?),
            None => return Err(V3Error::Outside("only a size or a member can be written")),
        };
        Ok(Self { token, node })
    }

    /// The key's text.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.node.key(&self.token)
    }
}

impl Node {
    /// The key of this node.
    pub fn key(&self, token: &Token) -> Vec<u8> {
        let token = token.as_str();
        match self {
            Self::Size => format!("{REGISTRY}{token}/{SIZE}").into_bytes(),
            Self::Member(member) => format!("{REGISTRY}{token}/{MEMBERS}{member}").into_bytes(),
        }
    }

    /// The node of an event's subject; `None` if it has no key.
    pub fn of(subject: &Subject) -> Option<Self> {
        match subject {
            Subject::Size => Some(Self::Size),
            Subject::Member(member) => Some(Self::Member(member.clone())),
            Subject::Cluster | Subject::Lifecycle(_) => None,
        }
    }
}

/// The keys that a request is about: a part of one cluster's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// The token of its cluster.
    pub token: Token,
    from: Vec<u8>,
    /// The first key beyond the range; `None` means that `from` is the only one in it.
    to: Option<Vec<u8>>,
}

impl KeyRange {
    /// Reads a key and the end of a range as etcd's requests have them: without end it is the key alone, and an end of
    /// one zero byte is the end of all keys.
    ///
    /// What a prefix `/_etcd/registry/TOKEN` without a slash at its end covers of other tokens is passed over.
    pub fn parse(key: Vec<u8>, end: Vec<u8>) -> Result<Self, V3Error> {
        if key.is_empty() {
            return Err(V3Error::EmptyKey);
        }
        let (token, _) = split(&key)?;
        if end.is_empty() {
            return Ok(Self { token, from: key, to: None });
        }
        let cluster = format!("{REGISTRY}{}", token.as_str()).into_bytes();
        let is_prefix_of_cluster = key == cluster && end == end_of_prefix(&cluster);
        let all = [&cluster[..], b"/"].concat();
        if end == [0] || !(is_prefix_of_cluster || end <= end_of_prefix(&all)) {
            return Err(V3Error::Outside("the range covers more than the keys of one token"));
        }
        let to = if is_prefix_of_cluster { end_of_prefix(&all) } else { end };
        Ok(Self { token, from: key, to: Some(to) })
    }

    /// Whether a key is one of these.
    pub fn contains(&self, key: &[u8]) -> bool {
        match &self.to {
            None => key == self.from,
            Some(to) => *self.from <= *key && *key < **to,
        }
    }

    /// Whether no key can be one of these.
    pub fn is_empty(&self) -> bool {
        self.to.as_ref().is_some_and(|to| *to <= self.from)
    }
}

/// A key's token, and what comes after the slash behind it.
fn split(key: &[u8]) -> Result<(Token, &str), V3Error> {
    if key.is_empty() {
        return Err(V3Error::EmptyKey);
    }
    let key = str::from_utf8(key).map_err(|_| V3Error::Outside("the key is not UTF-8, so it belongs to no token"))?;
    let below = key.strip_prefix(REGISTRY).ok_or(V3Error::Outside("the key belongs to no token"))?;
    let (token, rest) = below.split_once('/').unwrap_or((below, ""));
    match token.parse() {
        Ok(token) => Ok((token, rest)),
        Err(_) if token.is_empty() => Err(V3Error::Outside("tokens are secrets and can't be listed")),
        Err(error) => Err(V3Error::Invalid(format!("{error}; the token is the last segment of a discovery URL"))),
    }
}

/// The first key beyond those with a prefix, as etcd's clients compute it (`client/v3/op.go:getPrefix`). No prefix here
/// ends in the highest byte.
fn end_of_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(key: &str, end: &str) -> Result<KeyRange, V3Error> {
        KeyRange::parse(key.as_bytes().to_vec(), end.as_bytes().to_vec())
    }

    fn shown(range: &KeyRange) -> Vec<&'static str> {
        let keys = [
            "/_etcd/registry/prod/_config/size",
            "/_etcd/registry/prod/members/1",
            "/_etcd/registry/prod/members/2",
            "/_etcd/registry/prod2/members/1",
        ];
        keys.into_iter().filter(|key| range.contains(key.as_bytes())).collect()
    }

    #[test]
    fn keys_that_can_be_written_are_the_size_and_members() {
        for (text, node) in [
            ("/_etcd/registry/prod/_config/size", Node::Size),
            ("/_etcd/registry/prod/members/8e9e05c52164694d", Node::Member("8e9e05c52164694d".parse().unwrap())),
        ] {
            let key = Key::parse(text.as_bytes()).unwrap();
            assert_eq!((key.token.as_str(), &key.node), ("prod", &node));
            assert_eq!(key.to_bytes(), text.as_bytes());
        }
    }

    #[test]
    fn other_keys_can_not_be_written() {
        for key in [
            "foo",
            "/_etcd/registry",
            "/_etcd/registry/",
            "/_etcd/registry/prod",
            "/_etcd/registry/prod/",
            "/_etcd/registry/prod/_config",
            "/_etcd/registry/prod/_config/other",
            "/_etcd/registry/prod/members",
            "/_etcd/registry/prod/1",
            "/_etcd/registry//members/1",
        ] {
            assert!(matches!(Key::parse(key.as_bytes()), Err(V3Error::Outside(_))), "{key}");
        }
        for key in
            ["/_etcd/registry/prod/members/", "/_etcd/registry/prod/members/a/b", "/_etcd/registry/a b/members/1"]
        {
            assert!(matches!(Key::parse(key.as_bytes()), Err(V3Error::Invalid(_))), "{key}");
        }
        assert_eq!(Key::parse(b""), Err(V3Error::EmptyKey));
        assert!(matches!(Key::parse(b"\xff"), Err(V3Error::Outside(_))));
    }

    #[test]
    fn a_range_shows_what_of_its_cluster_lies_in_it() {
        let all =
            ["/_etcd/registry/prod/_config/size", "/_etcd/registry/prod/members/1", "/_etcd/registry/prod/members/2"];
        for (key, end, keys) in [
            ("/_etcd/registry/prod/members/2", "", &all[2..]),
            ("/_etcd/registry/prod/members", "", &[]),
            ("/_etcd/registry/prod/members", "/_etcd/registry/prod/membert", &all[1..]),
            ("/_etcd/registry/prod/members/1", "/_etcd/registry/prod/members/2", &all[1..2]),
            ("/_etcd/registry/prod/", "/_etcd/registry/prod0", &all[..]),
            ("/_etcd/registry/prod", "/_etcd/registry/proe", &all[..]),
            ("/_etcd/registry/prod", "/_etcd/registry/prod/members/1", &all[..1]),
            ("/_etcd/registry/pro", "/_etcd/registry/prp", &[]),
            ("/_etcd/registry/prod/members/2", "/_etcd/registry/prod/members/1", &[]),
        ] {
            assert_eq!(shown(&range(key, end).unwrap()), keys, "{key} to {end}");
        }
    }

    #[test]
    fn no_range_shows_more_than_one_cluster() {
        for (key, end) in [
            ("foo", ""),
            ("\0", "\0"),
            ("/_etcd/registry", "/_etcd/registrz"),
            ("/_etcd/registry/", "/_etcd/registry0"),
            ("/_etcd/registry/prod", "\0"),
            ("/_etcd/registry/prod", "/_etcd/registry/prod1"),
            ("/_etcd/registry/prod/", "/_etcd/registry/proe"),
            ("/_etcd/registry/prod/members", "/_etcd/registry/prod1"),
        ] {
            assert!(matches!(range(key, end), Err(V3Error::Outside(_))), "{key} to {end}");
        }
        assert_eq!(range("", ""), Err(V3Error::EmptyKey));
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_empty() {
        assert!(range("/_etcd/registry/prod/b", "/_etcd/registry/prod/a").unwrap().is_empty());
        assert!(!range("/_etcd/registry/prod/a", "").unwrap().is_empty());
    }
}
