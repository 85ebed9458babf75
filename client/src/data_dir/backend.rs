//! Reads from etcd's database up to which entry the Raft log was applied to it, and which members it knows.
//!
//! The database is a bbolt file of pages of equal size. The first two are meta pages, which are written alternately. The
//! others form a B+ tree whose leaves are buckets. Each bucket is a tree again, or a single page inside the leaf of its
//! parent (`page.go`, `bucket.go` and `db.go` in bbolt). Numbers are in the byte order of this machine, which has written
//! them.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use convene_lifecycle::{ClientUrl, MemberId, PeerUrl};
use serde::Deserialize;

use super::{
    DataDirError,
    files::{self, ReadError},
    page::{Lookup, META_SIZE, Meta, PAGE_HEADER_SIZE, Page, PageContents, ValueKind},
};

/// The largest page that is read, including its overflow pages. The pages on the path to the keys of interest have only
/// names and numbers.
const MAX_PAGE_SIZE: u64 = 16 << 20;

/// More pages than the members of any cluster take.
const MAX_PAGES: usize = 256;

/// More levels than any valid tree has. A damaged tree might be a loop.
const MAX_DEPTH: usize = 32;

/// How much of the Raft log was applied to a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Nothing.
    Nothing,
    /// All entries up to this index.
    UpTo(u64),
}

/// A member that a database knows. This is the state of the last entry that this member has applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownMember {
    /// Its ID.
    pub id: MemberId,
    /// Its peer URLs, without those that Convene can't use.
    pub peer_urls: Vec<PeerUrl>,
    /// Its client URLs, without those that Convene can't use.
    pub client_urls: Vec<ClientUrl>,
    /// Whether it is a learner.
    pub learner: bool,
}

/// The JSON of a member. Empty fields are missing or null.
#[derive(Deserialize)]
struct MemberJson {
    id: u64,
    #[serde(rename = "peerURLs")]
    peer_urls: Option<Vec<String>>,
    #[serde(rename = "clientURLs")]
    client_urls: Option<Vec<String>>,
    #[serde(rename = "isLearner", default)]
    learner: bool,
}

/// Reads which members the database knows.
///
/// etcd stores each member as JSON in the bucket `members`, with its ID in hexadecimal as the key
/// (`server/storage/schema/membership.go:MustSaveMemberToBackend`; `membership/store.go` in 3.4).
pub fn members(path: &Path) -> Result<Vec<KnownMember>, ReadError> {
    let Some(database) = Database::open(path)? else { return Ok(Vec::new()) };
    let Some(bucket) = database.bucket("members")? else { return Ok(Vec::new()) };
    let values = database.values(bucket, "members")?;
    values.iter().map(|json| KnownMember::parse(json).ok_or_else(|| database.damaged("members"))).collect()
}

/// Whether the database has no keys, as before anything was written to the cluster.
pub fn is_without_keys(path: &Path) -> Result<bool, ReadError> {
    Database::open(path)?.map_or(Ok(true), |database| database.is_without_keys())
}

/// Reads how much of the Raft log was applied to the database.
///
/// etcd stores the index of the last applied entry as `consistent_index` in the bucket `meta`, 8 bytes big-endian
/// (`server/storage/schema/cindex.go`; `mvcc/kvstore.go` in 3.4).
pub fn applied(path: &Path) -> Result<Applied, ReadError> {
    let Some(database) = Database::open(path)? else { return Ok(Applied::Nothing) };
    let index = match database.bucket("meta")? {
        Some(meta) => database.find(meta, "consistent_index")?,
        None => None,
    };
    let index = match index {
        Some((_, index)) => u64::from_be_bytes(index.try_into().map_err(|_| database.damaged("consistent_index"))?),
        None => 0,
    };
    match index {
        0 => database.check_without_keys().map(|()| Applied::Nothing),
        index => Ok(Applied::UpTo(index)),
    }
}

struct Database {
    path: PathBuf,
    file: File,
    length: u64,
    meta: Meta,
}

/// The root of a bucket.
enum Bucket {
    OnPage(u64),
    Inline(Page),
}

impl Database {
    /// Opens the database; `None` if the file is empty. A crash before bbolt has initialised the file leaves it empty, and
    /// bbolt then initialises it (`db.go:Open`).
    fn open(path: &Path) -> Result<Option<Self>, ReadError> {
        if !files::is_file(path)? {
            return Err(ReadError::Damaged(format!("{} is not a file", path.display())));
        }
        let file = File::open(path).map_err(DataDirError::when("open", path))?;
        let length = file.metadata().map_err(DataDirError::when("inspect", path))?.len();
        if length == 0 {
            return Ok(None);
        }
        let meta = newest_meta(path, &file, length)?
            .ok_or_else(|| ReadError::Damaged(format!("{} has no valid meta page", path.display())))?;
        Ok(Some(Self { path: path.to_owned(), file, length, meta }))
    }

    fn is_without_keys(&self) -> Result<bool, ReadError> {
        Ok(match self.bucket("key")? {
            None => true,
            Some(Bucket::Inline(page)) => page.is_empty(),
            Some(Bucket::OnPage(id)) => self.page(id)?.is_empty(),
        })
    }

    /// Checks that there are no keys. Without a consistent index, their origin is unknown. An interrupted restore of a
    /// snapshot leaves such a database, if it has not written the WAL yet.
    fn check_without_keys(&self) -> Result<(), ReadError> {
        if self.is_without_keys()? {
            return Ok(());
        }
        Err(ReadError::Damaged(format!("{} has keys, but no consistent_index", self.path.display())))
    }

    fn bucket(&self, name: &str) -> Result<Option<Bucket>, ReadError> {
        match self.find(Bucket::OnPage(self.meta.root), name)? {
            None => Ok(None),
            Some((ValueKind::Bucket, value)) => Bucket::parse(&value).map(Some).ok_or_else(|| self.damaged(name)),
            Some((ValueKind::Value, _)) => Err(self.damaged(name)),
        }
    }

    /// Finds a key in a bucket.
    fn find(&self, bucket: Bucket, key: &str) -> Result<Option<(ValueKind, Vec<u8>)>, ReadError> {
        let mut page = match bucket {
            Bucket::OnPage(id) => self.page(id)?,
            Bucket::Inline(page) => page,
        };
        for _ in 0..MAX_DEPTH {
            match page.search(key.as_bytes()).ok_or_else(|| self.damaged(key))? {
                Lookup::Child(id) => page = self.page(id)?,
                Lookup::Value(kind, value) => return Ok(Some((kind, value.to_vec()))),
                Lookup::Missing => return Ok(None),
            }
        }
        Err(self.damaged(key))
    }

    /// All values in a bucket, whose name is for the error.
    fn values(&self, bucket: Bucket, name: &str) -> Result<Vec<Vec<u8>>, ReadError> {
        let mut values = Vec::new();
        let mut pages = vec![match bucket {
            Bucket::OnPage(id) => self.page(id)?,
            Bucket::Inline(page) => page,
        }];
        // A damaged tree might be a loop.
        for _ in 0..MAX_PAGES {
            let Some(page) = pages.pop() else { return Ok(values) };
            match page.contents().ok_or_else(|| self.damaged(name))? {
                PageContents::Elements(elements) => {
                    let elements = elements.into_iter().filter(|element| element.kind == ValueKind::Value);
                    values.extend(elements.map(|element| element.value.to_vec()));
                }
                PageContents::Children(children) => {
                    for id in children.into_iter().take(MAX_PAGES) {
                        pages.push(self.page(id)?);
                    }
                }
            }
        }
        Err(self.damaged(name))
    }

    fn page(&self, id: u64) -> Result<Page, ReadError> {
        let damaged = || ReadError::Damaged(format!("{} has no valid page {id}", self.path.display()));
        let start = id.checked_mul(self.meta.page_size).ok_or_else(damaged)?;
        let header = self.read(start, PAGE_HEADER_SIZE)?.ok_or_else(damaged)?;
        let pages = Page::pages(&header, id).ok_or_else(damaged)?;
        let size = pages.checked_mul(self.meta.page_size).filter(|size| *size <= MAX_PAGE_SIZE).ok_or_else(damaged)?;
        let bytes = self.read(start, size as usize)?.ok_or_else(damaged)?;
        Page::parse(bytes).ok_or_else(damaged)
    }

    fn read(&self, start: u64, size: usize) -> Result<Option<Vec<u8>>, ReadError> {
        read(&self.path, &self.file, self.length, start, size)
    }

    fn damaged(&self, what: &str) -> ReadError {
        ReadError::Damaged(format!("{} is damaged at `{what}`", self.path.display()))
    }
}

impl KnownMember {
    fn parse(json: &[u8]) -> Option<Self> {
        let MemberJson { id, peer_urls, client_urls, learner } = serde_json::from_slice(json).ok()?;
        Some(Self { id: MemberId(id), peer_urls: usable(peer_urls), client_urls: usable(client_urls), learner })
    }
}

fn usable<T: std::str::FromStr>(urls: Option<Vec<String>>) -> Vec<T> {
    urls.unwrap_or_default().iter().filter_map(|url| url.parse().ok()).collect()
}

impl Bucket {
    /// A bucket is the ID of its root page and a counter. If the ID is 0, the page itself follows (`bucket.go:openBucket`).
    fn parse(value: &[u8]) -> Option<Self> {
        let (root, rest) = value.split_first_chunk()?;
        match u64::from_ne_bytes(*root) {
            0 => Page::parse(rest.get(8..)?.to_vec()).map(Self::Inline),
            root => Some(Self::OnPage(root)),
        }
    }
}

/// The valid meta page of the last transaction (`db.go:meta`). As the first meta page may be damaged, the second one is
/// searched for with every page size (`db.go:getPageSizeFromSecondMeta`).
fn newest_meta(path: &Path, file: &File, length: u64) -> Result<Option<Meta>, ReadError> {
    let mut newest: Option<Meta> = None;
    for start in std::iter::once(0).chain((10..=16).map(|bits| 1 << bits)) {
        let bytes = read(path, file, length, start, PAGE_HEADER_SIZE + META_SIZE)?;
        let meta = bytes.and_then(|bytes| Meta::parse(&bytes[PAGE_HEADER_SIZE..]));
        let meta = meta.filter(|meta| start == 0 || start == meta.page_size);
        newest = newest.into_iter().chain(meta).max_by_key(|meta| meta.transaction);
    }
    Ok(newest)
}

/// Bytes of a file; `None` if the file is too short.
fn read(path: &Path, file: &File, length: u64, start: u64, size: usize) -> Result<Option<Vec<u8>>, ReadError> {
    if start.checked_add(size as u64).is_none_or(|end| end > length) {
        return Ok(None);
    }
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, start).map_err(DataDirError::when("read", path))?;
    Ok(Some(bytes))
}
