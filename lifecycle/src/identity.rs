use std::{borrow::Cow, fmt, str::FromStr};

use sha1::{Digest, Sha1};
use thiserror::Error;

use crate::{PeerUrl, Token, text::as_text};

/// etcd's ID of a member: a number that etcd prints in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

/// etcd's ID of a cluster: a number that etcd prints in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u64);

/// Why a text is not a [`MemberId`] or [`ClusterId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be an ID as etcd prints it: 1 to 16 hexadecimal digits, such as 8e9e05c52164694d")]
pub struct IdError;

/// Counts the attempts to form a cluster, from 1.
///
/// It is part of `--initial-cluster-token`. etcd computes the IDs of the members and of the cluster from that token, so
/// data of one attempt can't be mistaken for data of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

impl MemberId {
    /// The ID that etcd computes for a founder
    /// (`server/etcdserver/api/membership/member.go:computeMemberID`).
    pub fn of_founder(peer_urls: &[PeerUrl], initial_cluster_token: &str) -> Self {
        FounderHash::of(peer_urls).id(&[initial_cluster_token])
    }
}

/// What etcd's ID of a founder is computed from, without the initial cluster token.
#[derive(Clone, Debug)]
pub(crate) struct FounderHash(Sha1);

impl FounderHash {
    pub fn of(peer_urls: &[PeerUrl]) -> Self {
        let mut urls: Vec<Cow<'_, str>> = peer_urls.iter().map(as_go_writes).collect();
        urls.sort_unstable();
        Self(urls.iter().fold(Sha1::new(), |hash, url| hash.chain_update(url.as_bytes())))
    }

    /// The ID with the initial cluster token that these pieces make up.
    pub fn id(&self, pieces: &[&str]) -> MemberId {
        let hash = pieces.iter().fold(self.0.clone(), |hash, piece| hash.chain_update(piece));
        MemberId(first_eight_bytes(&hash.finalize()))
    }
}

impl ClusterId {
    /// The ID that etcd computes for the cluster that these founders bootstrap
    /// (`server/etcdserver/api/membership/cluster.go:genID`).
    pub fn of_founders(members: impl IntoIterator<Item = MemberId>) -> Self {
        let mut ids: Vec<u64> = members.into_iter().map(|id| id.0).collect();
        ids.sort_unstable();
        let bytes: Vec<u8> = ids.into_iter().flat_map(u64::to_be_bytes).collect();
        Self(first_eight_bytes(&Sha1::digest(bytes)))
    }
}

impl Epoch {
    /// The first attempt.
    pub const FIRST: Self = Self(1);

    /// The attempt after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The `--initial-cluster-token` of this attempt. It does not show the cluster's token, because process lists show the
    /// flags of etcd.
    pub fn initial_cluster_token(self, token: &Token) -> String {
        let hash = first_eight_bytes(&Sha1::digest(token.as_str()));
        format!("convene-{hash:016x}-{}", self.0)
    }
}

/// A URL as Go prints it after parsing: with the scheme in lower case (`net/url/url.go:parse`).
fn as_go_writes(url: &PeerUrl) -> Cow<'_, str> {
    match url.as_str().split_once("://") {
        Some((scheme, rest)) if scheme.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            format!("{}://{rest}", scheme.to_ascii_lowercase()).into()
        }
        _ => url.as_str().into(),
    }
}

fn first_eight_bytes(hash: &[u8]) -> u64 {
    hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn parse_hexadecimal(text: &str) -> Result<u64, IdError> {
    let digits = (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits { u64::from_str_radix(text, 16).map_err(|_| IdError) } else { Err(IdError) }
}

impl FromStr for MemberId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        parse_hexadecimal(text).map(Self)
    }
}

impl FromStr for ClusterId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        parse_hexadecimal(text).map(Self)
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

as_text!(MemberId, "an etcd member ID in hexadecimal");
as_text!(ClusterId, "an etcd cluster ID in hexadecimal");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_as_etcd_writes_them() {
        assert_eq!("8e9e05c52164694d".parse::<MemberId>().unwrap().to_string(), "8e9e05c52164694d");
        assert_eq!("00ff".parse::<ClusterId>().unwrap().to_string(), "ff");
        for text in ["", "g", "0x1", "+1", "-1", "11112222333344445"] {
            assert_eq!(text.parse::<MemberId>(), Err(IdError), "{text}");
        }
    }

    #[test]
    fn ids_of_founders_are_those_that_etcd_computes() {
        // An etcd without flags has these two IDs.
        let alone = MemberId::of_founder(&[PeerUrl::parse("http://localhost:2380").unwrap()], "etcd-cluster");
        assert_eq!(alone.to_string(), "8e9e05c52164694d");
        assert_eq!(ClusterId::of_founders([alone]).to_string(), "cdf818194e3a8c32");
    }

    #[test]
    fn the_case_of_a_scheme_does_not_change_a_member_id() {
        let id = |url| MemberId::of_founder(&[PeerUrl::parse(url).unwrap()], "etcd-cluster");
        assert_eq!(id("HTTP://localhost:2380"), id("http://localhost:2380"));
        assert_ne!(id("http://Localhost:2380"), id("http://localhost:2380"));
    }

    #[test]
    fn each_epoch_has_its_own_initial_cluster_token_that_hides_the_token() {
        let token: Token = "6c007a14875d53d9bf0ef5a6fc0257c8".parse().unwrap();
        let (first, second) = (Epoch(1).initial_cluster_token(&token), Epoch(2).initial_cluster_token(&token));
        assert_ne!(first, second);
        assert!(!first.contains("6c007a"), "{first}");
    }
}
