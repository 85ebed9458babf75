use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use thiserror::Error;

use crate::{
    ClientUrl, DiskId, Downtime, MemberId, PeerUrl, Registration, Revision, RunId, UnixMillis, text::as_text,
    token::is_key_segment,
};

/// One member of a cluster, present or removed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// The last segment of its v2 key: its etcd member ID, unless a v2 client chose another key.
    pub key: MemberKey,
    /// Its name and peer URLs.
    pub registration: Registration,
    /// Where clients reach it. Empty if that is not known.
    pub client_urls: Vec<ClientUrl>,
    /// Whether it votes.
    pub role: Role,
    /// Whether its etcd has run: its node has reported data, an etcd with its ID has answered or, if it is no founder, etcd's list
    /// has its name.
    pub started: bool,
    /// Its part in bootstrapping this epoch's cluster by check-in. `None` if it is no founder.
    pub founder: Option<Founder>,
    /// The latest instruction to join as this member, which has no data. `None` if there was none, or if it is a founder.
    pub join_issued: Option<StartIssued>,
    /// When an administrator or its own node requested its removal, if one did.
    pub eviction: Option<UnixMillis>,
    /// The announced downtime, if there is one. Until its end, the member does not count as dead.
    pub downtime: Option<Downtime>,
    /// Its place in line. Stock etcds take the first `size` members in this order.
    pub created: Revision,
    /// The revision that last changed anything about it.
    pub modified: Revision,
    /// The revision that last wrote its registration. Stock etcds see only the registration.
    pub registered: Revision,
    /// How often its registration was written since it got its place in line.
    pub version: u64,
    /// Its removal. `None` if it is a present member. A removed member stays on record for a while: etcds that saw it while
    /// the cluster formed have counted it, and its node may come back with its data.
    pub removed: Option<Removal>,
}

/// Whether a member votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It counts towards the quorum.
    Voter,
    /// It receives the log, but does not vote.
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Founder {
    /// The latest instruction to bootstrap. `None` if there was none, so that the node can't have written data. `None` for a
    /// member that has started means that the cluster has had a leader since. One such member suffices.
    pub issued: Option<StartIssued>,
    /// The disk of an instruction that is over, because the cluster has had a leader since. `None` while there is an instruction, or if
    /// the node's client did not report its disk.
    pub disk: Option<DiskId>,
}

/// An instruction to start etcd without data: to bootstrap, or to join as a member that was added.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StartIssued {
    /// The run of the node's client that got it. Only this run knows whether it has acted on the instruction.
    pub run: RunId,
    /// When the run got it.
    pub at: UnixMillis,
    /// The disk of the node then. `None` if its client did not report it.
    pub disk: Option<DiskId>,
}

impl StartIssued {
    /// For how long the run that got an instruction to join may still start etcd. Until then, no other run gets one for the same
    /// peer URLs: etcd finds out by its peer URLs as which member it starts
    /// (`server/etcdserver/api/membership/cluster.go:ValidateClusterAndAssignIDs`).
    pub const START_WITHIN: Duration = Duration::from_secs(30);
}

/// The removal of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Removal {
    /// The revision of the removal.
    pub at: Revision,
    /// Whether a check-in has shown it, not only a v2 client. It is for people: no data is archived because of it.
    pub confirmed: bool,
    /// Whether an administrator has given the member up, by adopting a list without it. etcd need not know of that.
    pub given_up: bool,
}

impl Member {
    /// A member that has just registered.
    pub fn registered(key: MemberKey, registration: Registration, at: Revision) -> Self {
        Self {
            key,
            registration,
            client_urls: Vec::new(),
            role: Role::Voter,
            started: false,
            founder: None,
            join_issued: None,
            eviction: None,
            downtime: None,
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

    /// Whether its name is not known: its ID stands in for it.
    pub(crate) fn is_unnamed(&self) -> bool {
        self.name().as_str() == self.key.as_str()
    }

    /// Its name.
    pub fn name(&self) -> &MemberName {
        &self.registration.name
    }

    /// Whether it is a founder of a cluster that may never have had a leader, as far as the registry knows.
    pub(crate) fn may_never_have_led(&self) -> bool {
        self.founder.as_ref().is_some_and(|founder| !self.started || founder.issued.is_some())
    }

    /// The latest instruction to bootstrap that its node got. `None` if there was none, or if the cluster has had a leader since.
    pub fn bootstrap_issued(&self) -> Option<&StartIssued> {
        self.founder.as_ref()?.issued.as_ref()
    }

    /// The disk of its node when that was last instructed to start it without data. `None` if that is not known.
    pub fn disk(&self) -> Option<&DiskId> {
        let Some(founder) = &self.founder else { return self.join_issued.as_ref()?.disk.as_ref() };
        founder.issued.as_ref().map_or(founder.disk.as_ref(), |issued| issued.disk.as_ref())
    }

    /// Its node has its data on this disk, if it is known that the node had it on another one.
    pub(crate) fn set_disk(&mut self, disk: DiskId) {
        let known = match (&mut self.founder, &mut self.join_issued) {
            (Some(Founder { issued: Some(issued), .. }), _) | (None, Some(issued)) => &mut issued.disk,
            (Some(Founder { disk, .. }), _) => disk,
            (None, None) => return,
        };
        *known = known.take().map(|_| disk);
    }

    /// Whether it votes.
    pub fn is_voter(&self) -> bool {
        self.role == Role::Voter
    }

    /// Whether it has these peer URLs, in any order.
    pub fn has_peer_urls(&self, urls: &[PeerUrl]) -> bool {
        let own = &self.registration.peer_urls;
        own.iter().all(|url| urls.contains(url)) && urls.iter().all(|url| own.contains(url))
    }

    /// The first of these peer URLs that it has, too.
    pub fn shared_peer_url<'a>(&self, urls: &'a [PeerUrl]) -> Option<&'a PeerUrl> {
        urls.iter().find(|url| self.registration.peer_urls.contains(url))
    }
}

/// The last segment of a member's v2 key.
///
/// etcd puts its member ID there, with up to 16 hexadecimal digits. Other clients may choose any text in the alphabet of
/// tokens, except that a leading `_` would hide the key.
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

    /// The etcd member ID in the key. `None` if a v2 client chose another key.
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

/// etcd's `--name`: any text without `,`, `=` and control characters.
///
/// Names on record, and in etcd's own list, may have [invisible](crate::is_invisible) characters. Registrations and the API accept no
/// further ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberName(Arc<str>);

/// Why a text is not a [`MemberName`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("member name {0:?} must not be empty or contain ',', '=' or control characters")]
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
