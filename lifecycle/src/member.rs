use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

use crate::{
    ClientUrl, MemberId, PeerUrl, Registration, Revision, RunId, UnixMillis, text::as_text, token::is_key_segment,
};

/// One member of a cluster, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// What it is registered under: its etcd member ID, unless a v2 client chose something else.
    pub key: MemberKey,
    /// Its name and peer URLs.
    pub registration: Registration,
    /// Where clients reach it, as far as it is known.
    pub client_urls: Vec<ClientUrl>,
    /// Whether it votes.
    pub role: Role,
    /// Whether its etcd is known to have run: it has reported data, or etcd's list has its name.
    pub started: bool,
    /// Its part in bootstrapping this epoch's cluster from check-ins; `None` means that it has none.
    pub founder: Option<Founder>,
    /// When an administrator or the node itself asked for its removal; `None` means that nobody did.
    pub eviction: Option<UnixMillis>,
    /// Until when it may be down without counting as dead; `None` means that no downtime was announced.
    pub downtime_until: Option<UnixMillis>,
    /// Its place in line: etcd takes the first `size` members in this order.
    pub created: Revision,
    /// When anything about it last changed.
    pub modified: Revision,
    /// When its registration was last written, which is all that stock etcds see of it.
    pub registered: Revision,
    /// How often its registration was written since it has had its place in line.
    pub version: u64,
    /// When it was removed; `None` means that it is a member now. A removed member stays on record, because
    /// those who saw it while the cluster formed have counted it, and because it may come back with its data.
    pub removed: Option<Removal>,
}

/// Whether a member votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It counts towards the quorum.
    Voter,
    /// It only receives what the voters decide.
    Learner,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Voter => "voter",
            Self::Learner => "learner",
        })
    }
}

/// A node that bootstraps a cluster together with others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Founder {
    /// Who was told to bootstrap; `None` means that nobody was, so that nothing can have been written here.
    pub issued: Option<BootstrapIssued>,
}

/// That a node was told to bootstrap.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BootstrapIssued {
    /// Which run of the node's client. Only this one knows for sure that it has not acted on it.
    pub run: RunId,
    /// When.
    pub at: UnixMillis,
}

/// That a member was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Removal {
    /// The revision of the removal.
    pub at: Revision,
    /// Whether etcd's own list has shown it. Hearsay, as from a v2 client, is not enough to set data aside.
    pub confirmed: bool,
}

impl Member {
    /// A member of which no more is known than its registration of just now.
    pub fn registered(key: MemberKey, registration: Registration, at: Revision) -> Self {
        Self {
            key,
            registration,
            client_urls: Vec::new(),
            role: Role::Voter,
            started: false,
            founder: None,
            eviction: None,
            downtime_until: None,
            created: at,
            modified: at,
            registered: at,
            version: 1,
            removed: None,
        }
    }

    /// Its name and its key, for messages: `infra1 (8e9e05c52164694d)`. Only the key, if that is also its name.
    pub(crate) fn label(&self) -> String {
        let (name, key) = (self.name().as_str(), self.key.as_str());
        if name == key { key.to_owned() } else { format!("{name} ({key})") }
    }

    /// Its name.
    pub fn name(&self) -> &MemberName {
        &self.registration.name
    }

    /// Whether it votes.
    pub fn is_voter(&self) -> bool {
        self.role == Role::Voter
    }

    /// Whether it has these peer URLs, in whatever order.
    pub fn has_peer_urls(&self, urls: &[PeerUrl]) -> bool {
        let own = &self.registration.peer_urls;
        own.iter().all(|url| urls.contains(url)) && urls.iter().all(|url| own.contains(url))
    }

    /// The first of these peer URLs that is one of its own.
    pub fn shared_peer_url<'a>(&self, urls: &'a [PeerUrl]) -> Option<&'a PeerUrl> {
        urls.iter().find(|url| self.registration.peer_urls.contains(url))
    }
}

/// The last segment of a member's v2 key.
///
/// etcd puts its member ID there, as up to 16 hexadecimal digits; other clients choose freely. The
/// alphabet is a token's, and a leading `_` would make the key a hidden one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberKey(Arc<str>);

/// Why a text is not a [`MemberKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "member: must be 1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-', and not begin with '_'; \
     etcd uses its member ID in hexadecimal"
)]
pub struct MemberKeyError;

impl MemberKey {
    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The etcd member ID that the key is; `None` means that a v2 client chose another key.
    pub fn id(&self) -> Option<MemberId> {
        self.0.parse().ok().filter(|id: &MemberId| id.to_string() == *self.0)
    }
}

impl From<MemberId> for MemberKey {
    fn from(id: MemberId) -> Self {
        Self(id.to_string().into())
    }
}

impl FromStr for MemberKey {
    type Err = MemberKeyError;

    fn from_str(text: &str) -> Result<Self, MemberKeyError> {
        if is_key_segment(text) && !text.starts_with('_') { Ok(Self(text.into())) } else { Err(MemberKeyError) }
    }
}

impl fmt::Display for MemberKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What etcd calls `--name`: any text without `,`, `=` and control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberName(Arc<str>);

/// Why a text is not a [`MemberName`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("member name {0:?} must not be empty or hold ',', '=' or control characters")]
pub struct MemberNameError(String);

impl MemberName {
    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MemberName {
    type Err = MemberNameError;

    fn from_str(text: &str) -> Result<Self, MemberNameError> {
        if text.is_empty() || text.contains(|c: char| matches!(c, ',' | '=') || c.is_control()) {
            Err(MemberNameError(text.to_owned()))
        } else {
            Ok(Self(text.into()))
        }
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

as_text!(MemberKey, "a member ID");
as_text!(MemberName, "a member name");
