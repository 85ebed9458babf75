use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

use crate::{Cluster, Member, MemberId, MemberKey, RegisterRefusal, Registration, identity::FounderHash};

/// A discovery URL, spelled as a node was given it with `--discovery`.
///
/// etcd takes the text for the `--initial-cluster-token` (`embed/config.go:PeerURLsMapAndToken`), and computes the IDs of the
/// members and of the cluster from it. So nodes with two spellings of one URL find each other and then refuse each other
/// (`cluster ID mismatch`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DiscoveryUrl(Arc<str>);

/// Why a text is not a [`DiscoveryUrl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be a URL of at most {} visible ASCII characters", DiscoveryUrl::MAX_BYTES)]
pub struct DiscoveryUrlError;

impl DiscoveryUrl {
    /// The most bytes of a URL. With a longer one, a node's spelling is unknown.
    pub const MAX_BYTES: usize = 1024;

    /// The URL as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the node with this key was given exactly this URL: its etcd computes the key from its peer URLs and the URL
    /// (`server/etcdserver/api/membership/member.go:computeMemberID`).
    pub fn was_given(&self, key: &MemberKey, registration: &Registration) -> bool {
        FounderKey::of(key, registration).is_some_and(|founder| founder.has(&[self.as_str()]))
    }

    fn was_given_to(&self, member: &Member) -> bool {
        self.was_given(&member.key, &member.registration)
    }
}

/// The key of a node that founds a cluster, which shows the discovery URL that the node was given.
#[derive(Clone, Debug)]
pub struct FounderKey {
    id: MemberId,
    hash: FounderHash,
}

impl FounderKey {
    /// `None` if no etcd computes a key like that.
    pub fn of(key: &MemberKey, registration: &Registration) -> Option<Self> {
        let id: MemberId = key.as_str().parse().ok()?;
        let is_written_by_etcd = id.to_string() == key.as_str();
        is_written_by_etcd.then(|| Self { id, hash: FounderHash::of(&registration.peer_urls) })
    }

    /// Whether the node was given the URL that these pieces make up.
    pub fn has(&self, pieces: &[&str]) -> bool {
        self.hash.id(pieces) == self.id
    }
}

impl Cluster {
    /// The spelling of the discovery URL that the nodes of this cluster have, if this node registers by v2 discovery: that of
    /// the first node, and if it has none that is known, this node's. `own` is the URL that this node was given, if it is one of the
    /// likely ones; `likely` are those that any node may have been given.
    ///
    /// Keys that no likely URL explains are those of other clients, or of URLs that only a proxy knows. They pass.
    ///
    /// # Errors
    ///
    /// If this node was given another spelling than a present member while the cluster forms.
    pub fn discovery_url_with(
        &self,
        key: &MemberKey,
        registration: &Registration,
        own: Option<&DiscoveryUrl>,
        likely: impl FnOnce() -> Vec<DiscoveryUrl>,
    ) -> Result<Option<DiscoveryUrl>, RegisterRefusal> {
        let known = self.discovery_url.as_ref();
        let Some(own) = own.or_else(|| known.filter(|url| url.was_given(key, registration))) else {
            return Ok(known.cloned());
        };
        // A spelling counts as long as a member has it: if its node is removed, the others may use another.
        let kept = known.filter(|url| self.members().any(|member| url.was_given_to(member))).cloned();
        let of_first = |member: &Arc<Member>| likely().into_iter().find(|url| url.was_given_to(member));
        match kept.or_else(|| self.members().next().and_then(of_first)) {
            Some(first) if first != *own && self.formed.is_none() => {
                Err(RegisterRefusal::OtherUrl { first, own: own.clone() })
            }
            first => Ok(first.or_else(|| Some(own.clone()))),
        }
    }
}

impl FromStr for DiscoveryUrl {
    type Err = DiscoveryUrlError;

    fn from_str(text: &str) -> Result<Self, DiscoveryUrlError> {
        let is_url = text.starts_with("http://") || text.starts_with("https://");
        let is_plain = text.len() <= Self::MAX_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_url && is_plain { Ok(Self(text.into())) } else { Err(DiscoveryUrlError) }
    }
}

impl fmt::Display for DiscoveryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, ClusterSize, Discovery, UnixMillis};

    const NOW: UnixMillis = UnixMillis(1_000);
    const PLAIN: &str = "http://discovery:8087/one";
    const SLASH: &str = "http://discovery:8087/one/";

    fn url(text: &str) -> DiscoveryUrl {
        text.parse().unwrap()
    }

    fn node(n: u32, given: &str) -> (MemberKey, Registration) {
        let registration = Registration::parse(&format!("infra{n}=http://10.0.0.{n}:2380")).unwrap();
        (MemberId::of_founder(&registration.peer_urls, given).to_string().parse().unwrap(), registration)
    }

    fn cluster(size: u32) -> Cluster {
        let created = Cluster::create("one".parse().unwrap(), ClusterSize::new(size).unwrap(), Action::Set, NOW);
        created.after.unwrap()
    }

    /// The cluster with another node that was given a URL, and may have been given one of the likely ones.
    fn with(cluster: &Cluster, n: u32, given: &str, likely: &[&str]) -> Result<Cluster, RegisterRefusal> {
        let (key, registration) = node(n, given);
        let likely: Vec<_> = likely.iter().map(|text| url(text)).collect();
        let own = likely.iter().find(|url| url.was_given(&key, &registration));
        let discovery_url = cluster.discovery_url_with(&key, &registration, own, || likely.clone())?;
        let registered = cluster.register(key, registration, Discovery::V2, Action::Create, NOW)?;
        Ok(Cluster { discovery_url, ..registered.after.unwrap() })
    }

    #[test]
    fn the_first_spelling_that_is_known_stays_and_another_is_refused() {
        let likely = [PLAIN, SLASH];
        let first = with(&cluster(3), 1, SLASH, &likely).unwrap();
        assert_eq!(first.discovery_url, Some(url(SLASH)));
        let refused = RegisterRefusal::OtherUrl { first: url(SLASH), own: url(PLAIN) };
        assert_eq!(with(&first, 2, PLAIN, &likely), Err(refused.clone()));
        assert_eq!(with(&first, 1, PLAIN, &likely), Err(refused), "the same node with another spelling");
        // The server that the second node asks may not find the first one's spelling by itself.
        assert!(with(&first, 2, PLAIN, &[PLAIN]).is_err());
        assert!(with(&first, 2, SLASH, &[PLAIN]).is_ok());
    }

    #[test]
    fn a_spelling_that_is_unknown_passes() {
        let unknown = "https://elsewhere/one";
        let first = with(&cluster(3), 1, unknown, &[PLAIN]).unwrap();
        assert_eq!(first.discovery_url, None);
        let second = with(&first, 2, PLAIN, &[PLAIN]).unwrap();
        assert_eq!(second.discovery_url, Some(url(PLAIN)));
        assert!(with(&second, 3, unknown, &[PLAIN]).is_ok());
        assert!(with(&first, 2, PLAIN, &[PLAIN, unknown]).is_err(), "the first one's is found later");
    }

    #[test]
    fn the_spelling_of_a_member_that_was_removed_counts_no_more() {
        let first = with(&cluster(3), 1, SLASH, &[SLASH]).unwrap();
        let removed = first.remove(&node(1, SLASH).0, Discovery::V2, Action::Delete, NOW).unwrap().after.unwrap();
        let second = with(&removed, 2, PLAIN, &[PLAIN]).unwrap();
        assert_eq!(second.discovery_url, Some(url(PLAIN)));
    }

    #[test]
    fn a_cluster_that_has_formed_takes_reports_of_any_spelling() {
        let formed = with(&cluster(1), 1, SLASH, &[SLASH]).unwrap();
        let (key, registration) = node(2, PLAIN);
        let kept = formed.discovery_url_with(&key, &registration, Some(&url(PLAIN)), || vec![url(PLAIN)]);
        assert_eq!(kept, Ok(Some(url(SLASH))));
    }

    #[test]
    fn a_key_is_the_one_that_etcd_computes() {
        let registration = Registration::parse("default=http://localhost:2380").unwrap();
        let is_given =
            |text: &str| DiscoveryUrl(text.into()).was_given(&"8e9e05c52164694d".parse().unwrap(), &registration);
        assert!(is_given("etcd-cluster") && !is_given("etcd-cluster/"));
    }

    #[test]
    fn a_discovery_url_is_short_and_plain() {
        for text in ["", "discovery/one", "http://a b/one", "http://a/\n", &format!("http://{}", "a".repeat(1024))] {
            assert_eq!(text.parse::<DiscoveryUrl>(), Err(DiscoveryUrlError), "{text}");
        }
    }
}
